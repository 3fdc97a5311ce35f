"""Differentiable rendering of triangle meshes: rasterise, interpolate, antialias. On the CPU, and on CUDA in float32.

As in nvdiffrast (Laine et al. 2020), but in the project's conventions: OpenCV axes, `world_to_camera`, K in pixels,
pixel centres at 0.5. Vertices become homogeneous pixel coordinates q = K (R x + t), on which everything native works:
gradients reach vertices, pose and intrinsics. Textures are in `recon.render.texture`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recon.render.library import core, pointer
from recon.render.mesh_passes import Drawing, Shares, passes

NEAR = 1e-3
"""Default near plane, scene units."""


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees of a mesh."""

    face_ids: Tensor
    """[H, W] int32, -1 where empty."""
    depth: Tensor
    """[H, W], along the optical axis, scene units, 0 where empty; differentiable."""
    barycentrics: Tensor
    """[H, W, 3], perspective-correct weights of the face's vertices, 0 where empty; differentiable."""
    near: float
    """Near plane, scene units: what was cut away."""
    face_count: int
    """Number of faces of the mesh."""
    starts: Tensor = field(repr=False)
    """[F + 1] int32: where each face's pixels begin in `pixels`; on the CPU, whose sums go by faces."""
    pixels: Tensor = field(repr=False)
    """[covered] int32: flat indices of the covered pixels, sorted by face; on the CPU."""

    @property
    def mask(self) -> Tensor:
        """[H, W] bool: covered pixels."""
        return self.face_ids >= 0


def homogeneous_pixels(vertices: Tensor, world_to_camera: Tensor, K: Tensor) -> Tensor:
    """[V, 3] world points to q = K (R x + t): the pixel is q[:2] / q[2], the depth q[2]."""
    dtype = vertices.dtype
    to_pixels = K.to(dtype) @ world_to_camera.to(dtype)[:3]
    return vertices @ to_pixels[:, :3].T + to_pixels[:, 3]


def rasterize_mesh(
    vertices: Tensor,
    faces: Tensor,
    world_to_camera: Tensor,
    K: Tensor,
    width: int,
    height: int,
    *,
    near: float = NEAR,
) -> Fragments:
    """Find the nearest triangle of every pixel. Both sides are drawn; what is nearer than `near` is cut away.

    vertices: [V, 3] float32 or float64, world.   faces: [F, 3] integers.   world_to_camera: [4, 4].   K: [3, 3], px.
    Triangles with a vertex that is not finite are left out. Of faces at equal depth the one with the lower index wins.
    Neighbours share every pixel between them: no gaps and no overlaps along an edge.
    """
    index = _index(faces, vertices)
    if width < 1 or height < 1:
        raise ValueError(f"image is {width} x {height}; expected at least 1 x 1")
    if not near > 0:
        raise ValueError(f"near is {near}; expected a positive distance")
    q = homogeneous_pixels(vertices, world_to_camera, K)
    face_ids, depth, barycentrics, starts, pixels = _Rasterize.apply(q, index, width, height, near)
    return Fragments(face_ids, depth, barycentrics, near, len(index), starts, pixels)


def interpolate(attributes: Tensor, faces: Tensor, fragments: Fragments) -> Tensor:
    """Attributes at each pixel: [H, W, C], 0 where empty; differentiable in the attributes and the barycentrics.

    attributes: [V, C] per vertex, or [F, 3, C] per corner of each face.   faces: [F, 3], as rasterised.
    """
    if attributes.ndim == 3:
        if attributes.shape[:2] != (fragments.face_count, 3):
            raise ValueError(f"attributes are {tuple(attributes.shape)}; expected [{fragments.face_count}, 3, C]")
        return _Interpolate.apply(attributes, None, fragments.barycentrics, fragments)
    index = _index(faces, attributes)
    if len(index) != fragments.face_count:
        raise ValueError(f"faces are {len(index)}; the fragments are of {fragments.face_count}")
    return _Interpolate.apply(attributes, index, fragments.barycentrics, fragments)


def antialias(
    image: Tensor,
    fragments: Fragments,
    vertices: Tensor,
    faces: Tensor,
    world_to_camera: Tensor,
    K: Tensor,
    opposite: Tensor | None = None,
) -> Tensor:
    """Blend `image` [H, W, C] across silhouettes by the share of the pixel that they cut off.

    This gives silhouettes their gradient: the result is differentiable in image, vertices, pose and K. A silhouette is
    a boundary of the mesh, or an edge both of whose faces lie on the same side in the image.
    opposite: `opposite_vertices` of the faces, for callers that draw one mesh several times.
    Source: Laine et al. 2020, section 3.5.
    """
    if image.shape[:2] != fragments.face_ids.shape or image.ndim != 3:
        raise ValueError(f"image is {tuple(image.shape)}; expected {tuple(fragments.face_ids.shape)} and channels")
    q = homogeneous_pixels(vertices, world_to_camera, K)
    index = _index(faces, vertices)
    if opposite is None:
        opposite = opposite_vertices(index, len(vertices))
    elif opposite.shape != index.shape or opposite.dtype != torch.int32:
        raise ValueError(f"opposite is {tuple(opposite.shape)} {opposite.dtype}; expected {tuple(index.shape)} int32")
    return _Antialias.apply(image, q, index, fragments, opposite.contiguous())


