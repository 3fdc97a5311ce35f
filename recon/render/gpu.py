"""The rasteriser's operators for CUDA tensors. The module `recon._cuda` is loaded when the first one arrives.

Torch owns all memory and the stream. The number of instances is known on the device alone: lists go into a buffer that
only grows, everything is queued, and then the host waits for the count, which is early in the queue, to see whether it
fitted. Training does not wait, see `counted_later`. While a CUDA graph is captured nobody asks: render once before.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.render.library import core, native_family, pointer, pointers
from recon.render.operator import (
    channel_background,
    channel_count,
    project_args,
    rasterize_backward_op,
    rasterize_op,
    tiles,
)

_room: dict[torch.device, int] = {}
"""Instances that there is room for, by device."""


@dataclass
class LaterCounts:
    """Numbers of instances that the host has not asked the device for."""

    sizes: tuple[int, int, int] | None = None
    """Primitives, width and height of the last render; another size is waited for."""
    largest: Tensor | None = None
    """[1] int64 on the device, the largest number since `settle`."""

    def trusts(self, sizes: tuple[int, int, int]) -> bool:
        """Whether a render of these sizes need not be waited for."""
        known, self.sizes = self.sizes == sizes, sizes
        return known

    def note(self, total: Tensor) -> None:
        """Remember a number of instances [1], on the device."""
        self.largest = total.clone() if self.largest is None else torch.maximum(self.largest, total)

    def settle(self) -> bool:
        """Wait for the device. False when a render since the last call lacked its farthest primitives for want of room,
        which there is from now on.
        """
        if self.largest is None:
            return True
        largest, device, self.largest = int(self.largest), self.largest.device, None
        fitted = largest <= _room.get(device, 0)
        if not fitted:
            _room[device] = largest + largest // 4
        return fitted


_later: list[LaterCounts] = []


@contextmanager
def counted_later() -> Iterator[LaterCounts]:
    """Renders within do not make the host wait for the GPU, except the first one of each size.

    For loops that see much the same picture again and again and can bear one that lacks its farthest primitives: call
    `settle` where the host waits anyway.
    """
    counts = LaterCounts()
    _later.append(counts)
    try:
        yield counts
    finally:
        _later.remove(counts)
        counts.settle()


@cache
def module() -> Any:
    """The extension module `recon._cuda`. Raises ReconError when it was not built."""
    try:
        return importlib.import_module("recon._cuda")
    except ImportError as error:
        raise ReconError(
            "the CUDA half of recon cannot be loaded",
            found=str(error),
            fix="install with nvcc on the PATH: pip install . --config-settings=cmake.define.RECON_CUDA=ON",
        ) from error


def _prepared(*tensors: Tensor | None) -> list[Any]:
    for tensor in tensors:
        if tensor is not None and tensor.dtype != torch.float32:
            raise TypeError(f"tensors are {tensor.dtype}; the GPU renders float32")
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def stereo_sweep(args: Any, like: Tensor) -> None:
    """Queue a sweep of stereo, `core.f32.StereoArgs`, on the device of `like`."""
    _prepared(like)
    with torch.cuda.device(like.device):
        module().stereo_sweep(args, torch.cuda.current_stream(like.device).cuda_stream)


def adam(args: Any, like: Tensor) -> None:
    """Queue a step of Adam, `core.f32.AdamArgs`, on the device of `like`."""
    _prepared(like)
    with torch.cuda.device(like.device):
        module().adam(args, torch.cuda.current_stream(like.device).cuda_stream)


def image_loss(args: Any, like: Tensor) -> Tensor:
    """Queue the photometric loss, `core.f32.ImageLossArgs`. Loss, mean |a - b| and mean SSIM [3], on the device."""
    _prepared(like)
    total, out = like.new_empty(3, dtype=torch.float64), like.new_empty(3)
    with torch.cuda.device(like.device):
        stream = torch.cuda.current_stream(like.device).cuda_stream
        module().image_loss(args, total=pointer(total), out=pointer(out), stream=stream)
    return out


@rasterize_op.register_kernel("cuda")
def _(
    params: list[Tensor], sh_coeffs: Tensor, features: Tensor | None, world_to_camera: Tensor, K: Tensor,
    background: Tensor | None, probe: Tensor | None, family: str, points: int, width: int, height: int,
    sh_degree: int, depth: bool, normal: bool, median_depth: bool, near_plane: float, far_plane: float, eps2d: float,
    antialias: bool, alpha_max: float,
) -> tuple[Tensor, ...]:  # fmt: skip
    gpu, native, (index, info) = module(), core.f32, native_family(family)
    device = sh_coeffs.device
    params = _prepared(*params)
    sh_coeffs, features, world_to_camera, K = _prepared(sh_coeffs, features, world_to_camera, K)
    count, channels, (tiles_x, tiles_y) = len(sh_coeffs), channel_count(features, depth, normal), tiles(width, height)
    ints: dict[str, Any] = {"dtype": torch.int32, "device": device}
    with torch.cuda.device(device):
        stream = torch.cuda.current_stream(device).cuda_stream
        records, channel_values = sh_coeffs.new_empty(count, info.record_width), sh_coeffs.new_empty(count, channels)
        boxes, radii = sh_coeffs.new_empty(count, 4), torch.empty(count, **ints)
        gpu.project_forward(
            index,
            project_args(
                native, params, sh_coeffs, features, world_to_camera, K, width, height, points, sh_degree, depth,
                normal, near_plane, far_plane, eps2d, antialias, records=pointer(records),
                channel_values=pointer(channel_values), boxes=pointer(boxes), radii=pointer(radii),
            ),
            stream,
        )  # fmt: skip

        depth_keys, order, touched = (
            torch.empty(2, count, **ints),
            torch.empty(2, count, **ints),
            torch.empty(count, **ints),
        )
        offsets = torch.empty(count, dtype=torch.int64, device=device)
        seen = torch.empty(count, dtype=torch.uint8, device=device)
        ranges = torch.empty(tiles_x * tiles_y, 2, **ints)
        bins = gpu.BinArgs(
            count=count, width=width, height=height, tiles_x=tiles_x, tiles_y=tiles_y, records=pointer(records),
            boxes=pointer(boxes), depth_keys=pointer(depth_keys), order=pointer(order), tiles_touched=pointer(touched),
            offsets=pointer(offsets), seen=pointer(seen),
        )  # fmt: skip
        trusted = bool(_later) and _later[-1].trusts((count, width, height))
        waits = count > 0 and not trusted and not torch.cuda.is_current_stream_capturing()
        capacity = max(_room.get(device, 0), 1)

        def give_room(capacity: int) -> list[Tensor]:
            key = torch.int16 if gpu.tile_key_bytes(tiles_x * tiles_y) == 2 else torch.int32
            keys, instances = torch.empty(2, capacity, dtype=key, device=device), torch.empty(2, capacity, **ints)
            size = gpu.bin_scratch_bytes(count, capacity, tiles_x * tiles_y)
            scratch = torch.empty(max(size, 1), dtype=torch.uint8, device=device)
            bins.set_room(
                capacity=capacity, tile_keys=pointer(keys), instances=pointer(instances), tile_ranges=pointer(ranges),
                scratch=pointer(scratch), scratch_bytes=size,
            )  # fmt: skip
            return [instances, keys, scratch]

        held = give_room(capacity)
        gpu.bin_count(index, bins, stream)
        counted = torch.cuda.Event()
        total = torch.zeros(1, dtype=torch.int64, pin_memory=waits)
        if trusted and count:
            _later[-1].note(offsets[-1:])
        if waits:
            total.copy_(offsets[-1:], non_blocking=True)
            counted.record()

        image, transmittance = sh_coeffs.new_empty(channels, height, width), sh_coeffs.new_empty(height, width)
        last = torch.empty(height, width, **ints)
        median_shape = (height, width) if median_depth else (0, 0)
        median, median_place = sh_coeffs.new_empty(median_shape), torch.empty(median_shape, **ints)
        full_background = channel_background(background, channels)
        raster = native.RasterArgs(
            width=width, height=height, tiles_x=tiles_x, tiles_y=tiles_y, channels=channels, depth=depth,
            alpha_max=alpha_max, records=pointer(records), channel_values=pointer(channel_values), tile_offsets=0,
            instances=0, background=pointer(full_background), transmittance=pointer(transmittance),
            last=pointer(last), median_place=pointer(median_place) if median_depth else 0,
        )  # fmt: skip

        def draw(instances: Tensor) -> None:
            gpu.bin_fill(index, bins, stream)
            gpu.rasterize_forward(
                index, raster, count=count, instances=pointer(instances[1]), tile_ranges=pointer(ranges),
                image=pointer(image), median_depth=pointer(median) if median_depth else 0, stream=stream,
            )  # fmt: skip

        draw(held[0])
        if waits:
            counted.synchronize()
            if int(total) > capacity:
                if int(total) >= 1 << 31:
                    raise RuntimeError(
                        f"the primitives cover {int(total)} tiles in total, more than 2^31: render fewer or smaller "
                        "ones, or a smaller image"
                    )
                capacity = int(total) + int(total) // 4
                held = give_room(capacity)
                draw(held[0])
            _room[device] = max(_room.get(device, 0), capacity)
    return (
        image, 1 - transmittance, median, radii, records, channel_values, seen, ranges, held[0][1], last,
        median_place, transmittance,
    )  # fmt: skip


@rasterize_backward_op.register_kernel("cuda")
def _(
    v_image: Tensor, v_alpha: Tensor | None, v_median: Tensor | None, params: list[Tensor], sh_coeffs: Tensor,
    features: Tensor | None, world_to_camera: Tensor, K: Tensor, background: Tensor | None, records: Tensor,
    channel_values: Tensor, slot_offsets: Tensor, tile_offsets: Tensor, instances: Tensor, last: Tensor,
    median_place: Tensor, transmittance: Tensor, family: str, points: int, width: int, height: int, sh_degree: int,
    depth: bool, normal: bool, near_plane: float, far_plane: float, eps2d: float, antialias: bool, alpha_max: float,
    probe: int, camera: bool,
) -> list[Tensor]:  # fmt: skip
    # What the CPU keeps per slot and per tile is here whether a primitive is seen, and the ranges of tiles.
    seen, ranges = slot_offsets, tile_offsets
    gpu, native, (index, info) = module(), core.f32, native_family(family)
    params = _prepared(*params)
    sh_coeffs, features, world_to_camera, K = _prepared(sh_coeffs, features, world_to_camera, K)
    v_image, v_alpha, v_median = _prepared(v_image, v_alpha, v_median)
    count, (tiles_x, tiles_y), channels = len(sh_coeffs), tiles(width, height), channel_values.shape[1]
    full_background = channel_background(background, channels)
    extra = probe == core.FULL_PROBE or v_median is not None or (depth and info.pixel_depth)
    with torch.cuda.device(sh_coeffs.device):
        stream = torch.cuda.current_stream(sh_coeffs.device).cuda_stream
        moments = sh_coeffs.new_empty(count, info.moment_width + (core.EXTRA_MOMENTS if extra else 0) + channels)
        gpu.rasterize_backward(
            index,
            native.RasterArgs(
                width=width, height=height, tiles_x=tiles_x, tiles_y=tiles_y, channels=channels, depth=depth,
                alpha_max=alpha_max, records=pointer(records), channel_values=pointer(channel_values), tile_offsets=0,
                instances=0, background=pointer(full_background), transmittance=pointer(transmittance),
                last=pointer(last), median_place=pointer(median_place),
            ),
            count=count, instances=pointer(instances), tile_ranges=pointer(ranges), v_image=pointer(v_image),
            v_alpha=pointer(v_alpha), v_median_depth=pointer(v_median), extra=extra, moments=pointer(moments),
            stream=stream,
        )  # fmt: skip
        v_params, v_sh_coeffs = [torch.empty_like(value) for value in params], torch.empty_like(sh_coeffs)
        v_features = sh_coeffs.new_empty(0) if features is None else torch.empty_like(features)
        v_world_to_camera = sh_coeffs.new_empty((4, 4) if camera else 0)
        v_probe = sh_coeffs.new_empty(count, probe)
        camera_total = torch.empty(core.CAMERA_SUMS, dtype=torch.float64, device=sh_coeffs.device)
        gpu.project_backward(
            index,
            project_args(
                native, params, sh_coeffs, features, world_to_camera, K, width, height, points, sh_degree, depth,
                normal, near_plane, far_plane, eps2d, antialias,
            ),
            native.ProjectBackwardArgs(
                slot_offsets=0, moments=pointer(moments), extra=extra, probe=probe, v_parameters=pointers(v_params),
                v_sh_coeffs=pointer(v_sh_coeffs),
                v_feature_values=pointer(v_features) if features is not None else 0,
                v_world_to_camera=pointer(v_world_to_camera) if camera else 0, v_probe=pointer(v_probe) if probe else 0,
            ),
            pointer(seen), pointer(camera_total), stream,
        )  # fmt: skip
    return [v_sh_coeffs, v_features, v_world_to_camera, v_probe, *v_params]
