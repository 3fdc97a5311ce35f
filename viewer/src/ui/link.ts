import { Vector3 } from "three";
import type { SplatLook } from "../splats/backend";
import type { CompareMode } from "./compare";

/** What an address says after its `#`: where one stands and how one looks. */
export interface Link {
    view?: string;
    compare?: CompareMode;
    eye?: Vector3;
    target?: Vector3;
    fovDeg?: number;
    mode?: SplatLook["mode"];
    shDegree?: number;
    /** Ids of the nodes that are shown. */
    nodes?: string[];
    cameras?: boolean;
}

const MODES: readonly SplatLook["mode"][] = ["color", "depth", "normal", "opacity", "id"];
const COMPARES: readonly CompareMode[] = ["render", "photo", "split", "flicker", "difference"];

/** Reads what it understands and passes over the rest. */
export function parseLink(hash: string): Link {
    const values = new URLSearchParams(hash.replace(/^#/, ""));
    const link: Link = {};
    const view = values.get("view");
    if (view !== null) link.view = view;
    const compare = COMPARES.find((one) => one === values.get("compare"));
    if (compare !== undefined) link.compare = compare;
    const eye = vector(values.get("eye"));
    const target = vector(values.get("target"));
    if (eye !== null && target !== null) Object.assign(link, { eye, target });
    const fov = Number(values.get("fov"));
    if (fov > 1 && fov < 170) link.fovDeg = fov;
    const mode = MODES.find((one) => one === values.get("mode"));
    if (mode !== undefined) link.mode = mode;
    const degree = values.get("sh");
    if (degree !== null && /^[0-3]$/.test(degree)) link.shDegree = Number(degree);
    const nodes = values.get("show");
    if (nodes !== null) link.nodes = nodes.split(",").filter((id) => id !== "");
    if (values.get("cameras") === "1") link.cameras = true;
    return link;
}

export function formatLink(link: Link): string {
    const values = new URLSearchParams();
    if (link.view !== undefined) values.set("view", link.view);
    if (link.compare !== undefined && link.compare !== "render") values.set("compare", link.compare);
    if (link.eye !== undefined && link.target !== undefined) {
        values.set("eye", numbers(link.eye));
        values.set("target", numbers(link.target));
    }
    if (link.fovDeg !== undefined) values.set("fov", link.fovDeg.toFixed(2));
    if (link.mode !== undefined && link.mode !== "color") values.set("mode", link.mode);
    if (link.shDegree !== undefined && link.shDegree !== 3) values.set("sh", String(link.shDegree));
    if (link.nodes !== undefined) values.set("show", link.nodes.join(","));
    if (link.cameras === true) values.set("cameras", "1");
    return `#${values.toString().replaceAll("%2C", ",")}`;
}

function numbers(point: Vector3): string {
    return point.toArray().map((value) => Number(value.toPrecision(6))).join(","); // prettier-ignore
}

function vector(text: string | null): Vector3 | null {
    const values = text?.split(",").map(Number) ?? [];
    return values.length === 3 && values.every(Number.isFinite) ? new Vector3(...values) : null;
}
