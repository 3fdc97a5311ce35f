"""Registers and spills of the GPU kernels against the recorded table.

    python cuda/gpu/resources.py check    # compiles for sm_90 and compares with resources.json
    python cuda/gpu/resources.py record   # writes resources.json anew, after a change that is meant

Spills are never allowed. Registers may grow by four before somebody has to look: the compiler's own noise.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE / "resources.json"
SLACK = 4
OTHERS = ("flexicubes", "mesh", "stereo", "training")


def families() -> list[str]:
    """Names in the registry's lines."""
    lines = (HERE.parent / "include" / "recon" / "families.h").read_text().splitlines()
    return [match.group(1) for line in lines if (match := re.match(r"    X\((\w+),", line))]


def compile_part(part: str) -> dict[str, dict[str, int]]:
    """Registers and spilled bytes of the kernels of a family or of another file of kernels."""
    source = f"{part}.cu" if part in OTHERS else "family.cu"
    command = [
        "nvcc", "-std=c++17", "-arch=sm_90", "-O3", f"-DRECON_FAMILY={part}", f"-I{HERE.parent}",
        f"-I{HERE.parent / 'include'}", "-Xptxas", "-v", "-c", str(HERE / source), "-o", "/dev/null",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{part}: nvcc failed\n{done.stderr}")
    found = {}
    pattern = r"entry function '(\S+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers"
    for name, stores, loads, registers in re.findall(pattern, done.stderr, re.DOTALL):
        # forward_kernel<Family, channels, geometry>, backward_kernel<Family, channels, extra>, or no template
        kernel = re.search(r"(forward|backward)_kernel.*?ELi(\d+)ELb([01])E", name)
        plain = re.search(r"recon3gpu\d+([a-z_]+)_kernel", name)
        if kernel:
            key = f"{part} {kernel[1]} {kernel[2]} channels{' extra' if kernel[3] == '1' else ''}"
        elif plain:
            # Lists are built twice, for tiles with 16-bit numbers ("t" when mangled) and for more of them.
            key = f"{part} {plain[1]}{' of 16-bit tiles' if 'tEEv' in name else ''}"
        else:
            continue  # a kernel of CUB
        found[key] = {"registers": int(registers), "spilled_bytes": int(stores) + int(loads)}
    return found


def main() -> None:
    """Exit 1 with one line per kernel that is out of bounds."""
    if sys.argv[1:] not in (["check"], ["record"]):
        sys.exit(__doc__)
    with ThreadPoolExecutor(2) as pool:
        found = {key: value for part in pool.map(compile_part, [*families(), *OTHERS]) for key, value in part.items()}
    if sys.argv[1] == "record":
        TABLE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        return
    recorded = json.loads(TABLE.read_text())
    faults = [f"{key}: not in the table" for key in found.keys() - recorded.keys()]
    faults += [f"{key}: in the table, but there is no such kernel" for key in recorded.keys() - found.keys()]
    for key in found.keys() & recorded.keys():
        now, then = found[key], recorded[key]
        if now["spilled_bytes"] > then["spilled_bytes"]:
            faults.append(f"{key}: {now['spilled_bytes']} bytes spilled; recorded {then['spilled_bytes']}")
        if now["registers"] > then["registers"] + SLACK:
            faults.append(f"{key}: {now['registers']} registers; recorded {then['registers']}")
    if faults:
        sys.exit("\n".join([*sorted(faults), "if that is meant: python cuda/gpu/resources.py record"]))
    print(f"{len(found)} kernels within the recorded registers, none with more spills")


if __name__ == "__main__":
    main()
