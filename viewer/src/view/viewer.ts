import { Color, PerspectiveCamera, Raycaster, Scene, Vector2, Vector3, WebGLRenderer } from "three";
import { Navigation } from "../camera/navigation";
import {
    extentOf,
    fitted,
    focusOf,
    lookThrough,
    meanUp,
    overview,
    projection,
    type Rectangle,
} from "../camera/pinhole";
import { ViewerError } from "../errors";
import type { Files } from "../net/files";
import type { SceneData, ViewData } from "../scene/document";
import { Frustums } from "../scene/frustums";
import type { SplatLook } from "../splats/backend";
import { CloudBackend } from "../splats/cloud";
import { DEFAULT_LOOK } from "../splats/look";
import { SCALE, type Scale } from "../splats/scale";
import { SparkBackend } from "../splats/spark";
import { type Layer, Layers } from "./layers";
import { pickPoint } from "./pick";

/** Distance of the cameras' image planes in their radius. */
const FRUSTUM_SHARE = 0.12;
const OVERVIEW_FOV_DEG = 50;

/** What the camera is doing. */
export interface CameraState {
    eye: Vector3;
    target: Vector3;
    fovDeg: number;
    /** The view whose photo the camera stands at exactly. */
    snapped: ViewData | null;
}

/** Draws a scene into a canvas, on demand. */
export class Viewer {
    readonly canvas: HTMLCanvasElement;
    readonly camera: PerspectiveCamera;
    readonly layers: Layers;
    navigation!: Navigation;
    frustums: Frustums | null = null;
    data!: SceneData;
    look: SplatLook = DEFAULT_LOOK;
    /** Radius of the cameras around their mean, scene units. */
    extent = 1;
    /** Called after each picture. */
    onDraw: () => void = () => {};
    /** Called when the camera comes to a photo or leaves it. */
    onSnap: (view: ViewData | null) => void = () => {};
    /** Called when the graphics card gives up. */
    onLost: () => void = () => {};
    /** Milliseconds that the latest pictures took, from one to the next. */
    readonly frameTimes: number[] = [];
    readonly scale: Scale = { ...SCALE };
    private readonly renderer: WebGLRenderer;
    private readonly scene = new Scene();
    private snapped: ViewData | null = null;
    private scheduled = false;
    private size = { width: 1, height: 1 };
    private capturing = false;

    constructor(readonly container: HTMLElement) {
        this.canvas = document.createElement("canvas");
        this.canvas.tabIndex = 0;
        this.canvas.setAttribute("role", "application");
        this.canvas.setAttribute("aria-label", "The scene. Drag to turn, keys W A S D Q E to move, ? for help.");
        this.renderer = makeRenderer(this.canvas);
        container.append(this.canvas);
        this.camera = new PerspectiveCamera(50, 1, 0.01, 1000);
        const dirty = (): void => this.invalidate();
        const backends = [new SparkBackend(this.renderer, dirty, this.scale), new CloudBackend(dirty)];
        for (const backend of backends) backend.attach(this.scene);
        this.layers = new Layers(this.scene, backends, this.scale, () => this.look, dirty);
        this.canvas.addEventListener("webglcontextlost", (event) => {
            event.preventDefault();
            this.onLost();
        });
        // What three.js and Spark had on the card is gone; the address says where we were.
        this.canvas.addEventListener("webglcontextrestored", () => location.reload());
        new ResizeObserver(() => this.resize()).observe(container);
    }

    /** Show the cameras of a scene, and stand where its first photo was taken from. */
    begin(data: SceneData, files: Files): void {
        this.unsnap();
        this.data = data;
        const seen = data.views.length > 0;
        this.extent = seen ? extentOf(data.views) : 1;
        const up = seen ? meanUp(data.views) : new Vector3(0, 1, 0);
        this.navigation?.dispose();
        this.navigation = new Navigation(
            this.camera,
            this.canvas,
            up,
            this.extent / 2,
            () => this.unsnap(),
            () => this.invalidate(),
        );
        this.look = { ...this.look, antialias: data.antialias };
        this.setBackground(new Color().setRGB(...data.background, "srgb"));
        this.camera.near = Math.max(0.01, this.extent * 1e-3);
        this.camera.far = this.extent * 1e4;
        this.frustums?.dispose();
        this.frustums = new Frustums(files, () => this.invalidate());
        this.frustums.show(data.views, this.extent * FRUSTUM_SHARE);
        this.frustums.group.visible = false;
        this.scene.add(this.frustums.group);
        if (seen) {
            const focus = focusOf(data.views, this.extent);
            this.navigation.aim(focus);
            this.snap(data.views.find((view) => view.split === "train") ?? data.views[0]!);
        }
    }

    /** Cameras have other places now. Where one stands stays. */
    moveCameras(views: ViewData[]): void {
        this.data.views = views;
        if (views.length > 0) this.extent = extentOf(views);
        this.frustums?.show(views, this.extent * FRUSTUM_SHARE);
        const again = views.find((view) => view.name === this.snapped?.name);
        if (again !== undefined) this.snap(again);
        else this.unsnap();
        this.invalidate();
    }

    /** Stand where all cameras are seen. */
    overlook(): void {
        const { eye, target } = overview(this.data.views, this.camera.up);
        this.place(eye, target, OVERVIEW_FOV_DEG);
    }

    setVisible(id: string, visible: boolean): void {
        const layer = this.layers.get(id);
        if (layer !== undefined) layer.object.visible = visible;
        this.invalidate();
    }

    setLook(change: Partial<SplatLook>): void {
        this.look = { ...this.look, ...change };
        for (const layer of this.layers.values()) layer.splats?.setLook(this.look);
        this.invalidate();
    }

