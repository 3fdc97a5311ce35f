import { ViewerError } from "./errors";
import type { Files } from "./net/files";
import type { Photos, Saved, Session } from "./net/messages";
import { readSession } from "./net/session";
import { Buffers } from "./scene/arrays";
import { type NodeData, parseDocument, type SceneData } from "./scene/document";
import { photoAddress, pictureOf, placedScene } from "./scene/placed";
import { Compare, type CompareMode } from "./ui/compare";
import { download, h, onClick, section } from "./ui/dom";
import { makeHelp } from "./ui/help";
import { formatLink, type Link, parseLink } from "./ui/link";
import { Edit } from "./ui/edit";
import { Look, MODE_NAMES } from "./ui/look";
import { Measure } from "./ui/measure";
import { complain } from "./ui/message";
import { PhotoList } from "./ui/photos";
import { SceneTree } from "./ui/scene_tree";
import { Viewer } from "./view/viewer";
import { Watch } from "./watch";

/** Of a page that holds its files itself. */
const EMBEDDED: Session = { name: "recon", files: ["scene.gltf"], live: false, writable: false };

/** The page: a viewer, and a panel beside it. */
export class App {
    readonly viewer: Viewer;
    tree!: SceneTree;
    look!: Look;
    private readonly area = h("main", { className: "stage-area" });
    private readonly status = h("div", { className: "status" });
    private readonly panel = h("aside", { className: "panel" });
    private readonly help = makeHelp();
    private data!: SceneData;
    private buffers!: Buffers;

    private compare!: Compare;
    private measure: Measure | null = null;
    private edit: Edit | null = null;
    private metrics: Record<string, { psnr?: number; ssim?: number }> = {};
    private linkTimer = 0;
    private session: Session = EMBEDDED;
    /** Of a run that goes on. */
    private watch: Watch | null = null;
    private photos!: PhotoList;
    /** The cameras on the screen are those of a run that is still looking for them. */
    placing = false;

    constructor(readonly files: Files) {
        const view = h("div", { className: "view" });
        this.panel.setAttribute("aria-label", "Settings");
        const menu = h(
            "button",
            { type: "button", className: "menu", title: "Panel (H)", onclick: () => this.togglePanel() },
            "☰",
        );
        menu.setAttribute("aria-label", "Show or hide the panel");
        this.area.append(view, this.status, menu);
        document.body.append(this.area, this.panel);
        this.viewer = new Viewer(view);
        this.viewer.onLost = () =>
            complain(
                new ViewerError(
                    "The graphics card has dropped the picture, perhaps for want of memory",
                    "The page starts again by itself where it can; else close other tabs, and reload it.",
                ),
            );
        this.togglePanel(window.innerWidth > 700);
        document.addEventListener("keydown", (event) => this.key(event));
        onClick(this.viewer.canvas, (x, y) => this.pick(x, y));
        this.viewer.canvas.addEventListener("dblclick", (event) => {
            const point = this.measure?.active ? null : this.viewer.pick(event.offsetX, event.offsetY);
            if (point === null) return;
            this.viewer.unsnap();
            this.viewer.navigation.look(this.viewer.state.eye, point);
        });
    }

    /** Read the scene and show it, or wait for a run to publish one. */
    async open(): Promise<void> {
        addEventListener("hashchange", () => void this.follow(parseLink(location.hash)).catch(complain));
        this.session = this.files.embedded ? EMBEDDED : await readSession();
        if (this.session.live) {
            this.watch = new Watch(this);
            this.panel.replaceChildren(h("h1", {}, this.session.name), this.watch.section);
        }
        if (this.watch === null) await this.read();
        else if (this.published) await this.watch.inTurn(() => this.read());
        else this.say("Waiting for the first stage …");
    }

    private get published(): boolean {
        return this.session.files.includes("scene.gltf");
    }

    /** Read again what a run has published. */
    async reread(): Promise<void> {
        this.session = await readSession();
        if (this.published) await this.read();
    }

    /** Nothing is on the screen yet. */
    get empty(): boolean {
        return this.data === undefined;
    }

    /** Show what is published now. Where one stands and what one chose stays as far as it can. */
    private async read(): Promise<void> {
        this.say("Reading the scene …");
        const again = this.data === undefined ? null : this.link();
        this.placing = false;
        this.data = parseDocument(new TextDecoder().decode(await this.files.read("scene.gltf")));
        this.buffers = new Buffers(this.files);
        this.metrics = await this.readMetrics();
        const { data } = this;
        const link = again === null ? parseLink(location.hash) : { ...again, nodes: undefined };
        this.begin(await this.readSaved());
        // What was made last is shown; what it was made from can be ticked.
        const last = data.nodes.at(-1);
        await this.follow({ ...link, nodes: link.nodes ?? (last === undefined ? [] : [last.id]) });
        this.say("");
        document.documentElement.dataset.state = "ready";
    }

