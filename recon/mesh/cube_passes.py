"""The passes of the extraction on tensors: the core's on the CPU, the CUDA half's on a GPU, where it is float32 only.

Both number vertices and quads by voxel and give the same mesh. On a GPU gradients that voxels share are added up in no
fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.mesh.voxels import VoxelGrid
from recon.render import gpu
from recon.render.library import core, kernels, pointer


@dataclass(frozen=True)
class Counted:
    """What the count found."""

    cases: Tensor
    """[M] uint8."""
    first_vertex: Tensor
    """[M] int32."""
    quad_starts: Tensor
    """Quads before each layer of equal z, on a GPU before each voxel, and in all; int64."""
    duals: int
    """Dual vertices in all."""
    quads: int
    """Quads in all."""


class CubePasses:
    """The passes for a lattice and the device and precision of its values."""

    def __init__(self, grid: VoxelGrid, inputs: Sequence[Tensor | None], training: bool) -> None:
        """inputs: sdf, offsets, alpha, beta and gamma, contiguous."""
        sdf = inputs[0]
        assert sdf is not None
        self.on_gpu = _on_gpu(sdf)
        if self.on_gpu and sdf.dtype != torch.float32:
            raise TypeError(f"values are {sdf.dtype}; the GPU extracts from float32")
        self.native = core.f32 if self.on_gpu else kernels(sdf)
        self.grid, self.inputs, self.training = grid, inputs, training
        self.device = sdf.device

    def count(self) -> Counted:
        """Cases of cubes, and what they give."""
        new: dict[str, Any] = {"device": self.device}
        voxels, layers = len(self.grid), len(self.grid.layer_starts) - 1
        cases, first = torch.empty(voxels, dtype=torch.uint8, **new), torch.empty(voxels, dtype=torch.int32, **new)
        starts = torch.zeros((voxels if self.on_gpu else layers) + 1, dtype=torch.int64, **new)
        args = self._arguments(cases, first, starts)
        if not self.on_gpu:
            return Counted(cases, first, starts, *self.native.flexicubes_count(args))
        if voxels == 0:
            return Counted(cases, first, starts, 0, 0)
        raw, counts = torch.empty_like(cases), torch.empty_like(first)
        sums = torch.empty(voxels, dtype=torch.int64, **new)
        size = gpu.module().flexicubes_scratch_bytes(voxels)
        scratch = torch.empty(max(size, 1), dtype=torch.uint8, **new)
        self._queue(
            "flexicubes_count", args, raw=pointer(raw), counts=pointer(counts), sums=pointer(sums),
            scratch=pointer(scratch), scratch_bytes=size,
        )  # fmt: skip
        return Counted(cases, first, starts, int(sums[-1]), int(starts[-1]))

    def fill(self, found: Counted, vertices: Tensor, faces: Tensor, deviation: Tensor) -> None:
        """Overwrites all three."""
        out = {"vertices": pointer(vertices), "faces": pointer(faces), "deviation": pointer(deviation)}
        args = self._arguments(found.cases, found.first_vertex, found.quad_starts)
        if self.on_gpu:
            self._queue("flexicubes_fill", args, found.duals, **out)
        else:
            self.native.flexicubes_fill(args, found.duals, found.quads, **out)

    def backward(
        self,
        found: Counted,
        vertices: Tensor,
        v_vertices: Tensor,
        v_deviation: Tensor | None,
        out: Sequence[Tensor | None],
    ) -> None:
        """Adds to `out`, which is zero: gradients of the inputs that are wanted."""  # fmt: skip
        names = ("v_sdf", "v_offsets", "v_alpha", "v_beta", "v_gamma")
        addresses = {name: pointer(tensor) for name, tensor in zip(names, out, strict=True)} | {
            "vertices": pointer(vertices), "v_vertices": pointer(v_vertices), "v_deviation": pointer(v_deviation),
        }  # fmt: skip
        args = self._arguments(found.cases, found.first_vertex, found.quad_starts)
        if self.on_gpu:
            v_dual = v_vertices[: found.duals].clone()
            self._queue("flexicubes_backward", args, found.duals, v_dual=pointer(v_dual), **addresses)
        else:
            self.native.flexicubes_backward(args, found.duals, found.quads, **addresses)

    def _queue(self, name: str, *args: Any, **addresses: Any) -> None:
        with torch.cuda.device(self.device):
            stream = torch.cuda.current_stream(self.device).cuda_stream
            getattr(gpu.module(), name)(*args, **addresses, stream=stream)

    def _arguments(self, cases: Tensor, first_vertex: Tensor, quad_starts: Tensor) -> Any:
        sdf, offsets, alpha, beta, gamma = self.inputs
        grid, (voxel_corners, corner_voxel, corners) = self.grid, self.grid.on(self.device)
        return self.native.FlexiCubesArgs(
            voxels=len(grid), layers=len(grid.layer_starts) - 1, layer_starts=pointer(grid.layer_starts),
            voxel_corners=pointer(voxel_corners), corner_voxel=pointer(corner_voxel), corners=pointer(corners),
            origin=grid.origin.tolist(), voxel_size=grid.voxel_size, sdf=pointer(sdf), offsets=pointer(offsets),
            alpha=pointer(alpha), beta=pointer(beta), gamma=pointer(gamma), training=self.training,
            cases=pointer(cases), first_vertex=pointer(first_vertex), quad_starts=pointer(quad_starts),
        )  # fmt: skip


def _on_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda
