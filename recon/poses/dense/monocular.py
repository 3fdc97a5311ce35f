"""Dense points by depths of single photos: what stereo cannot match is filled by what a network sees there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry.camera import pixel_grid
from recon.poses.dense.align import AlignConfig, align
from recon.poses.dense.source import DenseInput, DenseSource
from recon.priors import DepthPrior
from recon.priors.pixels import resized
from recon.scene.nodes import Points, View


@config
class FillConfig:
    """Which pixels of a network's depths become points."""

    max_side: Annotated[int, Field(ge=32)] = 160
    """Points are taken from depth maps of this longer side, px: a pixel, a point."""
    gap: Annotated[int, Field(ge=0)] = 2
    """Pixels of such a map that are nearer than this to a point that is there already are left."""
    max_step: Annotated[float, Field(gt=0)] = 0.1
    """No point where depth jumps by more than this share from a pixel to the next: networks smear edges."""
    in_front: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Points that another photo sees through, by this share of the depth that it sees there, are left out."""
    max_points: Annotated[int, Field(ge=1)] = 10_000
    """Points to add; more are thinned at random, and the rest grow to fill the gaps."""
    align: AlignConfig = field(default_factory=AlignConfig)


@dataclass(frozen=True)
class _Map:
    """A photo at the size of the fill."""

    view: View
    depth: Tensor
    """[H, W] float64, 0 where there is none."""
    rgb: Tensor
    """[H, W, 3] float32."""
    counts: Tensor
    """[H, W] bool, where the photo counts."""


class MonocularSource:
    """The points of `base`, if any, and in its gaps those of a depth prior, aligned to known points photo by photo."""

    def __init__(self, prior: DepthPrior, fill: FillConfig, base: DenseSource | None) -> None:
        self.prior, self.fill, self.base = prior, fill, base

    def points(self, given: DenseInput) -> Points:
        nothing = Points(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0))
        base = nothing if self.base is None else self.base.points(given)
        known = [base.positions] if given.points is None else [base.positions, given.points.positions]
        anchors = torch.cat([one.double() for one in known])
        maps = self._maps(given, anchors)
        covered = base.positions.double()
        parts: list[Points] = [base]
        for one in maps:
            part = self._fill(one, maps, covered)
            covered = torch.cat([covered, part.positions.double()])
            parts.append(part)
        added = _joined(parts[1:]) if maps else nothing
        if len(added.positions) > self.fill.max_points:
            generator = torch.Generator().manual_seed(given.seed)
            chosen = torch.randperm(len(added.positions), generator=generator)[: self.fill.max_points].sort().values
            growth = (len(added.positions) / self.fill.max_points) ** 0.5
            assert added.normals is not None and added.scales is not None
            added = Points(
                added.positions[chosen], added.colors[chosen], added.normals[chosen], added.scales[chosen] * growth
            )
        return _joined([base, added])

    def _maps(self, given: DenseInput, anchors: Tensor) -> list[_Map]:
        """Aligned depths of the photos that enough known points lie in."""
        maps = []
        for done, (view, image) in enumerate(zip(given.views, given.images, strict=True), 1):
            rgb = torch.from_numpy(image.rgb)
            found = align(self.prior.depth(rgb), view, anchors, self.fill.align, given.seed)
            given.progress(done, len(given.views))
            if found is None:
                given.warn(f"depths of {view.name} do not agree with the points that it shows, and are not used")
                continue
            shrink = min(1.0, self.fill.max_side / max(rgb.shape[:2]))
            camera = view.camera.resized(*(max(1, round(side * shrink)) for side in (rgb.shape[1], rgb.shape[0])))
            size = (camera.width, camera.height)
            counts = torch.ones(rgb.shape[:2]) if image.alpha is None else torch.from_numpy(image.alpha)
            depth = resized(found.depth.float()[..., None], *size)[..., 0].double()
            whole = resized((found.depth > 0).float()[..., None], *size)[..., 0] > 0.999
            maps.append(_Map(
                replace(view, camera=camera), torch.where(whole, depth, torch.zeros_like(depth)),
                resized(rgb, *size), resized(counts[..., None], *size)[..., 0] > 0.5,
            ))  # fmt: skip
        return maps

    def _fill(self, one: _Map, maps: list[_Map], covered: Tensor) -> Points:
        """Points of the pixels of `one` that `covered` [N, 3] leaves free and no other photo contradicts."""
        camera, z = one.view.camera, one.depth
        world = one.view.unproject(pixel_grid(camera.width, camera.height, torch.float64), z.clamp_min(1e-12))
        free = (z > 0) & one.counts & ~self._near(one.view, covered)
        free &= _steps(z) <= self.fill.max_step
        for other in maps:
            if other is not one:
                pixels, depth, inside = other.view.project(world)
                x, y = torch.where(inside[..., None], pixels, torch.zeros_like(pixels)).long().unbind(-1)
                free &= ~(inside & (depth < (1 - self.fill.in_front) * other.depth[y, x]))
        across, down = torch.zeros_like(world), torch.zeros_like(world)
        across[:, 1:-1], down[1:-1] = world[:, 2:] - world[:, :-2], world[2:] - world[:-2]
        normals = torch.nn.functional.normalize(torch.linalg.cross(down, across), dim=-1)
        free &= normals.norm(dim=-1) > 0.5  # not at the border, which has no neighbours
        focal = camera.K.diagonal()[:2].double().prod().sqrt()
        return Points(world[free].float(), one.rgb[free], normals[free].float(), (0.5 * z / focal)[free].float())

    def _near(self, view: View, covered: Tensor) -> Tensor:
        """[H, W] bool: pixels that points fall on, or next to."""
        camera = view.camera
        hit = torch.zeros(camera.height, camera.width)
        pixels, _, inside = view.project(covered)
        x, y = pixels[inside].long().unbind(-1)
        hit[y, x] = 1
        side = 2 * self.fill.gap + 1
        return torch.nn.functional.max_pool2d(hit[None], side, stride=1, padding=self.fill.gap)[0] > 0


def _steps(depth: Tensor) -> Tensor:
    """[H, W], the largest relative difference of a depth to those of its neighbours."""
    padded = torch.nn.functional.pad(depth[None, None], (1, 1, 1, 1), mode="replicate")
    high = torch.nn.functional.max_pool2d(padded, 3, stride=1)[0, 0]
    low = -torch.nn.functional.max_pool2d(-padded, 3, stride=1)[0, 0]
    return (high - low) / depth.clamp_min(1e-12)


def _joined(parts: list[Points]) -> Points:
    columns = [[getattr(part, name) for part in parts] for name in ("positions", "colors", "normals", "scales")]
    return Points(*(torch.cat(column) for column in columns))
