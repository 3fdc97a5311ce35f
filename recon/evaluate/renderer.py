"""Pictures of a scene's splats, rendered as the optimisation rendered them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.render.rasterize import RasterConfig, rasterize
from recon.scene import Scene, Splats, View


@dataclass(frozen=True)
class SplatRenderer:
    """Takes views to pictures."""

    splats: Splats
    background: Tensor
    """[3], colour behind the splats, sRGB."""
    coverage: bool
    """True when photos are to be laid over `background`; False when their alpha says which pixels count."""
    antialias: bool

    @staticmethod
    def of(scene: Scene) -> SplatRenderer:
        """The renderer for `scene`, set up from what its stages noted. Raises ReconError when it has no splats."""
        if scene.splats is None:
            raise ReconError(
                "the scene has no splats yet", fix="run `recon run` on its scene.yaml without --until poses"
            )
        info = {record.stage: record.info for record in scene.provenance}
        splats, color = info.get("splats", {}), info.get("poses", {}).get("background")
        return SplatRenderer(
            scene.splats,
            torch.tensor(color if color is not None else [0.0, 0.0, 0.0], dtype=torch.float32),
            bool(splats.get("coverage", False)),
            bool(splats.get("antialias", False)),
        )

    @property
    def behind_photos(self) -> Tensor | None:
        """The background argument of `recon.evaluate.image.compare`."""
        return self.background if self.coverage else None

    @torch.no_grad()
    def __call__(self, view: View) -> Tensor:
        """[H, W, 3] float32 in [0, 1], sRGB."""
        camera = view.camera
        render = rasterize(
            self.splats.params, view.world_to_camera.float(), camera.K.float(), camera.width, camera.height,
            family=self.splats.family, background=self.background, config=RasterConfig(antialias=self.antialias),
        )  # fmt: skip
        return render.color.clamp(0, 1)
