"""recon bench"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import tyro

Name = Literal[
    "raster",
    "train",
    "families",
    "solid",
    "dense",
    "poses",
    "refine",
    "mesh",
    "surface",
    "quality",
    "reach",
    "priors",
    "repair",
    "formats",
    "imports",
    "viewer",
]
NAMES: tuple[str, ...] = get_args(Name)


@dataclass(frozen=True)
class Bench:
    """`recon bench` raster, train, families, solid, dense, poses, refine, mesh, surface, quality, reach, priors,
    repair, formats, imports or viewer."""

    name: Annotated[Name, tyro.conf.Positional]
    """What to measure."""

    @staticmethod
    def takes(argv: Sequence[str]) -> bool:
        """Whether these arguments name a benchmark, whose options only its own module knows."""
        return len(argv) >= 2 and argv[0] == "bench" and argv[1] in NAMES

    @staticmethod
    def parse(argv: Sequence[str]) -> _Chosen:
        """The benchmark with its options. Raises SystemExit for --help and for options that do not parse."""
        module = importlib.import_module(f"recon.bench.{argv[1]}")
        options = tyro.cli(module.Options, prog=f"recon bench {argv[1]}", args=list(argv[2:]))
        return _Chosen(options, module.main)

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        return self.parse(["bench", self.name]).run(argv)


@dataclass(frozen=True)
class _Chosen:
    options: Any
    main: Callable[[Any], None]

    def run(self, argv: Sequence[str]) -> int:
        self.main(self.options)
        return 0
