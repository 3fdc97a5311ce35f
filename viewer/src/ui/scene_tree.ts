import type { NodeData, StageData } from "../scene/document";
import type { Layer } from "../view/layers";
import type { Viewer } from "../view/viewer";
import { h, short } from "./dom";

const STAGE_NAMES: Record<string, string> = { poses: "Poses", splats: "Splats", mesh: "Mesh" };

interface Row {
    box: HTMLInputElement;
    detail: HTMLElement;
    node: NodeData;
}

/** What the scene holds, stage by stage, with boxes to show and hide. */
export class SceneTree {
    readonly element = h("div", { className: "tree" });
    private readonly rows = new Map<string, Row>();
    private readonly cameras = h("input", { type: "checkbox" });
    private readonly camerasLabel = h("span", {});
    private readonly memory = h("p", { className: "note" });

    /** load: brings a node that was not loaded yet. */
    constructor(
        private readonly viewer: Viewer,
        nodes: readonly NodeData[],
        stages: readonly StageData[],
        private readonly load: (node: NodeData) => Promise<void>,
        private readonly onChange: () => void,
    ) {
        const groups = new Map<string, NodeData[]>();
        for (const node of nodes) groups.set(node.stage, [...(groups.get(node.stage) ?? []), node]);
        for (const [folder, members] of groups) {
            const stage = stages.findLast((one) => one.folder === folder);
            const name = stage === undefined ? folder : (STAGE_NAMES[stage.stage] ?? stage.stage);
            const only = h(
                "button",
                { type: "button", title: "Show this stage alone", onclick: () => this.only(folder) },
                "only",
            );
            only.setAttribute("aria-label", `Show ${name} alone`);
            const list = h("ul", {}, ...members.map((node) => this.row(node)));
            this.element.append(h("div", { className: "stage" }, h("h3", {}, name, only), list));
        }
        this.cameras.id = "show-cameras";
        this.cameras.onchange = () => {
            if (viewer.frustums !== null) viewer.frustums.group.visible = this.cameras.checked;
            viewer.invalidate();
            onChange();
        };
        this.countCameras();
        this.element.append(h("ul", {}, h("li", {}, h("label", {}, this.cameras, this.camerasLabel))), this.memory);
    }

    /** Say how many cameras there are now. */
    countCameras(): void {
        this.camerasLabel.textContent = `Cameras with photos (${this.viewer.data.views.length})`;
    }

    /** Ids that are shown. */
    get shown(): string[] {
        return [...this.rows].filter(([, row]) => row.box.checked).map(([id]) => id);
    }

    get camerasShown(): boolean {
        return this.cameras.checked;
    }

    showCameras(shown: boolean): void {
        this.cameras.checked = shown;
        this.cameras.dispatchEvent(new Event("change"));
    }

    /** Show these nodes and no others. */
    async show(ids: readonly string[]): Promise<void> {
        await Promise.all([...this.rows].map(([id, row]) => this.set(row, ids.includes(id))));
        this.onChange();
    }

    /** A node came, or has new data. */
    loaded(layer: Layer): void {
        const row = this.rows.get(layer.node.id);
        if (row !== undefined) row.detail.textContent = describe(layer);
        const bytes = [...this.viewer.layers.values()].reduce((sum, one) => sum + one.bytes, 0);
        this.memory.textContent = `${(bytes / 1e6).toFixed(1)} MB of graphics memory`;
    }

    private row(node: NodeData): HTMLLIElement {
        const box = h("input", { type: "checkbox" });
        const detail = h("span", { className: "note" });
        const row = { box, detail, node };
        box.dataset.node = node.id;
        box.onchange = () => void this.set(row, box.checked).then(this.onChange);
        this.rows.set(node.id, row);
        return h("li", {}, h("label", {}, box, node.id), detail);
    }

    private async set(row: Row, shown: boolean): Promise<void> {
        row.box.checked = shown;
        if (shown && !this.viewer.layers.has(row.node.id)) {
            row.detail.textContent = "loading …";
            try {
                await this.load(row.node);
            } catch (error) {
                row.box.checked = false;
                row.detail.textContent = "failed";
                throw error;
            }
        }
        this.viewer.setVisible(row.node.id, row.box.checked);
    }

    private only(folder: string): void {
        void this.show([...this.rows.values()].filter((row) => row.node.stage === folder).map((row) => row.node.id));
    }
}

function describe(layer: Layer): string {
    const { content, family } = layer.node;
    const unit = { points: "points", splats: `${family}${family === "gaussian" ? "s" : " splats"}`, mesh: "triangles" }[
        content
    ];
    return `${short(layer.count)} ${unit}`;
}
