import { BufferAttribute, BufferGeometry, Points, PointsMaterial } from "three";
import type { Arrays } from "./arrays";

/** Coloured points, two pixels each. */
export function makePoints(arrays: Arrays): Points<BufferGeometry, PointsMaterial> {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(arrays.need("POSITION"), 3));
    const colors = arrays.get("COLOR_0");
    if (colors !== undefined) geometry.setAttribute("color", new BufferAttribute(colors, colors.length / arrays.count));
    const pixels = 2 * Math.min(2, window.devicePixelRatio);
    const material = new PointsMaterial({ size: pixels, sizeAttenuation: false, vertexColors: colors !== undefined });
    return new Points(geometry, material);
}
