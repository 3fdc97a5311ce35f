"""Triangles (Held et al. 2025): alpha = opacity (u / r)^sigma inside, sigma = 0.01 + exp(log_sigmas)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recon.render.families.appearance import Appearance, PinholeView
from recon.render.families.family import RenderFamily

MIN_SIGMA = 0.01


def sigmas(log_sigmas: Tensor) -> Tensor:
    """Exponents [N]: near 0 the triangle is solid."""
    return MIN_SIGMA + log_sigmas.exp()


def appearance(params: Mapping[str, Tensor], view: PinholeView) -> Appearance:
    """Plain-torch twin. Source: Held et al. 2025 (Triangle Splatting), eq. 3 and 4."""
    vertices = params["vertices"]
    camera_vertices = view.to_camera(vertices)
    corners = view.project(camera_vertices)  # [N, 3, 2]
    edges = corners.roll(-1, dims=1) - corners
    lengths = edges.norm(dim=-1)
    area2 = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    normals2d = torch.stack([edges[..., 1], -edges[..., 0]], dim=-1) * area2.sign()[:, None, None] / lengths[..., None]
    inradius = area2.abs() / lengths.sum(1)
    means2d = (lengths.roll(-1, dims=1)[..., None] * corners).sum(1) / lengths.sum(1, keepdim=True)
    pixels = view.offsets(corners.flatten(0, 1)).unflatten(2, (-1, 3))  # [H, W, N, 3, 2] from each corner
    inside = -(pixels * normals2d).sum(-1).amax(-1)
    share = (inside / inradius).clamp(1e-30, 1)
    opacity = torch.sigmoid(params["opacity_logits"])
    alphas = torch.where(inside > 0, opacity * share ** sigmas(params["log_sigmas"]), 0.0)
    face = torch.linalg.cross(vertices[:, 1] - vertices[:, 0], vertices[:, 2] - vertices[:, 0])
    z = camera_vertices[..., 2]
    return Appearance(
        centers=vertices.mean(1),
        means2d=means2d,
        depths=z.mean(1),
        alphas=alphas,
        normals=view.facing(torch.nn.functional.normalize(face, dim=-1, eps=1e-18), vertices[:, 0]),
        visible=(z > view.near_plane).all(1) & (z.mean(1) < view.far_plane) & (inradius > 0.05),
    )


TRIANGLE = RenderFamily(
    name="triangle",
    parameters={"vertices": (3, 3), "log_sigmas": (), "opacity_logits": ()},
    native="triangle",
    appearance=appearance,
)
