"""The rasteriser: primitives and cameras in; colour, alpha, depth, normals and features out, all differentiable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.geometry import spherical_harmonics
from recon.render import gpu  # noqa: F401  registers the operators for CUDA tensors
from recon.render.families import FAMILIES, RenderFamily
from recon.render.library import core
from recon.render.operator import rasterize_op


@dataclass(frozen=True)
class RasterConfig:
    """Settings of the rasteriser that a scene does not carry."""

    near_plane: float = 0.01
    """Primitives whose centre is nearer than this along z are skipped, scene units."""
    far_plane: float = 1e10
    """Likewise for farther ones, scene units."""
    eps2d: float = 0.3
    """Added to the diagonal of the image covariance so that every primitive covers about a pixel, px^2; used by
    Gaussians and exponentials."""
    antialias: bool = False
    """Lower the opacity by what `eps2d` added to the area (Mip-Splatting, Yu et al. 2024, eq. 9). Gaussians and
    exponentials only."""
    alpha_max: float = 0.999
    """Upper bound of a primitive's alpha at a pixel."""


@dataclass(frozen=True)
class Render:
    """What one call produced. With a single camera [4, 4] the leading C is absent."""

    color: Tensor
    """[C, H, W, 3], over the background, not clamped."""
    alpha: Tensor
    """[C, H, W] in [0, 1]."""
    depth: Tensor | None
    """[C, H, W], mean z along the ray weighted by contribution, scene units; 0 where alpha is 0."""
    median_depth: Tensor | None
    """[C, H, W], z of the primitive at which transmittance falls to one half; 0 where it never does."""
    normal: Tensor | None
    """[C, H, W, 3], world frame, towards the camera; sum of weighted normals, so shorter than 1 where unsure."""
    features: Tensor | None
    """[C, H, W, F], sum of weighted features."""
    radii: Tensor
    """[C, N] int32, px, half the larger side of the box a primitive can colour; 0 when it is not visible."""
    means2d: Tensor
    """[C, N, 2], px, centres of visible footprints (triangles: incentres), without gradient."""


def rasterize(
    params: Mapping[str, Tensor],
    world_to_camera: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    *,
    family: str = "gaussian",
    sh_degree: int | None = None,
    background: Tensor | None = None,
    features: Tensor | None = None,
    depth: bool = False,
    normal: bool = False,
    median_depth: bool = False,
    screen_probe: Tensor | None = None,
    config: RasterConfig | None = None,
) -> Render:
    """Render primitives of one family as cameras see them.

    params: the family's tensors, see recon/render/families; for "gaussian" means [N, 3], quats [N, 4] wxyz of any
    length, log_scales [N, 3], opacity_logits [N]; for all sh_coeffs [N, K, 3].
    world_to_camera: [4, 4] or [C, 4, 4], OpenCV axes.
    Ks: [3, 3] or [C, 3, 3], px; (0.5, 0.5) is the centre of the first pixel.   width, height: px.
    sh_degree: bands to evaluate, all stored ones when None.   background: [3], colour behind everything.
    features: [N, F], composited like colour over zero.
    screen_probe: zeros [N, 2] or [N, 5] (or [C, N, ...]) that require a gradient. After backward the first two columns
    of its `.grad` hold dLoss/d(x, y) of each footprint, px^-1; the next two the sums over pixels of its absolute value
    (AbsGS, Ye et al. 2024); the last the primitive's largest blend weight in the image, whatever the loss is.
    Gradients flow to every parameter, to `features`, `background` and `world_to_camera`; not to `Ks`.
    float32, or float64 (slow, for checking derivatives). A primitive with a NaN is not rendered.
    Raises ValueError for shapes that do not fit and TypeError for other devices and dtypes.
    Source: Kerbl et al. 2023; see cuda/include/recon for the maths.
    """
    if family not in FAMILIES:
        raise ValueError(f"family {family!r} is unknown; known: {', '.join(FAMILIES)}")
    config = config or RasterConfig()
    single = world_to_camera.ndim == 2
    cameras = world_to_camera[None] if single else world_to_camera
    intrinsics = Ks[None] if Ks.ndim == 2 else Ks
    kind = FAMILIES[family]
    count = kind.check(params)
    _check(cameras, intrinsics, width, height, count, features, background, screen_probe)
    degree = _sh_degree(params["sh_coeffs"], count, sh_degree)
    if config.antialias and not kind.antialias:
        able = ", ".join(name for name, other in FAMILIES.items() if other.antialias)
        raise ValueError(f"antialias is defined for {able}; not for {family}")
    # The core takes a limited number of channels in one pass; more features take more passes.
    room = core.MAX_CHANNELS - 3 - (1 if depth else 0) - (3 if normal else 0)
    groups: list[Tensor | None] = [None] if features is None else list(features.split(room, dim=-1))
    probe = None if screen_probe is None else screen_probe.expand(len(cameras), *screen_probe.shape[-2:])

    frames: list[Render] = []
    for i in range(len(cameras)):
        first: Render | None = None
        parts: list[Tensor] = []
        for group in groups:
            frame = _one(
                params, cameras[i], intrinsics[i if len(intrinsics) > 1 else 0], width, height, kind, degree,
                background, group, depth and first is None, normal and first is None,
                median_depth and first is None, probe[i] if probe is not None and first is None else None, config,
            )  # fmt: skip
            first = first or frame
            if frame.features is not None:
                parts.append(frame.features)
        assert first is not None
        merged = torch.cat(parts, dim=-1) if len(parts) > 1 else first.features
        frames.append(Render(**{**first.__dict__, "features": merged}))
    if single:
        return frames[0]
    stacked: dict[str, Any] = {}
    for name in Render.__dataclass_fields__:
        values = [getattr(frame, name) for frame in frames]
        stacked[name] = None if values[0] is None else torch.stack(values)
    return Render(**stacked)


