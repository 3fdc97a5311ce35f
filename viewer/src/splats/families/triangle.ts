import fragment from "../../shaders/triangle.frag.glsl?raw";
import vertex from "../../shaders/triangle.vert.glsl?raw";
import type { CloudFamily } from "./family";

export const TRIANGLE: CloudFamily = {
    name: "triangle",
    texels: 3,
    vertex,
    fragment,
    rows: 3,
    pack(arrays, values, centers) {
        const corners = arrays.need("POSITION");
        const sigmas = arrays.need("_RECON_SIGMA");
        const opacities = arrays.need("_RECON_OPACITY");
        for (let i = 0; i < arrays.count / 3; ++i) {
            const own = corners.subarray(9 * i, 9 * i + 9);
            values.set(own, 12 * i);
            values[12 * i + 9] = sigmas[3 * i]!;
            values[12 * i + 10] = opacities[3 * i]!;
            for (let k = 0; k < 3; ++k) centers[3 * i + k] = (own[k]! + own[k + 3]! + own[k + 6]!) / 3;
        }
    },
};
