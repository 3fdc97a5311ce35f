import { dyno, ExtSplats, SparkRenderer, SplatMesh } from "@sparkjsdev/spark";
import { type Camera, type Object3D, Quaternion, type Scene, Vector3, Vector4, type WebGLRenderer } from "three";
import type { Arrays } from "../scene/arrays";
import modifier from "../shaders/gaussian_look.glsl?raw";
import modifierGlobals from "../shaders/look.glsl?raw";
import type { SplatBackend, SplatLook, SplatObject } from "./backend";
import { encodeAll } from "./encode_all";
import { cropOf, MODES } from "./look";
import type { Scale } from "./scale";

/** Gaussians of a picture with levels of detail where a processor draws it. */
const SOFTWARE_SPLATS = 50_000;
/** Of harmonics with levels of detail: Spark's maker of levels leaves out the third. */
const LEVELS_DEGREE = 2;

/** Gaussians through Spark (https://sparkjs.dev). */
export class SparkBackend implements SplatBackend {
    readonly families = ["gaussian"];
    private readonly spark: SparkRenderer;

    constructor(
        renderer: WebGLRenderer,
        onDirty: () => void,
        private readonly scale: Scale,
    ) {
        const inSoftware = drawsInSoftware(renderer);
        this.spark = new SparkRenderer({
            renderer,
            onDirty,
            // As the core draws: sorted by depth, as far as alpha reaches 1/255, with full precision.
            sortRadial: false,
            accumExtSplats: true,
            maxStdDev: Math.sqrt(2 * Math.log(255)),
            minAlpha: 1 / 255,
            maxPixelRadius: 4096,
            clipXY: 2,
            enableLod: true,
            // Spark's own choice suits graphics cards.
            ...(inSoftware ? { lodSplatCount: SOFTWARE_SPLATS } : {}),
        });
        this.spark.name = "spark";
    }

    attach(scene: Scene): void {
        scene.add(this.spark);
    }

    async create(_family: string, arrays: Arrays, look: SplatLook): Promise<SplatObject> {
        const gaussians = new SparkGaussians(this.spark, this.scale);
        await gaussians.replace(arrays);
        gaussians.setLook(look);
        return gaussians;
    }
}

/** Whether there is no graphics card behind the canvas. */
function drawsInSoftware(renderer: WebGLRenderer): boolean {
    const gl = renderer.getContext();
    const told = gl.getExtension("WEBGL_debug_renderer_info");
    const name: unknown = gl.getParameter(told === null ? gl.RENDERER : told.UNMASKED_RENDERER_WEBGL);
    return /swiftshader|llvmpipe|software|basic render/i.test(String(name));
}

class SparkGaussians implements SplatObject {
    readonly object: Object3D;
    count = 0;
    bytes = 0;
    private readonly mesh: SplatMesh;
    private readonly uniforms = {
        mode: new dyno.DynoInt({ value: 0 }),
        scale: new dyno.DynoFloat({ value: 1 }),
        minOpacity: new dyno.DynoFloat({ value: 0 }),
        cropLow: new dyno.DynoVec3({ value: new Vector3() }),
        cropHigh: new dyno.DynoVec3({ value: new Vector3() }),
        eye: new dyno.DynoVec4({ value: new Vector4() }),
        forward: new dyno.DynoVec4({ value: new Vector4() }),
    };
    private levels = false;
    private needsView = false;
    private lastEye = new Vector4();
    private lastForward = new Vector4();

    constructor(
        private readonly spark: SparkRenderer,
        private readonly scale: Scale,
    ) {
        this.mesh = new SplatMesh({ splats: new ExtSplats(), editable: false, raycastable: false });
        this.mesh.worldModifiers = [this.modifier()];
        this.mesh.updateGenerator();
        this.object = this.mesh;
    }

    get busy(): boolean {
        const { spark } = this;
        const choosing = this.levels && (spark.lodDirty || spark.currentLod !== spark.lastLod);
        return spark.sorting || spark.sortDirty || choosing || !this.mesh.isInitialized;
    }

