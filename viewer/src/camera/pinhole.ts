import { Matrix4, type PerspectiveCamera, Vector3 } from "three";
import type { ViewData } from "../scene/document";

/** A rectangle on the canvas, CSS px. */
export interface Rectangle {
    left: number;
    top: number;
    width: number;
    height: number;
}

/** OpenCV's camera axes (y down, z forward) from those of three.js (y up, z backward). */
export const FLIP = new Matrix4().makeScale(1, -1, -1);

/** Where a photo of `width` x `height` lies when it fills as much of a canvas as it can. */
export function fitted(width: number, height: number, canvasWidth: number, canvasHeight: number): Rectangle {
    const scale = Math.min(canvasWidth / width, canvasHeight / height);
    const size = { width: width * scale, height: height * scale };
    return { left: (canvasWidth - size.width) / 2, top: (canvasHeight - size.height) / 2, ...size };
}

/** Camera to world, for three.js. */
export function worldMatrix(view: ViewData): Matrix4 {
    const worldToCamera = new Matrix4().fromArray([...view.worldToCamera]).transpose();
    return worldToCamera.invert().multiply(FLIP);
}

/** Centre of a view's camera in the world. */
export function centerOf(view: ViewData): Vector3 {
    return new Vector3().setFromMatrixPosition(worldMatrix(view));
}

/**
 * The projection in which a photo's pixels fall on `place`, principal point and all, on a canvas of `canvasWidth` x
 * `canvasHeight`: an off-axis pinhole whose image goes on outside of the photo.
 */
export function projection(
    view: Pick<ViewData, "K" | "width" | "height">,
    place: Rectangle,
    canvasWidth: number,
    canvasHeight: number,
    near: number,
    far: number,
): Matrix4 {
    const scaleX = place.width / view.width;
    const scaleY = place.height / view.height;
    const fx = view.K[0]! * scaleX;
    const fy = view.K[4]! * scaleY;
    const cx = view.K[2]! * scaleX + place.left;
    const cy = view.K[5]! * scaleY + place.top;
    return new Matrix4().makePerspective(
        (-cx / fx) * near,
        ((canvasWidth - cx) / fx) * near,
        (cy / fy) * near,
        (-(canvasHeight - cy) / fy) * near,
        near,
        far,
    );
}

/** Put `camera` exactly where a view's photo was taken; its own parameters are left alone until they are used again. */
export function lookThrough(camera: PerspectiveCamera, view: ViewData, matrix: Matrix4): void {
    worldMatrix(view).decompose(camera.position, camera.quaternion, camera.scale);
    camera.updateMatrixWorld(true);
    camera.projectionMatrix.copy(matrix);
    camera.projectionMatrixInverse.copy(matrix).invert();
}

/** Unit mean of the cameras' up directions. */
export function meanUp(views: readonly ViewData[]): Vector3 {
    const up = new Vector3();
    for (const view of views) up.sub(new Vector3(view.worldToCamera[4], view.worldToCamera[5], view.worldToCamera[6]));
    return up.lengthSq() > 1e-12 ? up.normalize() : new Vector3(0, 1, 0);
}

/** The point nearest to all lines of sight, or one ahead of the cameras where there is no such point. */
export function focusOf(views: readonly ViewData[], extent: number): Vector3 {
    // Sum of I - d d^T over the views, and of that times the centre.
    const sum = new Array<number>(9).fill(0);
    const right = new Vector3();
    const mean = new Vector3();
    const ahead = new Vector3();
    for (const view of views) {
        const center = centerOf(view);
        const d = new Vector3(view.worldToCamera[8], view.worldToCamera[9], view.worldToCamera[10]);
        const along = d.dot(center);
        const axis = [d.x, d.y, d.z];
        for (let i = 0; i < 3; ++i)
            for (let j = 0; j < 3; ++j) sum[3 * i + j]! += (i === j ? 1 : 0) - axis[i]! * axis[j]!;
        right.add(center.clone().addScaledVector(d, -along));
        mean.addScaledVector(center, 1 / views.length);
        ahead.addScaledVector(d, 1 / views.length);
    }
    const [a, b, c, , e, f, , , i] = sum as [number, number, number, number, number, number, number, number, number];
    const determinant = a * (e * i - f * f) - b * (b * i - f * c) + c * (b * f - e * c);
    if (views.length > 1 && determinant > 1e-4 * views.length ** 3) {
        const point = new Vector3(
            (e * i - f * f) * right.x + (c * f - b * i) * right.y + (b * f - c * e) * right.z,
            (c * f - b * i) * right.x + (a * i - c * c) * right.y + (b * c - a * f) * right.z,
            (b * f - c * e) * right.x + (b * c - a * f) * right.y + (a * e - b * b) * right.z,
        ).divideScalar(determinant);
        if (point.clone().sub(mean).dot(ahead) > 0) return point;
    }
    return mean.addScaledVector(ahead.normalize(), 3 * extent);
}

/** A place behind and above the cameras, from where all of them are seen together with what they look at. */
export function overview(views: readonly ViewData[], up: Vector3): { eye: Vector3; target: Vector3 } {
    const extent = extentOf(views);
    const target = focusOf(views, extent);
    const away = views.map((view) => centerOf(view).sub(target));
    const back = away.reduce((sum, one) => sum.add(one), new Vector3());
    // Cameras all around have no side that is behind them.
    if (back.length() < 0.1 * away.reduce((sum, one) => sum + one.length(), 0)) back.copy(away[0] ?? up);
    back.normalize().addScaledVector(up, 0.6).normalize();
    const distance = 2.2 * Math.max(...away.map((one) => one.length()), 1e-6);
    return { eye: target.clone().addScaledVector(back, distance), target };
}

/** Radius of the cameras around their mean, times 1.1; 1 where it would be nothing. */
export function extentOf(views: readonly ViewData[]): number {
    const centers = views.map(centerOf);
    const mean = new Vector3();
    for (const center of centers) mean.addScaledVector(center, 1 / centers.length);
    const radius = 1.1 * Math.max(0, ...centers.map((center) => center.distanceTo(mean)));
    return radius > 1e-9 ? radius : 1;
}
