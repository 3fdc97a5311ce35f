"""Methods `recon` and `recon-fast` for nerfstudio 1.1.5: its trainer, viewer, evaluation and export; our optimisation.

nerfstudio keeps time, loads photos, shows and saves; start, loss, regularisers, step and density control are those of
`recon run`. Gaussians are stored as splatfacto stores them, so that `ns-export gaussian-splat` works.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.data.datamanagers.full_images_datamanager import FullImageDatamanagerConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.splatfacto import SplatfactoModel, SplatfactoModelConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification
from nerfstudio.utils.colors import get_color
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from recon.errors import ReconError
from recon.evaluate.image import psnr
from recon.events import Event, StageWarning
from recon.io.nerfstudio_run import SAFE_GLOBALS
from recon.pipeline.config import RunConfig, build_config
from recon.pipeline.document import Document
from recon.plugins.nerfstudio_data import as_view, photo, training_scene, with_start
from recon.render.image_loss import l1_ssim
from recon.render.rasterize import RasterConfig, rasterize
from recon.splats.guidance.views import NovelViews
from recon.splats.loop import HalfDone, Loop
from recon.splats.optimize import begin

# nerfstudio's own loading fails without.
torch.serialization.add_safe_globals(list(SAFE_GLOBALS))
_CLOCK = "clock"
_NAMES = {"means": "means", "quats": "quats", "scales": "log_scales"}
_MOMENTS = ("exp_avg", "exp_avg_sq", "stats")


@dataclass
class ReconModelConfig(SplatfactoModelConfig):
    """Options of the methods. Those of splatfacto that are not named here have no effect."""

    _target: type = field(default_factory=lambda: ReconModel)
    background_color: str = "black"
    """Behind the splats in renders; photos with an alpha channel only count where they are opaque."""
    settings: tuple[str, ...] = ()
    """Settings of a scene.yaml (docs/config.md) below `splats` and `poses.dense`, such as
    `--pipeline.model.settings splats.sh_degree=2 poses.dense.method=none`. Iterations are nerfstudio's."""
    seed: int = 0
    """Every random choice of ours follows from it; nerfstudio draws the order of photos."""


