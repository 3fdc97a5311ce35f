import { ViewerError } from "../errors";
import type { Files } from "../net/files";
import type { Accessor, NodeData, Part } from "./document";

/** Attributes of a node by glTF name, packed: [N, width] row by row. */
export interface Arrays {
    /** Rows. */
    count: number;
    get(name: string): Float32Array | undefined;
    /** Like `get`; ViewerError when it is not there. */
    need(name: string): Float32Array;
    /** Those of the rows from `start` to before `end`. */
    rows(start: number, end: number): Arrays;
}

/** Tells how far loading is: bytes so far, and in all. */
export type LoadProgress = (done: number, total: number) => void;

/** Reads buffers, each once. */
export class Buffers {
    private readonly buffers = new Map<string, Promise<ArrayBuffer>>();

    constructor(private readonly files: Files) {}

    /** All attributes of a node, its parts one after another. */
    async arrays(node: NodeData, progress?: LoadProgress): Promise<Arrays> {
        const parts = await Promise.all(node.parts.map((part) => this.part(node, part, progress)));
        return joined(node.id, parts);
    }

    /** The first rows of a node, without reading more of its files: for a picture before all has come. */
    async first(node: NodeData, rows: number): Promise<Arrays> {
        const part = node.parts[0]!;
        const count = Math.min(rows, part.attributes.POSITION!.count);
        // Attributes that lie between each other's rows come together.
        const spans: { uri: string; start: number; end: number }[] = [];
        const accessors = Object.values(part.attributes).sort((a, b) => a.offset - b.offset);
        for (const { uri, offset, stride, width } of accessors) {
            const end = offset + stride * (count - 1) + 4 * width;
            const last = spans.findLast((span) => span.uri === uri);
            if (last !== undefined && offset < last.end) last.end = Math.max(last.end, end);
            else spans.push({ uri, start: offset, end });
        }
        const loaded = new Map<string, ArrayBuffer>();
        const attributes: Record<string, Accessor> = {};
        for (const { uri, start, end } of spans) {
            const key = `${uri} ${start}`;
            loaded.set(key, await this.files.readRange(uri, start, end));
            for (const [name, one] of Object.entries(part.attributes))
                if (one.uri === uri && start <= one.offset && one.offset < end)
                    attributes[name] = { ...one, uri: key, offset: one.offset - start, count };
        }
        return rowsOf(node.id, { ...part, attributes }, loaded, 0, count);
    }

    /** Indices of a part of a mesh; undefined when its vertices are in order. */
    async indices(part: Part): Promise<Uint32Array | undefined> {
        if (part.indices === undefined) return undefined;
        return packed(await this.buffer(part.indices.uri), part.indices, Uint32Array);
    }

    /** Attributes of one part. */
    async part(node: NodeData, part: Part, progress?: LoadProgress): Promise<Arrays> {
        const uris = [...new Set(Object.values(part.attributes).map((one) => one.uri))];
        const loaded = new Map<string, ArrayBuffer>();
        for (const uri of uris) loaded.set(uri, await this.buffer(uri, sizeOf(part, uri), progress));
        return rowsOf(node.id, part, loaded, 0, part.attributes.POSITION!.count);
    }

    /** Let go of what was read. */
    forget(): void {
        this.buffers.clear();
    }

    private buffer(uri: string, size = 0, progress?: LoadProgress): Promise<ArrayBuffer> {
        let buffer = this.buffers.get(uri);
        if (buffer === undefined) {
            buffer = this.files.read(uri, progress && ((bytes) => progress(bytes, Math.max(size, bytes))));
            // A later attempt may succeed.
            buffer.catch(() => this.buffers.delete(uri));
            this.buffers.set(uri, buffer);
        }
        return buffer;
    }
}

/** `count` rows of a part from row `start` on. */
function rowsOf(
    id: string,
    part: Part,
    loaded: ReadonlyMap<string, ArrayBuffer>,
    start: number,
    count: number,
): Arrays {
    const get = (name: string): Float32Array | undefined => {
        const whole = part.attributes[name];
        if (whole === undefined) return undefined;
        const accessor = { ...whole, offset: whole.offset + start * whole.stride, count };
        return packed(loaded.get(accessor.uri)!, accessor, Float32Array);
    };
    return {
        count,
        get,
        need: (name) => needed(get(name), id, name),
        rows: (from, to) => rowsOf(id, part, loaded, start + from, to - from),
    };
}

/** Parts one after another. */
function joined(id: string, parts: readonly Arrays[]): Arrays {
    if (parts.length === 1) return parts[0]!;
    const get = (name: string): Float32Array | undefined => {
        const pieces = parts.map((part) => part.get(name));
        if (pieces.some((piece) => piece === undefined)) return undefined;
        const all = new Float32Array(pieces.reduce((sum, piece) => sum + piece!.length, 0));
        let start = 0;
        for (const piece of pieces) {
            all.set(piece!, start);
            start += piece!.length;
        }
        return all;
    };
    const rows = (from: number, to: number): Arrays => {
        let before = 0;
        const within: Arrays[] = [];
        for (const part of parts) {
            const first = Math.max(0, from - before);
            const last = Math.min(part.count, to - before);
            if (first < last) within.push(part.rows(first, last));
            before += part.count;
        }
        return joined(id, within.length > 0 ? within : [parts[0]!.rows(0, 0)]);
    };
    const count = parts.reduce((sum, part) => sum + part.count, 0);
    return { count, get, need: (name) => needed(get(name), id, name), rows };
}

function sizeOf(part: Part, uri: string): number {
    let end = 0;
    for (const one of Object.values(part.attributes))
        if (one.uri === uri) end = Math.max(end, one.offset + one.stride * one.count);
    return end;
}

function needed(values: Float32Array | undefined, id: string, name: string): Float32Array {
    if (values !== undefined) return values;
    throw new ViewerError(
        `scene.gltf: ${id} has no attribute ${name}`,
        "Make the scene again with `recon run`, or update recon if a newer one wrote it.",
    );
}

/** The rows of `accessor` without gaps, in memory of their own unless they lie without gaps already. */
export function packed<T extends Float32Array | Uint32Array>(
    buffer: ArrayBuffer,
    accessor: Accessor,
    kind: new (buffer: ArrayBuffer, offset?: number, length?: number) => T,
): T {
    const { offset, count, width, stride, uri } = accessor;
    const end = count === 0 ? offset : offset + stride * (count - 1) + 4 * width;
    if (end > buffer.byteLength) {
        throw new ViewerError(
            `${uri}: ${buffer.byteLength} bytes, at least ${end} expected`,
            "The file is cut short: restore it, or make the scene again with `recon run --force`.",
        );
    }
    const length = count * width;
    if (stride === 4 * width) {
        return offset % 4 === 0
            ? new kind(buffer, offset, length)
            : new kind(buffer.slice(offset, offset + 4 * length));
    }
    const aligned = offset % 4 === 0;
    const source = aligned
        ? new kind(buffer, 0, Math.floor(buffer.byteLength / 4))
        : new kind(buffer.slice(offset, end));
    const start = aligned ? offset / 4 : 0;
    const out = new kind(new ArrayBuffer(4 * length));
    for (let row = 0, from = start; row < count; ++row, from += stride / 4)
        for (let k = 0; k < width; ++k) out[row * width + k] = source[from + k]!;
    return out;
}
