import {
    AddEquation,
    type Camera,
    CustomBlending,
    DataTexture,
    DataUtils,
    FloatType,
    GLSL3,
    HalfFloatType,
    InstancedBufferAttribute,
    InstancedBufferGeometry,
    IntType,
    Matrix4,
    Mesh,
    OneFactor,
    OneMinusSrcAlphaFactor,
    BufferAttribute,
    RawShaderMaterial,
    RGBAFormat,
    type Scene,
    type TextureDataType,
    Vector2,
    Vector3,
} from "three";
import type { Arrays } from "../scene/arrays";
import cloudFragment from "../shaders/cloud.frag.glsl?raw";
import cloudVertex from "../shaders/cloud.vert.glsl?raw";
import looks from "../shaders/look.glsl?raw";
import type { SplatBackend, SplatLook, SplatObject } from "./backend";
import { CLOUD_FAMILIES } from "./families";
import type { CloudFamily } from "./families/family";
import { harmonicsOf } from "./harmonics";
import { cropOf, MODES } from "./look";
import type { SortRequest } from "./sort.worker";
import SortWorker from "./sort.worker?worker&inline";

/** Texels in a row of a data texture; every WebGL2 device can do that. */
const TEXTURE_WIDTH = 2048;
/** As `RasterConfig.alpha_max`. */
const MAX_ALPHA = 0.999;

/** The families that are no Gaussians: a quad per primitive with the core's own weight in the fragment shader. */
export class CloudBackend implements SplatBackend {
    readonly families = CLOUD_FAMILIES.map((family) => family.name);

    constructor(private readonly onDirty: () => void) {}

    attach(_scene: Scene): void {
        // Every cloud draws itself.
    }

    async create(family: string, arrays: Arrays, look: SplatLook): Promise<SplatObject> {
        const known = CLOUD_FAMILIES.find((one) => one.name === family);
        if (known === undefined) throw new Error(`no cloud of the family ${family}`);
        const cloud = new Cloud(known, this.onDirty);
        cloud.setLook(look);
        await cloud.replace(arrays);
        return cloud;
    }
}

class Cloud implements SplatObject {
    readonly object: Mesh<InstancedBufferGeometry, RawShaderMaterial>;
    count = 0;
    bytes = 0;
    private readonly worker = new SortWorker();
    private sorting = false;
    /** The depth plane that the latest order, or the one on its way, is for. */
    private sorted: readonly number[] = [];
    private wanted: readonly number[] = [];

    constructor(
        private readonly family: CloudFamily,
        private readonly onDirty: () => void,
    ) {
        const material = new RawShaderMaterial({
            glslVersion: GLSL3,
            vertexShader: `${looks}\n${cloudVertex}\nuniform bool antialias;\n${family.vertex}`,
            fragmentShader: `${cloudFragment}\n${family.fragment}`,
            uniforms: {
                primitives: { value: null },
                harmonics: { value: null },
                resolution: { value: new Vector2() },
                shDegree: { value: 3 },
                mode: { value: 0 },
                extent: { value: 1 },
                minOpacity: { value: 0 },
                cropLow: { value: new Vector3() },
                cropHigh: { value: new Vector3() },
                depthRange: { value: new Vector2() },
                antialias: { value: false },
            },
            transparent: true,
            depthWrite: false,
            blending: CustomBlending,
            blendEquation: AddEquation,
            blendSrc: OneFactor,
            blendDst: OneMinusSrcAlphaFactor,
            premultipliedAlpha: true,
        });
        this.object = new Mesh(new InstancedBufferGeometry(), material);
        this.object.frustumCulled = false;
        this.object.onBeforeRender = (renderer) => renderer.getDrawingBufferSize(material.uniforms.resolution!.value);
        this.worker.onmessage = (event: MessageEvent<Uint32Array<ArrayBuffer>>) => this.take(event.data);
    }

    get busy(): boolean {
        return this.sorting;
    }

    setLook(look: SplatLook): void {
        const uniforms = this.object.material.uniforms;
        const [low, high] = cropOf(look.crop);
        uniforms.shDegree!.value = look.shDegree;
        uniforms.mode!.value = MODES[look.mode];
        uniforms.extent!.value = look.scale;
        uniforms.minOpacity!.value = look.minOpacity;
        uniforms.cropLow!.value = low;
        uniforms.cropHigh!.value = high;
        uniforms.depthRange!.value = new Vector2(...look.depthRange);
        uniforms.antialias!.value = look.antialias;
        this.onDirty();
    }