    /** Show the cameras of `data` and build the panel. */
    private begin(saved: Saved | null): void {
        const { viewer } = this;
        for (const id of [...viewer.layers.keys()]) viewer.layers.remove(id);
        viewer.begin(this.data, this.files);
        this.build(saved);
        viewer.onDraw = () => this.drawn();
        viewer.onSnap = (view) => {
            this.compare.show(view);
            this.photos.mark(view?.name ?? null);
            this.changed();
        };
        viewer.onSnap(viewer.state.snapped);
    }

    /** Show the cameras of a run that is looking for them, as far as they are known. */
    async place({ photos }: Photos): Promise<void> {
        const known = this.placing ? this.data.views.length : 0;
        const scene = placedScene(photos);
        if (!this.placing || (known === 0 && scene.views.length > 0)) {
            this.data = scene;
            this.placing = true;
            this.begin(null);
            this.tree.showCameras(true);
            if (scene.views.length > 0) this.viewer.overlook();
        } else {
            this.viewer.moveCameras(scene.views);
            this.tree.countCameras();
        }
        this.photos.show(
            photos.map((one) => ({
                name: one.name,
                split: one.split,
                address: pictureOf(one),
                placed: one.camera !== null,
            })),
        );
        this.say(`${scene.views.length} of ${photos.length} photos have a place`);
        document.documentElement.dataset.placed = String(scene.views.length);
    }

    /** Go where a link leads. */
    async follow(link: Link): Promise<void> {
        const view = this.data.views.find((one) => one.name === link.view);
        if (link.view !== undefined && view === undefined)
            complain(new ViewerError(`The scene has no photo ${link.view}`, "Choose one from the panel."));
        if (view !== undefined) this.viewer.snap(view);
        else if (link.eye !== undefined && link.target !== undefined)
            this.viewer.place(link.eye, link.target, link.fovDeg ?? this.viewer.camera.fov);
        if (link.compare !== undefined) this.compare.setMode(link.compare);
        this.look.setMode(link.mode ?? this.viewer.look.mode);
        this.look.setDegree(link.shDegree ?? this.viewer.look.shDegree);
        if (link.cameras !== undefined) this.tree.showCameras(link.cameras);
        if (link.nodes !== undefined) await this.tree.show(link.nodes);
    }

    /** The next photo's camera, or one before. */
    step(by: number): void {
        const { views } = this.data;
        if (views.length === 0) return;
        const here = views.findIndex((view) => view.name === this.viewer.state.snapped?.name);
        this.viewer.snap(views[(here + by + views.length) % views.length]!);
    }

    /** A click, CSS px on the canvas: on a camera's picture it leads there. */
    private pick(x: number, y: number): void {
        if (this.measure?.active) {
            this.measure.add(this.viewer.pick(x, y));
            return;
        }
        const name = this.viewer.frustums?.pick(this.viewer.ray(x, y));
        const view = this.data?.views.find((one) => one.name === name);
        if (view !== undefined) this.viewer.snap(view);
    }

    /** Save what is seen as a PNG, in the photo's size where the camera stands at one. */
    async savePicture(): Promise<void> {
        const { snapped } = this.viewer.state;
        const scale = Math.min(2, devicePixelRatio);
        const size = snapped ?? {
            width: Math.round(this.viewer.canvas.clientWidth * scale),
            height: Math.round(this.viewer.canvas.clientHeight * scale),
        };
        const name =
            snapped === null ? "view.png" : `${snapped.name.replace(/\.\w+$/, "").replaceAll("/", "-")}-render.png`;
        download(await this.viewer.capture(size.width, size.height), name);
    }

    private async readSaved(): Promise<Saved | null> {
        if (!this.session.files.includes("viewer.json")) return null;
        return JSON.parse(new TextDecoder().decode(await this.files.read("viewer.json")));
    }

