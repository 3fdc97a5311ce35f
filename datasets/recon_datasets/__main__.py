"""`python -m recon_datasets table --out DIR`"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from recon_datasets.capture import make_capture
from recon_datasets.scenes import SCENES


def main() -> int:
    """Write one capture."""
    parser = argparse.ArgumentParser(
        prog="recon_datasets", description="Ray-trace a procedural capture with exact cameras."
    )
    parser.add_argument("scene", choices=sorted(SCENES))
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--size", default="320x240", help="WIDTHxHEIGHT, px")
    parser.add_argument("--samples", type=int, default=4, help="rays per pixel")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        width, height = (int(part) for part in options.size.split("x"))
    except ValueError:
        parser.error(f"--size {options.size}: expected WIDTHxHEIGHT, such as 320x240")
    start = time.perf_counter()
    try:
        out = make_capture(
            options.scene,
            options.out,
            views=options.views,
            width=width,
            height=height,
            samples=options.samples,
            seed=options.seed,
        )
    except (ValueError, OSError) as error:
        print(f"recon_datasets: {error}", file=sys.stderr)
        return 2
    print(f"{options.scene}: {options.views} views of {width}x{height} in {out} ({time.perf_counter() - start:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
