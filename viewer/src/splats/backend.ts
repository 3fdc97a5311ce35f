import type { Camera, Object3D, Scene } from "three";
import type { Arrays } from "../scene/arrays";

/** How splats are looked at. */
export interface SplatLook {
    /** Highest degree of harmonics, 0 to 3. */
    shDegree: number;
    /** Multiplies the extents of primitives. */
    scale: number;
    /** Primitives that are less opaque are left out. */
    minOpacity: number;
    mode: "color" | "depth" | "normal" | "opacity" | "id";
    /** Distances that the depth mode paints black and white, scene units. */
    depthRange: readonly [number, number];
    /** Only primitives with their centre in this box: least x y z, greatest x y z, scene units. */
    crop: readonly [number, number, number, number, number, number] | null;
    /** Opacity compensation instead of plain dilation; see docs/config.md, `splats.antialias`. */
    antialias: boolean;
}

/** Splats of one node on the screen. */
export interface SplatObject {
    /** What is hung into the scene. */
    readonly object: Object3D;
    readonly count: number;
    /** Bytes on the graphics card, an estimate. */
    readonly bytes: number;
    setLook(look: SplatLook): void;
    /** Put new data in place of the old. tell: hears what takes time. */
    replace(arrays: Arrays, tell?: (what: string) => void): Promise<void>;
    /** Called before each picture; starts sorting if the camera moved. */
    update(camera: Camera): void;
    /** True while a sort for the latest picture has not come back. */
    readonly busy: boolean;
    dispose(): void;
}

/** A way to draw splats. Another renderer is another implementation of this. */
export interface SplatBackend {
    /** Families that it draws. */
    readonly families: readonly string[];
    create(family: string, arrays: Arrays, look: SplatLook): Promise<SplatObject>;
    /** Called once with the scene that objects will hang in. */
    attach(scene: Scene): void;
}
