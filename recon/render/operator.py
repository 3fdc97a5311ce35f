"""The rasteriser as `torch.library` operators: allocation, calls into the core, autograd, fake kernels.

All arrays are allocated here and handed to the core as pointers; the meaning of each is in
cuda/include/recon/raster_args.h. The state that backward needs is returned as tensors, so autograd owns its lifetime.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recon.render.library import core, kernels, native_family, pointer, pointers

Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""image [C, H, W], alpha [H, W], median depth [H, W], radii [N], records [N, R], then the state of backward: channel
values [N, C], slot offsets [N + 1], tile offsets [tiles + 1], instances [M, 2], last [H, W], median place [H, W],
transmittance [H, W]."""


def tiles(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of tiles that cover an image."""
    return -(-width // core.TILE), -(-height // core.TILE)


def channel_count(features: Tensor | None, depth: bool, normal: bool) -> int:
    """Channels of the image: colour, then depth, normal and features as asked."""
    return 3 + int(depth) + 3 * int(normal) + (0 if features is None else features.shape[1])


def channel_background(background: Tensor | None, channels: int) -> Tensor | None:
    """Only colour has a background; depth, normals and features end in zero."""
    return None if background is None else torch.cat([background, background.new_zeros(channels - 3)])


def project_args(
    native: Any, params: list[Tensor], sh_coeffs: Tensor, features: Tensor | None, world_to_camera: Tensor, K: Tensor,
    width: int, height: int, points: int, sh_degree: int, depth: bool, normal: bool, near_plane: float,
    far_plane: float, eps2d: float, antialias: bool, **outputs: int,
) -> Any:  # fmt: skip
    """`ProjectArgs` of the core for these tensors, which must be contiguous."""
    return native.ProjectArgs(
        count=len(params[0]), width=width, height=height, points=points, sh_degree=sh_degree,
        sh_coefficients=sh_coeffs.shape[1], features=0 if features is None else features.shape[1], depth=depth,
        normal=normal, antialias=antialias, near_plane=near_plane, far_plane=far_plane, eps2d=eps2d,
        parameters=pointers(params), sh_coeffs=pointer(sh_coeffs), feature_values=pointer(features),
        world_to_camera=pointer(world_to_camera), K=pointer(K), **outputs,
    )  # fmt: skip


def _contiguous(*tensors: Tensor | None) -> list[Any]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


@torch.library.custom_op("recon::rasterize", mutates_args=(), device_types="cpu")
def rasterize_op(
    params: list[Tensor], sh_coeffs: Tensor, features: Tensor | None, world_to_camera: Tensor, K: Tensor,
    background: Tensor | None, probe: Tensor | None, family: str, points: int, width: int, height: int,
    sh_degree: int, depth: bool, normal: bool, median_depth: bool, near_plane: float, far_plane: float, eps2d: float,
    antialias: bool, alpha_max: float,
) -> tuple[
    Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor
]:  # fmt: skip
    """See `Outputs`. `family` names kernels of the core, `params` are theirs in order; `probe` only has a gradient."""
    native, (index, info) = kernels(sh_coeffs), native_family(family)
    params, (sh_coeffs, features, world_to_camera, K) = (
        _contiguous(*params),
        _contiguous(sh_coeffs, features, world_to_camera, K),
    )
    count, channels, (tiles_x, tiles_y) = len(sh_coeffs), channel_count(features, depth, normal), tiles(width, height)
    ints: dict[str, Any] = {"dtype": torch.int32}
    records, channel_values = sh_coeffs.new_empty(count, info.record_width), sh_coeffs.new_empty(count, channels)
    boxes, radii = sh_coeffs.new_empty(count, 4), torch.empty(count, **ints)
    native.project_forward(
        index,
        project_args(
            native, params, sh_coeffs, features, world_to_camera, K, width, height, points, sh_degree, depth, normal,
            near_plane, far_plane, eps2d, antialias, records=pointer(records), channel_values=pointer(channel_values),
            boxes=pointer(boxes), radii=pointer(radii),
        ),
    )  # fmt: skip

    order, slot_offsets = torch.empty(count, **ints), torch.empty(count + 1, **ints)
    tile_offsets = torch.empty(tiles_x * tiles_y + 1, **ints)
    histogram = torch.empty(core.BIN_CHUNKS, tiles_x * tiles_y, **ints)
    bins = native.BinArgs(
        count=count, width=width, height=height, tiles_x=tiles_x, tiles_y=tiles_y, records=pointer(records),
        boxes=pointer(boxes), order=pointer(order), slot_offsets=pointer(slot_offsets),
        tile_offsets=pointer(tile_offsets), histogram=pointer(histogram),
    )  # fmt: skip
    visible, total = native.bin_count(index, bins)
    instances = torch.empty(total, 2, **ints)
    native.bin_fill(index, bins, visible, pointer(instances))

    image, transmittance = sh_coeffs.new_empty(channels, height, width), sh_coeffs.new_empty(height, width)
    last = torch.empty(height, width, **ints)
    median_shape = (height, width) if median_depth else (0, 0)
    median, median_place = sh_coeffs.new_empty(median_shape), torch.empty(median_shape, **ints)
    full_background = channel_background(background, channels)
    native.rasterize_forward(
        index,
        native.RasterArgs(
            width=width, height=height, tiles_x=tiles_x, tiles_y=tiles_y, channels=channels, depth=depth,
            alpha_max=alpha_max, records=pointer(records), channel_values=pointer(channel_values),
            tile_offsets=pointer(tile_offsets), instances=pointer(instances), background=pointer(full_background),
            transmittance=pointer(transmittance), last=pointer(last),
            median_place=pointer(median_place) if median_depth else 0,
        ),
        image=pointer(image), median_depth=pointer(median) if median_depth else 0,
    )  # fmt: skip
    return (
        image, 1 - transmittance, median, radii, records, channel_values, slot_offsets, tile_offsets, instances, last,
        median_place, transmittance,
    )  # fmt: skip


@rasterize_op.register_fake
def _(
    params: list[Tensor], sh_coeffs: Tensor, features: Tensor | None, world_to_camera: Tensor, K: Tensor,
    background: Tensor | None, probe: Tensor | None, family: str, points: int, width: int, height: int,
    sh_degree: int, depth: bool, normal: bool, median_depth: bool, near_plane: float, far_plane: float, eps2d: float,
    antialias: bool, alpha_max: float,
) -> Outputs:  # fmt: skip
    count, channels = sh_coeffs.shape[0], channel_count(features, depth, normal)
    tiles_x, tiles_y = tiles(width, height)
    instances = torch.library.get_ctx().new_dynamic_size()
    median = (height, width) if median_depth else (0, 0)

    def ints(*shape: Any) -> Tensor:
        return sh_coeffs.new_empty(shape, dtype=torch.int32)

    if sh_coeffs.device.type == "cuda":  # see recon/render/gpu.py for what takes the place of the CPU's lists
        lists = [sh_coeffs.new_empty(count, dtype=torch.uint8), ints(tiles_x * tiles_y, 2), ints(instances)]
    else:
        lists = [ints(count + 1), ints(tiles_x * tiles_y + 1), ints(instances, 2)]
    return (
        sh_coeffs.new_empty(channels, height, width), sh_coeffs.new_empty(height, width), sh_coeffs.new_empty(median),
        ints(count), sh_coeffs.new_empty(count, native_family(family)[1].record_width),
        sh_coeffs.new_empty(count, channels), lists[0], lists[1], lists[2], ints(height, width), ints(*median),
        sh_coeffs.new_empty(height, width),
    )  # fmt: skip


@torch.library.custom_op("recon::rasterize_backward", mutates_args=(), device_types="cpu")
def rasterize_backward_op(
    v_image: Tensor, v_alpha: Tensor | None, v_median: Tensor | None, params: list[Tensor], sh_coeffs: Tensor,
    features: Tensor | None, world_to_camera: Tensor, K: Tensor, background: Tensor | None, records: Tensor,
    channel_values: Tensor, slot_offsets: Tensor, tile_offsets: Tensor, instances: Tensor, last: Tensor,
    median_place: Tensor, transmittance: Tensor, family: str, points: int, width: int, height: int, sh_degree: int,
    depth: bool, normal: bool, near_plane: float, far_plane: float, eps2d: float, antialias: bool, alpha_max: float,
    probe: int, camera: bool,
) -> list[Tensor]:  # fmt: skip
    """Gradients of sh_coeffs, features, world_to_camera and probe [N, probe], then each of `params`.

    Those of features and of the camera are empty when there are none, or when `camera` is False.
    """
    native, (index, info) = kernels(sh_coeffs), native_family(family)
    params, (sh_coeffs, features, world_to_camera, K) = (
        _contiguous(*params),
        _contiguous(sh_coeffs, features, world_to_camera, K),
    )
    v_image, v_alpha, v_median = _contiguous(v_image, v_alpha, v_median)
    (tiles_x, tiles_y), channels = tiles(width, height), channel_values.shape[1]
    full_background = channel_background(background, channels)
    extra = probe == core.FULL_PROBE or v_median is not None or (depth and info.pixel_depth)
    width_of_moments = info.moment_width + (core.EXTRA_MOMENTS if extra else 0) + channels
    moments = sh_coeffs.new_empty(len(instances), width_of_moments)
    native.rasterize_backward(
        index,
        native.RasterArgs(
            width=width, height=height, tiles_x=tiles_x, tiles_y=tiles_y, channels=channels, depth=depth,
            alpha_max=alpha_max, records=pointer(records), channel_values=pointer(channel_values),
            tile_offsets=pointer(tile_offsets), instances=pointer(instances), background=pointer(full_background),
            transmittance=pointer(transmittance), last=pointer(last), median_place=pointer(median_place),
        ),
        v_image=pointer(v_image), v_alpha=pointer(v_alpha), v_median_depth=pointer(v_median), extra=extra,
        moments=pointer(moments),
    )  # fmt: skip
    v_params, v_sh_coeffs = [torch.empty_like(value) for value in params], torch.empty_like(sh_coeffs)
    v_features = sh_coeffs.new_empty(0) if features is None else torch.empty_like(features)
    v_world_to_camera = sh_coeffs.new_empty((4, 4) if camera else 0)
    v_probe = sh_coeffs.new_empty(len(sh_coeffs), probe)
    native.project_backward(
        index,
        project_args(
            native, params, sh_coeffs, features, world_to_camera, K, width, height, points, sh_degree, depth, normal,
            near_plane, far_plane, eps2d, antialias,
        ),
        native.ProjectBackwardArgs(
            slot_offsets=pointer(slot_offsets), moments=pointer(moments), extra=extra, probe=probe,
            v_parameters=pointers(v_params), v_sh_coeffs=pointer(v_sh_coeffs),
            v_feature_values=pointer(v_features) if features is not None else 0,
            v_world_to_camera=pointer(v_world_to_camera) if camera else 0, v_probe=pointer(v_probe) if probe else 0,
        ),
    )  # fmt: skip
    return [v_sh_coeffs, v_features, v_world_to_camera, v_probe, *v_params]


@rasterize_backward_op.register_fake
def _(
    v_image: Tensor, v_alpha: Tensor | None, v_median: Tensor | None, params: list[Tensor], sh_coeffs: Tensor,
    features: Tensor | None, world_to_camera: Tensor, K: Tensor, background: Tensor | None, records: Tensor,
    channel_values: Tensor, slot_offsets: Tensor, tile_offsets: Tensor, instances: Tensor, last: Tensor,
    median_place: Tensor, transmittance: Tensor, family: str, points: int, width: int, height: int, sh_degree: int,
    depth: bool, normal: bool, near_plane: float, far_plane: float, eps2d: float, antialias: bool, alpha_max: float,
    probe: int, camera: bool,
) -> list[Tensor]:  # fmt: skip
    return [
        torch.empty_like(sh_coeffs), sh_coeffs.new_empty(0) if features is None else torch.empty_like(features),
        sh_coeffs.new_empty((4, 4) if camera else 0), sh_coeffs.new_empty(sh_coeffs.shape[0], probe),
        *(torch.empty_like(value) for value in params),
    ]  # fmt: skip


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    params, tensors, probe, ctx.settings = inputs[0], inputs[1:6], inputs[6], inputs[7:]
    ctx.probe = probe.shape[1] if probe is not None and probe.requires_grad else 0
    ctx.count = len(params)
    _, _, _, radii, records, *state = output
    ctx.mark_non_differentiable(radii, records, *state)
    ctx.save_for_backward(*params, *tensors, records, *state)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, v_image: Tensor | None, v_alpha: Tensor | None, v_median: Tensor | None, *_: Any) -> Any:
    params, saved = list(ctx.saved_tensors[: ctx.count]), ctx.saved_tensors[ctx.count :]
    sh_coeffs, features, _camera, _K, background, *state = saved
    family, points, width, height, sh_degree, depth, normal, median, *config = ctx.settings
    if v_image is None:
        v_image = sh_coeffs.new_zeros(channel_count(features, depth, normal), height, width)
    v_sh_coeffs, v_features, v_world_to_camera, v_probe, *v_params = rasterize_backward_op(
        v_image, v_alpha, v_median if median else None, params, *saved[:5], *state, family, points, width, height,
        sh_degree, depth, normal, *config, ctx.probe, ctx.needs_input_grad[3],
    )  # fmt: skip
    v_background = None
    if background is not None and ctx.needs_input_grad[5]:
        v_background = (v_image[:3] * state[-1]).sum((1, 2))
    return (
        v_params, v_sh_coeffs, None if features is None else v_features,
        v_world_to_camera if ctx.needs_input_grad[3] else None, None, v_background,
        v_probe if ctx.probe else None, *(None,) * len(ctx.settings),
    )  # fmt: skip


rasterize_op.register_autograd(_backward, setup_context=_setup)
