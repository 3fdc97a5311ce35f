"""The examples of docs/python.md, in their order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import photo_folder
import pytest

import recon
from recon.pipeline.config import load_config
from recon.pipeline.run import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo_folder.write_capture(tmp_path / "capture")
    photo_folder.write_config(tmp_path / "scene.yaml")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 7
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    assert names["picture"].dtype == np.uint8 and names["picture"].std() > 5
    assert names["points"].shape == (photo_folder.WIDTH * photo_folder.HEIGHT, 3)
    assert len(names["splats"]) == len(names["small"].splats) and len(names["trained"]) > 20


def test_type_checkers_of_users_look_at_the_package() -> None:
    assert (Path(recon.__file__).parent / "py.typed").is_file(), "without it they take everything for Any (PEP 561)"


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written, on another scene in out/demo."""
    photo_folder.write_capture(tmp_path / "capture")
    photo_folder.write_config(tmp_path / "scene.yaml")
    monkeypatch.chdir(tmp_path)
    run(load_config(Path("scene.yaml"), ["output=out/demo"]), until="splats")
    (example,) = re.findall(r"```python\n(.*?)```", (PAGE.parents[1] / "README.md").read_text("utf-8"), re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 12
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["render"].color.shape == (photo_folder.HEIGHT, photo_folder.WIDTH, 3)
    assert float(names["pose"].grad.abs().max()) > 0
    assert all(float(value.grad.abs().max()) > 0 for value in names["params"].values())
