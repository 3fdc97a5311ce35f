"""Small random scenes of every family that touch every code path of the rasteriser."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.render.families import FAMILIES

CASES = [*(name for name in FAMILIES if name != "convex"), "convex-3", "convex-6", "convex-7", "convex-8"]
"""Families, and for those made of points how many each primitive has."""


@dataclass(frozen=True)
class FamilyScene:
    """Primitives, one camera and an image size that is no multiple of the tile."""

    family: str
    params: dict[str, Tensor]
    world_to_camera: Tensor
    K: Tensor
    width: int
    height: int

    @property
    def camera(self) -> tuple[Tensor, Tensor, int, int]:
        """Arguments of `rasterize` behind the parameters."""
        return self.world_to_camera, self.K, self.width, self.height

    def leaves(self) -> dict[str, Tensor]:
        """Fresh parameter leaves that want gradients."""
        return {name: value.clone().requires_grad_() for name, value in self.params.items()}


def random_scene(
    count: int = 60,
    width: int = 37,
    height: int = 29,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    sh_degree: int = 3,
    case: str = "gaussian",
) -> FamilyScene:
    """Primitives of mixed size, shape and opacity before an off-centre camera; some lie behind or beside it."""
    family, _, points = case.partition("-")
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    means = normal(count, 3) * torch.tensor([0.8, 0.7, 0.9], dtype=torch.float64)
    means[0] = torch.tensor([0.3, 0.1, -6.0])  # behind the camera
    means[1] = torch.tensor([3.0, 0.2, 0.0])  # outside the image, inside the Jacobian's clamp or not
    params = {
        "means": means,
        "quats": normal(count, 4),
        "log_scales": normal(count, 3) * 0.7 - 2.0,
        "opacity_logits": normal(count) * 1.5 + 0.5,
        "sh_coeffs": normal(count, (sh_degree + 1) ** 2, 3) * 0.25,
    }
    params["log_scales"][1] = 0.0
    params["opacity_logits"][2] = 9.0  # saturates alpha_max
    params["opacity_logits"][3] = -9.0  # too faint to see
    params["log_scales"][4] = torch.tensor([-0.5, -3.5, -3.0])  # a needle across tiles
    scales = params["log_scales"].exp()
    if family == "exponential":
        params["shape_logits"] = normal(count) - 1.5
    elif family == "surfel":
        params["log_scales"] = params["log_scales"][:, :2].contiguous()
        params["log_scales"][5] = 1.0  # reaches behind the camera
        params["means"][5] = torch.tensor([0.2, 0.9, -2.4])
    elif family == "triangle":
        params["vertices"] = means[:, None] + normal(count, 3, 3) * scales[:, :1, None] * 2
        params["log_sigmas"] = normal(count) * 0.8
    elif family == "convex":
        params["points"] = means[:, None] + normal(count, int(points), 3) * scales[:, None, :] * 1.5
        # So that z^2 delta sigma L spans a few units across a primitive, as after training.
        params["log_deltas"] = -4.5 + 0.5 * normal(count)
        params["log_sigmas"] = -3.0 + 0.5 * normal(count)
    names = (*FAMILIES[family].parameters, "sh_coeffs")
    world_to_camera = rigid.look_at(
        torch.tensor([0.3, -0.4, -3.0]).double(), torch.zeros(3).double(), torch.tensor([0.05, -1.0, 0.0]).double()
    )
    K = torch.tensor([[31.0, 0, 16.1], [0, 33.0, 15.3], [0, 0, 1]], dtype=torch.float64)
    return FamilyScene(
        family, {name: params[name].to(dtype) for name in names}, world_to_camera.to(dtype), K.to(dtype), width, height
    )
