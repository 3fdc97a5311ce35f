"""The usual way to a mesh, for comparison: Open3D's TSDF of the splats' depths, and marching cubes."""

from __future__ import annotations

import importlib.util

import numpy as np
import torch
from torch import Tensor

from recon.geometry.open3d import library
from recon.mesh.views import surface_views
from recon.scene import Scene

RESOLUTION = 192
"""Voxels along the longest side of what the views show, as 2DGS's evaluation chooses by extent; truncation 5 voxels."""


def tsdf_baseline(scene: Scene) -> tuple[Tensor, Tensor] | None:
    """Vertices [V, 3] and faces [F, 3] in the scene's world from the splats' depths, as they are.

    None when Open3D is not installed (`pip install recon[open3d]`). Pieces with less than 1 % of the triangles are left
    out, as the mesh stage leaves out small ones.
    """
    if importlib.util.find_spec("open3d") is None or scene.splats is None:
        return None
    o3d = library("the TSDF baseline")
    info = next(record.info for record in reversed(scene.provenance) if record.stage == "splats")
    views = surface_views(
        scene.splats, scene.split("train"), coverage=bool(info["coverage"]), antialias=bool(info["antialias"])
    )
    points = torch.cat([view.points()[view.depth > 0] for view in views])
    ordered = points.sort(0).values
    cut = len(points) // 1000
    size = float((ordered[len(points) - 1 - cut] - ordered[cut]).max()) / RESOLUTION
    volume = o3d.t.geometry.VoxelBlockGrid(
        attr_names=("tsdf", "weight"), attr_dtypes=(o3d.core.float32, o3d.core.float32),
        attr_channels=((1), (1)), voxel_size=size, block_resolution=16, block_count=50_000,
    )  # fmt: skip
    for view in views:
        depth = o3d.t.geometry.Image(np.ascontiguousarray(view.depth.numpy()))
        K, pose = o3d.core.Tensor(view.K.double().numpy()), o3d.core.Tensor(view.world_to_camera.double().numpy())
        far = float(view.depth.max()) * 1.1
        blocks = volume.compute_unique_block_coordinates(depth, K, pose, 1.0, far, 5.0)
        volume.integrate(blocks, depth, K, pose, 1.0, far, 5.0)
    mesh = volume.extract_triangle_mesh(weight_threshold=0.9).to_legacy()
    clusters, sizes, _ = mesh.cluster_connected_triangles()
    small = np.asarray(sizes)[np.asarray(clusters)] < 0.01 * len(mesh.triangles)
    mesh.remove_triangles_by_mask(small)
    mesh.remove_unreferenced_vertices()
    return torch.from_numpy(np.asarray(mesh.vertices)).float(), torch.from_numpy(np.asarray(mesh.triangles)).long()
