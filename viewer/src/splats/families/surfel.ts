import fragment from "../../shaders/surfel.frag.glsl?raw";
import vertex from "../../shaders/surfel.vert.glsl?raw";
import type { CloudFamily } from "./family";

export const SURFEL: CloudFamily = {
    name: "surfel",
    texels: 3,
    vertex,
    fragment,
    rows: 1,
    pack(arrays, values, centers) {
        const positions = arrays.need("POSITION");
        const rotations = arrays.need("_RECON_ROTATION");
        const scales = arrays.need("_RECON_SCALE2");
        const opacities = arrays.need("_RECON_OPACITY");
        centers.set(positions);
        for (let i = 0; i < arrays.count; ++i) {
            values.set(positions.subarray(3 * i, 3 * i + 3), 12 * i);
            values[12 * i + 3] = opacities[i]!;
            values.set(rotations.subarray(4 * i, 4 * i + 4), 12 * i + 4);
            values.set(scales.subarray(2 * i, 2 * i + 2), 12 * i + 8);
        }
    },
};
