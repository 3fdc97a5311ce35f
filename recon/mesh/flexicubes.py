"""Surfaces from signed values on sparse voxels, differentiable in the values and in FlexiCubes' weights.

Source: Shen et al. 2023, "Flexible isosurface extraction for gradient-based mesh optimization". The case table,
the rule for ambiguous faces and the maths are in `cuda/include/recon/flexicubes.h`. We differ in what owns a quad (the
voxel in whose highest corner the edge ends, so neighbours start at corners of its own and nothing is searched) and in
missing voxels: an edge whose four voxels do not all exist has no quad, so the surface is open there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from recon.errors import ReconError
from recon.mesh.cube_passes import Counted, CubePasses
from recon.mesh.voxels import VoxelGrid


@dataclass(frozen=True)
class Surface:
    """An extracted triangle mesh."""

    vertices: Tensor
    """[V, 3], scene units. Dual vertices first, by voxel, then in training the quads' centres."""
    faces: Tensor
    """[F, 3] int32, counter-clockwise seen from outside (where values are >= 0)."""
    deviation: Tensor
    """[duals]: mean absolute deviation of the distances from a dual vertex to its edges' crossings, scene units. Its
    mean is FlexiCubes' L_dev (eq. 8)."""
    first_vertex: Tensor
    """[M] int32: how many dual vertices the voxels before each one have."""

    @property
    def voxels(self) -> Tensor:
        """[duals] int64: the voxel of each dual vertex."""
        ends = torch.cat([self.first_vertex[1:], self.first_vertex.new_tensor([len(self.deviation)])])
        return torch.repeat_interleave(ends - self.first_vertex)


def extract(
    grid: VoxelGrid,
    sdf: Tensor,
    *,
    deform: Tensor | None = None,
    alpha: Tensor | None = None,
    beta: Tensor | None = None,
    gamma: Tensor | None = None,
    training: bool = False,
) -> Surface:
    """The surface sdf = 0; inside is sdf < 0, zero is outside.

    sdf: [K], float32 or float64, any scale (about one voxel is best).   The others are unbounded, 0 is neutral:
    deform: [K, 3], moves a corner by voxel_size / 2 * tanh.   alpha: [M, 8] and beta: [M, 12] give weights
    1 + 0.99 tanh to corners and edges of each voxel.   gamma: [M], 0.99 sigmoid + 0.005, chooses diagonals.
    training: four triangles about each quad's centre, so that gamma has a gradient; otherwise two.
    Gradients reach every argument. The result depends on no number of threads. Values on a CUDA device, float32, stay
    there; the lattice is copied once.
    Raises ReconError when values are not finite.
    """
    voxels, corners = len(grid), len(grid.corners)
    for name, tensor, shape in (
        ("sdf", sdf, (corners,)), ("deform", deform, (corners, 3)), ("alpha", alpha, (voxels, 8)),
        ("beta", beta, (voxels, 12)), ("gamma", gamma, (voxels,)),
    ):  # fmt: skip
        if tensor is None:
            continue
        if tensor.shape != shape or tensor.dtype != sdf.dtype:
            raise ValueError(f"{name} is {tuple(tensor.shape)} {tensor.dtype}; expected {shape} {sdf.dtype}")
        # A sum reads once and writes nothing; only when it overflows are the values looked at one by one.
        if not bool(torch.isfinite(tensor.detach().sum())) and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ReconError(f"FlexiCubes {name}", found=f"{bad} values that are not finite", wanted="finite numbers")
    offsets = None if deform is None else 0.5 * grid.voxel_size * torch.tanh(deform)
    return Surface(*_Extract.apply(grid, sdf, offsets, alpha, beta, gamma, training))


class _Extract(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, grid: VoxelGrid, sdf: Tensor, offsets: Tensor | None, alpha: Tensor | None, beta: Tensor | None,
        gamma: Tensor | None, training: bool,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        inputs = [None if t is None else t.contiguous() for t in (sdf, offsets, alpha, beta, gamma)]
        passes = CubePasses(grid, inputs, training)
        found = passes.count()
        vertices = sdf.new_empty(found.duals + (found.quads if training else 0), 3)
        faces = torch.empty(found.quads * (4 if training else 2), 3, dtype=torch.int32, device=sdf.device)
        deviation = sdf.new_empty(found.duals)
        passes.fill(found, vertices, faces, deviation)
        ctx.grid, ctx.training, ctx.size = grid, training, (found.duals, found.quads)
        ctx.save_for_backward(*inputs, found.cases, found.first_vertex, found.quad_starts, vertices)
        first_vertex = found.first_vertex
        ctx.mark_non_differentiable(faces, first_vertex)
        ctx.set_materialize_grads(False)
        return vertices, faces, deviation, first_vertex

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        v_vertices, _, v_deviation, _ = gradients
        *inputs, cases, first_vertex, quad_starts, vertices = ctx.saved_tensors
        if v_vertices is None and v_deviation is None:
            return (None,) * 7
        v_vertices = torch.zeros_like(vertices) if v_vertices is None else v_vertices.contiguous()
        v_deviation = None if v_deviation is None else v_deviation.contiguous()
        out = [
            torch.zeros_like(t) if t is not None and (wanted or index == 0) else None
            for index, (t, wanted) in enumerate(zip(inputs, ctx.needs_input_grad[1:6], strict=True))
        ]
        found = Counted(cases, first_vertex, quad_starts, *ctx.size)
        CubePasses(ctx.grid, inputs, ctx.training).backward(found, vertices, v_vertices, v_deviation, out)
        return None, *out, None


def cut_edges(grid: VoxelGrid, sdf: Tensor) -> Tensor:
    """The lattice edges on which the sign changes, each once: [E, 2] int64 rows of `grid.corners`.

    Each voxel gives the three edges that end in its highest corner, so an edge at a lattice's rim may be left out.
    """
    voxel_corners, _, _ = grid.on(sdf.device)
    last = voxel_corners[:, 7]
    inside = sdf.detach() < 0
    edges = []
    for axis in range(3):
        first = voxel_corners[:, 7 - (1 << axis)]
        cut = (inside[first] != inside[last]).nonzero()[:, 0]
        edges.append(torch.stack([first[cut], last[cut]], dim=1))
    return torch.cat(edges).long()


def sign_loss(grid: VoxelGrid, sdf: Tensor, scale: float | None = None) -> Tensor:
    """Mean cross-entropy that asks both ends of a cut edge for one sign; a scalar.

    sdf: [K].   scale: what counts as one, the voxel size unless given. It takes away surfaces that nothing else holds.
    Source: Munkberg et al. 2022, eq. 2, as used by FlexiCubes.
    """
    edges = cut_edges(grid, sdf)
    if not len(edges):
        return sdf.sum() * 0
    values = sdf[edges] / (scale or grid.voxel_size)
    target = (values.detach().flip(1) >= 0).to(values.dtype)
    return binary_cross_entropy_with_logits(values, target) * 2
