"""Small random Gaussian scenes that touch every code path of the rasteriser."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.geometry import rigid


@dataclass(frozen=True)
class GaussianScene:
    """Parameters, one camera and an image size that is no multiple of the tile."""

    params: dict[str, Tensor]
    world_to_camera: Tensor
    K: Tensor
    width: int
    height: int

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
) -> GaussianScene:
    """Gaussians of mixed size, shape and opacity before an off-centre camera; some lie behind or beside it."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    params = {
        "means": normal(count, 3) * torch.tensor([0.8, 0.7, 0.9], dtype=torch.float64),
        "quats": normal(count, 4),
        "log_scales": normal(count, 3) * 0.7 - 2.0,
        "opacity_logits": normal(count) * 1.5 + 0.5,
        "sh_coeffs": normal(count, (sh_degree + 1) ** 2, 3) * 0.25,
    }
    params["means"][0] = torch.tensor([0.3, 0.1, -6.0])  # behind the camera
    params["means"][1] = torch.tensor([3.0, 0.2, 0.0])  # outside the image, inside the Jacobian's clamp or not
    params["log_scales"][1] = 0.0
    params["opacity_logits"][2] = 9.0  # saturates alpha_max
    params["opacity_logits"][3] = -9.0  # too faint to see
    params["log_scales"][4] = torch.tensor([-0.5, -3.5, -3.0])  # a needle across tiles
    world_to_camera = rigid.look_at(
        torch.tensor([0.3, -0.4, -3.0]).double(), torch.zeros(3).double(), torch.tensor([0.05, -1.0, 0.0]).double()
    )
    K = torch.tensor([[31.0, 0, 16.1], [0, 33.0, 15.3], [0, 0, 1]], dtype=torch.float64)
    return GaussianScene(
        {name: value.to(dtype) for name, value in params.items()}, world_to_camera.to(dtype), K.to(dtype), width, height
    )
