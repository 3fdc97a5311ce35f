import { Vector3 } from "three";
import type { SplatLook } from "./backend";

/** Numbers of the modes in shaders/look.glsl. */
export const MODES: Record<SplatLook["mode"], number> = { color: 0, depth: 1, normal: 2, opacity: 3, id: 4 };

export const DEFAULT_LOOK: SplatLook = {
    shDegree: 3,
    scale: 1,
    minOpacity: 0,
    mode: "color",
    depthRange: [0, 1],
    crop: null,
    antialias: false,
};

/** Corners of a crop box; without one, of a box that holds everything. */
export function cropOf(crop: SplatLook["crop"]): [Vector3, Vector3] {
    const far = 3e38;
    if (crop === null) return [new Vector3(-far, -far, -far), new Vector3(far, far, far)];
    return [new Vector3(crop[0], crop[1], crop[2]), new Vector3(crop[3], crop[4], crop[5])];
}
