"""Keypoint matches between photos whose poses are known: only along the epipolar line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from recon.config import config
from recon.geometry import rigid
from recon.poses.features import Features

_ROWS = 256  # keypoints that are compared with others at a time


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
    45 degrees. Pairs that look apart by more than 90 degrees hardly share a surface and are left out, but where a photo
    has no other: two that look at each other may both show what lies between them.
    """
    centers = rigid.camera_center(world_to_cameras)
    forward = world_to_cameras[:, 2, :3]
    baselines = torch.cdist(centers, centers)
    angles = torch.acos((forward @ forward.T).clamp(-1, 1))
    unit = baselines[baselines > 0].median() if bool((baselines > 0).any()) else torch.tensor(1.0)
    cost = baselines / unit + angles / (torch.pi / 4)
    apart = angles > torch.pi / 2
    alone = (apart | (baselines <= 0)).all(1)
    ahead = ((centers[None] - centers[:, None]) * forward[:, None]).sum(-1) > 0
    apart &= ~((alone[:, None] | alone) & ahead & ahead.T)
    cost[apart | (baselines <= 0)] = torch.inf
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
    Keypoints of `a` are compared some at a time, to keep their similarities in the cache.
    """
    n_a, n_b = len(a.pixels), len(b.pixels)
    if n_a == 0 or n_b == 0:
        return torch.zeros(0, 2, dtype=torch.int64)
    limit = config.max_epipolar_error_px
    lines = None if a_to_b is None else _EpipolarLines(a, b, a_to_b)
    blocks = lines.blocks(limit) if lines else ((rows, torch.arange(n_b)) for rows in torch.arange(n_a).split(_ROWS))

    top, index_b = torch.full((n_a, 2), -1.0), torch.zeros(n_a, dtype=torch.int64)
    best_a, index_a = torch.full((n_b,), -2.0), torch.zeros(n_b, dtype=torch.int64)
    for rows, columns in blocks:
        similarity = a.descriptors[rows] @ b.descriptors[columns].T
        if lines:
            similarity.masked_fill_(lines.distances(rows, columns) > limit, -1.0)
        found, index = similarity.max(dim=0)
        better = found > best_a[columns]
        best_a[columns] = torch.where(better, found, best_a[columns])
        index_a[columns] = torch.where(better, rows[index], index_a[columns])
        first, index = similarity.max(dim=1)
        similarity.scatter_(1, index[:, None], -2.0)  # the next maximum is the second best, quicker than topk
        top[rows] = torch.stack([first, similarity.amax(dim=1)], dim=1)
        index_b[rows] = columns[index]
    angle = torch.acos(top.clamp(-1, 1))
    sound = (angle[:, 0] <= config.max_angle) & (index_a[index_b] == torch.arange(n_a))
    if n_b > 1:
        sound &= angle[:, 0] <= config.max_ratio * angle[:, 1]
    chosen = torch.nonzero(sound).squeeze(1)
    return torch.stack([chosen, index_b[chosen]], dim=1)


class _EpipolarLines:
    """Of the keypoints of a, among those of b."""

    def __init__(self, a: Features, b: Features, a_to_b: Tensor) -> None:
        F = fundamental_matrix(a.camera.K, b.camera.K, a_to_b)
        lines = torch.cat([a.pixels, torch.ones(len(a.pixels), 1, dtype=torch.float64)], dim=1) @ F.T
        self.lines = (lines / lines[:, :2].norm(dim=-1, keepdim=True).clamp_min(1e-300)).float()
        # Pixels relative to the image centre keep the float32 line distance exact to a thousandth of a pixel.
        center = torch.tensor([b.camera.width / 2, b.camera.height / 2])
        self.lines[:, 2] += self.lines[:, :2] @ center
        self.homogeneous = torch.cat([b.pixels.float() - center, torch.ones(len(b.pixels), 1)], dim=1)

    def distances(self, rows: Tensor, columns: Tensor) -> Tensor:
        """[rows, columns], px."""
        return (self.lines[rows] @ self.homogeneous[columns].T).abs_()

    def blocks(self, limit: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Keypoints of a, some at a time, each once, with all of b that are within `limit` of the line of any of them.

        Lines that lie next to each other come together: all of them pass between the lowest and the highest of their
        ends at both edges, and so does what is near to them. Those that rise by less than 45 degrees end at the left
        and the right edge, the others above and below.
        """
        flat = self.lines[:, 1].abs() >= self.lines[:, 0].abs()
        for along, across, chosen in ((0, 1, flat), (1, 0, ~flat)):
            rows = chosen.nonzero().squeeze(1)
            if len(rows) == 0:
                continue
            position, height = self.homogeneous[:, along], self.homogeneous[:, across]
            edges = torch.stack([position.min(), position.max() + 1])
            lines = self.lines[rows]
            ends = -(lines[:, along, None] * edges + lines[:, 2:]) / lines[:, across, None]
            order = ends[:, (ends.amax(0) - ends.amin(0)).argmax()].argsort()
            share = (position - edges[0]) / (edges[1] - edges[0])
            margin = 1.5 * limit  # lines at 45 degrees are further away along an axis than they are
            for some in order.split(_ROWS):
                (low, to_low), (high, to_high) = ends[some].amin(0) - margin, ends[some].amax(0) + margin
                between = (height >= low + (to_low - low) * share) & (height <= high + (to_high - high) * share)
                columns = between.nonzero().squeeze(1)
                if len(columns):
                    yield rows[some], columns


def match_all(
    features: Sequence[Features], world_to_cameras: Tensor, config: MatchConfig
) -> dict[tuple[int, int], Tensor]:
    """Matches of every promising pair: (i, j) with i < j to [M, 2] int64."""
    matches = {}
    for i, j in choose_pairs(world_to_cameras, config.max_neighbors):
        a_to_b = world_to_cameras[j] @ rigid.inverse(world_to_cameras[i])
        matches[i, j] = match_pair(features[i], features[j], a_to_b, config)
    return matches