def _one(
    params: Mapping[str, Tensor], world_to_camera: Tensor, K: Tensor, width: int, height: int, family: RenderFamily,
    sh_degree: int, background: Tensor | None, features: Tensor | None, depth: bool, normal: bool,
    median_depth: bool, probe: Tensor | None, config: RasterConfig,
) -> Render:  # fmt: skip
    sh_coeffs, points = params["sh_coeffs"], family.points(params)
    dtype = sh_coeffs.dtype
    image, alpha, median, radii, records, *_ = rasterize_op(
        [params[name] for name in family.parameters], sh_coeffs, features, world_to_camera.to(dtype), K.to(dtype),
        None if background is None else background.to(dtype), probe, family.kernel(points), points, width, height,
        sh_degree, depth, normal, median_depth, config.near_plane, config.far_plane, config.eps2d, config.antialias,
        config.alpha_max,
    )  # fmt: skip
    sizes = [3, 1 if depth else 0, 3 if normal else 0, 0 if features is None else features.shape[-1]]
    color, z, normals, extra = image.split(sizes)
    return Render(
        color=color.permute(1, 2, 0),
        alpha=alpha,
        # Where alpha is tiny so is the numerator; the floor only keeps 0 / 0 away.
        depth=z[0] / alpha.clamp_min(1e-6) if depth else None,
        median_depth=median if median_depth else None,
        normal=normals.permute(1, 2, 0) if normal else None,
        features=None if features is None else extra.permute(1, 2, 0),
        radii=radii,
        means2d=records.detach()[:, :2],
    )


def _sh_degree(sh_coeffs: Tensor, count: int, wanted: int | None) -> int:
    """The degree to evaluate."""
    if sh_coeffs.ndim != 3 or sh_coeffs.shape[0] != count or sh_coeffs.shape[2] != 3:
        raise ValueError(f"sh_coeffs is {tuple(sh_coeffs.shape)}; expected [{count}, K, 3]")
    stored = spherical_harmonics.degree_of(sh_coeffs.shape[1])
    if wanted is not None and not 0 <= wanted <= stored:
        raise ValueError(f"sh_degree is {wanted}; the coefficients are of degree {stored}")
    return stored if wanted is None else wanted


def _check(
    cameras: Tensor, Ks: Tensor, width: int, height: int, count: int, features: Tensor | None,
    background: Tensor | None, probe: Tensor | None,
) -> None:  # fmt: skip
    expected = [
        ("world_to_camera", cameras, (None, 4, 4)),
        ("Ks", Ks, (None, 3, 3)),
        ("features", features, (count, None)),
        ("background", background, (3,)),
    ]
    for name, tensor, shape in expected:
        if tensor is not None and (
            tensor.ndim != len(shape) or any(s is not None and s != t for s, t in zip(shape, tensor.shape, strict=True))
        ):
            wanted = ", ".join("*" if s is None else str(s) for s in shape)
            raise ValueError(f"{name} is {tuple(tensor.shape)}; expected [{wanted}]")
    if len(Ks) not in (1, len(cameras)):
        raise ValueError(f"{len(Ks)} Ks for {len(cameras)} cameras; give one, or one each")
    if width < 1 or height < 1:
        raise ValueError(f"image is {width}x{height}; expected at least 1x1")
    if probe is not None and probe.shape[-2:] not in ((count, core.PROBE), (count, core.FULL_PROBE)):
        raise ValueError(
            f"screen_probe is {tuple(probe.shape)}; expected [{count}, {core.PROBE}] or [{count}, {core.FULL_PROBE}]"
        )
