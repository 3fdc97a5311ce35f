"""Random splats of every family, for tests of formats and of the optimisation."""

from __future__ import annotations

import torch

from recon.scene import Splats


def random_family(family: str, count: int = 5, sh_degree: int = 1, seed: int = 0) -> Splats:
    """Ordinary sizes and opacities around the origin; quaternions have unit length."""
    g = torch.Generator().manual_seed(seed)
    params = {
        "opacity_logits": torch.randn(count, generator=g),
        "sh_coeffs": torch.randn(count, (sh_degree + 1) ** 2, 3, generator=g),
    }
    if family in ("gaussian", "exponential", "surfel"):
        params["means"] = torch.randn(count, 3, generator=g)
        params["quats"] = torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=-1)
        params["log_scales"] = torch.randn(count, 2 if family == "surfel" else 3, generator=g) - 2
    else:
        name, points = ("vertices", 3) if family == "triangle" else ("points", 6)
        params[name] = torch.randn(count, 1, 3, generator=g) + 0.2 * torch.randn(count, points, 3, generator=g)
        params["log_sigmas"] = torch.randn(count, generator=g)
    if family == "exponential":
        params["shape_logits"] = torch.randn(count, generator=g)
    if family == "convex":
        params["log_deltas"] = torch.randn(count, generator=g) - 3
    return Splats(family, params)