    async replace(arrays: Arrays): Promise<void> {
        const { family, object } = this;
        const count = arrays.count / family.rows;
        const values = floats(count * family.texels);
        const centers = new Float32Array(3 * count);
        family.pack(arrays, values, centers);
        const sh = harmonicsOf(arrays, "_RECON_");
        const halves = new Uint16Array(4 * rowsOf(count * sh.length) * TEXTURE_WIDTH);
        for (const [k, coefficient] of sh.entries()) {
            for (let i = 0; i < count; ++i) {
                const from = 3 * family.rows * i;
                const to = 4 * (i * sh.length + k);
                for (let c = 0; c < 3; ++c) halves[to + c] = DataUtils.toHalfFloat(coefficient[from + c]!);
            }
        }
        const { uniforms, defines } = object.material;
        uniforms.primitives!.value?.dispose();
        uniforms.harmonics!.value?.dispose();
        uniforms.primitives!.value = texture(values, FloatType);
        uniforms.harmonics!.value = texture(halves, HalfFloatType);
        object.material.defines = { ...defines, TEXELS: family.texels, COEFFICIENTS: sh.length, MAX_ALPHA };
        object.material.needsUpdate = true;
        object.geometry.dispose();
        object.geometry = quads(count);
        this.count = count;
        this.bytes = values.byteLength + halves.byteLength + 4 * count;
        this.worker.postMessage({ centers } satisfies SortRequest, [centers.buffer]);
        this.sorted = [];
        this.sorting = false;
        this.onDirty();
    }

    update(camera: Camera): void {
        const matrix = new Matrix4().multiplyMatrices(camera.matrixWorldInverse, this.object.matrixWorld).elements;
        this.wanted = [-matrix[2]!, -matrix[6]!, -matrix[10]!, -matrix[14]!];
        this.sortIfNeeded();
    }

    dispose(): void {
        this.worker.terminate();
        this.object.removeFromParent();
        this.object.geometry.dispose();
        this.object.material.uniforms.primitives!.value?.dispose();
        this.object.material.uniforms.harmonics!.value?.dispose();
        this.object.material.dispose();
    }

    private sortIfNeeded(): void {
        if (this.sorting || this.count === 0) return;
        if (this.wanted.every((value, i) => value === this.sorted[i])) return;
        this.sorting = true;
        this.sorted = this.wanted;
        this.worker.postMessage({ plane: this.wanted } satisfies SortRequest);
    }

    private take(order: Uint32Array<ArrayBuffer>): void {
        this.sorting = false;
        const rank = this.object.geometry.getAttribute("rank") as InstancedBufferAttribute | undefined;
        // An order of data that has been replaced meanwhile is of no use.
        if (rank === undefined || order.length > rank.count) return;
        (rank.array as Uint32Array).set(order);
        rank.needsUpdate = true;
        this.object.geometry.instanceCount = order.length;
        this.sortIfNeeded();
        this.onDirty();
    }
}

function rowsOf(texels: number): number {
    return Math.max(1, Math.ceil(texels / TEXTURE_WIDTH));
}

function floats(texels: number): Float32Array<ArrayBuffer> {
    return new Float32Array(4 * rowsOf(texels) * TEXTURE_WIDTH);
}

function texture(data: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>, type: TextureDataType): DataTexture {
    const made = new DataTexture(data, TEXTURE_WIDTH, data.length / (4 * TEXTURE_WIDTH), RGBAFormat, type);
    made.needsUpdate = true;
    return made;
}

function quads(count: number): InstancedBufferGeometry {
    const geometry = new InstancedBufferGeometry();
    geometry.setAttribute(
        "position",
        new BufferAttribute(new Float32Array([-1, -1, 0, 1, -1, 0, -1, 1, 0, 1, 1, 0]), 3),
    );
    geometry.setIndex([0, 2, 1, 1, 2, 3]);
    const rank = new InstancedBufferAttribute(new Uint32Array(count), 1);
    rank.gpuType = IntType;
    geometry.setAttribute("rank", rank);
    geometry.instanceCount = 0;
    return geometry;
}
