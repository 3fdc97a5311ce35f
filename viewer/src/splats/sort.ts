/** Indices of the points in front of a camera, the farthest first. */

/** Bits of one digit of the radix sort. */
const DIGIT = 16;

/** Sorts the same points again and again; keeps its memory. */
export class DepthSorter {
    private readonly keys: Uint32Array;
    private readonly buffers: [Uint32Array, Uint32Array];
    private readonly counts = new Uint32Array(1 << DIGIT);
    private readonly depths: Float32Array;

    /** centers: [N, 3]. */
    constructor(private readonly centers: Float32Array) {
        const count = centers.length / 3;
        this.depths = new Float32Array(count);
        this.keys = new Uint32Array(this.depths.buffer);
        this.buffers = [new Uint32Array(count), new Uint32Array(count)];
    }

    /** plane: the camera's depth of a point is a x + b y + c z + d. Points at depth <= 0 are left out. */
    sort(plane: readonly number[]): Uint32Array {
        const [a, b, c, d] = plane as [number, number, number, number];
        const { centers, depths, keys } = this;
        const [first, second] = this.buffers;
        let count = 0;
        for (let i = 0; i < depths.length; ++i) {
            const depth = a * centers[3 * i]! + b * centers[3 * i + 1]! + c * centers[3 * i + 2]! + d;
            depths[i] = depth;
            if (depth > 0) first[count++] = i;
        }
        // Positive floats have the order of their bits.
        this.pass(first, second, count, 0, keys);
        this.pass(second, first, count, DIGIT, keys);
        return first.slice(0, count);
    }

    /** A stable pass over one digit, the largest first. */
    private pass(from: Uint32Array, to: Uint32Array, count: number, shift: number, keys: Uint32Array): void {
        const { counts } = this;
        const mask = (1 << DIGIT) - 1;
        counts.fill(0);
        for (let i = 0; i < count; ++i) ++counts[(keys[from[i]!]! >>> shift) & mask]!;
        let start = 0;
        for (let digit = mask; digit >= 0; --digit) {
            const here = counts[digit]!;
            counts[digit] = start;
            start += here;
        }
        for (let i = 0; i < count; ++i) {
            const index = from[i]!;
            to[counts[(keys[index]! >>> shift) & mask]!++] = index;
        }
    }
}
