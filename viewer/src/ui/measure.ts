import { Vector3 } from "three";
import type { Viewer } from "../view/viewer";
import { h } from "./dom";

const SVG = "http://www.w3.org/2000/svg";

/** The distance between two points that are clicked on. */
export class Measure {
    readonly button: HTMLButtonElement;
    active = false;
    private points: Vector3[] = [];
    private readonly picture = document.createElementNS(SVG, "svg");
    private readonly result = h("span", { className: "note" });
    readonly element: HTMLElement;

    constructor(private readonly viewer: Viewer) {
        this.button = h("button", { type: "button", onclick: () => this.set(!this.active) }, "Measure");
        this.picture.setAttribute("class", "labels");
        this.result.setAttribute("role", "status");
        viewer.container.append(this.picture);
        this.element = h("div", { className: "row" }, this.button, this.result);
        this.set(false);
    }

    /** A click while measuring. */
    add(point: Vector3 | null): void {
        if (point === null) {
            this.result.textContent = "nothing is there";
            return;
        }
        this.points = [...(this.points.length === 2 ? [] : this.points), point];
        this.draw();
        this.result.textContent = this.points.length === 2 ? this.text() : "and the second point";
    }

    /** Scene units, which are metres when the scene says so. */
    get distance(): number | null {
        return this.points.length === 2 ? this.points[0]!.distanceTo(this.points[1]!) : null;
    }

    set(active: boolean): void {
        this.active = active;
        this.points = [];
        this.button.setAttribute("aria-pressed", String(active));
        this.result.textContent = active ? "click on two points" : "";
        this.draw();
    }

    /** Put the line where the points are on the screen now. */
    draw(): void {
        const { clientWidth: width, clientHeight: height } = this.viewer.canvas;
        const spots = this.points.map((point) => {
            const ndc = point.clone().project(this.viewer.camera);
            return [((ndc.x + 1) / 2) * width, ((1 - ndc.y) / 2) * height] as const;
        });
        this.picture.replaceChildren();
        for (const [x, y] of spots) this.put("circle", { cx: x, cy: y, r: 4, fill: "#ffb454" });
        if (spots.length < 2) return;
        const [[x1, y1], [x2, y2]] = spots as [readonly [number, number], readonly [number, number]];
        this.put("line", { x1, y1, x2, y2, stroke: "#ffb454", "stroke-width": 2 });
        const text = this.put("text", { x: (x1 + x2) / 2 + 6, y: (y1 + y2) / 2 - 6, fill: "#fff" });
        text.textContent = this.text();
    }

    dispose(): void {
        this.picture.remove();
    }

    private text(): string {
        return `${Number(this.distance!.toPrecision(4))} ${this.viewer.data.metric ? "m" : "units"}`;
    }

    private put(name: string, attributes: Record<string, string | number>): SVGElement {
        const element = document.createElementNS(SVG, name);
        for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
        this.picture.append(element);
        return element;
    }
}
