"""The examples of docs/python.md, in their order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import photo_folder
import pytest

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
