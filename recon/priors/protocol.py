"""What a prior is: something that knows how scenes look, and is asked where the photos do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from recon.scene.nodes import View


@dataclass(frozen=True)
class Reference:
    """A training photo near the view that is to be repaired."""

    image: Tensor
    """[H', W', 3] float32 in [0, 1], sRGB, as its own camera sees it."""
    camera: View
    """The camera of `image`, with its size."""
    warped: Tensor
    """[H, W, 3] in [0, 1], the photo as the view to repair would see it, by the scene's depth; 0 where not `valid`."""
    valid: Tensor
    """[H, W] bool: the scene's depth leads to a place that the photo shows and that nothing hides from it."""


@dataclass(frozen=True)
class RepairRequest:
    """A render that may be damaged, and all that is known about the view. Tensors are float32 on one device."""

    render: Tensor
    """[H, W, 3] in [0, 1], sRGB."""
    alpha: Tensor
    """[H, W] in [0, 1], opacity of the scene at the pixel."""
    confidence: Tensor
    """[H, W] in [0, 1]: how far the scene is sure of the pixel, by opacity, coverage and agreement of the photos."""
    depth: Tensor
    """[H, W] along z, scene units; 0 where nothing is."""
    references: Sequence[Reference]
    """The nearest training photos, the nearest first; may be empty."""
    camera: View
    """The camera of `render`, with its size."""


@dataclass(frozen=True)
class Repaired:
    """What a prior makes of a request."""

    image: Tensor
    """[H, W, 3] in [0, 1], sRGB, of the request's size and on its device."""
    confidence: Tensor
    """[H, W] in [0, 1]: how far the prior is sure of its own pixel."""
    share: Tensor | None = None
    """[H, W] in [0, 1]: how much of `image` to take, the rest being the render, of priors that can tell; None
    leaves it to how sure the scene is."""


@dataclass(frozen=True)
class Pair:
    """What a prior that learns a scene learns from."""

    request: RepairRequest
    """A damaged render at a camera that took a photo; the photo is not among its references."""
    truth: Tensor
    """[H, W, 3] in [0, 1], the photo."""


@dataclass(frozen=True)
class Depth:
    """Depth of one photo by a network."""

    values: Tensor
    """[H, W] float32 of the photo's size."""
    kind: Literal["inverse", "relative", "metric"]
    """`inverse`: 1 / z up to a positive scale and a shift; `relative`: z up to these; `metric`: z in metres."""


@runtime_checkable
class RepairPrior(Protocol):
    """Takes the damage out of a render."""

    def repair(self, request: RepairRequest) -> Repaired:
        """The clean view, equal results for equal requests."""
        ...


@runtime_checkable
class AdaptivePrior(Protocol):
    """A prior that can learn one scene before it repairs views of it."""

    @property
    def learns(self) -> bool:
        """Whether its settings ask for it."""
        ...

    def adapt(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """Learn from this scene's own pairs. Returns what was learnt, for checkpoints: CPU tensors by name."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `adapt` returned, in place of learning."""
        ...


@runtime_checkable
class ClipPrior(Protocol):
    """Takes the damage out of neighbouring renders at once, so that they agree with each other."""

    def repair_clip(self, requests: Sequence[RepairRequest]) -> list[Repaired]:
        """The clean views of a camera path, in its order; all requests have one size."""
        ...


@runtime_checkable
class ScorePrior(Protocol):
    """Says in which direction a render gets more likely."""

    def gradient(self, render: Tensor, alpha: Tensor, camera: View, step: float) -> Tensor:
        """[H, W, 3]: what a descent subtracts from `render` [H, W, 3] (in [0, 1], sRGB; no gradients flow through).

        alpha: [H, W].   step: share of the guided part of the optimisation that is done, in [0, 1).
        """
        ...


@runtime_checkable
class DepthPrior(Protocol):
    """Sees depth in a single photo."""

    def depth(self, photo: Tensor) -> Depth:
        """Of a photo [H, W, 3] in [0, 1], sRGB."""
        ...


@runtime_checkable
class NormalPrior(Protocol):
    """Sees the direction of surfaces in a single photo."""

    def normal(self, photo: Tensor) -> Tensor:
        """[H, W, 3] unit vectors in OpenCV's camera axes, towards the camera, of a photo [H, W, 3] in [0, 1]."""
        ...


Prior = RepairPrior | ClipPrior | ScorePrior | DepthPrior | NormalPrior
