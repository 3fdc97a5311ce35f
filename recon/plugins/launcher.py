"""nerfstudio's commands where torchvision has no operators for this torch, as on a CPU.

nerfstudio imports torchvision before it looks for plugins, and torchvision's wheels are built for CUDA: without it
their library does not load, and the import fails at the first operator that has no schema. Declaring the two schemas is
enough; the operators themselves, which no command of ours calls, still say that they are missing.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import torch

from recon.errors import ReconError

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[torch.library.Library] = []  # a library that nobody holds withdraws its schemas


def launch(argv: Sequence[str]) -> int:
    """Run one of nerfstudio's commands with its arguments, in this process. Returns the exit code."""
    found = [entry for entry in entry_points(group="console_scripts") if entry.name == argv[0]]
    if not found:
        raise ReconError(f"{argv[0]}: nerfstudio is not installed", fix="see docs/nerfstudio.md")
    declare_operators()
    sys.argv = list(argv)
    found[0].load()()
    return 0


def declare_operators() -> None:
    """Declare torchvision's operators if its library does not load."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _kept:
        return
    for library in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(str(library))
            return
        except OSError:
            continue
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        operators.define(schema)
    _kept.append(operators)
