"""How well outlines agree on cameras: each pixel of one must have a point on its ray inside of all the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from recon.geometry import rigid

_SIDE = 96  # px, longer side of the maps of distances
_RAYS, _STEPS = 160, 40  # of each outline, and points on each ray
_REACH = 1.4  # radii of the object that rays are followed before and behind its middle
_RATES = (0.02, 0.01, 0.003)  # of angles, shifts and the focal length, at the first step
_SPREADS, _FOCAL_SPREAD = (0.3, 0.3, 0.1), 0.2  # rad of azimuth, elevation and roll; logarithm of the focal length
_PRIOR = 2e-4  # incoherence that being off by these is worth


@dataclass(frozen=True)
class Outlines:
    """Signed distances to outlines, in longer sides of the photo, positive inside."""

    maps: Tensor
    """[V, 1, S, S] float32, over squares that the photos lie in the middle of."""
    pixels: Tensor
    """[V, R, 2] float32: pixels of each outline, longer sides from the photo's middle."""
    middles: Tensor
    """[V, 2]: of their boxes, likewise."""
    halves: Tensor
    """[V]: half the longer side of their boxes."""

    @staticmethod
    def of(masks: Sequence[np.ndarray], seed: int) -> Outlines:
        """Of masks [H, W] bool, each with something inside."""
        random = np.random.default_rng(seed)
        maps, pixels, middles, halves = [], [], [], []
        for mask in masks:
            side = max(mask.shape)
            top, left = (side - mask.shape[0]) // 2, (side - mask.shape[1]) // 2
            square = np.zeros((side, side), bool)
            square[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
            inside, outside = ndimage.distance_transform_edt(square), ndimage.distance_transform_edt(~square)
            signed = torch.from_numpy(((inside - outside) / side).astype(np.float32))
            maps.append(torch.nn.functional.interpolate(signed[None, None], (_SIDE, _SIDE), mode="area")[0])
            # The edge tells most: half of the rays start there.
            edge = square & ~ndimage.binary_erosion(square)
            chosen = [random.permutation(np.argwhere(part))[: _RAYS // 2] for part in (edge, square)]
            chosen = [np.resize(one, (_RAYS // 2, 2)) for one in chosen]
            pixels.append(torch.from_numpy((np.concatenate(chosen)[:, ::-1] + 0.5) / side - 0.5).float())
            rows, columns = np.nonzero(square)
            low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()]) + 1
            middles.append(torch.from_numpy((low + high) / (2 * side) - 0.5).float())
            halves.append(float((high - low).max()) / (2 * side))
        return Outlines(torch.stack(maps), torch.stack(pixels), torch.stack(middles), torch.tensor(halves))

    def __len__(self) -> int:
        return len(self.maps)


@dataclass(frozen=True)
class Orbit:
    """Cameras around an object of radius one, in what is optimised."""

    angles: Tensor
    """[V, 3] azimuth, elevation above the middle, roll; rad."""
    shifts: Tensor
    """[V, 3]: where the object's middle is seen, longer sides from the photo's middle, and log of its distance."""
    log_focal: Tensor
    """[] log of the focal length in longer sides."""

    @staticmethod
    def ring(outlines: Outlines, sweep: float, elevation: float, focal: float) -> Orbit:
        """Even steps around an object, each camera as far away as its outline is small."""
        count = len(outlines)
        azimuth = sweep * torch.arange(count) / count
        angles = torch.stack([azimuth, torch.full((count,), elevation), torch.zeros(count)], 1)
        distance = focal / outlines.halves.median().expand(count)
        return Orbit(angles, torch.cat([outlines.middles, distance.log()[:, None]], 1), torch.tensor(math.log(focal)))

    def with_focal(self, focal: float) -> Orbit:
        """The same photos through another lens, from as much further away."""
        log_focal = torch.tensor(math.log(focal))
        shifts = torch.cat([self.shifts[:, :2], self.shifts[:, 2:] + log_focal - self.log_focal], 1)
        return Orbit(self.angles, shifts, log_focal)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.angles, self.shifts, self.log_focal

    def poses(self) -> Tensor:
        """[V, 4, 4] `world_to_camera`, y up."""
        azimuth, elevation, roll = self.angles.unbind(1)
        out = torch.stack([elevation.cos() * azimuth.sin(), elevation.sin(), elevation.cos() * azimuth.cos()], 1)
        base = rigid.look_at(out, torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]))[:, :3, :3]
        zero = torch.zeros_like(roll)
        turn = rigid.so3_exp(torch.stack([zero, zero, roll], 1))
        distance = self.shifts[:, 2].exp()
        t = torch.cat([self.shifts[:, :2] * (distance / self.log_focal.exp())[:, None], distance[:, None]], 1)
        return rigid.from_rotation_translation(turn @ base, t)


def incoherence(orbit: Orbit, outlines: Outlines) -> Tensor:
    """[V]: how far rays through each outline stay outside of the other outlines, on average, longer sides.

    Zero for the true cameras, whatever the object; and for cameras in one place, so that it must not decide alone.
    Source: silhouette coherence, Hernandez et al. 2007.
    """
    poses, focal = orbit.poses(), orbit.log_focal.exp()
    back = rigid.inverse(poses)
    distance = orbit.shifts[:, 2].exp()
    depth = distance[:, None] + torch.linspace(-_REACH, _REACH, _STEPS)
    rays = torch.cat([outlines.pixels / focal, torch.ones(*outlines.pixels.shape[:2], 1)], 2)
    local = rays[:, :, None] * depth[:, None, :, None]  # [V, R, S, 3]
    world = rigid.transform_points(back, local.flatten(1, 2))  # [V, RS, 3]
    count = len(outlines)
    result = []
    for i in range(count):
        others = [j for j in range(count) if j != i]
        seen = rigid.transform_points(poses[others], world[i].expand(count - 1, -1, -1))
        pixels = seen[..., :2] / seen[..., 2:].clamp_min(1e-3) * focal
        signed = torch.nn.functional.grid_sample(
            outlines.maps[others], 2 * pixels[:, None], align_corners=False, padding_mode="border"
        )[:, 0, 0]
        beyond = (pixels.abs() - 0.5).clamp_min(0).sum(-1)  # the map ends at the photo's edge
        best = (signed - beyond).min(0).values.view(_RAYS, _STEPS).max(1).values
        result.append((-best).clamp_min(0).mean())
    return torch.stack(result)


def fitted(start: Orbit, outlines: Outlines, steps: int) -> Orbit:
    """`start` after so many steps of Adam on incoherence; as far as outlines do not tell, cameras stay."""
    values = [one.clone().requires_grad_() for one in start.tensors()]
    optimizer = torch.optim.Adam([{"params": [one], "lr": rate} for one, rate in zip(values, _RATES, strict=True)])
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    for _ in range(steps):
        orbit = Orbit(*values)
        away = ((orbit.angles - start.angles) / torch.tensor(_SPREADS)).square().mean()
        away = away + ((orbit.log_focal - start.log_focal) / _FOCAL_SPREAD).square()
        optimizer.zero_grad()
        (incoherence(orbit, outlines).mean() + _PRIOR * away).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rates.step()
    return Orbit(*(one.detach() for one in values))
