"""The mesh rasteriser's passes on tensors: the core's on the CPU, the CUDA half's on a GPU.

The CPU adds up face by face and line by line: results depend on no thread. A GPU goes pixel by pixel and adds up in
whatever order, so that the last digits of gradients differ from run to run; it draws float32 only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.render import gpu
from recon.render.library import core, kernels, pointer


@dataclass(frozen=True)
class Drawing:
    """A mesh before a camera."""

    q: Tensor
    """[V, 3], homogeneous pixel coordinates, contiguous."""
    index: Tensor
    """[F, 3] int32, contiguous."""
    width: int
    """px."""
    height: int
    """px."""
    near: float
    """Near plane, scene units."""


@dataclass(frozen=True)
class Shares:
    """Which pixels take what from which rows."""

    index: Tensor | None
    """[F, 3] int32, the rows of a face's corners; None where every corner has a row of its own."""
    face_ids: Tensor
    """[H, W] int32."""
    barycentrics: Tensor
    """[H, W, 3], contiguous."""
    face_count: int
    """F."""
    starts: Tensor
    """[F + 1] int32 into `pixels`; empty on a GPU, which does not need it."""
    pixels: Tensor
    """[covered] int32, sorted by face; empty on a GPU."""


class Passes(ABC):
    """The passes on one device. What is said of shapes in cuda/cpu/mesh_raster.h holds here."""

    native: Any
    """Where the classes of arguments are."""

    @abstractmethod
    def run(self, name: str, *args: Any, **addresses: Any) -> Any:
        """Run or queue a pass of that name."""

    @abstractmethod
    def rasterize(self, drawing: Drawing) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """face_ids, depth, barycentrics, starts and pixels."""

    @abstractmethod
    def rasterize_backward(
        self, drawing: Drawing, seen: tuple[Tensor, Tensor, Tensor], v_depth: Tensor | None, v_weights: Tensor | None
    ) -> Tensor:
        """Gradient of q. seen: face_ids, starts and pixels."""

    @abstractmethod
    def silhouettes(self, drawing: Drawing, face_ids: Tensor, depth: Tensor, opposite: Tensor) -> Tensor:
        """[S, 4] int32: an edge's vertices, -1 for none, and the two pixels that it parts."""

    @abstractmethod
    def _grouping(self, shares: Shares) -> dict[str, int]:
        """What `interpolate_backward` wants to know of the pixels of faces."""

    def interpolate(self, shares: Shares, attributes: Tensor) -> Tensor:
        """[H, W, C]."""
        out = attributes.new_empty(*shares.face_ids.shape, attributes.shape[-1])
        self.run("interpolate", self._interpolated(shares, attributes), out=pointer(out))
        return out

    def interpolate_backward(
        self, shares: Shares, attributes: Tensor, v_out: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of the attributes and of the barycentrics, as far as they are `wanted`."""
        v_attributes = torch.empty_like(attributes) if wanted[0] else None
        v_barycentrics = torch.empty_like(shares.barycentrics) if wanted[1] else None
        self.run(
            "interpolate_backward", self._interpolated(shares, attributes), **self._grouping(shares),
            v_out=pointer(v_out), v_attributes=pointer(v_attributes), v_barycentrics=pointer(v_barycentrics),
        )  # fmt: skip
        return v_attributes, v_barycentrics

    def antialias(self, drawing: Drawing, found: Tensor, image: Tensor) -> Tensor:
        """The blended image [H, W, C]."""
        out = image.clone()
        self.run("antialias", self.view(drawing), **_blended(found, image), out=pointer(out))
        return out

    def antialias_backward(
        self, drawing: Drawing, found: Tensor, image: Tensor, v_out: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradients of the image and of q."""
        v_image, v_q = v_out.clone(), torch.empty_like(drawing.q)
        self.run(
            "antialias_backward", self.view(drawing), **_blended(found, image), v_out=pointer(v_out),
            v_image=pointer(v_image), v_q=pointer(v_q),
        )  # fmt: skip
        return v_image, v_q

    def view(self, drawing: Drawing) -> Any:
        """The drawing as the passes take it."""
        return self.native.MeshView(
            vertices=len(drawing.q), faces=len(drawing.index), width=drawing.width, height=drawing.height,
            near=drawing.near, q=pointer(drawing.q), index=pointer(drawing.index),
        )  # fmt: skip

    def _interpolated(self, shares: Shares, attributes: Tensor) -> Any:
        channels = attributes.shape[-1]
        return self.native.InterpolateArgs(
            pixels=shares.face_ids.numel(), faces=shares.face_count, rows=attributes.numel() // max(channels, 1),
            channels=channels, index=pointer(shares.index), attributes=pointer(attributes),
            face_ids=pointer(shares.face_ids), barycentrics=pointer(shares.barycentrics),
        )  # fmt: skip

    def _new(self, drawing: Drawing) -> tuple[Tensor, Tensor, Tensor]:
        """Room for face_ids, depth and barycentrics."""
        shape = drawing.height, drawing.width
        face_ids = torch.empty(shape, dtype=torch.int32, device=drawing.q.device)
        return face_ids, drawing.q.new_empty(shape), drawing.q.new_empty(*shape, 3)


def passes(like: Tensor) -> Passes:
    """The passes where `like` is, in its precision.

    Raises TypeError for what they do not compute with, ReconError on a GPU when there is no CUDA half.
    """
    return _OnGpu(like) if like.is_cuda else _OnCpu(like)


def _blended(found: Tensor, image: Tensor) -> dict[str, int]:
    return {"found": pointer(found), "count": len(found), "image": pointer(image), "channels": image.shape[2]}


class _OnCpu(Passes):
    def __init__(self, like: Tensor) -> None:
        self.native = kernels(like)

    def run(self, name: str, *args: Any, **addresses: Any) -> Any:
        return getattr(self.native, name)(*args, **addresses)

    def rasterize(self, drawing: Drawing) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        face_ids, depth, barycentrics = self._new(drawing)
        self.run(
            "mesh_rasterize", self.view(drawing), face_ids=pointer(face_ids), depth=pointer(depth),
            barycentrics=pointer(barycentrics),
        )  # fmt: skip
        starts = torch.empty(len(drawing.index) + 1, dtype=torch.int32)
        pixels = torch.empty(face_ids.numel(), dtype=torch.int32)
        core.group_pixels(
            face_ids=pointer(face_ids), count=face_ids.numel(), faces=len(drawing.index), starts=pointer(starts),
            pixels=pointer(pixels),
        )  # fmt: skip
        return face_ids, depth, barycentrics, starts, pixels[: int(starts[-1])]

    def rasterize_backward(
        self, drawing: Drawing, seen: tuple[Tensor, Tensor, Tensor], v_depth: Tensor | None, v_weights: Tensor | None
    ) -> Tensor:
        v_q, (_, starts, pixels) = torch.empty_like(drawing.q), seen
        self.run(
            "mesh_rasterize_backward", self.view(drawing), starts=pointer(starts), pixels=pointer(pixels),
            v_depth=pointer(v_depth), v_barycentrics=pointer(v_weights), v_q=pointer(v_q),
        )  # fmt: skip
        return v_q

    def silhouettes(self, drawing: Drawing, face_ids: Tensor, depth: Tensor, opposite: Tensor) -> Tensor:
        starts, view = torch.empty(drawing.height + 1, dtype=torch.int64), self.view(drawing)
        seen = {
            "face_ids": pointer(face_ids), "depth": pointer(depth), "opposite": pointer(opposite),
            "starts": pointer(starts),
        }  # fmt: skip
        found = torch.empty(self.run("find_silhouettes", view, **seen, found=0), 4, dtype=torch.int32)
        self.run("find_silhouettes", view, **seen, found=pointer(found))
        return found

    def _grouping(self, shares: Shares) -> dict[str, int]:
        return {"starts": pointer(shares.starts), "grouped": pointer(shares.pixels)}


class _OnGpu(Passes):
    native = core.f32

    def __init__(self, like: Tensor) -> None:
        if like.dtype != torch.float32:
            raise TypeError(f"tensors are {like.dtype}; the GPU draws float32")
        self.device, self.module = like.device, gpu.module()

    def run(self, name: str, *args: Any, **addresses: Any) -> Any:
        with torch.cuda.device(self.device):
            stream = torch.cuda.current_stream(self.device).cuda_stream
            return getattr(self.module, name)(*args, **addresses, stream=stream)

    def rasterize(self, drawing: Drawing) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        face_ids, depth, barycentrics = self._new(drawing)
        keys = torch.empty(face_ids.shape, dtype=torch.int64, device=self.device)
        self.run(
            "mesh_rasterize", self.view(drawing), keys=pointer(keys), face_ids=pointer(face_ids),
            depth=pointer(depth), barycentrics=pointer(barycentrics),
        )  # fmt: skip
        none = face_ids.new_empty(0)
        return face_ids, depth, barycentrics, none, none.clone()

    def rasterize_backward(
        self, drawing: Drawing, seen: tuple[Tensor, Tensor, Tensor], v_depth: Tensor | None, v_weights: Tensor | None
    ) -> Tensor:
        v_q = torch.empty_like(drawing.q)
        self.run(
            "mesh_rasterize_backward", self.view(drawing), face_ids=pointer(seen[0]), v_depth=pointer(v_depth),
            v_barycentrics=pointer(v_weights), v_q=pointer(v_q),
        )  # fmt: skip
        return v_q

    def silhouettes(self, drawing: Drawing, face_ids: Tensor, depth: Tensor, opposite: Tensor) -> Tensor:
        found = face_ids.new_empty(2 * face_ids.numel(), 4)
        self.run(
            "find_silhouettes", self.view(drawing), face_ids=pointer(face_ids), depth=pointer(depth),
            opposite=pointer(opposite), found=pointer(found),
        )  # fmt: skip
        return found

    def _grouping(self, shares: Shares) -> dict[str, int]:
        return {}
