"""Stage 1 when the capture comes with poses: check them and see that there are points."""

from __future__ import annotations

from collections.abc import Callable

import torch

from recon.errors import ReconError
from recon.events import Listener, StageWarning, ignore
from recon.io.images import Image, load_image
from recon.poses.triangulate import TriangulateConfig, triangulate_points
from recon.scene.nodes import Node, View
from recon.scene.scene import Scene

STAGE = "poses"
# 0.01 is more than rounding in any text format leaves and less than any real shear.
_ROTATION_TOLERANCE = 0.01


def with_points(
    scene: Scene,
    config: TriangulateConfig | None = None,
    *,
    seed: int = 0,
    events: Listener = ignore,
    load: Callable[[View], Image] = load_image,
) -> Scene:
    """`scene` with a node "points", triangulated from its training photos unless the source gave points.

    Call it with the source views, before photos are undistorted and downscaled. Says with a `StageWarning` when
    nothing could be triangulated; the scene then has no points. Raises ReconError for poses that are none.
    """
    check_poses(scene)
    if scene.points is not None and len(scene.points.positions) > 0:
        return scene
    if len([view for view in scene.split("train") if view.photo is not None]) < 2:
        events(StageWarning(STAGE, "one training photo only: no points can be triangulated"))
        return scene
    points = triangulate_points(scene, config, seed=seed, load=load)
    if len(points.positions) == 0:
        events(
            StageWarning(
                STAGE,
                "no point could be triangulated from the training photos: they share too little texture, or the "
                "poses do not fit them",
            )
        )
        return scene
    return scene.with_node(Node("points", points, kind="scene"))


def check_poses(scene: Scene) -> None:
    """Raise ReconError for a pose that is no rigid motion, or when all training cameras stand in one place."""
    for view in scene.views:
        pose = view.world_to_camera
        if not bool(pose.isfinite().all()):
            raise ReconError(
                f"view {view.name}: the pose has values that are no numbers", fix="mend or remove that view's pose"
            )
        R = pose[:3, :3].double()
        if float((R @ R.T - torch.eye(3, dtype=R.dtype)).abs().max()) > _ROTATION_TOLERANCE or float(R.det()) < 0:
            raise ReconError(
                f"view {view.name}: the pose is no rotation and translation",
                found=f"determinant {float(R.det()):.3g}",
                wanted="an orthonormal 3x3 block with determinant 1",
                fix="remove scale and mirroring from that view's pose",
            )
    centers = torch.stack([view.center for view in scene.split("train")]) if scene.split("train") else torch.zeros(0, 3)
    if len(centers) > 1 and float((centers - centers[0]).norm(dim=-1).max()) < 1e-9:
        raise ReconError(
            "all training cameras stand in one place", fix="depth needs parallax: check the poses' translations"
        )
