"""2D Gaussian surfels (Huang et al. 2024, 2DGS): flat Gaussians that lie on surfaces."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recon.config import config
from recon.splats.families.family import Seeds
from recon.splats.families.gaussian import GaussianConfig, GaussianFamily


@config
class SurfelConfig(GaussianConfig):
    """As for Gaussians; there are two scales."""


class SurfelFamily(GaussianFamily):
    """Parameters: those of Gaussians with log_scales [N, 2]; the third axis is the normal."""

    name = "surfel"

    def initial_parameters(self, seeds: Seeds, opacity: float, sh_degree: int) -> dict[str, Tensor]:
        """Discs that lie across the seeds' normals."""
        params = super().initial_parameters(seeds, opacity, sh_degree)
        return {**params, "quats": turned(seeds.normals), "log_scales": params["log_scales"][:, :2].contiguous()}

    def shared(self, rows: Mapping[str, Tensor], copies: Tensor) -> dict[str, Tensor]:
        """The opacity alone: Gaussians correct their scales for an integral along the ray, which is none here."""
        return {**rows, "opacity_logits": self.shared_opacity(rows, copies)}


def turned(normals: Tensor) -> Tensor:
    """Quaternions [N, 4] wxyz that turn the third axis onto unit `normals` [N, 3] the short way."""
    x, y, z = normals.unbind(-1)
    quats = torch.stack([1 + z, -y, x, torch.zeros_like(z)], dim=-1)
    # Opposite to the axis every half turn is as short; take the one about x.
    around = torch.tensor([0.0, 1.0, 0.0, 0.0]).expand_as(quats)
    return torch.nn.functional.normalize(torch.where((z < -0.9999)[:, None], around, quats), dim=-1)
