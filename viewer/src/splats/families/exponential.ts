import fragment from "../../shaders/exponential.frag.glsl?raw";
import vertex from "../../shaders/exponential.vert.glsl?raw";
import type { CloudFamily } from "./family";

export const EXPONENTIAL: CloudFamily = {
    name: "exponential",
    texels: 3,
    vertex,
    fragment,
    rows: 1,
    pack(arrays, values, centers) {
        const positions = arrays.need("POSITION");
        const rotations = arrays.need("_RECON_ROTATION");
        const scales = arrays.need("_RECON_SCALE3");
        const exponents = arrays.need("_RECON_EXPONENT");
        const opacities = arrays.need("_RECON_OPACITY");
        centers.set(positions);
        for (let i = 0; i < arrays.count; ++i) {
            values.set(positions.subarray(3 * i, 3 * i + 3), 12 * i);
            values[12 * i + 3] = opacities[i]!;
            values.set(rotations.subarray(4 * i, 4 * i + 4), 12 * i + 4);
            values.set(scales.subarray(3 * i, 3 * i + 3), 12 * i + 8);
            values[12 * i + 11] = exponents[i]!;
        }
    },
};
