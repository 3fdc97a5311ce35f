"""Score distillation: a diffusion model says in which direction a render gets more likely."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.priors.latent import LatentConfig, LatentDiffusion
from recon.priors.lora import LoraSettings, add_lora, trainable
from recon.scene.nodes import View


@config
class DistillationConfig(LatentConfig):
    """Gradients by Stable Diffusion, as in DreamFusion (Poole et al. 2023), ProlificDreamer (Wang et al. 2023) and
    Sparse3D (Zou et al. 2023)."""

    packages: ClassVar[tuple[str, ...]] = ("diffusers", "transformers", "peft")
    model: ClassVar[str] = "stabilityai/stable-diffusion-2-1-base"

    name: Literal["distillation"] = "distillation"
    form: Literal["sds", "variational", "category"] = "sds"
    """`sds`: away from the noise that was added. `variational`: away from what a LoRA, which learns the renders as they
    come, takes for noise: less blur and less colour at common text scales. It does not know the camera. `category`:
    away from what the model takes for noise in any picture of the kind that `category` names, so that what
    `prompt` says beyond that is learnt, without random noise in the gradient (C-SDS)."""
    prompt: str = "a photo"
    """What the scene shows."""
    category: str = ""
    """What kind of thing the scene shows, such as "a photo of a chair" with the prompt "a wooden chair in a bright
    room"; of the category form, and other than `prompt`."""
    text_scale: Annotated[float, Field(ge=0)] = 7.5
    """Classifier-free guidance; ProlificDreamer's value. DreamFusion takes 100."""
    first_noise: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Largest noise level at the start, of 1."""
    last_noise: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """And at the end: late in training only details may change."""
    least_noise: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Smallest noise level."""
    lora: LoraSettings = LoraSettings(rank=8)
    """Of the variational form; a step is taken with every gradient, whatever `steps` says."""

    def __post_init__(self) -> None:
        if not self.least_noise < min(self.first_noise, self.last_noise):
            raise ValueError(f"least_noise is {self.least_noise}; wanted less than first_noise and last_noise")
        if self.form == "category" and self.category in ("", self.prompt):
            raise ValueError(f"category is {self.category!r}; wanted the kind of thing that `prompt` tells more about")

    def load(self, device: torch.device) -> Distillation:
        """The network on `device`; see `PriorConfig.load`."""
        self.check()
        return Distillation(self, device)


class Distillation:
    """A `ScorePrior`: w(t) (noise seen - noise expected) in latents, taken back to pixels through the encoder."""

    def __init__(self, config: DistillationConfig, device: torch.device) -> None:
        self.config, self.net = config, LatentDiffusion(config, device)
        self.nothing, self.category = self.net.embed(""), self.net.embed(config.category)
        self.learner: torch.optim.Adam | None = None
        if config.form == "variational":
            add_lora(self.net.unet, config.lora)
            self.learner = torch.optim.Adam(trainable(self.net.unet), lr=config.lora.rate)

    def gradient(self, render: Tensor, alpha: Tensor, camera: View, step: float) -> Tensor:
        # Noise follows from the step alone, so that a resumed run draws the same.
        generator = torch.Generator().manual_seed(self.config.seed + round(step * 1e6))
        most = self.config.first_noise + step * (self.config.last_noise - self.config.first_noise)
        level = self.config.least_noise + (most - self.config.least_noise) * float(torch.rand((), generator=generator))
        t = min(len(self.net.alphas) - 1, int(level * len(self.net.alphas)))
        with torch.enable_grad():
            pixels = render.detach().float().requires_grad_()
            latents = self.net.encode(self.net.sized(pixels)[None])
            noise = torch.randn(latents.shape, generator=generator).to(latents)
            with torch.no_grad():
                noisy = self.net.noised(latents.detach(), noise, t)
                direction = (1 - self.net.alphas[t].float()) * (self._seen(noisy, t) - self._expected(noisy, noise, t))
            (back,) = torch.autograd.grad(latents, pixels, direction.to(latents))
        if self.learner is not None:
            self._learn(noisy, noise, t)
        return torch.nan_to_num(back.to(render))

    def _seen(self, noisy: Tensor, t: int) -> Tensor:
        """Noise by the model as it came, pulled towards the prompt."""
        if self.learner is not None:
            self.net.unet.disable_adapters()
        plain, _ = self.net.predict(noisy, t, self.nothing)
        told, _ = self.net.predict(noisy, t)
        if self.learner is not None:
            self.net.unet.enable_adapters()
        return plain + self.config.text_scale * (told - plain)

    def _expected(self, noisy: Tensor, noise: Tensor, t: int) -> Tensor:
        if self.config.form == "sds":
            return noise.float()
        return self.net.predict(noisy, t, self.category if self.config.form == "category" else None)[0]

    def _learn(self, noisy: Tensor, noise: Tensor, t: int) -> None:
        """One step of the LoRA towards the noise in this render."""
        assert self.learner is not None
        for parameter in trainable(self.net.unet):
            parameter.grad = None
        with (
            torch.enable_grad(),
            torch.autocast(noisy.device.type, torch.bfloat16, enabled=self.net.dtype != torch.float32),
        ):
            ((self.net.predict(noisy, t)[0] - noise.float()).square().mean()).backward()  # type: ignore[no-untyped-call]
        self.learner.step()
