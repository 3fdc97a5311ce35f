import {
    BufferAttribute,
    BufferGeometry,
    Color,
    DoubleSide,
    Group,
    LineBasicMaterial,
    LineSegments,
    Mesh,
    MeshBasicMaterial,
    type Raycaster,
    SRGBColorSpace,
    TextureLoader,
} from "three";
import { worldMatrix } from "../camera/pinhole";
import type { Files } from "../net/files";
import type { ViewData } from "./document";

const COLORS = { train: new Color(0x6cb8ff), test: new Color(0xffb454) };

/** The cameras as pyramids with their photos on the image planes. */
export class Frustums {
    readonly group = new Group();
    private readonly pyramids = new Map<string, Group>();
    private readonly planes: Mesh[] = [];

    /** size: distance of the image planes, scene units. */
    constructor(
        views: readonly ViewData[],
        size: number,
        private readonly files: Files,
        private readonly onLoad: () => void,
    ) {
        for (const view of views) {
            const pyramid = this.pyramid(view, size);
            this.pyramids.set(view.name, pyramid);
            this.group.add(pyramid);
        }
    }

    /** Hide one camera's own pyramid, which would lie on the picture that it takes; null for none. */
    hide(name: string | null): void {
        for (const [other, pyramid] of this.pyramids) pyramid.visible = other !== name;
    }

    /** The view whose image plane a ray meets first. */
    pick(raycaster: Raycaster): string | null {
        if (!this.group.visible) return null;
        const hit = raycaster.intersectObjects(this.planes, false)[0];
        return hit === undefined ? null : hit.object.name;
    }

    dispose(): void {
        this.group.removeFromParent();
        this.group.traverse((object) => {
            if (!(object instanceof Mesh || object instanceof LineSegments)) return;
            object.geometry.dispose();
            if (object instanceof Mesh) (object.material as MeshBasicMaterial).map?.dispose();
            (object.material as MeshBasicMaterial).dispose();
        });
    }

    private pyramid(view: ViewData, size: number): Group {
        const [fx, , cx, , fy, cy] = view.K as [number, number, number, number, number, number];
        const corner = (x: number, y: number): [number, number, number] => [
            ((x - cx) / fx) * size,
            (-(y - cy) / fy) * size,
            -size,
        ];
        const { width, height } = view;
        const corners = [corner(0, 0), corner(width, 0), corner(width, height), corner(0, height)];
        const lines: number[] = [];
        for (let k = 0; k < 4; ++k) lines.push(0, 0, 0, ...corners[k]!, ...corners[k]!, ...corners[(k + 1) % 4]!);
        const outline = new BufferGeometry();
        outline.setAttribute("position", new BufferAttribute(new Float32Array(lines), 3));
        const image = new BufferGeometry();
        image.setAttribute("position", new BufferAttribute(new Float32Array(corners.flat()), 3));
        image.setAttribute("uv", new BufferAttribute(new Float32Array([0, 1, 1, 1, 1, 0, 0, 0]), 2));
        image.setIndex([0, 2, 1, 0, 3, 2]);
        const material = new MeshBasicMaterial({
            color: COLORS[view.split],
            side: DoubleSide,
            transparent: true,
            opacity: 0.15,
        });
        const plane = new Mesh(image, material);
        plane.name = view.name;
        this.planes.push(plane);
        if (view.photo !== undefined) this.paste(material, view.photo);
        const pyramid = new Group();
        pyramid.add(new LineSegments(outline, new LineBasicMaterial({ color: COLORS[view.split] })), plane);
        pyramid.applyMatrix4(worldMatrix(view));
        return pyramid;
    }

    private paste(material: MeshBasicMaterial, photo: string): void {
        new TextureLoader().load(this.files.address(photo), (texture) => {
            texture.colorSpace = SRGBColorSpace;
            material.map = texture;
            material.color.set(0xffffff);
            material.opacity = 0.85;
            material.needsUpdate = true;
            this.onLoad();
        });
    }
}
