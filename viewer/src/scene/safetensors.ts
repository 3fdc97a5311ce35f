import { DataUtils } from "three/src/extras/DataUtils.js";
import type { Arrays } from "./arrays";

interface Entry {
    dtype: string;
    shape: number[];
    data_offsets: [number, number];
}

/** The arrays and the metadata of a safetensors file with float32 and float16 tensors. */
export function parseSafetensors(buffer: ArrayBuffer): { arrays: Arrays; metadata: Record<string, string> } {
    const length = Number(new DataView(buffer).getBigUint64(0, true));
    const header: Record<string, Entry> = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    const { __metadata__: metadata, ...entries } = header as Record<string, Entry> & { __metadata__?: never };
    const rows = (start: number, end: number): Arrays => {
        const get = (name: string): Float32Array | undefined => {
            const entry = entries[name];
            if (entry === undefined) return undefined;
            const [first, last] = entry.data_offsets;
            const row = (last - first) / Math.max(1, entry.shape[0] ?? 1);
            const bytes = buffer.slice(8 + length + first + start * row, 8 + length + first + end * row);
            if (entry.dtype === "F32") return new Float32Array(bytes);
            if (entry.dtype === "F16") return Float32Array.from(new Uint16Array(bytes), DataUtils.fromHalfFloat);
            throw new Error(`${name}: a tensor of ${entry.dtype}; F32 or F16 expected`);
        };
        const need = (name: string): Float32Array => {
            const values = get(name);
            if (values === undefined) throw new Error(`no tensor ${name}`);
            return values;
        };
        return { count: end - start, get, need, rows: (from, to) => rows(start + from, start + to) };
    };
    return { arrays: rows(0, entries.POSITION?.shape[0] ?? 0), metadata: (metadata ?? {}) as Record<string, string> };
}
