"""What a scene graph holds. Plain frozen data in OpenCV axes; conversion to files lives in `gltf.py` and `io/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recon.geometry import rigid, spherical_harmonics
from recon.geometry.camera import Camera, project, unproject

Split = Literal["train", "test"]
NodeKind = Literal["scene", "region", "object"]


@dataclass(frozen=True)
class Photo:
    """Where a view's picture lies."""

    path: Path
    """Image file; 8 or 16 bit, with or without alpha."""
    mask: Path | None = None
    """Optional grey image, white where the photo counts. It multiplies the photo's own alpha."""


@dataclass(frozen=True)
class View:
    """One camera pose with its intrinsics, and the photo it took if there is one."""

    name: str
    """Unique in the scene, stable across stages; the photo's file name where there is one."""
    camera: Camera
    """Intrinsics for the photo as it is stored now."""
    world_to_camera: Tensor
    """[4, 4] float64, OpenCV axes (x right, y down, z forward), scene units."""
    photo: Photo | None = None
    split: Split = "train"
    """Test views are never seen by an optimisation."""

    @property
    def center(self) -> Tensor:
        """Camera centre in world coordinates, [3] float64."""
        return rigid.camera_center(self.world_to_camera)

    def project(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where world points [..., N, 3] fall in the image, lens distortion aside.

        Returns pixels [..., N, 2] and depths [..., N] along z, float64, and which lie before the camera and inside of
        the image [..., N]. Whether something hides them is not asked.
        """
        local = rigid.transform_points(self.world_to_camera, points.double())
        depths = local[..., 2]
        pixels = project(local, self.camera.K.double())
        size = torch.tensor([self.camera.width, self.camera.height], dtype=torch.float64)
        return pixels, depths, (depths > 1e-9) & (pixels >= 0).all(-1) & (pixels < size).all(-1)

    def unproject(self, pixels: Tensor, depths: Tensor) -> Tensor:
        """World points [..., N, 3] float64 at `pixels` [..., N, 2] and `depths` [..., N] along z, on a pinhole."""
        local = unproject(pixels.double(), depths.double(), self.camera.K.double())
        return rigid.transform_points(rigid.inverse(self.world_to_camera), local)


@dataclass(frozen=True)
class Points:
    """A coloured point cloud."""

    positions: Tensor
    """[N, 3] float32, world, scene units."""
    colors: Tensor
    """[N, 3] float32 in [0, 1], sRGB."""
    normals: Tensor | None = None
    """[N, 3] float32, unit length, towards the cameras that saw the point."""
    scales: Tensor | None = None
    """[N] float32, radius of the surface patch a point stands for, scene units."""


@dataclass(frozen=True)
class Splats:
    """A set of primitives of one family, in the family's own pre-activation parameters.

    All have opacity_logits [N] and sh_coeffs [N, (sh_degree + 1)^2, 3]. "gaussian": means [N, 3], quats [N, 4] wxyz
    (any length), log_scales [N, 3]; "exponential": also shape_logits [N]; "surfel": log_scales [N, 2];
    "triangle": vertices [N, 3, 3], log_sigmas [N]; "convex": points [N, 3..8, 3], log_deltas [N], log_sigmas [N].
    """

    family: str
    """Name in `recon.scene.families`."""
    params: Mapping[str, Tensor]
    """float32 tensors by name, all with N rows."""

    def __len__(self) -> int:
        return len(next(iter(self.params.values())))

    def __getitem__(self, name: str) -> Tensor:
        return self.params[name]

    @property
    def sh_degree(self) -> int:
        """Degree of the stored spherical harmonics."""
        return spherical_harmonics.degree_of(self.params["sh_coeffs"].shape[1])


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh, optionally textured."""

    vertices: Tensor
    """[V, 3] float32, world, scene units."""
    faces: Tensor
    """[F, 3] int64, counter-clockwise seen from outside."""
    normals: Tensor | None = None
    """[V, 3] float32, unit length."""
    uvs: Tensor | None = None
    """[V, 2] float32, (0, 0) at the texture's top left corner, as in glTF."""
    colors: Tensor | None = None
    """[V, 3] float32 in [0, 1], sRGB."""
    texture: np.ndarray | None = None
    """[H, W, 3] uint8, sRGB base colour; needs `uvs`."""


@dataclass(frozen=True)
class Node:
    """A place in the scene graph and what is there."""

    id: str
    """Unique in the scene, stable across stages."""
    content: Points | Splats | Mesh | None = None
    """None makes a group."""
    kind: NodeKind = "object"
    parent: str | None = None
    """Id of the node that this one hangs under; None at the root."""
    parent_from_node: Tensor = field(default_factory=lambda: torch.eye(4, dtype=torch.float64))
    """[4, 4] float64. The identity for splats: moving them would mean rotating their harmonics."""


@dataclass(frozen=True)
class Relation:
    """A statement about two nodes or views that is no tree edge, such as `("table", "supports", "vase")`."""

    subject: str
    predicate: str
    object: str
