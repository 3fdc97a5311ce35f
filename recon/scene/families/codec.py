"""What a primitive family must say about its stored form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recon.scene.families.appearance import sh_attribute
from recon.scene.nodes import Splats


@dataclass(frozen=True)
class FamilyCodec:
    """Stored values are activated ones, so that other programs can read them without knowing our parametrisation."""

    to_arrays: Callable[[Splats], dict[str, np.ndarray]]
    """Splats to float32 arrays by glTF attribute name; [N, K, 3] stands for K attributes `name/0` ... ."""
    from_arrays: Callable[[Mapping[str, np.ndarray]], Splats]
    """The inverse. KeyError names an attribute that is missing."""
    attribute: Callable[[str], str]
    """glTF attribute name of an array, or of one of its K parts."""
    extensions: Mapping[str, Any]
    """Extensions of the glTF primitive."""
    rows: int = 1
    """Rows per primitive: 1 for POINTS, 3 for TRIANGLES."""


def own_attribute(array: str) -> str:
    """`SH/5` and `_RECON_POINT/2` as attributes of ours; other names stay as they are."""
    if array.startswith("_RECON_") and "/" in array:
        return array.replace("/", "_")
    return sh_attribute(array, "_RECON_")
