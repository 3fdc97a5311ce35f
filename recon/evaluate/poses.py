"""Errors of estimated cameras against true ones, free of the frame and the scale that an estimate cannot know."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.scene.nodes import View


@dataclass(frozen=True)
class PoseErrors:
    """Of the views that both have, after the similarity that fits best."""

    rotation_deg: tuple[float, ...]
    """Angle between estimated and true rotation of each view."""
    center: tuple[float, ...]
    """Distance between estimated and true centre of each view over the largest distance between two true ones."""
    focal: tuple[float, ...]
    """Relative error of each focal length."""
    relative_deg: tuple[float, ...]
    """For each pair the larger of the errors of relative rotation and of the direction between the cameras."""

    def auc(self, limit_deg: float) -> float:
        """Area under the share of pairs below an error, up to `limit_deg`, in [0, 1] (Jin et al. 2021)."""
        if not self.relative_deg:
            return 0.0
        return statistics.fmean(max(0.0, 1 - error / limit_deg) for error in self.relative_deg)

    def figures(self) -> dict[str, float]:
        """What metrics.json holds."""
        return {
            "views": len(self.rotation_deg),
            "rotation_deg_median": statistics.median(self.rotation_deg),
            "rotation_deg_worst": max(self.rotation_deg),
            "center_share_median": statistics.median(self.center),
            "center_share_worst": max(self.center),
            "focal_share_median": statistics.median(self.focal),
            **{f"auc_{limit}": self.auc(limit) for limit in (5, 10, 20)},
        }


def pose_errors(estimated: Sequence[View], truth: Sequence[View]) -> PoseErrors | None:
    """Compare views of equal names; None when fewer than two have one."""
    true = {view.name: view for view in truth}
    pairs = [(view, true[view.name]) for view in estimated if view.name in true]
    if len(pairs) < 2:
        return None
    E = torch.stack([view.world_to_camera for view, _ in pairs])
    T = torch.stack([view.world_to_camera for _, view in pairs])
    rotation = _nearest_rotation((E[:, :3, :3].transpose(1, 2) @ T[:, :3, :3]).sum(0))  # true world to estimated
    turned = E[:, :3, :3] @ rotation @ T[:, :3, :3].transpose(1, 2)
    X, Y = rigid.camera_center(T) @ rotation.T, rigid.camera_center(E)
    X, Y = X - X.mean(0), Y - Y.mean(0)
    scale = (X * Y).sum() / (X * X).sum().clamp_min(1e-30)
    baseline = torch.cdist(X, X).max().clamp_min(1e-30) * scale.abs()
    return PoseErrors(
        tuple(_angle_deg(one) for one in turned),
        tuple(((Y - scale * X).norm(dim=1) / baseline).tolist()),
        tuple(abs(_focal(a) / _focal(b) - 1) for a, b in pairs),
        tuple(_relative_deg(E, T, i, j) for i, j in itertools.combinations(range(len(pairs)), 2)),
    )


def _focal(view: View) -> float:
    """In widths: the photos may have been resized."""
    return float(view.camera.K[0, 0]) / view.camera.width


def _relative_deg(E: Tensor, T: Tensor, i: int, j: int) -> float:
    e, t = (one[j] @ rigid.inverse(one[i]) for one in (E, T))
    a, b = (torch.nn.functional.normalize(one[:3, 3], dim=0) for one in (e, t))
    direction = math.degrees(math.atan2(float(torch.linalg.cross(a, b).norm()), float(a @ b)))
    return max(_angle_deg(e[:3, :3] @ t[:3, :3].T), direction)


def _nearest_rotation(matrix: Tensor) -> Tensor:
    U, _, Vh = torch.linalg.svd(matrix)
    return U @ torch.diag(torch.tensor([1.0, 1.0, float(torch.det(U @ Vh))], dtype=matrix.dtype)) @ Vh


def _angle_deg(rotation: Tensor) -> float:
    return math.degrees(rigid.rotation_angle(rotation))
