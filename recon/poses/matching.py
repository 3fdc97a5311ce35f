"""Keypoint matches between photos whose poses are known: only along the epipolar line."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recon.config import config
from recon.geometry import rigid
from recon.poses.features import Features


@config
class MatchConfig:
    """What counts as a match."""

    max_epipolar_error_px: float = 2.0
    """Largest distance from the epipolar line, px of the image that features were taken from."""
    max_ratio: float = 0.9
    """Best over second-best descriptor angle. Looser than COLMAP's 0.8 because the rivals on one epipolar
    line are a hundred times fewer than those in a whole image."""
    max_angle: float = 0.8
    """Largest angle between two matching descriptors, rad."""
    max_neighbors: int = 10
    """Each photo is matched with this many others, the closest in position and direction first."""


def choose_pairs(world_to_cameras: Tensor, max_neighbors: int) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of cameras [C, 4, 4] where either is among the other's closest.

    Closeness adds the baseline in units of the median baseline to the angle between optical axes in units of
    45 degrees; pairs that look apart by more than 90 degrees share no surface and are left out.
    """
    centers = rigid.camera_center(world_to_cameras)
    forward = world_to_cameras[:, 2, :3]
    baselines = torch.cdist(centers, centers)
    angles = torch.acos((forward @ forward.T).clamp(-1, 1))
    unit = baselines[baselines > 0].median() if bool((baselines > 0).any()) else torch.tensor(1.0)
    cost = baselines / unit + angles / (torch.pi / 4)
    cost[(angles > torch.pi / 2) | (baselines <= 0)] = torch.inf
    count = min(max_neighbors, len(cost))
    values, nearest = cost.topk(count, largest=False)
    pairs = {
        (min(i, int(j)), max(i, int(j)))
        for i in range(len(cost))
        for j, value in zip(nearest[i], values[i], strict=True)
        if value < torch.inf
    }
    return sorted(pairs)


def fundamental_matrix(K_a: Tensor, K_b: Tensor, a_to_b: Tensor) -> Tensor:
    """F [3, 3] with x_b^T F x_a = 0 for homogeneous pixels. Source: Hartley & Zisserman 2004, eq. 9.12."""
    x, y, z = a_to_b[:3, 3].tolist()
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=a_to_b.dtype)
    return torch.linalg.inv(K_b).T @ cross @ a_to_b[:3, :3] @ torch.linalg.inv(K_a)


def match_pair(a: Features, b: Features, a_to_b: Tensor | None, config: MatchConfig) -> Tensor:
    """Mutual best matches [M, 2] int64 (index in a, index in b) near the epipolar lines of the known motion.

    a_to_b: [4, 4] float64, or None where the motion is not known: the whole other photo is looked through.
    Rows of `a` are compared in chunks to keep the similarity matrix in cache.
    """
    n_a, n_b = len(a.pixels), len(b.pixels)
    if n_a == 0 or n_b == 0:
        return torch.zeros(0, 2, dtype=torch.int64)
    far = None if a_to_b is None else _LineDistance(a, b, a_to_b)
    descriptors_b = b.descriptors.T.contiguous()

    best_a = torch.full((n_b,), -2.0)
    index_a = torch.zeros(n_b, dtype=torch.int64)
    rows: list[tuple[Tensor, Tensor]] = []
    for start in range(0, n_a, 512):
        chunk = slice(start, min(start + 512, n_a))
        similarity = a.descriptors[chunk] @ descriptors_b
        if far is not None:
            similarity.masked_fill_(far(chunk) > config.max_epipolar_error_px, -1.0)
        column_best, column_index = similarity.max(dim=0)
        first, index = similarity.max(dim=1)
        similarity.scatter_(1, index[:, None], -2.0)  # the next maximum is the second best, quicker than topk
        rows.append((torch.stack([first, similarity.amax(dim=1)], dim=1), index))
        better = column_best > best_a
        best_a = torch.where(better, column_best, best_a)
        index_a = torch.where(better, column_index + start, index_a)
    top, index_b = (torch.cat(parts) for parts in zip(*rows, strict=True))
    angle = torch.acos(top.clamp(-1, 1))
    sound = (angle[:, 0] <= config.max_angle) & (index_a[index_b] == torch.arange(n_a))
    if n_b > 1:
        sound &= angle[:, 0] <= config.max_ratio * angle[:, 1]
    chosen = torch.nonzero(sound).squeeze(1)
    return torch.stack([chosen, index_b[chosen]], dim=1)


class _LineDistance:
    """Distances, px, of the keypoints of b from the epipolar lines of those of a."""

    def __init__(self, a: Features, b: Features, a_to_b: Tensor) -> None:
        F = fundamental_matrix(a.camera.K, b.camera.K, a_to_b)
        lines = torch.cat([a.pixels, torch.ones(len(a.pixels), 1, dtype=torch.float64)], dim=1) @ F.T
        self.lines = (lines / lines[:, :2].norm(dim=-1, keepdim=True).clamp_min(1e-300)).float()
        # Pixels relative to the image centre keep the float32 line distance exact to a thousandth of a pixel.
        center = torch.tensor([b.camera.width / 2, b.camera.height / 2])
        self.lines[:, 2] += self.lines[:, :2] @ center
        self.homogeneous = torch.cat([b.pixels.float() - center, torch.ones(len(b.pixels), 1)], dim=1).T.contiguous()

    def __call__(self, rows: slice) -> Tensor:
        """[rows, F_b]"""
        return (self.lines[rows] @ self.homogeneous).abs_()


def match_all(
    features: Sequence[Features], world_to_cameras: Tensor, config: MatchConfig
) -> dict[tuple[int, int], Tensor]:
    """Matches of every promising pair: (i, j) with i < j to [M, 2] int64."""
    matches = {}
    for i, j in choose_pairs(world_to_cameras, config.max_neighbors):
        a_to_b = world_to_cameras[j] @ rigid.inverse(world_to_cameras[i])
        matches[i, j] = match_pair(features[i], features[j], a_to_b, config)
    return matches
