"""gsplat's rasteriser behind the interface of ours: Gaussians on a CUDA device, for parity and for who wants it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.render.rasterize import RasterConfig, Render


def check_gsplat(device: torch.device) -> None:
    """Raise ReconError where gsplat cannot draw."""
    if device.type != "cuda":
        raise ReconError(
            "splats.rasterizer: gsplat draws on CUDA devices only", found=str(device),
            fix="set splats.rasterizer: recon, which draws everywhere",
        )  # fmt: skip
    try:
        import gsplat
    except ImportError:
        raise ReconError("splats.rasterizer: gsplat is not installed", fix="pip install 'recon[gsplat]'") from None
    if not hasattr(gsplat, "rasterization"):
        raise ReconError("splats.rasterizer: gsplat", found="a version without `rasterization`", wanted="1.5")


def rasterize_gsplat(
    params: Mapping[str, Tensor],
    world_to_camera: Tensor,
    K: Tensor,
    width: int,
    height: int,
    *,
    sh_degree: int,
    background: Tensor,
    depth: bool = False,
    screen_probe: Tensor | None = None,
    config: RasterConfig,
) -> Render:
    """What `recon.render.rasterize.rasterize` gives for one camera [4, 4], of Gaussians.

    screen_probe: zeros [N, 2]; its `.grad` is set when the loss is propagated back. Normals, features and median depth
    there are none. The cap on a pixel's alpha and the meaning of `radii` are gsplat's own.
    """
    from gsplat import rasterization

    image, alpha, info = rasterization(
        means=params["means"],
        quats=params["quats"],
        scales=params["log_scales"].exp(),
        opacities=params["opacity_logits"].sigmoid(),
        colors=params["sh_coeffs"],
        viewmats=world_to_camera[None],
        Ks=K[None],
        width=width,
        height=height,
        near_plane=config.near_plane,
        far_plane=config.far_plane,
        eps2d=config.eps2d,
        sh_degree=sh_degree,
        packed=False,
        backgrounds=background[None],
        render_mode="RGB+ED" if depth else "RGB",
        rasterize_mode="antialiased" if config.antialias else "classic",
    )
    means2d = info["means2d"]
    if screen_probe is not None and means2d.requires_grad:
        probe = screen_probe

        def keep(gradient: Tensor) -> None:
            probe.grad = gradient.detach().reshape(-1, 2)

        means2d.register_hook(keep)
    radii = info["radii"][0]
    return Render(
        color=image[0, ..., :3],
        alpha=alpha[0, ..., 0],
        depth=image[0, ..., 3] if depth else None,
        median_depth=None,
        normal=None,
        features=None,
        radii=radii if radii.ndim == 1 else radii.amax(-1),
        means2d=means2d.detach().reshape(-1, 2),
    )