    setLook(look: SplatLook): void {
        this.mesh.maxSh = look.shDegree;
        // An antialiased scene was fitted with opacity compensation, others with plain dilation by 0.3 px^2.
        this.spark.preBlurAmount = look.antialias ? 0 : 0.3;
        this.spark.blurAmount = look.antialias ? 0.3 : 0;
        const { mode, scale, minOpacity, cropLow, cropHigh, eye, forward } = this.uniforms;
        const [low, high] = cropOf(look.crop);
        mode.value = MODES[look.mode];
        scale.value = look.scale;
        minOpacity.value = look.minOpacity;
        cropLow.value.copy(low);
        cropHigh.value.copy(high);
        eye.value.w = look.depthRange[0];
        forward.value.w = look.depthRange[1];
        this.needsView = look.mode === "depth" || look.mode === "normal";
        this.mesh.updateGenerator();
        this.mesh.updateVersion();
        this.spark.setDirty();
    }

    async replace(arrays: Arrays, tell: (what: string) => void = () => {}): Promise<void> {
        const { count } = arrays;
        const levels = count > this.scale.levelsAbove;
        const encoded = await encodeAll(arrays, levels ? LEVELS_DEGREE : 3, (done) =>
            tell(`${(done / 1e6).toFixed(1)} of ${(count / 1e6).toFixed(1)} M splats`),
        );
        let splats = new ExtSplats({ extArrays: encoded.ext, numSplats: count, extra: encoded.harmonics });
        if (levels) {
            tell("levels of detail …");
            await splats.createLodSplats();
            // The levels hold the splats themselves, too.
            splats = new ExtSplats({ lodSplats: splats.lodSplats! });
        }
        const old = this.mesh.splats;
        this.mesh.splats = splats;
        this.mesh.extSplats = splats;
        this.mesh.numSplats = splats.numSplats;
        this.mesh.updateGenerator();
        this.mesh.updateVersion();
        old?.dispose();
        this.levels = levels;
        this.count = count;
        const stored = splats.lodSplats?.numSplats ?? count;
        // What was loaded, and 32 bytes of what Spark makes of each that it draws.
        this.bytes = 32 * count + 16 * stored * (2 + Object.keys(encoded.harmonics).length);
        this.spark.setDirty();
    }

    update(camera: Camera): void {
        if (!this.needsView) return;
        const { eye, forward } = this.uniforms;
        const position = camera.getWorldPosition(new Vector3());
        const direction = new Vector3(0, 0, -1).applyQuaternion(camera.getWorldQuaternion(new Quaternion()));
        eye.value.set(position.x, position.y, position.z, eye.value.w);
        forward.value.set(direction.x, direction.y, direction.z, forward.value.w);
        if (this.lastEye.equals(eye.value) && this.lastForward.equals(forward.value)) return;
        this.lastEye.copy(eye.value);
        this.lastForward.copy(forward.value);
        this.mesh.updateVersion();
    }

    dispose(): void {
        this.mesh.removeFromParent();
        this.mesh.dispose();
    }

    private modifier() {
        const uniforms = this.uniforms;
        const inTypes = {
            gsplat: dyno.Gsplat, mode: "int", scale: "float", minOpacity: "float",
            cropLow: "vec3", cropHigh: "vec3", eye: "vec4", forward: "vec4",
        } as const; // prettier-ignore
        return dyno.dynoBlock({ gsplat: dyno.Gsplat }, { gsplat: dyno.Gsplat }, ({ gsplat }) => {
            if (gsplat === undefined) throw new Error("a modifier without splats");
            const look = new dyno.Dyno({
                inTypes,
                outTypes: { gsplat: dyno.Gsplat },
                globals: () => [dyno.defineGsplat, modifierGlobals],
                statements: ({ inputs, outputs }) =>
                    modifier
                        .replace(/\$(\w+)/g, (_, name: string) =>
                            name === "out" ? outputs.gsplat! : inputs[name as keyof typeof inputs]!,
                        )
                        .split("\n"),
            });
            return { gsplat: look.apply({ gsplat, ...uniforms }).gsplat };
        });
    }
}
