import {
    BufferAttribute,
    BufferGeometry,
    DoubleSide,
    Group,
    Mesh,
    MeshBasicMaterial,
    SRGBColorSpace,
    type Texture,
    TextureLoader,
} from "three";
import { ViewerError } from "../errors";
import type { Files } from "../net/files";
import type { Buffers } from "./arrays";
import type { NodeData, Part } from "./document";

/** A textured or coloured surface. Its colours hold the light that the photos saw, so it is not lit again. */
export async function makeMesh(node: NodeData, buffers: Buffers, files: Files): Promise<Group> {
    const group = new Group();
    for (const part of node.parts) {
        const arrays = await buffers.part(node, part);
        const geometry = new BufferGeometry();
        geometry.setAttribute("position", new BufferAttribute(arrays.need("POSITION"), 3));
        const normals = arrays.get("NORMAL");
        if (normals !== undefined) geometry.setAttribute("normal", new BufferAttribute(normals, 3));
        else geometry.computeVertexNormals();
        const uvs = arrays.get("TEXCOORD_0");
        if (uvs !== undefined) geometry.setAttribute("uv", new BufferAttribute(uvs, 2));
        const colors = arrays.get("COLOR_0");
        if (colors !== undefined)
            geometry.setAttribute("color", new BufferAttribute(colors, colors.length / arrays.count));
        const indices = await buffers.indices(part);
        if (indices !== undefined) geometry.setIndex(new BufferAttribute(indices, 1));
        const material = new MeshBasicMaterial({ side: DoubleSide, vertexColors: colors !== undefined });
        if (part.texture !== undefined && uvs !== undefined) material.map = await loadTexture(part, files);
        group.add(new Mesh(geometry, material));
    }
    return group;
}

async function loadTexture(part: Part, files: Files): Promise<Texture> {
    const texture = await new TextureLoader().loadAsync(files.address(part.texture!)).catch(() => {
        throw new ViewerError(
            `${part.texture}: the texture cannot be read`,
            "Restore the file, or make the mesh again with `recon run --force`.",
        );
    });
    texture.colorSpace = SRGBColorSpace;
    // glTF's texture coordinates start at the upper left corner.
    texture.flipY = false;
    return texture;
}
