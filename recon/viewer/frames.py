"""Splats of a running optimisation as small binary frames."""

from __future__ import annotations

import numpy as np
import torch

from recon.scene import Points, Splats
from recon.scene.content import to_linear
from recon.scene.families import FAMILIES
from recon.scene.families.appearance import SH

MAX_SPLATS = 200_000
"""More are thinned out: a look at the training, not its result."""
MAX_SH_COEFFICIENTS = 4
"""Directions beyond degree 1 are left to the published splats."""


def pack_frame(splats: Splats, frame: int, iteration: int) -> bytes:
    """A safetensors file with the attributes that a scene.gltf would have; float16 but for positions and extents."""
    from safetensors.numpy import save

    kept = _thinned(splats)
    kept["sh_coeffs"] = kept["sh_coeffs"][:, :MAX_SH_COEFFICIENTS]
    codec = FAMILIES[splats.family]
    arrays: dict[str, np.ndarray] = {}
    for name, values in codec.to_arrays(Splats(splats.family, kept)).items():
        if name == "COLOR_0":  # for readers that show points
            continue
        if name == SH:
            for k in range(values.shape[1]):
                arrays[codec.attribute(f"{SH}/{k}")] = values[:, k].astype(np.float16)
        elif name.startswith("_RECON_POINT"):
            for k in range(values.shape[1]):
                arrays[codec.attribute(f"{name}/{k}")] = values[:, k]
        else:
            small = name == "NORMAL" or name.endswith(("ROTATION", "OPACITY"))
            attribute = codec.attribute(name)
            arrays[attribute] = values.astype(np.float16) if small else values
    metadata = {"frame": str(frame), "family": splats.family, "iteration": str(iteration)}
    return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata))


def pack_points(points: Points, frame: int) -> bytes:
    """The same of points."""
    from safetensors.numpy import save

    every = max(1, -(-len(points.positions) // MAX_SPLATS))
    positions, colors = points.positions[::every].float().numpy(), to_linear(points.colors[::every].numpy())
    arrays = {"POSITION": np.ascontiguousarray(positions), "COLOR_0": np.ascontiguousarray(colors)}
    return bytes(save(arrays, {"frame": str(frame), "family": "points", "iteration": "0"}))


def _thinned(splats: Splats) -> dict[str, torch.Tensor]:
    """All parameters, or those of MAX_SPLATS primitives drawn by their opacity."""
    if len(splats) <= MAX_SPLATS:
        return dict(splats.params)
    opacities = torch.sigmoid(splats["opacity_logits"].detach())
    # A generator of its own: watching must not change the optimisation's random numbers.
    chosen = torch.multinomial(opacities, MAX_SPLATS, generator=torch.Generator().manual_seed(0))
    return {name: value[chosen] for name, value in splats.params.items()}
