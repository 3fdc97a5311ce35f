"""What is known about a view that has no photo: the scene's render there, and what the training photos say of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.priors.protocol import Reference, RepairRequest
from recon.priors.warp import Seen, confidence, warp
from recon.scene.nodes import View


@dataclass(frozen=True)
class Drawn:
    """The scene as a camera sees it, float32, without gradients."""

    color: Tensor
    """[H, W, 3] in [0, 1], sRGB."""
    alpha: Tensor
    """[H, W] in [0, 1]."""
    depth: Tensor
    """[H, W] along z, scene units; 0 where nothing is."""


Draw = Callable[[View], Drawn]


class Surroundings:
    """Training photos with the scene's depth at their cameras.

    photos: pairs of [H, W, 3] in [0, 1] over the background that `draw` has, and [H, W] weights of their pixels or
    None, with their cameras, all on one device.   references: how many photos go with a request.
    empty: the void is seen as well, as in captures that are cut out: where nothing is drawn, that is known.
    """

    def __init__(
        self, photos: Sequence[tuple[Tensor, Tensor | None, View]], draw: Draw, references: int, empty: bool = False
    ) -> None:
        self.draw, self.references, self.empty = draw, references, empty
        self.seen = []
        for image, weight, camera in photos:
            depth = draw(camera).depth
            # Pixels that do not count say nothing; no point is at depth 0.
            self.seen.append(Seen(image, depth if weight is None else depth * (weight > 0.5), camera))

    def request(self, camera: View) -> RepairRequest:
        """The request for a camera."""
        drawn = self.draw(camera)
        depth = torch.where(drawn.alpha > 0.05, drawn.depth, torch.zeros_like(drawn.depth))
        warped = [warp(one, camera, depth) for one in self.seen]
        sure = confidence(drawn.color, drawn.alpha, warped)
        if self.empty:
            sure = sure + (1 - drawn.alpha)
        nearest = sorted(range(len(self.seen)), key=lambda i: _apart(self.seen[i].camera, camera))
        references = [
            Reference(self.seen[i].image, self.seen[i].camera, *warped[i]) for i in nearest[: self.references]
        ]
        return RepairRequest(drawn.color, drawn.alpha, sure.clamp(0, 1), depth, references, camera)


def _apart(a: View, b: View) -> float:
    """How unlike two cameras are: the distance of their centres times one plus the turn between their axes."""
    turn = 1 - float(a.world_to_camera[2, :3] @ b.world_to_camera[2, :3].to(a.world_to_camera))
    return (float((a.center - b.center).norm()) + 1e-9) * (1 + 4 * turn)
