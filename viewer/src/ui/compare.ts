import type { Files } from "../net/files";
import type { ViewData } from "../scene/document";
import { photoAddress } from "../scene/placed";
import type { Viewer } from "../view/viewer";
import { h } from "./dom";

export type CompareMode = "render" | "photo" | "split" | "flicker" | "difference";

const NAMES: Record<CompareMode, string> = {
    render: "Render",
    photo: "Photo",
    split: "Split",
    flicker: "Flicker",
    difference: "Difference",
};
const FLICKER_MS = 500;

/** Lays the photo of the camera one stands at over the picture. */
export class Compare {
    readonly bar: HTMLElement;
    mode: CompareMode = "render";
    private readonly photo = h("img", { className: "photo", alt: "", hidden: true });
    private readonly handle = h("div", { className: "handle", hidden: true });
    private readonly title = h("span", { className: "title" });
    private readonly note = h("span", { className: "note" });
    private readonly buttons = new Map<CompareMode, HTMLButtonElement>();
    private view: ViewData | null = null;
    private share = 0.5;
    private timer = 0;
    private readonly resizes = new ResizeObserver(() => this.layout());

    /** metrics: a line about a view, such as its PSNR. */
    constructor(
        private readonly viewer: Viewer,
        private readonly files: Files,
        private readonly metrics: (name: string) => string,
        step: (by: number) => void,
        private readonly onMode: () => void,
    ) {
        const choices = h("div", { className: "choices" });
        choices.setAttribute("role", "group");
        choices.setAttribute("aria-label", "Compare with the photo");
        for (const mode of Object.keys(NAMES) as CompareMode[]) {
            const button = h("button", { type: "button", onclick: () => this.setMode(mode) }, NAMES[mode]);
            button.dataset.compare = mode;
            this.buttons.set(mode, button);
            choices.append(button);
        }
        const previous = h("button", { type: "button", title: "Previous photo ([)", onclick: () => step(-1) }, "‹");
        const next = h("button", { type: "button", title: "Next photo (])", onclick: () => step(1) }, "›");
        const leave = h("button", { type: "button", title: "Leave (Escape)", onclick: () => viewer.unsnap() }, "×");
        for (const [button, name] of [[previous, "Previous photo"], [next, "Next photo"], [leave, "Leave the photo's camera"]] as const)
            button.setAttribute("aria-label", name); // prettier-ignore
        this.bar = h(
            "div",
            { className: "compare", hidden: true },
            previous,
            this.title,
            next,
            choices,
            leave,
            this.note,
        );
        this.handle.tabIndex = 0;
        this.handle.setAttribute("role", "slider");
        this.handle.setAttribute("aria-label", "Where photo and render meet");
        this.handle.onpointerdown = (event) => this.drag(event);
        this.handle.onkeydown = (event) => {
            const by = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
            if (by !== undefined) this.setShare(this.share + by);
        };
        viewer.container.append(this.photo, this.handle);
        this.photo.onerror = () => this.setMode("render");
        this.resizes.observe(viewer.container);
        this.setMode("render");
    }

    /** Another photo, or none. */
    show(view: ViewData | null): void {
        this.view = view;
        this.bar.hidden = view === null;
        if (view !== null) {
            this.title.textContent = view.name;
            const lens = view.distortion.model === "none" ? "" : " · lens distortion is not drawn";
            const address = photoAddress(view, this.files);
            const outside =
                view.elsewhere === true ? " · its photo lies outside of the scene folder" : " · without a photo";
            const missing = address === undefined ? outside : "";
            const metrics = this.metrics(view.name);
            this.note.textContent = `${view.split === "test" ? "held out" : "training"}${metrics && " · "}${metrics}${lens}${missing}`;
            if (address !== undefined) this.photo.src = address;
        }
        const bare = view === null || photoAddress(view, this.files) === undefined;
        for (const [mode, button] of this.buttons) button.disabled = mode !== "render" && bare;
        this.setMode(bare ? "render" : this.mode);
    }

    setMode(mode: CompareMode): void {
        this.mode = mode;
        for (const [other, button] of this.buttons) button.setAttribute("aria-pressed", String(other === mode));
        clearInterval(this.timer);
        const shown = this.view !== null && mode !== "render";
        this.photo.hidden = !shown;
        this.handle.hidden = !shown || mode !== "split";
        this.photo.classList.toggle("difference", mode === "difference");
        if (shown && mode === "flicker")
            this.timer = window.setInterval(() => (this.photo.hidden = !this.photo.hidden), FLICKER_MS);
        this.layout();
        this.onMode();
    }

    dispose(): void {
        clearInterval(this.timer);
        this.resizes.disconnect();
        for (const element of [this.photo, this.handle, this.bar]) element.remove();
    }

    setShare(share: number): void {
        this.share = Math.max(0, Math.min(1, share));
        this.layout();
    }

    layout(): void {
        const place = this.viewer.photoPlace();
        if (place === null) return;
        const pixels = { left: place.left, top: place.top, width: place.width, height: place.height };
        for (const [name, value] of Object.entries(pixels)) this.photo.style.setProperty(name, `${value}px`);
        const cut = this.mode === "split" ? (1 - this.share) * 100 : 0;
        this.photo.style.clipPath = `inset(0 ${cut}% 0 0)`;
        this.handle.style.left = `${place.left + this.share * place.width}px`;
        this.handle.style.top = `${place.top}px`;
        this.handle.style.height = `${place.height}px`;
        this.handle.setAttribute("aria-valuenow", String(Math.round(100 * this.share)));
    }

    private drag(start: PointerEvent): void {
        this.handle.setPointerCapture(start.pointerId);
        this.handle.onpointermove = (event) => {
            const place = this.viewer.photoPlace();
            if (place === null) return;
            const left = this.viewer.container.getBoundingClientRect().left + place.left;
            this.setShare((event.clientX - left) / place.width);
        };
        this.handle.onpointerup = this.handle.onpointercancel = () => (this.handle.onpointermove = null);
    }
}
