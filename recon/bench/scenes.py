"""Scenes to time the rasteriser on: parameters, cameras and sizes, from a seed or a capture's points."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.geometry import quaternion, spherical_harmonics
from recon.render.families import FAMILIES


@dataclass(frozen=True)
class BenchScene:
    """Primitives of one family, seen by one camera."""

    name: str
    params: dict[str, Tensor]
    """As `rasterize` takes them, on the CPU."""
    world_to_camera: Tensor
    """[4, 4]."""
    K: Tensor
    """[3, 3], px."""
    width: int
    height: int

    def to(self, device: torch.device) -> BenchScene:
        """The scene on `device`."""
        params = {name: value.to(device) for name, value in self.params.items()}
        return replace(self, params=params, world_to_camera=self.world_to_camera.to(device), K=self.K.to(device))


def synthetic(family: str, count: int, width: int, height: int, seed: int = 0) -> dict[str, Tensor]:
    """Degree-3 primitives spread over the image at depths 2 to 6, focal length = height.

    Gaussians: standard deviations are log-normal around 3 px at 30,000 and shrink with the root of their number, so the
    image stays covered about as often; two axes to one are 3:1 on average. At 30,000 and 270x480 each meets some 34
    rows of 16 px, like the scenes that the published figures were taken on. The other families stand in the same
    places with the same colours, opacities and deviations; what is their own is as after training: exponents around 3,
    triangles that weigh as much as the Gaussian (their integrals agree at sigma = 1.16), hulls of six points on the
    ellipsoid of two deviations.
    """
    g = torch.Generator().manual_seed(seed)
    depth = 2 + 4 * torch.rand(count, generator=g)
    xy = (torch.rand(count, 2, generator=g) - 0.5) * torch.tensor([width, height]) / height
    sigma = 3.0 * math.sqrt(30_000 / count) / height * depth
    log_scales = sigma.log()[:, None] + 0.5 * torch.randn(count, 3, generator=g) - torch.tensor([0.0, 0.0, 1.0])
    params = {
        "means": torch.cat([xy * depth[:, None], depth[:, None]], dim=1),
        "quats": torch.randn(count, 4, generator=g),
        "log_scales": log_scales,
        "opacity_logits": torch.randn(count, generator=g) * 1.5 - 0.5,
        "sh_coeffs": torch.randn(count, 16, 3, generator=g) * 0.2,
    }
    axes = quaternion.to_matrix(params["quats"]) * log_scales.exp()[:, None, :]
    if family == "exponential":
        params["shape_logits"] = torch.randn(count, generator=g) * 0.5 - 1.1
    elif family == "surfel":
        params["log_scales"] = log_scales[:, :2].contiguous()
    elif family == "triangle":
        # An equilateral triangle of circumradius R has the area 1.3 R^2, of which sigma = 1.16 leaves 0.29.
        angles = torch.tensor([0.0, 2.0, 4.0]) * math.pi / 3
        corners = 4.05 * torch.stack([angles.cos(), angles.sin()], dim=-1)
        params["vertices"] = params["means"][:, None] + corners @ axes[..., :2].transpose(-1, -2)
        params["log_sigmas"] = torch.full((count,), math.log(1.15))
    elif family == "convex":
        directions = torch.nn.functional.normalize(torch.randn(count, 6, 3, generator=g), dim=-1)
        params["points"] = params["means"][:, None] + 2 * directions @ axes.transpose(-1, -2)
        # Beyond an edge, alpha is lost within about one deviation; corners are rounded a little.
        largest = log_scales.sort(dim=-1).values[:, 1:]
        area = 1000**2 * largest.sum(-1).exp() / depth**2
        params["log_deltas"] = (6 / (area * depth)).log()
        params["log_sigmas"] = (0.5 / depth).log()
    return {name: params[name] for name in (*FAMILIES[family].parameters, "sh_coeffs")}


def trained_like(count: int, width: int, height: int, seed: int = 0) -> BenchScene:
    """Gaussians with the statistics of a trained scene: most are small and faint, a few are large, many are flat.

    Sizes are log-normal around 1.2 px at a million on 1920x1080 with a deviation of 1.1 (so one in a hundred is more
    than ten times as large), the thinnest axis is a fifth of the longest, and opacities are 45 % below 0.1 and 25 %
    above 0.9. Three quarters of them lie on a wall at depth 4, the others before it.
    """
    g = torch.Generator().manual_seed(seed)
    wall = torch.rand(count, generator=g) < 0.75
    depth = torch.where(wall, 4 + 0.05 * torch.randn(count, generator=g), 1.5 + 2.5 * torch.rand(count, generator=g))
    xy = (torch.rand(count, 2, generator=g) - 0.5) * torch.tensor([width, height]) / height * 1.2
    sigma = 1.2 * math.sqrt(1e6 / count * width * height / (1920 * 1080)) / height * depth
    spread = 1.1 * torch.randn(count, 1, generator=g) + 0.3 * torch.randn(count, 3, generator=g)
    kind = torch.rand(count, generator=g)
    lower = torch.where(kind < 0.45, 0.005, torch.where(kind < 0.75, 0.1, 0.9))
    upper = torch.where(kind < 0.45, 0.1, torch.where(kind < 0.75, 0.9, 0.995))
    opacity = lower + (upper - lower) * torch.rand(count, generator=g)
    params = {
        "means": torch.cat([xy * depth[:, None], depth[:, None]], dim=1),
        "quats": torch.randn(count, 4, generator=g),
        "log_scales": sigma.log()[:, None] + spread - torch.tensor([0.0, 0.3, math.log(5.0)]),
        "opacity_logits": torch.logit(opacity),
        "sh_coeffs": torch.randn(count, 16, 3, generator=g) * 0.2,
    }
    K = torch.tensor([[float(height), 0, width / 2], [0, float(height), height / 2], [0, 0, 1]])
    return BenchScene("trained-like", params, torch.eye(4), K, width, height)


def garden(replicas: int, width: int, height: int, seed: int = 0) -> BenchScene:
    """The points of the garden capture within 2 units of the middle, `replicas` x `replicas` of them side by side.

    That is how gsplat's own benchmark makes large scenes of a small one; sizes (up to 0.02 units), turns and opacities
    are random. The camera is the capture's first. Raises ReconError where the capture is absent.
    """
    path = Path(os.environ.get("RECON_DATA", "../shared/data")) / "garden" / "test_garden.npz"
    if not path.is_file():
        raise ReconError(f"{path}: no garden capture", fix="set RECON_DATA to the folder that holds garden/")
    with np.load(path) as file:
        points, colors = torch.from_numpy(file["means3d"]), torch.from_numpy(file["colors"]).float() / 255
        camera, K = torch.from_numpy(file["viewmats"][0]).float(), torch.from_numpy(file["Ks"][0]).float()
        K[0] *= width / float(file["width"])
        K[1] *= height / float(file["height"])
    near = (points.abs() < 2).all(-1)
    points, colors = points[near], colors[near]
    steps = 4.0 * (torch.arange(replicas) - replicas // 2)
    shifts = torch.cartesian_prod(steps, steps) if replicas > 1 else torch.zeros(1, 2)
    means = (points[None] + torch.cat([shifts, torch.zeros(len(shifts), 1)], dim=1)[:, None]).reshape(-1, 3)
    g, count = torch.Generator().manual_seed(seed), len(means)
    sh_coeffs = 0.05 * torch.randn(count, 16, 3, generator=g)
    sh_coeffs[:, 0] = spherical_harmonics.from_rgb(colors).repeat(len(shifts), 1)
    params = {
        "means": means.contiguous(),
        "quats": torch.randn(count, 4, generator=g),
        "log_scales": (0.02 * torch.rand(count, 3, generator=g)).clamp_min(1e-5).log(),
        "opacity_logits": torch.logit(torch.rand(count, generator=g).clamp(0.01, 0.99)),
        "sh_coeffs": sh_coeffs,
    }
    return BenchScene(f"garden {replicas}x{replicas}", params, camera, K, width, height)
