import { type PerspectiveCamera, Vector3 } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

export type NavigationMode = "orbit" | "fly" | "walk";

const KEYS: Record<string, readonly [right: number, up: number, forward: number]> = {
    KeyW: [0, 0, 1],
    KeyS: [0, 0, -1],
    KeyA: [-1, 0, 0],
    KeyD: [1, 0, 0],
    KeyE: [0, 1, 0],
    KeyQ: [0, -1, 0],
    ArrowUp: [0, 0, 1],
    ArrowDown: [0, 0, -1],
    ArrowLeft: [-1, 0, 0],
    ArrowRight: [1, 0, 0],
};

/**
 * Moves the camera. `orbit`: drag turns around the target, as do two fingers. `fly`: drag looks around, keys move where
 * one looks. `walk`: as fly, on the level of the ground. Keys work in every mode.
 */
export class Navigation {
    mode: NavigationMode = "orbit";
    private readonly orbit: OrbitControls;
    private readonly held = new Set<string>();
    private frame = 0;
    private last = 0;

    constructor(
        private readonly camera: PerspectiveCamera,
        private readonly canvas: HTMLElement,
        private readonly up: Vector3,
        /** Scene units in a second of holding a key down. */
        private readonly speed: number,
        /** Called before the first change, while the camera is still where it was. */
        private readonly onStart: () => void,
        private readonly onChange: () => void,
    ) {
        camera.up.copy(up);
        this.orbit = new OrbitControls(camera, canvas);
        this.orbit.enableDamping = false;
        this.orbit.screenSpacePanning = true;
        this.orbit.addEventListener("start", onStart);
        this.orbit.addEventListener("change", onChange);
        canvas.addEventListener("keydown", this.keydown);
        canvas.addEventListener("keyup", this.keyup);
        canvas.addEventListener("blur", this.release);
        canvas.addEventListener("pointerdown", this.pointerdown);
    }

    get target(): Vector3 {
        return this.orbit.target;
    }

    setMode(mode: NavigationMode): void {
        this.mode = mode;
        this.orbit.enableRotate = mode === "orbit";
    }

    /** Look from `eye` at `target`. */
    look(eye: Vector3, target: Vector3): void {
        this.camera.position.copy(eye);
        this.orbit.target.copy(target);
        this.orbit.update();
        this.onChange();
    }

    /** Say what the camera, moved by others, looks at; turning starts from there. */
    aim(target: Vector3): void {
        this.orbit.target.copy(target);
    }

    dispose(): void {
        cancelAnimationFrame(this.frame);
        this.orbit.dispose();
        this.canvas.removeEventListener("keydown", this.keydown);
        this.canvas.removeEventListener("keyup", this.keyup);
        this.canvas.removeEventListener("blur", this.release);
        this.canvas.removeEventListener("pointerdown", this.pointerdown);
    }

    private readonly keydown = (event: KeyboardEvent): void => {
        if (!(event.code in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        if (this.held.size === 0) {
            this.onStart();
            // A short press moves, too, however long pictures take.
            this.held.add(event.code);
            this.last = performance.now() - 16;
            this.step(performance.now());
        }
        this.held.add(event.code);
    };

    private readonly keyup = (event: KeyboardEvent): void => {
        this.held.delete(event.code);
    };

    private readonly release = (): void => {
        this.held.clear();
    };

    private readonly step = (now: number): void => {
        if (this.held.size === 0) return;
        const seconds = Math.min(0.2, Math.max(0.008, (now - this.last) / 1000));
        this.last = now;
        let forward = this.camera.getWorldDirection(new Vector3());
        if (this.mode === "walk") {
            const flat = forward.clone().addScaledVector(this.up, -forward.dot(this.up));
            if (flat.lengthSq() > 1e-6) forward = flat.normalize();
        }
        const right = forward.clone().cross(this.up).normalize();
        const up = this.mode === "walk" ? this.up : right.clone().cross(forward);
        const move = new Vector3();
        for (const code of this.held) {
            const [x, y, z] = KEYS[code]!;
            move.addScaledVector(right, x).addScaledVector(up, y).addScaledVector(forward, z);
        }
        move.multiplyScalar(this.speed * seconds);
        this.camera.position.add(move);
        this.orbit.target.add(move);
        this.onChange();
        this.frame = requestAnimationFrame(this.step);
    };

    /** Looking around: the target turns about the camera. */
    private readonly pointerdown = (start: PointerEvent): void => {
        if (this.mode === "orbit" || start.button !== 0) return;
        this.onStart();
        this.canvas.setPointerCapture(start.pointerId);
        let { clientX: x, clientY: y } = start;
        const move = (event: PointerEvent): void => {
            const perPixel = (this.camera.fov * Math.PI) / 180 / this.canvas.clientHeight;
            const sight = this.orbit.target.clone().sub(this.camera.position);
            const right = sight.clone().cross(this.up).normalize();
            const turned = sight.clone().applyAxisAngle(this.up, (event.clientX - x) * perPixel);
            turned.applyAxisAngle(right, (event.clientY - y) * perPixel);
            // Not over the poles.
            if (Math.abs(turned.clone().normalize().dot(this.up)) < 0.999) {
                this.orbit.target.copy(this.camera.position).add(turned);
                this.orbit.update();
            }
            ({ clientX: x, clientY: y } = event);
        };
        const end = (): void => {
            this.canvas.removeEventListener("pointermove", move);
            this.canvas.removeEventListener("pointerup", end);
            this.canvas.removeEventListener("pointercancel", end);
        };
        this.canvas.addEventListener("pointermove", move);
        this.canvas.addEventListener("pointerup", end);
        this.canvas.addEventListener("pointercancel", end);
    };
}
