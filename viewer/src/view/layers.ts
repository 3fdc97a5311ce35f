import { Matrix4, type Object3D, type Scene } from "three";
import { ViewerError } from "../errors";
import type { Files } from "../net/files";
import type { Arrays, Buffers } from "../scene/arrays";
import type { NodeData } from "../scene/document";
import { makeMesh } from "../scene/mesh";
import { makePoints } from "../scene/points";
import type { SplatBackend, SplatLook, SplatObject } from "../splats/backend";
import type { Scale } from "../splats/scale";

/** A node on the screen. */
export interface Layer {
    node: NodeData;
    object: Object3D;
    /** Set for splats. */
    splats?: SplatObject;
    /** Primitives, points or triangles. */
    count: number;
    /** [N, 3] of points and primitives; not set for meshes. */
    centers?: Float32Array;
    bytes: number;
    /** What is shown is the beginning of it; the rest is on its way. */
    partial?: boolean;
}

/** The nodes on the screen, by their names. */
export class Layers extends Map<string, Layer> {
    /** look: of splats that come; dirty: called when the picture is another one. */
    constructor(
        private readonly scene: Scene,
        private readonly backends: readonly SplatBackend[],
        private readonly scale: Scale,
        private readonly look: () => SplatLook,
        private readonly dirty: () => void,
    ) {
        super();
    }

    /** Load a node and show it; of many splats the first ones as soon as they are there. tell: hears how far it is. */
    async load(node: NodeData, buffers: Buffers, files: Files, tell: (what: string) => void): Promise<Layer> {
        try {
            return await this.loaded(node, buffers, files, tell);
        } catch (error) {
            // Arrays that cannot be had, here or in Spark's decoder.
            if (!(error instanceof RangeError || error instanceof WebAssembly.RuntimeError)) throw error;
            throw new ViewerError(
                `${node.id}: ${(bytesOf(node) / 1e6).toFixed(0)} MB are too large for this browser (${error.message})`,
                "Close other tabs, or look at less: `recon export OUT --to less.ply --min-opacity 0.1`, and `recon import less.ply`.",
            );
        }
    }

    private async loaded(node: NodeData, buffers: Buffers, files: Files, tell: (what: string) => void): Promise<Layer> {
        const progress = (done: number, total: number): void =>
            tell(`${(done / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`);
        if (node.content === "splats" && rowsOf(node) > this.scale.partialAbove) {
            const layer = await this.splatLayer(node, await buffers.first(node, this.scale.partialRows));
            this.put(layer);
            layer.partial = true;
            try {
                const arrays = await buffers.arrays(node, progress);
                if (this.get(node.id) === layer) await this.refill(layer, arrays, tell);
            } catch (error) {
                this.remove(node.id);
                throw error;
            } finally {
                layer.partial = false;
            }
            return layer;
        }
        let layer: Layer;
        if (node.content === "mesh") {
            const object = await makeMesh(node, buffers, files);
            const count = node.parts.reduce(
                (sum, part) => sum + (part.indices?.count ?? part.attributes.POSITION!.count) / 3,
                0,
            );
            layer = { node, object, count, bytes: bytesOf(node) };
        } else {
            const arrays = await buffers.arrays(node, progress);
            layer = node.content === "points" ? pointLayer(node, arrays) : await this.splatLayer(node, arrays);
        }
        this.put(layer);
        return layer;
    }

    /** Hang a layer into the scene, in place of one of the same node. */
    private put(layer: Layer): void {
        layer.object.matrixAutoUpdate = false;
        layer.object.matrix.copy(new Matrix4().fromArray([...layer.node.matrix]));
        this.remove(layer.node.id);
        this.set(layer.node.id, layer);
        this.scene.add(layer.object);
        performance.mark("layer"); // for `recon bench viewer`
        this.dirty();
    }

    /** Other data for the splats of a layer. */
    private async refill(layer: Layer, arrays: Arrays, tell?: (what: string) => void): Promise<void> {
        const splats = layer.splats!;
        await splats.replace(arrays, tell);
        layer.centers = centersOf(arrays);
        layer.count = splats.count;
        layer.bytes = splats.bytes;
        this.dirty();
    }

    /** Show the splats of a running optimisation, or `points` of a run that looks for cameras, as the node `id`. */
    async loadLive(id: string, family: string, arrays: Arrays): Promise<Layer> {
        const known = this.get(id);
        if (known?.splats !== undefined && known.node.family === family) {
            await this.refill(known, arrays);
            return known;
        }
        const content = family === "points" ? "points" : "splats";
        const node: NodeData = { id, content, family, stage: "", matrix: new Matrix4().elements, parts: [] };
        const layer = content === "points" ? pointLayer(node, arrays) : await this.splatLayer(node, arrays);
        this.put(layer);
        return layer;
    }

    remove(id: string): void {
        const layer = this.get(id);
        if (layer === undefined) return;
        layer.object.removeFromParent();
        layer.splats?.dispose();
        this.delete(id);
    }

    private async splatLayer(node: NodeData, arrays: Arrays): Promise<Layer> {
        const family = node.family ?? "";
        const backend = this.backends.find((one) => one.families.includes(family));
        if (backend === undefined) {
            throw new ViewerError(
                `${node.id}: splats of the family ${JSON.stringify(family)}`,
                "This page does not know them: update recon.",
            );
        }
        const splats = await backend.create(family, arrays, this.look());
        const centers = centersOf(arrays);
        return { node, object: splats.object, splats, count: splats.count, bytes: splats.bytes, centers };
    }
}

/** In memory of their own: a view would keep the whole file. */
function centersOf(arrays: Arrays): Float32Array {
    const centers = arrays.need("POSITION");
    return centers.byteLength < centers.buffer.byteLength ? centers.slice() : centers;
}

function rowsOf(node: NodeData): number {
    return node.parts.reduce((sum, part) => sum + part.attributes.POSITION!.count, 0);
}

function pointLayer(node: NodeData, arrays: Arrays): Layer {
    const centers = arrays.need("POSITION");
    return { node, object: makePoints(arrays), count: arrays.count, bytes: 24 * arrays.count, centers };
}

function bytesOf(node: NodeData): number {
    let bytes = 0;
    for (const part of node.parts) {
        for (const one of Object.values(part.attributes)) bytes += 4 * one.width * one.count;
        bytes += 4 * (part.indices?.count ?? 0);
    }
    return bytes;
}