    private build(saved: Saved | null): void {
        const { viewer, data, panel } = this;
        this.tree = new SceneTree(
            viewer,
            data.nodes,
            data.stages,
            (node) => this.load(node),
            () => this.changed(),
        );
        this.compare?.dispose();
        this.compare = new Compare(
            viewer,
            this.files,
            (name) => this.metricsOf(name),
            (by) => this.step(by),
            () => this.changed(),
        );
        this.area.append(this.compare.bar);
        this.measure?.dispose();
        this.measure = new Measure(viewer);
        this.look = new Look(viewer, () => this.changed());
        this.photos = new PhotoList(
            (name) => {
                const view = this.data.views.find((one) => one.name === name);
                if (view !== undefined) viewer.snap(view);
            },
            (name) => this.metricsOf(name),
        );
        this.photos.show(
            data.views.map((view) => ({
                name: view.name,
                split: view.split,
                address: photoAddress(view, this.files),
                placed: true,
            })),
        );
        this.edit = new Edit(viewer, this.session.writable, (value) => this.look.setOpacity(value), saved);
        const photos = section("Photos", true, this.photos.element);
        panel.replaceChildren(
            h("h1", {}, this.session.name),
            ...(this.watch === null ? [] : [this.watch.section]),
            // Before their cameras are known they are all that there is to see.
            ...(this.placing ? [photos] : []),
            section("Scene", true, this.tree.element),
            section("Look", true, ...this.look.elements),
            ...(this.placing ? [] : [photos]),
            section("Crop", false, this.edit.crop),
            section("Path", false, this.edit.path),
            section("More", true, this.measure.element, ...this.actions()),
        );
    }

    private actions(): HTMLElement[] {
        const save = h(
            "button",
            { type: "button", onclick: () => void this.savePicture().catch(complain) },
            "Save picture",
        );
        const link = h("button", { type: "button" }, "Copy link");
        link.onclick = () => {
            void navigator.clipboard.writeText(location.href).then(() => this.say("Link copied", 2000), complain);
        };
        const help = h("button", { type: "button", onclick: () => this.help.showModal() }, "Keys");
        return [h("div", { className: "row" }, save, link, help)];
    }

    private async load(node: NodeData): Promise<void> {
        const layer = await this.viewer.layers.load(node, this.buffers, this.files, (what) =>
            this.say(`${node.id}: ${what}`),
        );
        this.buffers.forget();
        this.tree.loaded(layer);
        this.say("");
    }

    private async readMetrics(): Promise<Record<string, { psnr?: number; ssim?: number }>> {
        // A scene without metrics is a scene still.
        if (!this.session.files.includes("metrics.json")) return {};
        const text = await this.files.read("metrics.json");
        const json = JSON.parse(new TextDecoder().decode(text));
        return { ...json.train?.views, ...json.test?.views };
    }

    private metricsOf(name: string): string {
        const { psnr, ssim } = this.metrics[name] ?? {};
        return psnr === undefined
            ? ""
            : `${psnr.toFixed(2)} dB${ssim === undefined ? "" : `, SSIM ${ssim.toFixed(3)}`}`;
    }

    private drawn(): void {
        this.compare.layout();
        this.measure?.draw();
        this.changed();
    }

    /** Write where we are into the address, but not with every picture. */
    private changed(): void {
        if (this.linkTimer !== 0) return;
        this.linkTimer = window.setTimeout(() => {
            this.linkTimer = 0;
            history.replaceState(null, "", formatLink(this.link()));
        }, 300);
    }

    private link(): Link {
        const { eye, target, fovDeg, snapped } = this.viewer.state;
        const { mode, shDegree } = this.viewer.look;
        const place = snapped === null ? { eye, target, fovDeg } : { view: snapped.name, compare: this.compare.mode };
        return { ...place, mode, shDegree, nodes: this.tree.shown, cameras: this.tree.camerasShown };
    }

    private say(text: string, forMs = 0): void {
        this.status.textContent = text;
        this.status.hidden = text === "";
        if (forMs > 0) setTimeout(() => this.status.textContent === text && this.say(""), forMs);
    }

    private togglePanel(open = this.panel.hidden === true): void {
        this.panel.hidden = !open;
        document.body.classList.toggle("panel-open", open);
    }

    private key(event: KeyboardEvent): void {
        const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
        if (typing || event.ctrlKey || event.metaKey || event.altKey || this.help.open || this.compare === undefined)
            return;
        const digit = MODE_NAMES[Number(event.key) - 1];
        if (digit !== undefined) this.look.setMode(digit);
        else if (event.key === "[") this.step(-1);
        else if (event.key === "]") this.step(1);
        else if (event.key === "Escape") this.viewer.unsnap();
        else if (event.key === "?") this.help.showModal();
        else if (event.key === "h") this.togglePanel();
        else if (event.key === "c") this.tree.showCameras(!this.tree.camerasShown);
        else if (event.key === "k") this.edit?.add();
        else if (event.key === "p") void this.savePicture().catch(complain);
        else if (
            event.key === " " &&
            this.viewer.state.snapped !== null &&
            !(event.target instanceof HTMLButtonElement)
        ) {
            event.preventDefault();
            const all: CompareMode[] = ["render", "photo", "split", "flicker", "difference"];
            this.compare.setMode(all[(all.indexOf(this.compare.mode) + 1) % all.length]!);
        }
    }
}
