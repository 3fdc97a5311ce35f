"""Pictures of a scene's splats, rendered as the optimisation rendered them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.priors.surroundings import Drawn
from recon.render.device import choose_device
from recon.render.rasterize import RasterConfig, Render, rasterize
from recon.scene import Scene, Splats, View


@dataclass(frozen=True)
class SplatRenderer:
    """Takes views to pictures."""

    splats: Splats
    """On the GPU where there is one that can be used."""
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
        device, _ = choose_device("auto")
        params = {name: value.to(device) for name, value in scene.splats.params.items()}
        return SplatRenderer(
            Splats(scene.splats.family, params),
            torch.tensor(color if color is not None else [0.0, 0.0, 0.0], dtype=torch.float32),
            bool(splats.get("coverage", False)),
            bool(splats.get("antialias", False)),
        )

    @property
    def behind_photos(self) -> Tensor | None:
        """The background argument of `recon.evaluate.image.compare`."""
        return self.background if self.coverage else None

    def __call__(self, view: View) -> Tensor:
        """[H, W, 3] float32 in [0, 1], sRGB, without gradients."""
        with torch.no_grad():
            return self.draw(view, view.world_to_camera.float()).clamp(0, 1)

    def draw(self, view: View, world_to_camera: Tensor) -> Tensor:
        """[H, W, 3] float32, sRGB, as `view` would see it from `world_to_camera`, which gradients go to."""
        return self._render(view, world_to_camera).color.cpu()

    def depth(self, view: View) -> Tensor:
        """[H, W] along z, scene units, at which half of the light is stopped; 0 where it is not."""
        with torch.no_grad():
            depth = self._render(view, view.world_to_camera.float(), median_depth=True).median_depth
            assert depth is not None
            return depth.cpu()

    def drawn(self, view: View) -> Drawn:
        """Colour, opacity and median depth, without gradients, for priors."""
        with torch.no_grad():
            render = self._render(view, view.world_to_camera.float(), median_depth=True)
        assert render.median_depth is not None
        return Drawn(render.color.clamp(0, 1).cpu(), render.alpha.cpu(), render.median_depth.cpu())

    def _render(self, view: View, world_to_camera: Tensor, median_depth: bool = False) -> Render:
        camera, device = view.camera, self.splats.params["sh_coeffs"].device
        return rasterize(
            self.splats.params, world_to_camera.to(device), camera.K.float().to(device), camera.width,
            camera.height, family=self.splats.family, background=self.background.to(device),
            median_depth=median_depth, config=RasterConfig(antialias=self.antialias),
        )  # fmt: skip