def opposite_vertices(faces: Tensor, vertex_count: int) -> Tensor:
    """[F, 3] int32: across the edge opposite to corner i, the other face's third vertex; -1 at a boundary."""
    index = faces.to(torch.int32).contiguous()
    if index.is_cuda:
        return opposite_by_sorting(index, vertex_count)
    out = torch.empty_like(index)
    core.set_num_threads(torch.get_num_threads())
    core.opposite_vertices(index=pointer(index), faces=len(index), vertices=vertex_count, opposite=pointer(out))
    return out


def opposite_by_sorting(index: Tensor, vertex_count: int) -> Tensor:
    """`opposite_vertices` of [F, 3] int32 on any device: edges sorted by their vertices find each other."""
    corners = index.reshape(-1)
    ends = torch.stack([index.roll(-1, 1), index.roll(-2, 1)], -1).reshape(-1, 2).long().sort(1).values
    keys, order = (ends[:, 0] * vertex_count + ends[:, 1]).sort(stable=True)
    _, group, counts = torch.unique_consecutive(keys, return_inverse=True, return_counts=True)
    first = (counts.cumsum(0) - counts)[group]
    place = torch.arange(len(keys), device=index.device)
    # Of several others the first one, as on the CPU.
    other = torch.where(place == first, place + 1, first).clamp(max=max(len(keys) - 1, 0))
    found = torch.where(counts[group] > 1, corners[order[other]], -1)
    return torch.empty_like(corners).index_copy_(0, order, found.to(torch.int32)).reshape(index.shape)


def _index(faces: Tensor, rows: Tensor) -> Tensor:
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.is_floating_point():
        raise ValueError(f"faces are {tuple(faces.shape)} {faces.dtype}; expected [F, 3] integers")
    if rows.ndim != 2:
        raise ValueError(f"vertices or attributes are {tuple(rows.shape)}; expected two axes")
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < len(rows):
        raise ValueError(f"faces name vertices {int(faces.min())} to {int(faces.max())}; there are {len(rows)}")
    return faces.to(torch.int32).contiguous()


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, index: Tensor, width: int, height: int, near: float) -> tuple[Tensor, ...]:
        q = q.contiguous()
        face_ids, depth, barycentrics, starts, pixels = passes(q).rasterize(Drawing(q, index, width, height, near))
        ctx.save_for_backward(q, index, face_ids, starts, pixels)
        ctx.size = (width, height, near)
        ctx.mark_non_differentiable(face_ids, starts, pixels)
        ctx.set_materialize_grads(False)
        return face_ids, depth, barycentrics, starts, pixels

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        q, index, *seen = ctx.saved_tensors
        v_depth, v_barycentrics = (None if g is None else g.contiguous() for g in gradients[1:3])
        if v_depth is None and v_barycentrics is None:
            return (None,) * 5
        drawing = Drawing(q, index, *ctx.size)
        v_q = passes(q).rasterize_backward(drawing, (seen[0], seen[1], seen[2]), v_depth, v_barycentrics)
        return v_q, None, None, None, None


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, attributes: Tensor, index: Tensor | None, barycentrics: Tensor, fragments: Fragments
    ) -> Tensor:
        if attributes.dtype != barycentrics.dtype:
            raise ValueError(f"attributes are {attributes.dtype}; the fragments {barycentrics.dtype}")
        attributes, barycentrics = attributes.contiguous(), barycentrics.contiguous()
        ctx.save_for_backward(attributes, index, barycentrics)
        ctx.fragments = fragments
        return passes(attributes).interpolate(_shares(index, barycentrics, fragments), attributes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        attributes, index, barycentrics = ctx.saved_tensors
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[2])
        v_attributes, v_barycentrics = passes(attributes).interpolate_backward(
            _shares(index, barycentrics, ctx.fragments), attributes, gradients[0].contiguous(), wanted
        )
        return v_attributes, None, v_barycentrics, None


def _shares(index: Tensor | None, barycentrics: Tensor, fragments: Fragments) -> Shares:
    return Shares(
        index, fragments.face_ids, barycentrics, fragments.face_count, fragments.starts, fragments.pixels
    )  # fmt: skip


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, q: Tensor, index: Tensor, fragments: Fragments, opposite: Tensor) -> Tensor:
        if image.dtype != q.dtype:
            raise ValueError(f"image is {image.dtype}; vertices are {q.dtype}")
        image, q = image.contiguous(), q.contiguous()
        height, width = fragments.face_ids.shape
        ctx.size = (width, height, fragments.near)
        drawing, native = Drawing(q, index, *ctx.size), passes(q)
        found = native.silhouettes(drawing, fragments.face_ids, fragments.depth.contiguous(), opposite)
        ctx.save_for_backward(image, q, index, found)
        return native.antialias(drawing, found, image)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        image, q, index, found = ctx.saved_tensors
        v_image, v_q = passes(q).antialias_backward(
            Drawing(q, index, *ctx.size), found, image, gradients[0].contiguous()
        )
        return v_image, v_q, None, None, None
