import { Color } from "three";
import type { NavigationMode } from "../camera/navigation";
import type { SplatLook } from "../splats/backend";
import type { Viewer } from "../view/viewer";
import { h, select, slider } from "./dom";

const MODES: Record<SplatLook["mode"], string> = {
    color: "Colour",
    depth: "Depth",
    normal: "Normals",
    opacity: "Opacity",
    id: "Primitives",
};
/** In the order of their keys. */
export const MODE_NAMES = Object.keys(MODES) as SplatLook["mode"][];

const MOVES: Record<NavigationMode, string> = { orbit: "Orbit", fly: "Fly", walk: "Walk" };

/** How splats are drawn, and how one moves. */
export class Look {
    readonly elements: HTMLElement[];
    private readonly mode: { set: (mode: SplatLook["mode"]) => void };
    private readonly degree: { set: (degree: number) => void };
    private readonly opacity: { set: (value: number) => void };

    /** changed: called when the mode or the degree is another one. */
    constructor(
        private readonly viewer: Viewer,
        private readonly changed: () => void,
    ) {
        const mode = select("Show", MODES, viewer.look.mode, (value) => this.setMode(value));
        const degree = slider("SH degree", { min: 0, max: 3, step: 1, value: viewer.look.shDegree }, (value) =>
            this.setDegree(value),
        );
        const two = (value: number): string => value.toFixed(2);
        const scale = slider("Size", { min: 0.05, max: 1.5, step: 0.05, value: 1, show: two }, (value) =>
            viewer.setLook({ scale: value }),
        );
        const opacity = slider("Min opacity", { min: 0, max: 1, step: 0.01, value: 0, show: two }, (value) =>
            viewer.setLook({ minOpacity: value }),
        );
        const color = h("input", {
            type: "color",
            value: `#${new Color().setRGB(...viewer.data.background, "srgb").getHexString()}`,
        });
        color.oninput = () => viewer.setBackground(new Color(color.value));
        const antialias = h("input", { type: "checkbox", checked: viewer.look.antialias });
        antialias.onchange = () => viewer.setLook({ antialias: antialias.checked });
        const navigation = select<NavigationMode>("Move", MOVES, "orbit", (value) => viewer.navigation.setMode(value));
        this.mode = mode;
        this.degree = degree;
        this.opacity = opacity;
        this.elements = [
            mode.element,
            degree.element,
            scale.element,
            opacity.element,
            h("label", { className: "field" }, h("span", {}, "Background"), color),
            h("label", { className: "check" }, antialias, "Antialias (opacity compensation)"),
            navigation.element,
        ];
    }

    setMode(mode: SplatLook["mode"]): void {
        this.mode.set(mode);
        const far = this.viewer.state.target.distanceTo(this.viewer.state.eye);
        this.viewer.setLook({ mode, depthRange: [0.25 * far, 2.5 * far] });
        this.changed();
    }

    setDegree(shDegree: number): void {
        this.degree.set(shDegree);
        this.viewer.setLook({ shDegree });
        this.changed();
    }

    setOpacity(minOpacity: number): void {
        this.opacity.set(minOpacity);
        this.viewer.setLook({ minOpacity });
    }
}
