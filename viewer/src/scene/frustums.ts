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
    type Texture,
    TextureLoader,
} from "three";
import { worldMatrix } from "../camera/pinhole";
import type { Files } from "../net/files";
import type { ViewData } from "./document";
import { photoAddress } from "./placed";

const COLORS = { train: new Color(0x6cb8ff), test: new Color(0xffb454) };

/** The cameras as pyramids with their photos on the image planes. */
export class Frustums {
    readonly group = new Group();
    private readonly pyramids = new Map<string, Group>();
    private readonly planes: Mesh[] = [];
    /** By address: cameras move while a run looks for them, their pictures stay. */
    private readonly textures = new Map<string, Promise<Texture>>();

    constructor(
        private readonly files: Files,
        private readonly onLoad: () => void,
    ) {}

    /** These cameras and no others. size: distance of the image planes, scene units. */
    show(views: readonly ViewData[], size: number): void {
        this.clear();
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
        this.clear();
        for (const texture of this.textures.values()) texture.then((one) => one.dispose()).catch(() => {});
    }

    private clear(): void {
        this.group.traverse((object) => {
            if (!(object instanceof Mesh || object instanceof LineSegments)) return;
            object.geometry.dispose();
            (object.material as MeshBasicMaterial).dispose();
        });
        this.group.clear();
        this.pyramids.clear();
        this.planes.length = 0;
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
        const address = photoAddress(view, this.files);
        if (address !== undefined) void this.paste(material, address);
        const pyramid = new Group();
        pyramid.add(new LineSegments(outline, new LineBasicMaterial({ color: COLORS[view.split] })), plane);
        pyramid.applyMatrix4(worldMatrix(view));
        return pyramid;
    }

    private async paste(material: MeshBasicMaterial, address: string): Promise<void> {
        let loading = this.textures.get(address);
        if (loading === undefined) this.textures.set(address, (loading = new TextureLoader().loadAsync(address)));
        const texture = await loading.catch(() => null);
        if (texture === null) return; // The pyramid stays, without a picture.
        texture.colorSpace = SRGBColorSpace;
        material.map = texture;
        material.color.set(0xffffff);
        material.opacity = 0.85;
        material.needsUpdate = true;
        this.onLoad();
    }
}