    setBackground(color: Color): void {
        this.renderer.setClearColor(color, 1);
        this.invalidate();
    }

    /** Stand exactly where a photo was taken. */
    snap(view: ViewData): void {
        this.snapped = view;
        this.frustums?.hide(view.name);
        this.applySnap();
        // What the photo looks at: as far as the scene's middle is.
        const forward = this.camera.getWorldDirection(new Vector3());
        const away = this.navigation.target.clone().sub(this.camera.position).dot(forward);
        const distance = away > 1e-3 * this.extent ? away : this.extent;
        this.navigation.aim(this.camera.position.clone().addScaledVector(forward, distance));
        this.camera.fov = (2 * Math.atan(view.height / (2 * view.K[4]!)) * 180) / Math.PI;
        this.onSnap(view);
        this.invalidate();
    }

    /** Leave a photo's camera for a free one in the same place. */
    unsnap(): void {
        if (this.snapped === null) return;
        this.snapped = null;
        this.frustums?.hide(null);
        this.camera.updateProjectionMatrix();
        this.onSnap(null);
        this.invalidate();
    }

    get state(): CameraState {
        return {
            eye: this.camera.position.clone(),
            target: this.navigation.target.clone(),
            fovDeg: this.camera.fov,
            snapped: this.snapped,
        };
    }

    /** Stand somewhere. */
    place(eye: Vector3, target: Vector3, fovDeg: number): void {
        this.unsnap();
        this.camera.fov = fovDeg;
        this.camera.updateProjectionMatrix();
        this.navigation.look(eye, target);
    }

    /** Where the snapped photo lies on the canvas, CSS px. */
    photoPlace(): Rectangle | null {
        return this.snapped && fitted(this.snapped.width, this.snapped.height, this.size.width, this.size.height);
    }

    /** The ray under a point of the canvas, CSS px. */
    ray(x: number, y: number): Raycaster {
        const raycaster = new Raycaster();
        raycaster.setFromCamera(
            new Vector2((2 * x) / this.size.width - 1, 1 - (2 * y) / this.size.height),
            this.camera,
        );
        raycaster.params.Points.threshold = this.extent * 0.005;
        return raycaster;
    }

    /** What lies under a point of the canvas, CSS px. */
    pick(x: number, y: number): Vector3 | null {
        return pickPoint(this.ray(x, y), this.layers.values());
    }

    /** Stand freely where a view is. */
    stand(view: ViewData): void {
        this.snap(view);
        this.unsnap();
    }

    /** Draw soon. */
    invalidate(): void {
        if (this.scheduled || this.capturing) return;
        this.scheduled = true;
        requestAnimationFrame(() => {
            this.scheduled = false;
            this.draw();
        });
    }

    get busy(): boolean {
        const moving = (layer: Layer): boolean => layer.partial === true || layer.splats?.busy === true;
        return this.scheduled || [...this.layers.values()].some((layer) => layer.object.visible && moving(layer));
    }

    /** Resolves when the picture will not change any more by itself. */
    async settled(): Promise<void> {
        let quiet = 0;
        // A sort that comes back draws again, and drawing may ask for another one.
        while (quiet < 3) {
            await new Promise((resolve) => requestAnimationFrame(resolve));
            quiet = this.busy ? 0 : quiet + 1;
        }
    }

    /** A PNG of what is seen, `width` x `height` px: of the photo's frame where the camera stands at one. */
    async capture(width: number, height: number): Promise<Blob> {
        const before = { ...this.size, ratio: this.renderer.getPixelRatio() };
        this.renderer.setPixelRatio(1);
        this.setSize(width, height);
        this.draw();
        await this.settled();
        this.capturing = true;
        this.draw();
        const blob = await new Promise<Blob | null>((resolve) => this.canvas.toBlob(resolve, "image/png"));
        this.capturing = false;
        this.renderer.setPixelRatio(before.ratio);
        this.setSize(before.width, before.height);
        this.invalidate();
        if (blob === null) throw new ViewerError("The picture cannot be made", "Try a smaller one.");
        return blob;
    }

    private draw(): void {
        const start = performance.now();
        this.camera.updateMatrixWorld();
        for (const layer of this.layers.values()) if (layer.object.visible) layer.splats?.update(this.camera);
        this.renderer.render(this.scene, this.camera);
        this.frameTimes.push(performance.now() - start);
        if (this.frameTimes.length > 60) this.frameTimes.shift();
        this.onDraw();
    }

    private resize(): void {
        if (this.capturing) return;
        this.renderer.setPixelRatio(Math.min(2, window.devicePixelRatio));
        this.setSize(this.container.clientWidth, this.container.clientHeight);
        this.draw();
    }

    private setSize(width: number, height: number): void {
        this.size = { width: Math.max(1, width), height: Math.max(1, height) };
        this.renderer.setSize(this.size.width, this.size.height, true);
        this.camera.aspect = this.size.width / this.size.height;
        if (this.snapped === null) this.camera.updateProjectionMatrix();
        else this.applySnap();
    }

    private applySnap(): void {
        const view = this.snapped!;
        const { width, height } = this.size;
        const place = fitted(view.width, view.height, width, height);
        lookThrough(this.camera, view, projection(view, place, width, height, this.camera.near, this.camera.far));
    }
}

function makeRenderer(canvas: HTMLCanvasElement): WebGLRenderer {
    const context = canvas.getContext("webgl2", {
        antialias: false,
        alpha: false,
        powerPreference: "high-performance",
    });
    if (context === null) {
        throw new ViewerError(
            "This browser has no WebGL2",
            "Turn on hardware acceleration in its settings, update it, or use another one.",
        );
    }
    return new WebGLRenderer({ canvas, context });
}
