import fragment from "../../shaders/surfel.frag.glsl?raw";
import vertex from "../../shaders/surfel.vert.glsl?raw";
import type { CloudFamily } from "./family";
import { packOriented } from "./oriented";

export const SURFEL: CloudFamily = {
    name: "surfel",
    texels: 3,
    vertex,
    fragment,
    rows: 1,
    pack(arrays, values, centers) {
        packOriented(arrays, values, centers, "_RECON_SCALE2", 2);
    },
};
