"""Whole runs with every prior, on tiny checkpoints that the tests make: from scene.yaml to the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import photo_folder
import pytest
import tiny_models  # skips where diffusers is not installed
from command import Cli

GUIDANCE = "{start: 0.5, every: 6, views: 2, min_known: 0, max_side: 32, pairs_per_photo: 1}"
STABLE: Callable[[Path], Path] = tiny_models.save_stable_diffusion
LORA = "{steps: 2, rank: 2}"
PRIORS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "image-to-image": (STABLE, "name: image-to-image, steps: 2, strength: 0.6, samples: 1"),
    "controlnet-tile": (STABLE, f"name: controlnet-tile, controlnet: control, steps: 2, strength: 0.6, adapt: {LORA}"),
    "difix": (STABLE, f"name: difix, adapt: {LORA}"),
    "video": (tiny_models.save_animate_diff, "name: video, steps: 2, strength: 0.6, frames: 2, multiple: 4"),
    "sds": (STABLE, "name: distillation"),
    "variational": (STABLE, "name: distillation, form: variational, lora: {rank: 2}"),
    "category": (STABLE, "name: distillation, form: category, prompt: a red chair, category: a chair"),
    "depth": (tiny_models.save_depth_model, "name: depth"),
    "normals": (tiny_models.save_normals_pipeline, "name: normals, steps: 1, max_side: 32"),
}
REPAIRING = {"image-to-image", "controlnet-tile", "difix", "video"}


@pytest.mark.parametrize("case", PRIORS)
def test_a_run_with_a_prior(case: str, work: Path, recon: Cli) -> None:
    save, text = PRIORS[case]
    save(work / "weights")
    if "control:" in text or "controlnet: control" in text:
        tiny_models.save_controlnet(work / "control")
    extra = f"  guidance: {GUIDANCE}\n  priors:\n    - {{{text}, checkpoint: weights}}\n"
    photo_folder.write_config(work / "scene.yaml", extra=extra)
    done = recon("run", work / "scene.yaml", "--quiet")
    assert done.code == 0, done.err
    metrics = json.loads((work / "out" / "metrics.json").read_text())
    assert metrics["train"]["psnr"] > 10
    assert ("repaired" in metrics) == (case in REPAIRING)
    report = (work / "out" / "report.html").read_text()
    assert ("confidence of 02.png" in report) == (case in REPAIRING)
    rendered = recon("render", work / "out", "--repair", "--to", work / "repaired")
    if case in REPAIRING:
        assert rendered.code == 0 and (work / "repaired" / "02.png").is_file()
        # What the photos confirm is held: the last repair of a random network cannot do much harm.
        assert metrics["repaired"]["psnr"] > metrics["test"]["psnr"] - 1
    else:
        assert rendered.code == 2 and "a run without priors that repair" in rendered.err


def test_depths_of_a_network_are_a_dense_start_beside_stereo(work: Path, recon: Cli) -> None:
    tiny_models.save_depth_model(work / "weights")
    extra = "poses:\n  dense:\n    method: none\n    depth: {name: depth, checkpoint: weights}\n"
    photo_folder.write_config(work / "scene.yaml", extra=extra)
    done = recon("run", work / "scene.yaml", "--until", "poses")
    assert done.code == 0, done.err
    # A random network agrees with nothing, and says so.
    assert "do not agree with the points" in done.err + done.out


def test_a_checkpoint_that_has_gone_is_a_warning_when_measuring_again(work: Path, recon: Cli) -> None:
    import shutil

    STABLE(work / "weights")
    text = f"  guidance: {GUIDANCE}\n  priors: [{{name: difix, checkpoint: weights}}]\n"
    photo_folder.write_config(work / "scene.yaml", extra=text)
    assert recon("run", work / "scene.yaml", "--quiet").code == 0
    shutil.rmtree(work / "weights")
    again = recon("eval", work / "out")
    assert again.code == 0 and "without repair" in again.err + again.out


def test_a_run_without_its_checkpoint_says_where_to_get_it(work: Path, recon: Cli) -> None:
    photo_folder.write_config(work / "scene.yaml", extra="  priors: [{name: difix, checkpoint: none}]\n")
    done = recon("run", work / "scene.yaml", "--quiet")
    assert done.code == 2
    assert "hf download nvidia/difix_ref --local-dir" in done.err and "Traceback" not in done.err


def test_doctor_lists_priors(recon: Cli) -> None:
    lines = recon("doctor").out
    for name in ("prior difix", "prior video", "prior depth", "prior distillation"):
        assert name in lines
