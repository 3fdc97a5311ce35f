"""`recon prior train`: train, validate, and leave weights and a model card."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from recon import __version__
from recon.errors import ReconError
from recon.learn.batches import load_folder
from recon.learn.measure import measure
from recon.learn.train import CPU, STATE, Progress, TrainConfig, train
from recon.priors.small.network import NetworkConfig
from recon.priors.small.weights import save_weights

CURVE, SETTINGS, CARD, WEIGHTS = "curve.jsonl", "settings.json", "model-card.md", "weights.safetensors"
EVERY = 500
"""Iterations between two states to go on from."""
STEPS = (1, 2, 4)
"""Numbers of steps that a diffusion model is measured with."""


@dataclass(frozen=True)
class Session:
    """A training in a folder."""

    pairs: Path
    out: Path
    network: NetworkConfig
    config: TrainConfig
    scenes: int | None
    """How many scenes to learn from; None for all."""
    device: torch.device = CPU

    def run(self) -> str:
        """Train to the end, measure on the validation pairs, write weights and card; returns the card."""
        known, held_out = load_folder(self.pairs, "train", self.scenes), load_folder(self.pairs, "val")
        settings = {"network": asdict(self.network), "training": asdict(self.config), "scenes": len(known)}
        self._check(settings)
        progress = Progress.start(self.network, self.config, self.device)
        if (self.out / STATE).is_file():
            progress.load(self.out)
        while progress.iteration < self.config.iterations:
            until = min(self.config.iterations, (progress.iteration // EVERY + 1) * EVERY)
            train(progress, known, self.config, self._note, until)
            progress.save(self.out)
        metrics = {
            f"{steps} step{'s' * (steps > 1)}": measure(progress.mean.to(CPU), held_out, steps)
            for steps in (STEPS if self.network.diffusion else (1,))
        }
        count = sum(value.numel() for value in progress.mean.parameters())
        about = {
            **settings, "parameters": count, "validation_scenes": len(held_out), "recon": __version__,
            "torch": torch.__version__, "hardware": hardware(self.device), "minutes": round(progress.seconds / 60, 1),
            "metrics": metrics,
        }  # fmt: skip
        save_weights(self.out / WEIGHTS, progress.mean, about)
        words = card(about)
        (self.out / CARD).write_text(words, encoding="utf-8")
        return words

    def _check(self, settings: dict[str, Any]) -> None:
        """Raise for a folder with a training of other settings; note them in a new one."""
        path, text = self.out / SETTINGS, json.dumps(settings, indent=1, sort_keys=True)
        if path.is_file() and path.read_text(encoding="utf-8") != text:
            raise ReconError(
                f"{self.out}", found="a training with other settings or data", wanted=text,
                fix="take another --out, or the old settings",
            )  # fmt: skip
        self.out.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _note(self, iteration: int, loss: float) -> None:
        with (self.out / CURVE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"iteration": iteration, "loss": loss}) + "\n")


def hardware(device: torch.device) -> str:
    """The GPU, or the processor and how many threads of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} thread(s)"


def card(about: dict[str, Any]) -> str:
    """The model card, Markdown."""
    network, training = about["network"], about["training"]
    kind = "conditional diffusion (x0 prediction)" if network["diffusion"] else "regression"
    names = list(next(iter(about["metrics"].values())))
    rows = [
        f"| {name} | " + " | ".join(f"{one[name]:.3f}" for one in about["metrics"].values()) + " |" for name in names
    ]
    return "\n".join([
        "# The small prior", "",
        f"- **What it is**: a U-Net, {about['parameters']:,} parameters, channels {list(network['widths'])}, {kind}.",
        f"- **Data**: pairs of {about['scenes']} procedural scenes (`familiar`), validated on "
        f"{about['validation_scenes']} of other shapes, prints and cameras (`novel`); no photo of anyone.",
        f"- **Training**: {training['iterations']} iterations of {training['batch']} crops of {training['crop']} px, "
        f"seed {training['seed']}.",
        f"- **Hardware**: {about['hardware']}; {about['minutes']} minutes. recon {about['recon']}, "
        f"torch {about['torch']}.", "",
        "On the validation pairs (dB; `right`: pixels around which the render is off by less than 0.03):", "",
        "| | " + " | ".join(about["metrics"]) + " |", "|---|" + "---|" * len(about["metrics"]), *rows, "",
    ])  # fmt: skip
