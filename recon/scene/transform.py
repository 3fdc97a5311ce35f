"""A scene in other coordinates: turned, scaled and moved, with its harmonics, sizes and cameras."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.geometry import quaternion, rigid, spherical_harmonics
from recon.scene.edit import select
from recon.scene.nodes import Mesh, Node, Points, Splats, View
from recon.scene.placed import moved_mesh, moved_points
from recon.scene.scene import Scene

_ROWS = 1 << 14
"""Splats at a time: positions pass through double precision."""


@dataclass(frozen=True)
class Similarity:
    """new = scale * rotation @ old + translation."""

    scale: float
    rotation: Tensor
    """[3, 3] float64, proper."""
    translation: Tensor
    """[3] float64, new units."""

    @staticmethod
    def of(matrix: Tensor, what: str) -> Similarity:
        """From [4, 4]. ReconError, which begins with `what`, when it mirrors, shears or scales axes differently."""
        linear = matrix[:3, :3].double()
        determinant = float(torch.linalg.det(linear))
        scale = abs(determinant) ** (1 / 3)
        rotation = linear / max(scale, 1e-300)
        off = float((rotation @ rotation.T - torch.eye(3, dtype=torch.float64)).abs().max())
        if not torch.isfinite(matrix).all() or determinant <= 0 or off > 1e-4:
            raise ReconError(
                f"{what}: no similarity",
                found=[[round(x, 5) for x in row] for row in matrix[:3].tolist()],
                wanted="a rotation, one scale for all axes and a translation",
            )
        # The nearest exact rotation, so that what comes out is one.
        u, _, vh = torch.linalg.svd(rotation)
        return Similarity(scale, u @ vh, matrix[:3, 3].double())

    @property
    def matrix(self) -> Tensor:
        """[4, 4] float64."""
        result = torch.eye(4, dtype=torch.float64)
        result[:3, :3], result[:3, 3] = self.scale * self.rotation, self.translation
        return result

    def points(self, points: Tensor) -> Tensor:
        """[..., 3] in their own precision."""
        return (self.scale * (points.double() @ self.rotation.T) + self.translation).to(points.dtype)


def transform_scene(scene: Scene, similarity: Similarity) -> Scene:
    """The scene in new coordinates. `source_from_world` still leads to the same source coordinates."""
    moved = similarity.matrix
    back = torch.linalg.inv(moved)
    return replace(
        scene,
        views=tuple(_view(view, similarity) for view in scene.views),
        nodes=tuple(_node(node, similarity, moved) for node in scene.nodes),
        metric=scene.metric and abs(similarity.scale - 1) < 1e-9,
        source_from_world=scene.source_from_world.double() @ back,
    )


def transform_splats(splats: Splats, similarity: Similarity, *, in_place: bool = False) -> Splats:
    """The splats in new coordinates, turned with their harmonics.

    in_place: write over the tensors of `splats`, for one who has just read them and has memory for them once.
    """
    matrix = spherical_harmonics.rotation(similarity.rotation, splats.sh_degree).to(splats["sh_coeffs"].dtype)
    result = splats if in_place else replace(splats, params={k: torch.empty_like(v) for k, v in splats.params.items()})
    for first in range(0, len(splats), _ROWS):
        piece = slice(first, first + _ROWS)
        for name, values in _moved_rows(select(splats, piece), similarity, matrix).items():
            result[name][piece] = values
    return result


def _moved_rows(splats: Splats, similarity: Similarity, harmonics: Tensor) -> dict[str, Tensor]:
    """Parameters in new coordinates. harmonics: [K, K] of the rotation."""
    params = dict(splats.params)
    for name in ("means", "vertices", "points"):
        if name in params:
            params[name] = similarity.points(params[name])
    if "quats" in params:
        turn = quaternion.from_matrix(similarity.rotation).to(params["quats"].dtype)
        params["quats"] = quaternion.multiply(turn.expand_as(params["quats"]), params["quats"])
    factor = float(torch.tensor(similarity.scale, dtype=torch.float64).log())
    if "log_scales" in params:
        params["log_scales"] = params["log_scales"] + factor
    if splats.family == "convex":  # both are multiplied by depths, see cuda/include/recon/families/convex.h
        params["log_deltas"] = params["log_deltas"] - factor
        params["log_sigmas"] = params["log_sigmas"] - factor
    params["sh_coeffs"] = torch.matmul(harmonics, params["sh_coeffs"])
    return params


def _view(view: View, similarity: Similarity) -> View:
    pose = view.world_to_camera.double()
    rotation = pose[:3, :3] @ similarity.rotation.T
    translation = similarity.scale * pose[:3, 3] - rotation @ similarity.translation
    return replace(view, world_to_camera=rigid.from_rotation_translation(rotation, translation))


def _node(node: Node, similarity: Similarity, moved: Tensor) -> Node:
    content = node.content
    if isinstance(content, Splats):
        return replace(node, content=transform_splats(content, similarity))
    if node.parent is not None or not torch.equal(node.parent_from_node, torch.eye(4, dtype=torch.float64)):
        # Below a matrix the data stay as they are; the outermost matrix takes the change in.
        return node if node.parent is not None else replace(node, parent_from_node=moved @ node.parent_from_node)
    if isinstance(content, Points):
        return replace(node, content=moved_points(content, moved))
    if isinstance(content, Mesh):
        return replace(node, content=moved_mesh(content, moved))
    return replace(node, parent_from_node=moved @ node.parent_from_node)
