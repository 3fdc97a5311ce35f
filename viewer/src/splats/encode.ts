/** Gaussians in the form that Spark's `ExtSplats` take: float centres, half floats and three bytes with an exponent. */

import { DataUtils } from "three/src/extras/DataUtils.js";

const SH_C0 = 0.28209479177387814;
/** Spark's textures are 2048 wide. */
const ROW = 2048;

/** Activated values, as a scene.gltf holds them. */
export interface GaussianArrays {
    count: number;
    positions: Float32Array;
    /** x y z w */
    rotations: Float32Array;
    scales: Float32Array;
    opacities: Float32Array;
    /** Coefficients by index; [N, 3] each, 1, 4, 9 or 16 of them. */
    sh: Float32Array[];
}

export interface EncodedGaussians {
    count: number;
    ext: [Uint32Array, Uint32Array];
    /** `extra` of ExtSplats: sh1, sh2, sh3a, sh3b as far as there are harmonics. */
    harmonics: Record<string, Uint32Array>;
}

/** Numbers in each of the arrays for so many Gaussians: four each, in whole rows of a texture. */
export function encodedLength(count: number): number {
    return 4 * ROW * Math.max(1, Math.ceil(count / ROW));
}

export function encodeGaussians(data: GaussianArrays): EncodedGaussians {
    const { count, positions, rotations, scales, opacities, sh } = data;
    const length = encodedLength(count);
    const first = new Uint32Array(length);
    const second = new Uint32Array(length);
    const bits = new Uint32Array(positions.buffer, positions.byteOffset, positions.length);
    const half = DataUtils.toHalfFloat;
    const base = sh[0]!;
    for (let i = 0; i < count; ++i) {
        const i3 = 3 * i;
        const i4 = 4 * i;
        first[i4] = bits[i3]!;
        first[i4 + 1] = bits[i3 + 1]!;
        first[i4 + 2] = bits[i3 + 2]!;
        first[i4 + 3] = half(opacities[i]!);
        const r = 0.5 + SH_C0 * base[i3]!;
        const g = 0.5 + SH_C0 * base[i3 + 1]!;
        const b = 0.5 + SH_C0 * base[i3 + 2]!;
        second[i4] = half(clamped(r)) | (half(clamped(g)) << 16);
        second[i4 + 1] = half(clamped(b)) | (half(Math.log(scales[i3]!)) << 16);
        second[i4 + 2] = half(Math.log(scales[i3 + 1]!)) | (half(Math.log(scales[i3 + 2]!)) << 16);
        second[i4 + 3] = rotation(rotations[i4]!, rotations[i4 + 1]!, rotations[i4 + 2]!, rotations[i4 + 3]!);
    }
    return { count, ext: [first, second], harmonics: harmonics(sh, count, length) };
}

/** Half floats end at 65504. */
function clamped(value: number): number {
    return Math.max(-6e4, Math.min(6e4, value));
}

function harmonics(sh: Float32Array[], count: number, length: number): Record<string, Uint32Array> {
    const out: Record<string, Uint32Array> = {};
    // Which texture and which of its four numbers coefficient k goes to.
    const places: [name: string, slot: number][] = [];
    for (let k = 0; k < 3; ++k) places.push(["sh1", k]);
    places.push(["sh1", 3]);
    for (let k = 1; k < 5; ++k) places.push(["sh2", k - 1]);
    for (let k = 0; k < 4; ++k) places.push(["sh3a", k]);
    for (let k = 4; k < 7; ++k) places.push(["sh3b", k - 4]);
    for (let k = 1; k < sh.length; ++k) {
        const [name, slot] = places[k - 1]!;
        const target = (out[name] ??= new Uint32Array(length));
        const source = sh[k]!;
        for (let i = 0; i < count; ++i)
            target[4 * i + slot] = shared(source[3 * i]!, source[3 * i + 1]!, source[3 * i + 2]!);
    }
    return out;
}

/** Three numbers as bytes with a common exponent and signs: r, g, b, exponent << 3 | signs, from the lowest byte. */
function shared(r: number, g: number, b: number): number {
    const x = Math.abs(r);
    const y = Math.abs(g);
    const z = Math.abs(b);
    // 2 ** (exponent - 15) is the largest magnitude that the bytes hold.
    const exponent = Math.max(0, Math.min(31, Math.ceil(Math.log2(Math.max(x, y, z, 1e-9))) + 15));
    const scale = 255 / 2 ** (exponent - 15);
    const signs = (r < 0 ? 1 : 0) | (g < 0 ? 2 : 0) | (b < 0 ? 4 : 0);
    const byte = (value: number): number => Math.min(255, Math.round(value * scale));
    return (byte(x) | (byte(y) << 8) | (byte(z) << 16) | ((exponent << 3) << 24) | (signs << 24)) >>> 0;
}

/** A unit quaternion as an axis on an octahedron (2 x 10 bits) and an angle (12 bits). */
function rotation(x: number, y: number, z: number, w: number): number {
    const sign = w < 0 ? -1 : 1;
    const sine = Math.hypot(x, y, z);
    const angle = 2 * Math.atan2(sine, w * sign);
    const scale = sine < 1e-9 ? 0 : sign / sine;
    const axis: [number, number, number] = scale === 0 ? [1, 0, 0] : [x * scale, y * scale, z * scale];
    const length = Math.abs(axis[0]) + Math.abs(axis[1]) + Math.abs(axis[2]);
    let u = axis[0] / length;
    let v = axis[1] / length;
    if (axis[2] < 0) [u, v] = [(1 - Math.abs(v)) * (u >= 0 ? 1 : -1), (1 - Math.abs(u)) * (v >= 0 ? 1 : -1)];
    const level = (value: number, levels: number): number => Math.max(0, Math.min(levels, Math.round(value * levels)));
    return (
        ((level(angle / Math.PI, 4095) << 20) | (level(0.5 * v + 0.5, 1023) << 10) | level(0.5 * u + 0.5, 1023)) >>> 0
    );
}
