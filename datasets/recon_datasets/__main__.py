"""`python -m recon_datasets table --out DIR`"""

from __future__ import annotations

import argparse
import inspect
import sys
import time
from pathlib import Path
from typing import Any

from recon.errors import ReconError
from recon.geometry.camera import Distortion
from recon_datasets.cameras import LAYOUTS
from recon_datasets.capture import make_capture
from recon_datasets.catalog import SCENES


def main(arguments: list[str] | None = None) -> int:
    """Write one capture; 0, or 2 after a message about what the caller can mend."""
    # Defaults are those of make_capture: what is not given is not passed.
    own = {name: value.default for name, value in inspect.signature(make_capture).parameters.items()}
    parser = argparse.ArgumentParser(
        prog="recon_datasets",
        description="Ray-trace a procedural capture with exact cameras.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("scene", choices=sorted(SCENES))
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--views", type=int, help=f"number of photos ({own['views']})")
    parser.add_argument("--size", help=f"WIDTHxHEIGHT, px ({own['width']}x{own['height']})")
    parser.add_argument("--samples", type=int, help=f"rays per pixel, a square number ({own['samples']})")
    parser.add_argument("--seed", type=int, help=f"of textures, cameras and sampling ({own['seed']})")
    parser.add_argument("--layout", choices=LAYOUTS, help=f"where the cameras stand ({own['layout']})")
    parser.add_argument(
        "--center", type=float, nargs=2, metavar=("X", "Y"), help=f"principal point, share of the size {own['center']}"
    )
    parser.add_argument("--distortion", type=float, nargs="+", metavar="K", help="OpenCV: k1 k2 p1 p2 [k3 ...]")
    parser.add_argument("--fisheye", type=float, nargs=4, metavar="K", help="OpenCV's fisheye lens: k1 k2 k3 k4")
    options: dict[str, Any] = vars(parser.parse_args(arguments))
    start = time.perf_counter()
    try:
        out = make_capture(**_lens(_size(options)))
    except (ReconError, OSError) as error:
        print(f"recon_datasets: {error}", file=sys.stderr)
        return 2
    print(f"{options['scene']}: a capture in {out} ({time.perf_counter() - start:.1f} s)")
    return 0


def _size(options: dict[str, Any]) -> dict[str, Any]:
    """Options with width and height for size."""
    if "size" not in options:
        return options
    parts = str(options["size"]).split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise ReconError("--size", found=options["size"], wanted="WIDTHxHEIGHT, such as 320x240")
    rest = {name: value for name, value in options.items() if name != "size"}
    return {**rest, "width": int(parts[0]), "height": int(parts[1])}


def _lens(options: dict[str, Any]) -> dict[str, Any]:
    """Options with one Distortion for the two ways to give it."""
    rest = {name: value for name, value in options.items() if name not in ("distortion", "fisheye")}
    if "distortion" in options and "fisheye" in options:
        raise ReconError("--distortion and --fisheye", found="both", wanted="one of them")
    if "distortion" in options:
        if len(options["distortion"]) not in (4, 5, 8):
            raise ReconError("--distortion", found=f"{len(options['distortion'])} numbers", wanted="4, 5 or 8")
        rest["distortion"] = Distortion("opencv", tuple(options["distortion"]))
    if "fisheye" in options:
        rest["distortion"] = Distortion("fisheye", tuple(options["fisheye"]))
    return rest


if __name__ == "__main__":
    sys.exit(main())
