import { CatmullRomCurve3, Matrix4, type PerspectiveCamera, Quaternion, Vector3 } from "three";
import type { Keyframe } from "../net/messages";
import type { ViewData } from "../scene/document";
import { FLIP, worldMatrix } from "./pinhole";

/** Size of the pictures of a path through free cameras, px. */
const FREE_SIZE = { width: 1280, height: 720 };

/** The camera as it stands: a photo's own lens and size, or a centred lens of the same height of view. */
export function keyframeOf(camera: PerspectiveCamera, snapped: ViewData | null): Keyframe {
    const { width, height } = snapped ?? FREE_SIZE;
    const focal = height / 2 / Math.tan((camera.fov * Math.PI) / 360);
    const K = snapped?.K ?? [focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1];
    const world = camera.matrixWorld.clone().multiply(FLIP).invert().transpose();
    return { world_to_camera: world.toArray(), K: [...K], width, height };
}

/** A keyframe as a view, to stand at. */
export function viewOf(keyframe: Keyframe, name: string): ViewData {
    return {
        name,
        width: keyframe.width,
        height: keyframe.height,
        K: keyframe.K,
        distortion: { model: "none", params: [] },
        worldToCamera: keyframe.world_to_camera,
        split: "train",
    };
}

/** Where a path through keyframes is at `share` of its way: a preview of what `recon render --path saved` makes. */
export function along(
    keyframes: readonly Keyframe[],
    share: number,
): { eye: Vector3; target: Vector3; fovDeg: number } {
    const matrices = keyframes.map((one) => worldMatrix(viewOf(one, "")));
    const eyes = matrices.map((matrix) => new Vector3().setFromMatrixPosition(matrix));
    const turns = matrices.map((matrix) =>
        new Quaternion().setFromRotationMatrix(new Matrix4().extractRotation(matrix)),
    );
    const place = share * (keyframes.length - 1);
    const from = Math.min(Math.floor(place), keyframes.length - 2);
    const turn = turns[from]!.clone().slerp(turns[from + 1]!, place - from);
    const eye = new CatmullRomCurve3(eyes, false, "centripetal").getPoint(share);
    const fov = (one: Keyframe): number => (2 * Math.atan(one.height / (2 * one.K[4]!)) * 180) / Math.PI;
    const fovDeg = fov(keyframes[from]!) + (place - from) * (fov(keyframes[from + 1]!) - fov(keyframes[from]!));
    return { eye, target: new Vector3(0, 0, -1).applyQuaternion(turn).add(eye), fovDeg };
}
