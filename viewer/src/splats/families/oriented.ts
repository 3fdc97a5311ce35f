import type { Arrays } from "../../scene/arrays";

/** What families of oriented primitives share of their three texels: position and opacity, rotation, scales. */
export function packOriented(
    arrays: Arrays,
    values: Float32Array,
    centers: Float32Array,
    scaleName: string,
    scaleWidth: number,
): void {
    const positions = arrays.need("POSITION");
    const rotations = arrays.need("_RECON_ROTATION");
    const scales = arrays.need(scaleName);
    const opacities = arrays.need("_RECON_OPACITY");
    centers.set(positions);
    for (let i = 0; i < arrays.count; ++i) {
        values.set(positions.subarray(3 * i, 3 * i + 3), 12 * i);
        values[12 * i + 3] = opacities[i]!;
        values.set(rotations.subarray(4 * i, 4 * i + 4), 12 * i + 4);
        values.set(scales.subarray(scaleWidth * i, scaleWidth * i + scaleWidth), 12 * i + 8);
    }
}
