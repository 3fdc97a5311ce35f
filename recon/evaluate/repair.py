"""A last repair of renders by the priors that took part in the optimisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import torch
from pydantic import TypeAdapter
from torch import Tensor

from recon.errors import ReconError
from recon.evaluate.renderer import SplatRenderer
from recon.io.images import load_image
from recon.priors import AdaptivePrior, AnyPrior, ClipPrior, Prior, Repaired, RepairPrior, RepairRequest
from recon.priors.surroundings import Surroundings
from recon.priors.trust import blended, repaired_views
from recon.scene import Scene, View

LEARNT = "learnt.safetensors"
"""What priors learnt of the scene, in the folder of the splats stage."""
_CLIP = 16  # frames of a path that a clip prior gets at once


@dataclass(frozen=True)
class RepairedView:
    """One view with what a prior made of it."""

    request: RepairRequest
    repaired: Repaired
    image: Tensor
    """[H, W, 3]: the render where the scene is sure, the repaired picture where it is not and the prior is."""


class Repairer:
    """Takes views to repaired pictures."""

    def __init__(self, scene: Scene, renderer: SplatRenderer, priors: Sequence[Prior], references: int = 4) -> None:
        self.priors = priors
        photos = []
        for view in scene.split("train"):
            if view.photo is None:
                continue
            image = load_image(view)
            rgb = torch.from_numpy(image.rgb)
            alpha = None if image.alpha is None else torch.from_numpy(image.alpha)
            if renderer.coverage and alpha is not None:
                rgb, alpha = torch.lerp(renderer.background.cpu().expand_as(rgb), rgb, alpha[..., None]), None
            photos.append((rgb, alpha, view))
        self.around = Surroundings(photos, renderer.drawn, references, empty=renderer.coverage)

    @staticmethod
    def of(scene: Scene, out: Path, renderer: SplatRenderer) -> Repairer | None:
        """With the priors that the run of `scene` in the folder `out` was told of; None when none of them repairs.

        Raises ReconError when one cannot be loaded here.
        """
        record = next((one for one in reversed(scene.provenance) if one.stage == "splats"), None)
        settings = {} if record is None else record.info.get("settings", {}).get("splats", {})
        entries = settings.get("priors", [])
        if record is None or not entries:
            return None
        configs = TypeAdapter(tuple[AnyPrior, ...]).validate_python(entries)
        device = renderer.splats["sh_coeffs"].device
        loaded = [one.load(device) for one in configs if one.repairs]
        if not loaded:
            return None
        _recall(loaded, out / "stages" / record.folder / LEARNT)
        return Repairer(scene, renderer, loaded, settings.get("guidance", {}).get("references", 4))

    def __call__(self, views: Sequence[View]) -> list[RepairedView]:
        """Views of one size, in the order of their path."""
        with torch.no_grad():
            requests = [self.around.request(view) for view in views]
            answers = repaired_views(self.priors, requests)
            return [
                RepairedView(request, one, blended(request, replace(one, image=one.image.to(request.render))))
                for request, one in zip(requests, answers, strict=True)
            ]

    def along(self, views: Sequence[View]) -> Iterator[Tensor]:
        """Repaired pictures [H, W, 3] of `views` in their order: neighbours together where a prior repairs clips."""
        most = _CLIP if any(isinstance(prior, ClipPrior) for prior in self.priors) else 1
        for _, same in groupby(views, key=lambda view: (view.camera.width, view.camera.height)):
            left = list(same)
            while left:
                for one in self(left[:most]):
                    yield one.image
                left = left[most:]


def _recall(priors: Sequence[Prior], file: Path) -> None:
    """Give priors what they learnt in the run."""
    learners = [prior for prior in priors if isinstance(prior, (RepairPrior, ClipPrior))]
    if not any(isinstance(prior, AdaptivePrior) and prior.learns for prior in learners):
        return
    from safetensors.torch import load_file

    if not file.is_file():
        raise ReconError(f"{file}: what priors learnt of this scene is not there", fix="run `recon run --force`")
    tensors = load_file(file)
    for number, prior in enumerate(learners):
        if isinstance(prior, AdaptivePrior) and prior.learns:
            key = f"{number}/"
            prior.restore({name.removeprefix(key): one for name, one in tensors.items() if name.startswith(key)})
