"""3D Gaussians as a `torch.library` operator: allocation, calls into the core, autograd, fake kernels.

All arrays are allocated here and handed to the core as pointers; the meaning of each is in
cuda/include/recon/raster_args.h. The state that backward needs is returned as tensors, so autograd owns its lifetime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recon.render.library import core, kernels, pointer

if TYPE_CHECKING:
    from recon.render.rasterize import RasterConfig

Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""image [C, H, W], alpha [H, W], median depth [H, W], radii [N], geometry [N, 8], then the state of backward: channel
values [N, C], slot offsets [N + 1], tile offsets [tiles + 1], instances [M, 2], last [H, W], median place [H, W]."""


def render(
    params: Mapping[str, Tensor], world_to_camera: Tensor, K: Tensor, background: Tensor | None,
    features: Tensor | None, probe: Tensor | None, width: int, height: int, sh_degree: int, depth: bool,
    normal: bool, median_depth: bool, config: RasterConfig,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Image [C, H, W], alpha [H, W], median depth [H, W] (empty if not wanted), radii [N], geometry [N, 8]."""
    means = params["means"]
    count = len(means)
    shapes = {"quats": (count, 4), "log_scales": (count, 3), "opacity_logits": (count,)}
    for name, shape in shapes.items():
        if params[name].shape != shape:
            raise ValueError(f"{name} is {tuple(params[name].shape)}; expected {shape}")
    sh = params["sh_coeffs"]
    if sh.ndim != 3 or sh.shape[0] != count or sh.shape[2] != 3 or sh.shape[1] < (sh_degree + 1) ** 2:
        raise ValueError(f"sh_coeffs is {tuple(sh.shape)}; expected [{count}, >= {(sh_degree + 1) ** 2}, 3]")
    dtype = means.dtype
    outputs = _rasterize(
        means, params["quats"], params["log_scales"], params["opacity_logits"], sh, features,
        world_to_camera.to(dtype), K.to(dtype), None if background is None else background.to(dtype), probe,
        width, height, sh_degree, depth, normal, median_depth, config.near_plane, config.far_plane, config.eps2d,
        config.antialias, config.alpha_max,
    )  # fmt: skip
    return outputs[0], outputs[1], outputs[2], outputs[3], outputs[4]


def _tiles(width: int, height: int) -> tuple[int, int]:
    return -(-width // core.TILE), -(-height // core.TILE)


def _channels(features: Tensor | None, depth: bool, normal: bool) -> int:
    return 3 + int(depth) + 3 * int(normal) + (0 if features is None else features.shape[1])


def _project_args(
    native: Any, means: Tensor, quats: Tensor, log_scales: Tensor, opacity_logits: Tensor, sh_coeffs: Tensor,
    features: Tensor | None, world_to_camera: Tensor, K: Tensor, width: int, height: int, sh_degree: int,
    depth: bool, normal: bool, near_plane: float, far_plane: float, eps2d: float, antialias: bool,
    geometry: Tensor, channel_values: Tensor, **outputs: int,
) -> Any:  # fmt: skip
    return native.ProjectArgs(
        count=len(means), width=width, height=height, sh_degree=sh_degree, sh_coefficients=sh_coeffs.shape[1],
        features=0 if features is None else features.shape[1], depth=depth, normal=normal, antialias=antialias,
        near_plane=near_plane, far_plane=far_plane, eps2d=eps2d, means=pointer(means), quats=pointer(quats),
        log_scales=pointer(log_scales), opacity_logits=pointer(opacity_logits), sh_coeffs=pointer(sh_coeffs),
        feature_values=pointer(features), world_to_camera=pointer(world_to_camera), K=pointer(K),
        geometry=pointer(geometry), channel_values=pointer(channel_values), **outputs,
    )  # fmt: skip


def _contiguous(*tensors: Tensor | None) -> list[Any]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def _channel_background(background: Tensor | None, channels: int) -> Tensor | None:
    """Only colour has a background; depth, normals and features end in zero."""
    return None if background is None else torch.cat([background, background.new_zeros(channels - 3)])


@torch.library.custom_op("recon::rasterize_gaussians", mutates_args=(), device_types="cpu")
def _rasterize(
    means: Tensor, quats: Tensor, log_scales: Tensor, opacity_logits: Tensor, sh_coeffs: Tensor,
    features: Tensor | None, world_to_camera: Tensor, K: Tensor, background: Tensor | None, probe: Tensor | None,
    width: int, height: int, sh_degree: int, depth: bool, normal: bool, median_depth: bool,
    near_plane: float, far_plane: float, eps2d: float, antialias: bool, alpha_max: float,
) -> tuple[
    Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor
]:  # fmt: skip
    native = kernels(means)
    means, quats, log_scales, opacity_logits, sh_coeffs, features, world_to_camera, K = _contiguous(
        means, quats, log_scales, opacity_logits, sh_coeffs, features, world_to_camera, K
    )
    count, channels, (tiles_x, tiles_y) = len(means), _channels(features, depth, normal), _tiles(width, height)
    ints: dict[str, Any] = {"dtype": torch.int32}
    geometry, channel_values = means.new_empty(count, core.GEOMETRY_WIDTH), means.new_empty(count, channels)
    half_extents, radii = means.new_empty(count, 2), torch.empty(count, **ints)
    native.project_forward(
        _project_args(
            native, means, quats, log_scales, opacity_logits, sh_coeffs, features, world_to_camera, K, width, height,
            sh_degree, depth, normal, near_plane, far_plane, eps2d, antialias, geometry, channel_values,
            half_extents=pointer(half_extents), radii=pointer(radii),
        )
    )  # fmt: skip

    order, slot_offsets = torch.empty(count, **ints), torch.empty(count + 1, **ints)
    tile_offsets = torch.empty(tiles_x * tiles_y + 1, **ints)
    histogram = torch.empty(core.BIN_CHUNKS, tiles_x * tiles_y, **ints)
    bins = native.BinArgs(
        count=count, width=width, height=height, tiles_x=tiles_x, tiles_y=tiles_y, geometry=pointer(geometry),
        half_extents=pointer(half_extents), order=pointer(order), slot_offsets=pointer(slot_offsets),
        tile_offsets=pointer(tile_offsets), histogram=pointer(histogram),
    )  # fmt: skip
    visible, total = native.bin_count(bins)
    instances = torch.empty(total, 2, **ints)
    native.bin_fill(bins, visible, pointer(instances))

    image, transmittance = means.new_empty(channels, height, width), means.new_empty(height, width)
    last = torch.empty(height, width, **ints)
    median_shape = (height, width) if median_depth else (0, 0)
    median, median_place = means.new_empty(median_shape), torch.empty(median_shape, **ints)
    full_background = _channel_background(background, channels)
    native.rasterize_forward(
        native.RasterArgs(
            width=width, height=height, tiles_x=tiles_x, tiles_y=tiles_y, channels=channels, alpha_max=alpha_max,
            geometry=pointer(geometry), channel_values=pointer(channel_values), tile_offsets=pointer(tile_offsets),
            instances=pointer(instances), background=pointer(full_background), transmittance=pointer(transmittance),
            last=pointer(last), median_place=pointer(median_place) if median_depth else 0,
        ),
        image=pointer(image), median_depth=pointer(median) if median_depth else 0,
    )  # fmt: skip
    alpha = transmittance.neg_().add_(1)
    return (
        image, alpha, median, radii, geometry, channel_values, slot_offsets, tile_offsets, instances, last,
        median_place,
    )  # fmt: skip


@_rasterize.register_fake
def _(
    means: Tensor, quats: Tensor, log_scales: Tensor, opacity_logits: Tensor, sh_coeffs: Tensor,
    features: Tensor | None, world_to_camera: Tensor, K: Tensor, background: Tensor | None, probe: Tensor | None,
    width: int, height: int, sh_degree: int, depth: bool, normal: bool, median_depth: bool,
    near_plane: float, far_plane: float, eps2d: float, antialias: bool, alpha_max: float,
) -> Outputs:  # fmt: skip
    count, channels, (tiles_x, tiles_y) = means.shape[0], _channels(features, depth, normal), _tiles(width, height)
    instances = torch.library.get_ctx().new_dynamic_size()
    median = (height, width) if median_depth else (0, 0)

    def ints(*shape: Any) -> Tensor:
        return means.new_empty(shape, dtype=torch.int32)

    return (
        means.new_empty(channels, height, width), means.new_empty(height, width), means.new_empty(median),
        ints(count), means.new_empty(count, core.GEOMETRY_WIDTH), means.new_empty(count, channels), ints(count + 1),
        ints(tiles_x * tiles_y + 1), ints(instances, 2), ints(height, width), ints(*median),
    )  # fmt: skip


@torch.library.custom_op("recon::rasterize_gaussians_backward", mutates_args=(), device_types="cpu")
def _rasterize_backward(
    v_image: Tensor, v_alpha: Tensor | None, v_median: Tensor | None, means: Tensor, quats: Tensor,
    log_scales: Tensor, opacity_logits: Tensor, sh_coeffs: Tensor, features: Tensor | None, world_to_camera: Tensor,
    K: Tensor, background: Tensor | None, alpha: Tensor, geometry: Tensor, channel_values: Tensor,
    slot_offsets: Tensor, tile_offsets: Tensor, instances: Tensor, last: Tensor, median_place: Tensor,
    width: int, height: int, sh_degree: int, depth: bool, normal: bool, near_plane: float, far_plane: float,
    eps2d: float, antialias: bool, alpha_max: float, absolute: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    native = kernels(means)
    means, quats, log_scales, opacity_logits, sh_coeffs, features, world_to_camera, K = _contiguous(
        means, quats, log_scales, opacity_logits, sh_coeffs, features, world_to_camera, K
    )
    v_image, v_alpha, v_median = _contiguous(v_image, v_alpha, v_median)
    (tiles_x, tiles_y), channels = _tiles(width, height), channel_values.shape[1]
    transmittance = 1 - alpha
    full_background = _channel_background(background, channels)
    moments = means.new_empty(len(instances), core.MOMENT_WIDTH + channels)
    native.rasterize_backward(
        native.RasterArgs(
            width=width, height=height, tiles_x=tiles_x, tiles_y=tiles_y, channels=channels, alpha_max=alpha_max,
            geometry=pointer(geometry), channel_values=pointer(channel_values), tile_offsets=pointer(tile_offsets),
            instances=pointer(instances), background=pointer(full_background), transmittance=pointer(transmittance),
            last=pointer(last), median_place=pointer(median_place),
        ),
        v_image=pointer(v_image), v_alpha=pointer(v_alpha), v_median_depth=pointer(v_median), absolute=absolute,
        moments=pointer(moments),
    )  # fmt: skip
    v_means, v_quats, v_log_scales = torch.empty_like(means), torch.empty_like(quats), torch.empty_like(log_scales)
    v_opacity_logits, v_sh_coeffs = torch.empty_like(opacity_logits), torch.empty_like(sh_coeffs)
    v_features = means.new_empty(0) if features is None else torch.empty_like(features)
    v_world_to_camera, v_probe = means.new_empty(4, 4), means.new_empty(len(means), 4)
    native.project_backward(
        _project_args(
            native, means, quats, log_scales, opacity_logits, sh_coeffs, features, world_to_camera, K, width, height,
            sh_degree, depth, normal, near_plane, far_plane, eps2d, antialias, geometry, channel_values,
        ),
        slot_offsets=pointer(slot_offsets), moments=pointer(moments), v_means=pointer(v_means),
        v_quats=pointer(v_quats), v_log_scales=pointer(v_log_scales), v_opacity_logits=pointer(v_opacity_logits),
        v_sh_coeffs=pointer(v_sh_coeffs), v_feature_values=pointer(v_features) if features is not None else 0,
        v_world_to_camera=pointer(v_world_to_camera), v_probe=pointer(v_probe),
    )  # fmt: skip
    return (
        v_means, v_quats, v_log_scales, v_opacity_logits, v_sh_coeffs, v_features, v_world_to_camera, v_probe,
    )  # fmt: skip


@_rasterize_backward.register_fake
def _(
    v_image: Tensor, v_alpha: Tensor | None, v_median: Tensor | None, means: Tensor, quats: Tensor,
    log_scales: Tensor, opacity_logits: Tensor, sh_coeffs: Tensor, features: Tensor | None, world_to_camera: Tensor,
    K: Tensor, background: Tensor | None, alpha: Tensor, geometry: Tensor, channel_values: Tensor,
    slot_offsets: Tensor, tile_offsets: Tensor, instances: Tensor, last: Tensor, median_place: Tensor,
    width: int, height: int, sh_degree: int, depth: bool, normal: bool, near_plane: float, far_plane: float,
    eps2d: float, antialias: bool, alpha_max: float, absolute: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    return (
        torch.empty_like(means), torch.empty_like(quats), torch.empty_like(log_scales),
        torch.empty_like(opacity_logits), torch.empty_like(sh_coeffs),
        means.new_empty(0) if features is None else torch.empty_like(features),
        means.new_empty(4, 4), means.new_empty(means.shape[0], 4),
    )  # fmt: skip


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    tensors, ctx.settings = inputs[:9], inputs[10:]
    ctx.absolute = inputs[9] is not None and ctx.needs_input_grad[9]
    _, alpha, _, radii, geometry, channel_values, slot_offsets, tile_offsets, instances, last, median_place = output
    ctx.mark_non_differentiable(radii, geometry, *output[5:])
    ctx.save_for_backward(
        *tensors, alpha, geometry, channel_values, slot_offsets, tile_offsets, instances, last, median_place
    )
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, v_image: Tensor | None, v_alpha: Tensor | None, v_median: Tensor | None, *_: Any) -> Any:
    means, quats, log_scales, opacity_logits, sh_coeffs, features, world_to_camera, K, background = ctx.saved_tensors[
        :9
    ]
    alpha = ctx.saved_tensors[9]
    width, height, sh_degree, depth, normal, _median, near_plane, far_plane, eps2d, antialias, alpha_max = ctx.settings
    if v_image is None:
        v_image = means.new_zeros(_channels(features, depth, normal), height, width)
    gradients = _rasterize_backward(
        v_image, v_alpha, v_median if _median else None, means, quats, log_scales, opacity_logits, sh_coeffs, features,
        world_to_camera, K, background, *ctx.saved_tensors[9:], width, height, sh_degree, depth, normal, near_plane,
        far_plane, eps2d, antialias, alpha_max, ctx.absolute,
    )  # fmt: skip
    v_means, v_quats, v_log_scales, v_opacity_logits, v_sh_coeffs, v_features, v_world_to_camera, v_probe = gradients
    v_background = None
    if background is not None and ctx.needs_input_grad[8]:
        v_background = (v_image[:3] * (1 - alpha)).sum((1, 2))
    return (
        v_means, v_quats, v_log_scales, v_opacity_logits, v_sh_coeffs, None if features is None else v_features,
        v_world_to_camera, None, v_background, v_probe if ctx.absolute else None, *(None,) * 11,
    )  # fmt: skip


_rasterize.register_autograd(_backward, setup_context=_setup)
