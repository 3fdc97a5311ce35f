"""Differentiable rendering of triangle meshes on the CPU: rasterise, interpolate, antialias.

As in nvdiffrast (Laine et al. 2020), but in the project's conventions: OpenCV axes, `world_to_camera`, K in pixels,
pixel centres at 0.5. Vertices become homogeneous pixel coordinates q = K (R x + t), on which everything native works:
gradients reach vertices, pose and intrinsics. Textures are in `recon.render.texture`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recon.render.library import core, kernels, pointer

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
    """[F + 1] int32: where each face's pixels begin in `pixels`."""
    pixels: Tensor = field(repr=False)
    """[covered] int32: flat indices of the covered pixels, sorted by face."""

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
    out = torch.empty_like(index)
    core.set_num_threads(torch.get_num_threads())
    core.opposite_vertices(index=pointer(index), faces=len(index), vertices=vertex_count, opposite=pointer(out))
    return out


def _index(faces: Tensor, rows: Tensor) -> Tensor:
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.is_floating_point():
        raise ValueError(f"faces are {tuple(faces.shape)} {faces.dtype}; expected [F, 3] integers")
    if rows.ndim != 2:
        raise ValueError(f"vertices or attributes are {tuple(rows.shape)}; expected two axes")
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < len(rows):
        raise ValueError(f"faces name vertices {int(faces.min())} to {int(faces.max())}; there are {len(rows)}")
    return faces.to(torch.int32).contiguous()


def _view(native: Any, q: Tensor, index: Tensor, width: int, height: int, near: float) -> Any:
    return native.MeshView(
        vertices=len(q), faces=len(index), width=width, height=height, near=near, q=pointer(q), index=pointer(index)
    )


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, index: Tensor, width: int, height: int, near: float) -> tuple[Tensor, ...]:
        q, native = q.contiguous(), kernels(q)
        face_ids = torch.empty(height, width, dtype=torch.int32)
        depth, barycentrics = q.new_empty(height, width), q.new_empty(height, width, 3)
        native.mesh_rasterize(
            _view(native, q, index, width, height, near),
            face_ids=pointer(face_ids), depth=pointer(depth), barycentrics=pointer(barycentrics),
        )  # fmt: skip
        starts = torch.empty(len(index) + 1, dtype=torch.int32)
        pixels = torch.empty(height * width, dtype=torch.int32)
        core.group_pixels(
            face_ids=pointer(face_ids), count=height * width, faces=len(index), starts=pointer(starts),
            pixels=pointer(pixels),
        )  # fmt: skip
        pixels = pixels[: int(starts[-1])]
        ctx.save_for_backward(q, index, starts, pixels)
        ctx.size = (width, height, near)
        ctx.mark_non_differentiable(face_ids, starts, pixels)
        ctx.set_materialize_grads(False)
        return face_ids, depth, barycentrics, starts, pixels

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        q, index, starts, pixels = ctx.saved_tensors
        v_depth, v_barycentrics = (None if g is None else g.contiguous() for g in gradients[1:3])
        if v_depth is None and v_barycentrics is None:
            return (None,) * 5
        v_q, native = torch.empty_like(q), kernels(q)
        native.mesh_rasterize_backward(
            _view(native, q, index, *ctx.size), starts=pointer(starts), pixels=pointer(pixels),
            v_depth=pointer(v_depth), v_barycentrics=pointer(v_barycentrics), v_q=pointer(v_q),
        )  # fmt: skip
        return v_q, None, None, None, None


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, attributes: Tensor, index: Tensor | None, barycentrics: Tensor, fragments: Fragments
    ) -> Tensor:
        if attributes.dtype != barycentrics.dtype:
            raise ValueError(f"attributes are {attributes.dtype}; the fragments {barycentrics.dtype}")
        attributes, barycentrics = attributes.contiguous(), barycentrics.contiguous()
        out = attributes.new_empty(*fragments.face_ids.shape, attributes.shape[-1])
        native = kernels(attributes)
        native.interpolate(_attributes(native, attributes, index, barycentrics, fragments), out=pointer(out))
        ctx.save_for_backward(attributes, index, barycentrics)
        ctx.fragments = fragments
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        attributes, index, barycentrics = ctx.saved_tensors
        fragments: Fragments = ctx.fragments
        v_out = gradients[0].contiguous()
        v_attributes = torch.empty_like(attributes) if ctx.needs_input_grad[0] else None
        v_barycentrics = torch.empty_like(barycentrics) if ctx.needs_input_grad[2] else None
        native = kernels(attributes)
        native.interpolate_backward(
            _attributes(native, attributes, index, barycentrics, fragments), starts=pointer(fragments.starts),
            grouped=pointer(fragments.pixels), v_out=pointer(v_out), v_attributes=pointer(v_attributes),
            v_barycentrics=pointer(v_barycentrics),
        )  # fmt: skip
        return v_attributes, None, v_barycentrics, None


def _attributes(
    native: Any, attributes: Tensor, index: Tensor | None, barycentrics: Tensor, fragments: Fragments
) -> Any:
    channels = attributes.shape[-1]
    return native.InterpolateArgs(
        pixels=fragments.face_ids.numel(), faces=fragments.face_count, rows=attributes.numel() // max(channels, 1),
        channels=channels, index=pointer(index), attributes=pointer(attributes), face_ids=pointer(fragments.face_ids),
        barycentrics=pointer(barycentrics),
    )  # fmt: skip


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, q: Tensor, index: Tensor, fragments: Fragments, opposite: Tensor) -> Tensor:
        if image.dtype != q.dtype:
            raise ValueError(f"image is {image.dtype}; vertices are {q.dtype}")
        image, q, native = image.contiguous(), q.contiguous(), kernels(q)
        height, width = fragments.face_ids.shape
        view = _view(native, q, index, width, height, fragments.near)
        starts = torch.empty(height + 1, dtype=torch.int64)
        seen = {
            "face_ids": pointer(fragments.face_ids), "depth": pointer(fragments.depth),
            "opposite": pointer(opposite), "starts": pointer(starts),
        }  # fmt: skip
        found = torch.empty(native.find_silhouettes(view, **seen, found=0), 4, dtype=torch.int32)
        native.find_silhouettes(view, **seen, found=pointer(found))
        out = image.clone()
        native.antialias(
            view, found=pointer(found), count=len(found), image=pointer(image), channels=image.shape[2],
            out=pointer(out),
        )  # fmt: skip
        ctx.save_for_backward(image, q, index, found)
        ctx.size = (width, height, fragments.near)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        image, q, index, found = ctx.saved_tensors
        v_out = gradients[0].contiguous()
        v_image, v_q, native = v_out.clone(), torch.empty_like(q), kernels(q)
        native.antialias_backward(
            _view(native, q, index, *ctx.size), found=pointer(found), count=len(found), image=pointer(image),
            channels=image.shape[2], v_out=pointer(v_out), v_image=pointer(v_image), v_q=pointer(v_q),
        )  # fmt: skip
        return v_image, v_q, None, None, None
