"""recon doctor"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

OK, ABSENT, BROKEN = "ok", "-", "BROKEN"


@dataclass(frozen=True)
class Doctor:
    """Say what is installed: packages, the native core, GPU, compiler, optional extras, weights."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code: 0, or 1 when something that recon cannot do without is missing or broken."""
        broken = False
        for state, name, words in (*_packages(), *_core(), *_gpu(), *_extras(), *_priors(), *_pointmaps(), *_weights()):
            print(f"{state:<7}{name:<26}{words}")
            broken = broken or state == BROKEN
        if broken:
            print("recon: something above is BROKEN; install recon again with `pip install .`", file=sys.stderr)
        return 1 if broken else 0


Line = tuple[str, str, str]


def _packages() -> Iterator[Line]:
    yield OK, "python", f"{sys.version.split()[0]} at {sys.executable}"
    for requirement in _requirements(None):
        name = _distribution(requirement)
        found = _version(name)
        yield (OK, name, found) if found else (BROKEN, name, f"not installed; wanted {requirement}")


def _core() -> Iterator[Line]:
    try:
        import torch

        from recon.render.library import core
    except Exception as error:
        yield BROKEN, "recon._core", f"{error}"
        return
    yield OK, "recon._core", core.__file__ or ""
    yield OK, "SIMD", f"{core.simd_level()} in use; this machine has {', '.join(core.simd_levels())}"
    yield OK, "threads", f"{torch.get_num_threads()} (set OMP_NUM_THREADS to change)"


def _gpu() -> Iterator[Line]:
    words = _output(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    yield (OK, "GPU", words) if words else (ABSENT, "GPU", "no NVIDIA driver answers; recon computes on the CPU")
    if _version("torch"):
        import torch

        cuda = torch.cuda.is_available()
        yield (OK, "torch CUDA", str(torch.version.cuda)) if cuda else (ABSENT, "torch CUDA", "torch sees no GPU")
    yield _cuda_half()
    nvcc = _output(["nvcc", "--version"])
    yield (OK, "nvcc", nvcc.splitlines()[-1]) if nvcc else (ABSENT, "nvcc", "not on the PATH")
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    yield (OK, "C++ compiler", compiler) if compiler else (ABSENT, "C++ compiler", "none; needed only to build recon")


def _cuda_half() -> Line:
    """Built or not; the module needs no driver to be loaded."""
    try:
        from recon.errors import ReconError
        from recon.render.gpu import module
    except Exception as error:  # the core itself is broken, which has a line of its own
        return ABSENT, "recon._cuda", f"{error}"
    try:
        loaded = module()
    except ReconError:
        return ABSENT, "recon._cuda", "not built; with nvcc: pip install . --config-settings=cmake.define.RECON_CUDA=ON"
    return OK, "recon._cuda", f"built for {loaded.ARCHITECTURES}"


def _extras() -> Iterator[Line]:
    for extra in _extra_names():
        wanted = [_distribution(requirement) for requirement in _requirements(extra)]
        missing = [name for name in wanted if not _version(name)]
        words = f"missing {', '.join(missing)}; `pip install 'recon[{extra}]'`" if missing else ", ".join(wanted)
        yield ABSENT if missing else OK, f"extra {extra}", words


def _priors() -> Iterator[Line]:
    """What `splats.priors` may name, and whether it can run here."""
    from recon.priors import PRIORS

    for name, prior in PRIORS.items():
        missing = prior.missing()
        if missing:
            words = f"missing {', '.join(missing)}; `pip install 'recon[{prior.extra}]'`"
        else:
            words = f"with a checkpoint, such as `hf download {prior.model}`" if prior.model else "ready"
        yield ABSENT if missing else OK, f"prior {name}", words


def _pointmaps() -> Iterator[Line]:
    """What `poses.pointmap.model` may name, and whether its package is here."""
    from recon.poses.pointmap import POINTMAPS
    from recon.poses.pointmap.model import missing

    for name, model in POINTMAPS.items():
        reason = missing(model)
        yield ABSENT if reason else OK, f"pointmap {name}", reason or f"with a checkpoint, such as `{model.download}`"


def _weights() -> Iterator[Line]:
    folder = Path(os.environ.get("RECON_WEIGHTS", Path.home() / ".cache" / "recon" / "weights")).expanduser()
    files = sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []
    if not files:
        yield ABSENT, "weights", f"none in {folder} (RECON_WEIGHTS); this version needs none"
    for path in files:
        yield OK, "weights", f"{path} ({path.stat().st_size / 1e6:,.0f} MB)"


def _requirements(extra: str | None) -> list[str]:
    """Requirements of recon itself, or of one of its extras, without their markers."""
    found = []
    for text in _metadata_list("Requires-Dist"):
        requirement, _, marker = text.partition(";")
        of_extra = marker.partition("extra ==")[2].strip().strip("'\"")
        if of_extra == (extra or ""):
            found.append(requirement.strip())
    if not found and extra is None:
        # Run from a checkout that is not installed.
        from recon.pipeline.environment import PACKAGES

        found = [name for name in PACKAGES if name != "recon"]
    return found


def _extra_names() -> list[str]:
    return _metadata_list("Provides-Extra")


def _metadata_list(field: str) -> list[str]:
    try:
        return metadata.metadata("recon").get_all(field) or []
    except metadata.PackageNotFoundError:
        return []


def _distribution(requirement: str) -> str:
    """ "numpy>=1.26" as "numpy"."""
    end = next((i for i, letter in enumerate(requirement) if letter in "<>=!~ [("), len(requirement))
    return requirement[:end]


def _version(name: str) -> str | None:
    from recon.pipeline.environment import version_of

    return version_of(name)


def _output(command: list[str]) -> str:
    """What a program prints; nothing when it is not there or fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
