import type { Arrays } from "../../scene/arrays";

/** What a family that we draw ourselves must say. A new one: a file here, a line in index.ts, two shader files. */
export interface CloudFamily {
    name: string;
    /** Texels of four floats that the shader reads per primitive. */
    texels: number;
    /** Defines `footprint`; see shaders/cloud.vert.glsl. */
    vertex: string;
    /** Defines `alphaAt`; see shaders/cloud.frag.glsl. */
    fragment: string;
    /** Rows of the arrays that make up one primitive. */
    rows: number;
    /** Fills [N, texels * 4] and the points [N, 3] that are sorted. */
    pack(arrays: Arrays, values: Float32Array, centers: Float32Array): void;
}
