import { ViewerError } from "../errors";
import { along, keyframeOf, viewOf } from "../camera/keyframes";
import type { Keyframe, Saved } from "../net/messages";
import type { Viewer } from "../view/viewer";
import { download, h } from "./dom";
import { complain } from "./message";

type Crop = [number, number, number, number, number, number];
const SECONDS_PER_KEYFRAME = 1.5;

/** A crop box and a camera path, which are kept with the scene. */
export class Edit {
    readonly crop: HTMLElement;
    readonly path: HTMLElement;
    keyframes: Keyframe[] = [];
    private readonly cropped = h("input", { type: "checkbox", id: "crop" });
    private readonly numbers: HTMLInputElement[] = [];
    private readonly list = h("ol", {});
    private readonly status = h("p", { className: "note" });
    private playing = 0;

    /** writable: the server keeps what is saved; else it is offered as a file. */
    constructor(
        private readonly viewer: Viewer,
        private readonly writable: boolean,
        setMinOpacity: (value: number) => void,
        saved: Saved | null,
    ) {
        const focus = viewer.state.target;
        for (const [index, name] of ["x from", "y from", "z from", "x to", "y to", "z to"].entries()) {
            const sign = index < 3 ? -1 : 1;
            const value = (saved?.crop ?? [])[index] ?? focus.getComponent(index % 3) + sign * viewer.extent;
            const input = h("input", { type: "number", step: "any", value: String(Number(value.toPrecision(4))) });
            input.setAttribute("aria-label", name);
            input.oninput = () => this.apply();
            this.numbers.push(input);
        }
        const heads = ["", "x", "y", "z"].map((text) => h("span", {}, text));
        this.cropped.onchange = () => this.apply();
        const save = (): HTMLButtonElement =>
            h(
                "button",
                { type: "button", onclick: () => void this.save().catch(complain) },
                writable ? "Save to scene" : "Save as file",
            );
        this.crop = h(
            "div",
            {},
            h("label", { className: "check" }, this.cropped, "Crop to a box"),
            h(
                "div",
                { className: "numbers" },
                ...heads,
                h("span", {}, "from"),
                ...this.numbers.slice(0, 3),
                h("span", {}, "to"),
                ...this.numbers.slice(3),
            ),
            h("div", { className: "row" }, save()),
            h(
                "p",
                { className: "note" },
                h("code", {}, "recon export OUT --saved"),
                " keeps what is inside and at least as opaque as set above.",
            ),
        );
        const add = h("button", { type: "button", onclick: () => this.add() }, "Add keyframe");
        const play = h("button", { type: "button", onclick: () => this.play() }, "Play");
        this.status.setAttribute("role", "status");
        this.path = h(
            "div",
            {},
            h("div", { className: "row" }, add, play, save()),
            this.list,
            h("p", { className: "note" }, h("code", {}, "recon render OUT --path saved"), " makes a video of it."),
            this.status,
        );
        if (saved !== null) {
            this.keyframes = saved.keyframes;
            this.cropped.checked = saved.crop !== null;
            if (saved.crop !== null) this.apply();
            if (saved.min_opacity > 0) setMinOpacity(saved.min_opacity);
        }
        this.show();
    }

    /** A keyframe where the camera stands. */
    add(): void {
        this.keyframes.push(keyframeOf(this.viewer.camera, this.viewer.state.snapped));
        this.show();
    }

    /** Fly along the path once. */
    play(): void {
        cancelAnimationFrame(this.playing);
        if (this.keyframes.length < 2) {
            this.status.textContent = "A path needs two keyframes or more.";
            return;
        }
        const start = performance.now();
        const seconds = SECONDS_PER_KEYFRAME * (this.keyframes.length - 1);
        const step = (now: number): void => {
            const share = Math.min(1, Math.max(0, (now - start) / 1000 / seconds));
            const { eye, target, fovDeg } = along(this.keyframes, share);
            this.viewer.place(eye, target, fovDeg);
            if (share < 1) this.playing = requestAnimationFrame(step);
        };
        this.playing = requestAnimationFrame(step);
    }

    async save(): Promise<void> {
        const crop = this.viewer.look.crop;
        const saved: Saved = {
            crop: crop === null ? null : [...crop],
            min_opacity: this.viewer.look.minOpacity,
            keyframes: this.keyframes,
        };
        const text = JSON.stringify(saved);
        if (!this.writable) {
            download(new Blob([text], { type: "application/json" }), "viewer.json");
            return;
        }
        const answer = await fetch("api/saved", { method: "POST", body: text }).catch(() => null);
        if (answer === null || !answer.ok)
            throw new ViewerError(
                `It was not saved: ${answer === null ? "the server does not answer" : await answer.text()}`,
                "Start `recon view` again, and see that it may write to the scene folder.",
            );
        this.status.textContent = "Saved.";
    }

    private apply(): void {
        const crop = this.numbers.map((input) => input.valueAsNumber);
        if (crop.some((value) => !Number.isFinite(value))) return;
        this.viewer.setLook({ crop: this.cropped.checked ? (crop as Crop) : null });
    }

    private show(): void {
        const rows = this.keyframes.map((keyframe, index) => {
            const go = h("button", { type: "button", onclick: () => this.viewer.stand(viewOf(keyframe, "")) }, "Go");
            go.setAttribute("aria-label", `Go to keyframe ${index + 1}`);
            const remove = h("button", { type: "button" }, "Remove");
            remove.setAttribute("aria-label", `Remove keyframe ${index + 1}`);
            remove.onclick = () => {
                this.keyframes.splice(index, 1);
                this.show();
            };
            return h("li", {}, go, " ", remove);
        });
        this.list.replaceChildren(...rows);
        this.status.textContent = "";
    }
}
