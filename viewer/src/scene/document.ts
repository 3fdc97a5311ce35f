/** A scene.gltf as plain data. What its keys mean: docs/scene-format.md. */

import { ViewerError } from "../errors";

/** Where the rows of one attribute lie. */
export interface Accessor {
    uri: string;
    offset: number;
    count: number;
    /** Numbers in a row. */
    width: number;
    /** Bytes from one row to the next. */
    stride: number;
    component: "f32" | "u32";
}

/** A drawable piece of a node. */
export interface Part {
    attributes: Record<string, Accessor>;
    indices?: Accessor;
    /** Image file. */
    texture?: string;
}

export interface NodeData {
    id: string;
    content: "points" | "splats" | "mesh";
    family?: string;
    /** Folder below stages/ that its data lies in. */
    stage: string;
    /** Column by column: parent from node. */
    matrix: readonly number[];
    parts: Part[];
}

export interface ViewData {
    name: string;
    width: number;
    height: number;
    /** [3, 3] row by row, px. */
    K: readonly number[];
    distortion: { model: string; params: readonly number[] };
    /** [4, 4] row by row, OpenCV axes. */
    worldToCamera: readonly number[];
    split: "train" | "test";
    /** Image file; missing where the view has none, or none that is served. */
    photo?: string;
    /** There is a photo, and it is not in the scene folder. */
    elsewhere?: true;
    /** Address of a small picture of it, while the photo is not in the scene yet. */
    picture?: string;
}

export interface StageData {
    stage: string;
    folder: string;
    info: Record<string, unknown>;
}

export interface SceneData {
    views: ViewData[];
    nodes: NodeData[];
    stages: StageData[];
    metric: boolean;
    /** Colour behind the capture, sRGB in [0, 1]. */
    background: readonly [number, number, number];
    /** Whether the splats were fitted with opacity compensation. */
    antialias: boolean;
}

const WIDTHS: Record<string, number> = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 };
const COMPONENTS: Record<number, "f32" | "u32"> = { 5126: "f32", 5125: "u32" };
const IDENTITY = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- checked as far as it is read */
type Json = any;

/** The document in `text`. ViewerError names the place in it that makes no sense. */
export function parseDocument(text: string): SceneData {
    let json: Json;
    try {
        json = JSON.parse(text);
    } catch (error) {
        throw broken("it is not JSON", error instanceof Error ? error.message : "");
    }
    const own = json?.extensions?.RECON_scene;
    if (own === undefined) throw broken("no RECON_scene in it", "it was not written by recon");
    if (own.version !== 1) throw broken(`RECON_scene has version ${own.version}`, "this page reads version 1");
    const views: ViewData[] = [];
    const nodes: NodeData[] = [];
    const parents = parentsOf(json);
    for (const [index, node] of (json.nodes ?? []).entries()) {
        const entry = node.extensions?.RECON_scene;
        if (entry === undefined) continue;
        if (entry.view !== undefined) views.push(viewOf(entry.view));
        else if (entry.content !== "group") nodes.push(nodeOf(json, index, parents));
    }
    const stages: StageData[] = own.provenance ?? [];
    const info = (stage: string): Record<string, Json> => stages.findLast((one) => one.stage === stage)?.info ?? {};
    return {
        views,
        nodes,
        stages,
        metric: own.metric === true,
        background: info("poses").background ?? [0, 0, 0],
        antialias: info("splats").antialias === true,
    };
}

function viewOf(entry: Json): ViewData {
    const uri: string | undefined = entry.photo?.uri;
    const view: ViewData = {
        name: entry.name,
        width: entry.width,
        height: entry.height,
        K: entry.K,
        distortion: entry.distortion,
        worldToCamera: entry.world_to_camera,
        split: entry.split,
    };
    // Photos of a capture that stays where it is have absolute paths, which nobody serves.
    if (uri === undefined) return view;
    if (uri.startsWith("/") || uri.startsWith("..") || uri.includes(":")) view.elsewhere = true;
    else view.photo = uri;
    return view;
}

function parentsOf(json: Json): Map<number, number> {
    const parents = new Map<number, number>();
    for (const [index, node] of (json.nodes ?? []).entries())
        for (const child of node.children ?? []) parents.set(child, index);
    return parents;
}

function nodeOf(json: Json, index: number, parents: Map<number, number>): NodeData {
    const entry = json.nodes[index].extensions.RECON_scene;
    const mesh = json.meshes?.[json.nodes[index].mesh];
    if (mesh === undefined) throw broken(`/nodes/${index}/mesh is missing`, `${entry.id} has no data`);
    const parts = mesh.primitives.map((primitive: Json) => partOf(json, primitive));
    const position = parts[0]?.attributes.POSITION;
    if (position === undefined) throw broken(`/nodes/${index}: ${entry.id} has no POSITION`, "");
    let matrix = json.nodes[index].matrix ?? IDENTITY;
    for (let up = parents.get(index); up !== undefined; up = parents.get(up))
        matrix = multiply(json.nodes[up].matrix ?? IDENTITY, matrix);
    const node: NodeData = {
        id: entry.id,
        content: entry.content,
        stage: position.uri.split("/")[1] ?? "",
        matrix,
        parts,
    };
    if (entry.family !== undefined) node.family = entry.family;
    return node;
}

function partOf(json: Json, primitive: Json): Part {
    const attributes: Record<string, Accessor> = {};
    for (const [name, accessor] of Object.entries<number>(primitive.attributes))
        attributes[name] = accessorOf(json, accessor);
    const part: Part = { attributes };
    if (primitive.indices !== undefined) part.indices = accessorOf(json, primitive.indices);
    const texture = json.materials?.[primitive.material]?.pbrMetallicRoughness?.baseColorTexture?.index ?? undefined;
    const image = texture === undefined ? undefined : json.images?.[json.textures?.[texture]?.source];
    if (image?.uri !== undefined) part.texture = image.uri;
    return part;
}

function accessorOf(json: Json, index: number): Accessor {
    const accessor = json.accessors?.[index];
    const view = json.bufferViews?.[accessor?.bufferView];
    const buffer = json.buffers?.[view?.buffer];
    const width = WIDTHS[accessor?.type];
    const component = COMPONENTS[accessor?.componentType];
    if (buffer?.uri === undefined || width === undefined || component === undefined)
        throw broken(
            `/accessors/${index} cannot be followed`,
            "it needs a buffer view, a buffer with a URI, float or uint32",
        );
    return {
        uri: buffer.uri,
        offset: (view.byteOffset ?? 0) + (accessor.byteOffset ?? 0),
        count: accessor.count,
        width,
        stride: view.byteStride ?? 4 * width,
        component,
    };
}

/** The product of two matrices, column by column. */
function multiply(a: readonly number[], b: readonly number[]): number[] {
    const out = new Array<number>(16).fill(0);
    for (let column = 0; column < 4; ++column)
        for (let row = 0; row < 4; ++row)
            for (let k = 0; k < 4; ++k) out[4 * column + row]! += a[4 * k + row]! * b[4 * column + k]!;
    return out;
}

function broken(what: string, more: string): ViewerError {
    return new ViewerError(
        `scene.gltf: ${what}${more === "" ? "" : ` (${more})`}`,
        "Make the scene again with `recon run`, or update recon if a newer one wrote it.",
    );
}
