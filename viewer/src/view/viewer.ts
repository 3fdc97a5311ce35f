import {
    Color,
    Matrix4,
    type Object3D,
    PerspectiveCamera,
    Raycaster,
    Scene,
    Vector2,
    Vector3,
    WebGLRenderer,
} from "three";
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
import { type Arrays, Buffers } from "../scene/arrays";
import type { NodeData, SceneData, ViewData } from "../scene/document";
import { Frustums } from "../scene/frustums";
import { makeMesh } from "../scene/mesh";
import { makePoints } from "../scene/points";
import type { SplatBackend, SplatLook, SplatObject } from "../splats/backend";
import { CloudBackend } from "../splats/cloud";
import { DEFAULT_LOOK } from "../splats/look";
import { SCALE, type Scale } from "../splats/scale";
import { SparkBackend } from "../splats/spark";
import { pickPoint } from "./pick";

/** Distance of the cameras' image planes in their radius. */
const FRUSTUM_SHARE = 0.12;
const OVERVIEW_FOV_DEG = 50;

/** A node on the screen. */
export interface Layer {
    node: NodeData;
    object: Object3D;
    /** Set for splats. */
    splats?: SplatObject;
    /** Primitives, points or triangles. */
    count: number;
    /** [N, 3] of points and primitives; not set for meshes. */
    centers?: Float32Array;
    bytes: number;
    /** What is shown is the beginning of it; the rest is on its way. */
    partial?: boolean;
}

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
    readonly layers = new Map<string, Layer>();
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
    private readonly backends: SplatBackend[];
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
        this.backends = [new SparkBackend(this.renderer, dirty, this.scale), new CloudBackend(dirty)];
        for (const backend of this.backends) backend.attach(this.scene);
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

    /** Load a node and show it; of many splats the first ones as soon as they are there. tell: hears how far it is. */
    async load(node: NodeData, buffers: Buffers, files: Files, tell: (what: string) => void): Promise<Layer> {
        try {
            return await this.loaded(node, buffers, files, tell);
        } catch (error) {
            // Arrays that cannot be had, here or in Spark's decoder.
            if (!(error instanceof RangeError || error instanceof WebAssembly.RuntimeError)) throw error;
            throw new ViewerError(
                `${node.id}: ${(bytesOf(node) / 1e6).toFixed(0)} MB are too large for this browser (${error.message})`,
                "Close other tabs, or look at less: `recon export OUT --to less.ply --min-opacity 0.1`, and `recon import less.ply`.",
            );
        }
    }

    private async loaded(node: NodeData, buffers: Buffers, files: Files, tell: (what: string) => void): Promise<Layer> {
        const progress = (done: number, total: number): void =>
            tell(`${(done / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`);
        if (node.content === "splats" && rowsOf(node) > this.scale.partialAbove) {
            const layer = await this.splatLayer(node, await buffers.first(node, this.scale.partialRows));
            this.put(layer);
            layer.partial = true;
            try {
                const arrays = await buffers.arrays(node, progress);
                if (this.layers.get(node.id) === layer) await this.refill(layer, arrays, tell);
            } catch (error) {
                this.remove(node.id);
                throw error;
            } finally {
                layer.partial = false;
            }
            return layer;
        }
        let layer: Layer;
        if (node.content === "mesh") {
            const object = await makeMesh(node, buffers, files);
            const count = node.parts.reduce(
                (sum, part) => sum + (part.indices?.count ?? part.attributes.POSITION!.count) / 3,
                0,
            );
            layer = { node, object, count, bytes: bytesOf(node) };
        } else {
            const arrays = await buffers.arrays(node, progress);
            layer = node.content === "points" ? pointLayer(node, arrays) : await this.splatLayer(node, arrays);
        }
        this.put(layer);
        return layer;
    }

    /** Hang a layer into the scene, in place of one of the same node. */
    private put(layer: Layer): void {
        layer.object.matrixAutoUpdate = false;
        layer.object.matrix.copy(new Matrix4().fromArray([...layer.node.matrix]));
        this.remove(layer.node.id);
        this.layers.set(layer.node.id, layer);
        this.scene.add(layer.object);
        performance.mark("layer"); // for `recon bench viewer`
        this.invalidate();
    }

    /** Other data for the splats of a layer. */
    private async refill(layer: Layer, arrays: Arrays, tell?: (what: string) => void): Promise<void> {
        const splats = layer.splats!;
        await splats.replace(arrays, tell);
        layer.centers = centersOf(arrays);
        layer.count = splats.count;
        layer.bytes = splats.bytes;
        this.invalidate();
    }

    /** Show the splats of a running optimisation, or `points` of a run that looks for cameras, as the node `id`. */
    async loadLive(id: string, family: string, arrays: Arrays): Promise<Layer> {
        const known = this.layers.get(id);
        if (known?.splats !== undefined && known.node.family === family) {
            await this.refill(known, arrays);
            return known;
        }
        const content = family === "points" ? "points" : "splats";
        const node: NodeData = { id, content, family, stage: "", matrix: new Matrix4().elements, parts: [] };
        const layer = content === "points" ? pointLayer(node, arrays) : await this.splatLayer(node, arrays);
        this.put(layer);
        return layer;
    }

    remove(id: string): void {
        const layer = this.layers.get(id);
        if (layer === undefined) return;
        layer.object.removeFromParent();
        layer.splats?.dispose();
        this.layers.delete(id);
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

    private async splatLayer(node: NodeData, arrays: Arrays): Promise<Layer> {
        const family = node.family ?? "";
        const backend = this.backends.find((one) => one.families.includes(family));
        if (backend === undefined) {
            throw new ViewerError(
                `${node.id}: splats of the family ${JSON.stringify(family)}`,
                "This page does not know them: update recon.",
            );
        }
        const splats = await backend.create(family, arrays, this.look);
        const centers = centersOf(arrays);
        return { node, object: splats.object, splats, count: splats.count, bytes: splats.bytes, centers };
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

/** In memory of their own: a view would keep the whole file. */
function centersOf(arrays: Arrays): Float32Array {
    const centers = arrays.need("POSITION");
    return centers.byteLength < centers.buffer.byteLength ? centers.slice() : centers;
}

function rowsOf(node: NodeData): number {
    return node.parts.reduce((sum, part) => sum + part.attributes.POSITION!.count, 0);
}

function pointLayer(node: NodeData, arrays: Arrays): Layer {
    const centers = arrays.need("POSITION");
    return { node, object: makePoints(arrays), count: arrays.count, bytes: 24 * arrays.count, centers };
}

function bytesOf(node: NodeData): number {
    let bytes = 0;
    for (const part of node.parts) {
        for (const one of Object.values(part.attributes)) bytes += 4 * one.width * one.count;
        bytes += 4 * (part.indices?.count ?? 0);
    }
    return bytes;
}