class ReconModel(SplatfactoModel):
    """Gaussians that are optimised by `recon.splats`."""

    config: ReconModelConfig

    def populate_modules(self) -> None:
        """Parameters of a single Gaussian: what they will be is not known before the photos are."""
        shapes = {"means": (3,), "scales": (3,), "quats": (4,), "features_dc": (3,), "features_rest": (0, 3),
                  "opacities": (1,)}  # fmt: skip
        self.gauss_params = torch.nn.ParameterDict(
            {name: torch.nn.Parameter(torch.zeros(1, *shape)) for name, shape in shapes.items()}
        )
        self.clock = torch.nn.Parameter(torch.zeros(1))  # nerfstudio wants something to optimise
        self.crop_box = None
        self.step = 0
        self.background_color = get_color(self.config.background_color)
        self.loop: Loop | None = None
        self.half_done: HalfDone | None = None
        self.saved: dict[str, Any] = {}

    def get_param_groups(self) -> dict[str, list[torch.nn.Parameter]]:
        """Nothing for nerfstudio to step: we do."""
        return {_CLOCK: [self.clock]}

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """Here nerfstudio has loaded photos, and the checkpoint that a run goes on from."""
        trainer, pipeline = training_callback_attributes.trainer, training_callback_attributes.pipeline
        if trainer is None or pipeline is None:
            raise ReconError("recon's methods train under ns-train only")
        # nerfstudio's number does not count what a checkpoint has behind it.
        self._begin(pipeline.datamanager, int(trainer._start_step) + int(trainer.config.max_num_iterations))
        before, after = TrainingCallbackLocation.BEFORE_TRAIN_ITERATION, TrainingCallbackLocation.AFTER_TRAIN_ITERATION
        return [TrainingCallback([before], self._note_step), TrainingCallback([after], self._finish)]

    def _begin(self, datamanager: Any, iterations: int) -> None:
        settings = self._settings(iterations)
        if settings.splats.primitive != "gaussian":
            raise ReconError(
                "nerfstudio stores Gaussians only", found=f"splats.primitive = {settings.splats.primitive}",
                fix="train the other families with recon run",
            )  # fmt: skip
        scene, images = training_scene(datamanager, self.seed_points)
        # Also of a run that goes on: density control depends on what it started at.
        scene = with_start(scene, images, settings.poses.dense, self.config.seed, _say)
        self.loop, _ = begin(scene, settings.splats, seed=self.config.seed, events=_say, images=images)
        if self.saved:
            self._resume()
        self._publish()

    def _settings(self, iterations: int) -> RunConfig:
        device = "cuda" if self.device.type == "cuda" else "cpu"
        document = Document({"images": ".", "output": "."})
        own = [f"splats.iterations={iterations}", f"splats.device={device}"]
        if self.config.rasterize_mode == "antialiased":
            own.append("splats.antialias=true")
        return build_config(document, [*self.config.settings, *own], name="--pipeline.model.settings")

    def _note_step(self, step: int) -> None:
        self.step = step

    def _finish(self, step: int) -> None:
        """After nerfstudio has propagated the loss back."""
        if self.loop is not None and self.half_done is not None:
            self.loop.finish(self.half_done)
            self.half_done = None
            self._publish()

    def _publish(self) -> None:
        """Show the state's tensors as splatfacto's parameters."""
        assert self.loop is not None
        params = {name: value.detach() for name, value in self.loop.state.params.items()}
        shown = {theirs: params[ours] for theirs, ours in _NAMES.items()}
        shown["opacities"] = params["opacity_logits"][:, None]
        shown["features_dc"], shown["features_rest"] = params["sh_coeffs"][:, 0], params["sh_coeffs"][:, 1:]
        for name, value in shown.items():
            self.gauss_params[name] = torch.nn.Parameter(value, requires_grad=False)

    def _ours(self) -> dict[str, Tensor]:
        """Our parameters of what is shown."""
        given = {name: value.detach() for name, value in self.gauss_params.items()}
        params = {ours: given[theirs] for theirs, ours in _NAMES.items()}
        params["opacity_logits"] = given["opacities"][:, 0]
        params["sh_coeffs"] = torch.cat([given["features_dc"][:, None], given["features_rest"]], dim=1)
        return params

    def get_extra_state(self) -> dict[str, Any]:
        """What a checkpoint needs beside parameters to go on as if never stopped."""
        if self.loop is None:
            return self.saved
        state = self.loop.state
        groups: dict[str, Any] = {name: dict(getattr(state, name)) for name in (*_MOMENTS, "learnt")}
        groups["novel"] = {} if state.novel is None else state.novel.tensors()
        return groups | {"generator": state.generator.get_state(), "iteration": state.iteration, "extent": state.extent}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Kept until training goes on."""
        self.saved = state

    def _resume(self) -> None:
        assert self.loop is not None
        state = self.loop.state
        state.params = {name: value.float().contiguous().requires_grad_() for name, value in self._ours().items()}
        for name in _MOMENTS:
            setattr(state, name, {key: value.to(state.device) for key, value in self.saved[name].items()})
        state.learnt = {name: value.cpu() for name, value in self.saved["learnt"].items()}
        novel = NovelViews.restored({name: value.cpu() for name, value in self.saved["novel"].items()})
        state.novel = None if novel is None else novel.to(state.device)
        state.generator.set_state(self.saved["generator"].cpu())
        state.iteration, state.extent = int(self.saved["iteration"]), float(self.saved["extent"])

    def load_state_dict(self, dict: dict[str, Any], **kwargs: Any) -> None:
        """Also of another degree of harmonics than a model starts with."""
        rest = dict["gauss_params.features_rest"]
        self.gauss_params["features_rest"] = torch.nn.Parameter(torch.zeros(1, *rest.shape[1:], device=self.device))
        super().load_state_dict(dict, **kwargs)

    def get_outputs(self, camera: Cameras) -> dict[str, Tensor]:
        """A render, and in training the first half of an iteration."""
        if not isinstance(camera, Cameras):
            return {}
        if self.training:
            assert self.loop is not None and camera.metadata is not None
            self.half_done = self.loop.forward(int(camera.metadata["cam_idx"]))
            render = self.half_done.render
            return {
                "rgb": render.color,
                "accumulation": render.alpha[..., None],
                "background": self.half_done.background,
            }
        view, params = as_view(camera), self._ours()
        width, height = view.camera.width, view.camera.height
        background = self.background_color.to(self.device)
        if self.crop_box is not None:
            inside = self.crop_box.within(params["means"]).reshape(-1)
            if not bool(inside.any()):
                return self.get_empty_outputs(width, height, background)
            params = {name: value[inside] for name, value in params.items()}
        antialias = self.config.rasterize_mode == "antialiased"
        with torch.no_grad():
            render = rasterize(
                params, view.world_to_camera.float().to(self.device), view.camera.K.float().to(self.device), width,
                height, background=background, depth=True, config=RasterConfig(antialias=antialias),
            )  # fmt: skip
        assert render.depth is not None
        return {
            "rgb": render.color.clamp(0, 1), "depth": render.depth[..., None], "accumulation": render.alpha[..., None],
            "background": background.expand(height, width, 3),
        }  # fmt: skip

    def get_metrics_dict(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Any]:
        """For the log."""
        if self.half_done is not None and self.training:
            seen = self.half_done.photo
            error = psnr(outputs["rgb"].detach().clamp(0, 1), seen.target(self.half_done.background), seen.weight)
        else:
            error = psnr(outputs["rgb"], *self._truth(outputs, batch))
        return {"psnr": torch.tensor(error), "gaussian_count": self.num_points}

    def get_loss_dict(
        self, outputs: dict[str, Tensor], batch: dict[str, Any], metrics_dict: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """The loss of the iteration, regularisers included; outside of training the mean absolute difference."""
        if self.training and self.half_done is not None:
            return {"main_loss": self.half_done.loss}
        return {"main_loss": (outputs["rgb"] - self._truth(outputs, batch)[0]).abs().mean()}

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Any]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """PSNR and SSIM as `recon eval` measures them; no network is downloaded for LPIPS."""
        shown = outputs["rgb"]
        truth, weight = self._truth(outputs, batch)
        similarity = 1 - float(l1_ssim(shown, truth, weight, 1.0))
        return {"psnr": psnr(shown, truth, weight), "ssim": similarity}, {"img": torch.cat([truth, shown], dim=1)}

    def _truth(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        """The photo, and how much each pixel counts by alpha and mask. Where one does not count it shows the render, so
        that windows of SSIM that reach there see no edge."""
        image = photo(batch)
        rgb = torch.from_numpy(image.rgb).to(self.device)
        if image.alpha is None:
            return rgb, None
        weight = torch.from_numpy(image.alpha).to(self.device)
        return torch.lerp(outputs["rgb"], rgb, weight[..., None]), weight


def _say(event: Event) -> None:
    if isinstance(event, StageWarning):
        CONSOLE.log(f"recon: {event.message}")


def _method(name: str, iterations: int, description: str, settings: tuple[str, ...] = ()) -> MethodSpecification:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = TrainerConfig(
        method_name=name,
        machine=MachineConfig(device_type=device),
        max_num_iterations=iterations,
        steps_per_eval_batch=0,
        steps_per_eval_image=500,
        steps_per_eval_all_images=iterations,
        steps_per_save=500,
        mixed_precision=False,
        pipeline=VanillaPipelineConfig(
            datamanager=FullImageDatamanagerConfig(
                dataparser=NerfstudioDataParserConfig(load_3D_points=True), cache_images_type="uint8"
            ),
            model=ReconModelConfig(settings=settings),
        ),
        optimizers={_CLOCK: {"optimizer": AdamOptimizerConfig(lr=1e-8), "scheduler": None}},
        viewer=ViewerConfig(num_rays_per_chunk=1 << 15),
        vis="viewer",
        output_dir=Path("outputs"),
    )
    return MethodSpecification(trainer, description)


recon = _method("recon", 2000, "Gaussians from few photos, on a CPU or a GPU: dense start, sparse-view regularisers.")
recon_fast = _method("recon-fast", 500, "recon in a quarter of the iterations.")
