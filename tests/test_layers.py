"""Imports point one way: geometry, scene, (io, render), (stereo, priors), (poses, splats, mesh, evaluate),
pipeline, (plugins, learn), viewer, bench, cli.
"""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "recon"
# Modules that anyone may use, then the layers; a package may import those of lower rank and itself.
COMMON = {"errors", "config", "events"}
RANK = {
    "geometry": 0,
    "scene": 1,
    "io": 2,
    "render": 2,
    "stereo": 3,
    "priors": 3,
    "poses": 4,
    "splats": 4,
    "mesh": 4,
    "evaluate": 4,
    "pipeline": 5,
    "plugins": 6,
    "learn": 6,
    "viewer": 7,
    "bench": 8,
    "cli": 9,
}


def imported_packages(path: Path) -> set[str]:
    """First parts below `recon` of everything that a file imports, lazily or not."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it out"
            names = [node.module or ""]
            if node.module == "recon":
                names = [f"recon.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("recon.")}
    return found


def test_no_package_imports_a_later_one() -> None:
    faults = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own not in RANK:
            continue
        for other in imported_packages(path) - COMMON - {own, "__init__", "_core", "__version__"}:
            lower = RANK.get(other, 99) < RANK[own]
            if not lower:
                faults.append(f"{path.relative_to(PACKAGE)} imports recon.{other}")
    assert not faults, "\n".join(faults)


def test_every_package_has_a_rank() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(RANK)
