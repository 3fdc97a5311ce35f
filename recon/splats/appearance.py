"""Photos that differ in brightness or tint, brought to one: a gain per photo and colour, from points they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from recon.geometry.occlusion import nearest_in_cell
from recon.io.images import Image
from recon.scene.nodes import Points, View

_DARKEST, _BRIGHTEST = 0.03, 0.97  # beyond these a photo does not tell by how much
_SLANT = 0.2  # least cosine between a point's normal and the way to the camera
_CELLS = 64  # along the longer side of a photo, in which points hide each other
_BEHIND = 1.05  # times the depth of the nearest point of its cell: what is further is hidden
_FEWEST = 30  # points that two photos must share to be compared


def photo_gains(views: Sequence[View], images: Mapping[str, Image], points: Points) -> Tensor:
    """Factors [V, 3] float64 between what each photo shows and what all show, whose logarithms are 0 on average.

    Two photos differ by the median ratio over the points that both see, which those that one of them does not really
    see do not move; the gains of all photos are the least-squares answer to those of all pairs, weighted by the
    number of points. Photos that share nothing with others keep a gain of 1. Source: Brown & Lowe 2007, sec. 6, with
    points for overlapping pixels and medians for means.
    """
    logs = torch.stack([_logs(view, images[view.name], points) for view in views])
    rows, wanted = [], []
    for i in range(len(views)):
        for j in range(i + 1, len(views)):
            difference = logs[i] - logs[j]
            both = difference.isfinite().all(-1)
            count = int(both.sum())
            if count >= _FEWEST:
                weight = count**0.5
                row = torch.zeros(len(views), dtype=torch.float64)
                row[i], row[j] = weight, -weight
                rows.append(row)
                wanted.append(weight * difference[both].median(0).values)
    if not rows:
        return torch.ones(len(views), 3, dtype=torch.float64)
    # Of all answers, which differ by a factor common to photos that hang together, the smallest: 0 on average.
    return (torch.linalg.pinv(torch.stack(rows)) @ torch.stack(wanted)).exp()


def evened(views: Sequence[View], images: Mapping[str, Image], points: Points) -> dict[str, Image]:
    """The photos of `views` divided by their gains; colours may exceed 1."""
    gains = photo_gains(views, images, points).float().numpy()
    return {
        view.name: replace(images[view.name], rgb=images[view.name].rgb / gain)
        for view, gain in zip(views, gains, strict=True)
    }


def _logs(view: View, image: Image, points: Points) -> Tensor:
    """Logarithms of the photo's colours [N, 3] where the points are, NaN where it cannot see them or is off scale."""
    import cv2

    pixels, depths, seen = view.project(points.positions)
    cell = max(view.camera.width, view.camera.height) / _CELLS
    seen &= depths <= _BEHIND * nearest_in_cell(pixels, depths, seen, cell)
    if points.normals is not None:
        way = torch.nn.functional.normalize(view.center - points.positions.double(), dim=-1)
        seen &= (way * points.normals.double()).sum(-1) > _SLANT
    x, y = torch.where(seen[:, None], pixels, torch.zeros_like(pixels)).long().unbind(-1)
    smooth = torch.from_numpy(cv2.blur(np.ascontiguousarray(image.rgb, np.float32), (5, 5)))[y, x].double()
    seen &= ((smooth > _DARKEST) & (smooth < _BRIGHTEST)).all(-1)
    if image.alpha is not None:
        seen &= torch.from_numpy(np.ascontiguousarray(image.alpha))[y, x] > 0.99
    return torch.where(seen[:, None], smooth.clamp_min(_DARKEST).log(), torch.nan)
