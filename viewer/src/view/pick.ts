import { type Object3D, type Raycaster, Vector3 } from "three";
import type { Layer } from "./layers";

/** How far from a ray a point may be to count as hit, as a share of its distance. */
const SLACK = 0.006;

/** The nearest thing under a ray: a surface, or the centre of a point or primitive beside it. */
export function pickPoint(raycaster: Raycaster, layers: Iterable<Layer>): Vector3 | null {
    let best: Vector3 | null = null;
    let nearest = Infinity;
    for (const layer of layers) {
        if (!layer.object.visible) continue;
        const found = layer.centers === undefined ? surface(raycaster, layer.object) : center(raycaster, layer);
        if (found !== null && found.distance < nearest) {
            nearest = found.distance;
            best = found.point;
        }
    }
    return best;
}

interface Hit {
    point: Vector3;
    distance: number;
}

function surface(raycaster: Raycaster, object: Object3D): Hit | null {
    return raycaster.intersectObject(object, true)[0] ?? null;
}

function center(raycaster: Raycaster, layer: Layer): Hit | null {
    const inverse = layer.object.matrixWorld.clone().invert();
    const ray = raycaster.ray.clone().applyMatrix4(inverse);
    const { origin, direction } = ray;
    const centers = layer.centers!;
    let nearest = Infinity;
    let index = -1;
    for (let i = 0; i < centers.length; i += 3) {
        const x = centers[i]! - origin.x;
        const y = centers[i + 1]! - origin.y;
        const z = centers[i + 2]! - origin.z;
        const along = x * direction.x + y * direction.y + z * direction.z;
        if (along <= 0 || along >= nearest) continue;
        const aside2 = x * x + y * y + z * z - along * along;
        if (aside2 > (SLACK * along) ** 2) continue;
        nearest = along;
        index = i;
    }
    if (index < 0) return null;
    const point = new Vector3(centers[index], centers[index + 1], centers[index + 2]);
    point.applyMatrix4(layer.object.matrixWorld);
    return { point, distance: point.distanceTo(raycaster.ray.origin) };
}
