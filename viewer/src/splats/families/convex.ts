import fragment from "../../shaders/convex.frag.glsl?raw";
import vertex from "../../shaders/convex.vert.glsl?raw";
import type { CloudFamily } from "./family";

const MAX_POINTS = 8;

export const CONVEX: CloudFamily = {
    name: "convex",
    texels: 7,
    vertex,
    fragment,
    rows: 1,
    pack(arrays, values, centers) {
        const points: Float32Array[] = [];
        for (let k = 0; k < MAX_POINTS; ++k) {
            const point = k < 3 ? arrays.need(`_RECON_POINT_${k}`) : arrays.get(`_RECON_POINT_${k}`);
            if (point === undefined) break;
            points.push(point);
        }
        const deltas = arrays.need("_RECON_DELTA");
        const sigmas = arrays.need("_RECON_SIGMA");
        const opacities = arrays.need("_RECON_OPACITY");
        centers.set(arrays.need("POSITION"));
        for (let i = 0; i < arrays.count; ++i) {
            for (const [k, point] of points.entries()) values.set(point.subarray(3 * i, 3 * i + 3), 28 * i + 3 * k);
            values.set([deltas[i]!, sigmas[i]!, opacities[i]!, points.length], 28 * i + 24);
        }
    },
};
