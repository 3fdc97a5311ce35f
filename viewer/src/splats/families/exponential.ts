import fragment from "../../shaders/exponential.frag.glsl?raw";
import vertex from "../../shaders/exponential.vert.glsl?raw";
import type { CloudFamily } from "./family";
import { packOriented } from "./oriented";

export const EXPONENTIAL: CloudFamily = {
    name: "exponential",
    texels: 3,
    vertex,
    fragment,
    rows: 1,
    pack(arrays, values, centers) {
        packOriented(arrays, values, centers, "_RECON_SCALE3", 3);
        const exponents = arrays.need("_RECON_EXPONENT");
        for (let i = 0; i < arrays.count; ++i) values[12 * i + 11] = exponents[i]!;
    },
};
