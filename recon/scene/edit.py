"""Fewer splats: by a box, by opacity, by the degree of their harmonics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.geometry import rigid
from recon.scene.nodes import Mesh, Node, Points, Splats
from recon.scene.scene import Scene

PLACES = ("means", "vertices", "points")
"""Parameters that say where a primitive is; each family has one of them."""


def centers(splats: Splats) -> Tensor:
    """[N, 3]: the mean of what a primitive is made of."""
    place = next(splats[name] for name in PLACES if name in splats.params)
    return place.reshape(len(splats), -1, 3).mean(1)


def select(splats: Splats, keep: Tensor | slice) -> Splats:
    """Rows by mask, by index or, without a copy, by slice."""
    return replace(splats, params={name: value[keep] for name, value in splats.params.items()})


def select_from(family: str, params: dict[str, Tensor], keep: Tensor) -> Splats:
    """`select` for large splats: `params` is emptied, so that each of them is there twice only while it is cut down."""
    return Splats(family, {name: params.pop(name)[keep] for name in tuple(params)})


def select_points(points: Points, keep: Tensor | slice) -> Points:
    """Rows by mask, by index or, without a copy, by slice."""
    return Points(
        points.positions[keep],
        points.colors[keep],
        None if points.normals is None else points.normals[keep],
        None if points.scales is None else points.scales[keep],
    )


def select_faces(mesh: Mesh, keep: Tensor) -> Mesh:
    """Triangles by mask [F], with the vertices that they use."""
    faces = mesh.faces[keep]
    used, numbers = torch.unique(faces, return_inverse=True)
    return replace(
        mesh,
        vertices=mesh.vertices[used],
        faces=numbers.reshape(-1, 3),
        normals=None if mesh.normals is None else mesh.normals[used],
        uvs=None if mesh.uvs is None else mesh.uvs[used],
        colors=None if mesh.colors is None else mesh.colors[used],
    )


def with_sh_degree(splats: Splats, degree: int) -> Splats:
    """The splats with bands above `degree` cut off, or with zeros for those that are missing."""
    wanted, harmonics = (degree + 1) ** 2, splats["sh_coeffs"]
    if harmonics.shape[1] < wanted:
        harmonics = torch.cat([harmonics, harmonics.new_zeros(len(splats), wanted - harmonics.shape[1], 3)], dim=1)
    return replace(splats, params={**splats.params, "sh_coeffs": harmonics[:, :wanted].contiguous()})


def reduced(
    scene: Scene, *, sh_degree: int | None = None, crop: Sequence[float] | None = None, min_opacity: float = 0.0
) -> Scene:
    """The scene with fewer or simpler splats; points and meshes are cropped, too.

    sh_degree: highest degree of harmonics that stays.   crop: least x, y, z and greatest x, y, z, world, of the centres
    of splats and of triangles with all of their vertices.   min_opacity: in [0, 1].
    A mesh of which nothing is left leaves an empty node. Raises ReconError when no splat is left.
    """
    if crop is not None and not all(low < high for low, high in zip(crop[:3], crop[3:], strict=True)):
        raise ReconError(
            "crop", found=list(crop), wanted="least x y z, then greatest x y z, each below its counterpart"
        )

    def place(node: Node, points: Tensor) -> Tensor:
        return rigid.transform_points(scene.world_from(node), points.double())

    nodes = []
    for node in scene.nodes:
        content = node.content
        if isinstance(content, Splats):
            keep = torch.sigmoid(content["opacity_logits"]) >= min_opacity
            if crop is not None:
                keep &= _inside(centers(content), crop)
            if not bool(keep.any()):
                raise ReconError("no splat is left", found=f"{len(content)} before --crop and --min-opacity")
            content = content if bool(keep.all()) else select(content, keep)
            if sh_degree is not None and sh_degree < content.sh_degree:
                content = with_sh_degree(content, sh_degree)
        elif isinstance(content, Points) and crop is not None:
            content = select_points(content, _inside(place(node, content.positions), crop))
        elif isinstance(content, Mesh) and crop is not None:
            whole = _inside(place(node, content.vertices), crop)[content.faces].all(1)
            content = select_faces(content, whole) if bool(whole.any()) else None
        nodes.append(replace(node, content=content))
    return replace(scene, nodes=tuple(nodes))


def _inside(points: Tensor, crop: Sequence[float]) -> Tensor:
    low, high = points.new_tensor(list(crop[:3])), points.new_tensor(list(crop[3:]))
    return ((points >= low) & (points <= high)).all(-1)
