"""Real spherical harmonics up to degree 3, in the order and with the signs of the INRIA splat format.

The basis carries the Condon-Shortley phase; a colour is `evaluate(...) + 0.5`, clamped at 0 from below.
Source: Sloan 2008, "Stupid Spherical Harmonics Tricks", appendix A2.
"""

from __future__ import annotations

import torch
from torch import Tensor

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
C3 = (
    -0.5900435899266435, 2.890611442640554, -0.4570457994644658, 0.3731763325901154,
    -0.4570457994644658, 1.445305721320277, -0.5900435899266435,
)  # fmt: skip

MAX_DEGREE = 3


def count(degree: int) -> int:
    """Number of coefficients of all bands up to `degree`."""
    return (degree + 1) ** 2


def degree_of(coefficients: int) -> int:
    """Degree whose coefficient count is `coefficients`; ValueError when there is none."""
    degree = round(coefficients**0.5) - 1
    if not 0 <= degree <= MAX_DEGREE or count(degree) != coefficients:
        raise ValueError(f"{coefficients} SH coefficients per channel; expected 1, 4, 9 or 16")
    return degree


def basis(directions: Tensor, degree: int) -> Tensor:
    """Basis values [..., (degree + 1)^2] at unit `directions` [..., 3]."""
    x, y, z = directions.unbind(-1)
    values = [torch.full_like(x, C0)]
    if degree >= 1:
        values += [-C1 * y, C1 * z, -C1 * x]
    if degree >= 2:
        xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
        values += [C2[0] * xy, C2[1] * yz, C2[2] * (2 * zz - xx - yy), C2[3] * xz, C2[4] * (xx - yy)]
    if degree >= 3:
        values += [
            C3[0] * y * (3 * xx - yy),
            C3[1] * xy * z,
            C3[2] * y * (4 * zz - xx - yy),
            C3[3] * z * (2 * zz - 3 * xx - 3 * yy),
            C3[4] * x * (4 * zz - xx - yy),
            C3[5] * z * (xx - yy),
            C3[6] * x * (xx - 3 * yy),
        ]
    return torch.stack(values, dim=-1)


def evaluate(sh_coeffs: Tensor, directions: Tensor, degree: int | None = None) -> Tensor:
    """Sum of basis times coefficients: `sh_coeffs` [..., K, 3], unit `directions` [..., 3] to [..., 3].

    `degree` below the stored one ignores the higher bands.
    """
    degree = degree_of(sh_coeffs.shape[-2]) if degree is None else degree
    return (basis(directions, degree)[..., None] * sh_coeffs[..., : count(degree), :]).sum(-2)


def rotation(turn: Tensor, degree: int) -> Tensor:
    """[K, K] float64 such that `rotation(turn, degree) @ sh_coeffs` are the coefficients of a turned object.

    turn: [3, 3], object to world. The value at `turn @ d` afterwards is the value at `d` before; bands do not mix.
    Found by least squares over directions in which the basis is well conditioned, so it holds for any basis.
    """
    turn = turn.double()
    spread = torch.randn(64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    directions = torch.nn.functional.normalize(spread, dim=-1)
    before, after = basis(directions, degree), basis(directions @ turn.T, degree)
    result = torch.zeros(count(degree), count(degree), dtype=torch.float64)
    for band in range(degree + 1):
        rows = slice(band * band, (band + 1) ** 2)
        result[rows, rows] = torch.linalg.lstsq(after[:, rows], before[:, rows]).solution
    return result


def from_rgb(rgb: Tensor) -> Tensor:
    """Band-0 coefficient that shows colour `rgb` in [0, 1] from every direction."""
    return (rgb - 0.5) / C0


def to_rgb(sh0: Tensor) -> Tensor:
    """Colour of a band-0 coefficient; the inverse of `from_rgb`."""
    return sh0 * C0 + 0.5
