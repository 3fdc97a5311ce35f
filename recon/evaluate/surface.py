"""How far a mesh is from a true surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from recon.errors import ReconError
from recon.geometry import triangles
from recon.render.distance import nearest, sample_surface

SHARES = (0.005, 0.01, 0.02)
"""Distances that count as right, shares of the diagonal of the true surface's box."""

Surface = tuple[Tensor, Tensor]
"""Vertices [V, 3] and faces [F, 3]."""


@dataclass(frozen=True)
class SurfaceErrors:
    """Means over area-uniform samples of both surfaces."""

    diagonal: float
    """Of the box of the true surface, scene units."""
    accuracy: float
    """Mean distance from the mesh to the truth, scene units."""
    completeness: float
    """Mean distance from the truth to the mesh, scene units."""
    precision: tuple[float, ...]
    """Shares of the mesh within `SHARES` of the truth."""
    recall: tuple[float, ...]
    """Shares of the truth within `SHARES` of the mesh."""
    normal_consistency: float
    """Mean absolute cosine between a sample's normal and that of the nearest point, both ways."""

    @property
    def chamfer(self) -> float:
        """Half the sum of accuracy and completeness, scene units."""
        return (self.accuracy + self.completeness) / 2

    @property
    def f_scores(self) -> tuple[float, ...]:
        """Harmonic means of precision and recall."""
        return tuple(
            2 * p * r / (p + r) if p + r > 0 else 0.0 for p, r in zip(self.precision, self.recall, strict=True)
        )

    def as_metrics(self) -> dict[str, Any]:
        """For metrics.json."""
        scores = {f"f_{100 * share:g}%": score for share, score in zip(SHARES, self.f_scores, strict=True)}
        return {
            "chamfer": self.chamfer, "accuracy": self.accuracy, "completeness": self.completeness, **scores,
            "normal_consistency": self.normal_consistency, "diagonal": self.diagonal,
        }  # fmt: skip


def compare_surfaces(
    mesh: Surface, truth: Surface, count: int = 100_000, seed: int = 0, seen: Tensor | None = None
) -> SurfaceErrors:
    """Errors of `mesh` against `truth`, float32.

    seen: points [N, 3] of the truth that have to be found, instead of `count` samples of all of it; their nearest
    faces give the normals. Raises ReconError when a surface has no area.
    """
    for name, (vertices, faces) in (("the mesh", mesh), ("the true surface", truth)):
        if not len(faces) or not bool(vertices.isfinite().all()):
            raise ReconError(name, found=f"{len(faces)} triangles", wanted="a surface of finite vertices")
    points, face = sample_surface(*mesh, count, seed)
    if seen is None:
        wanted, true_face = sample_surface(*truth, count, seed + 1)
    else:
        wanted, true_face = seen, nearest(seen, *truth).faces
    used = truth[0][truth[1].long()].reshape(-1, 3)
    diagonal = float((used.amax(0) - used.amin(0)).norm())
    there, back = nearest(points, *truth), nearest(wanted, *mesh)
    away, missing = (points - there.points).norm(dim=1), (wanted - back.points).norm(dim=1)
    mine, true = _normals(mesh), _normals(truth)
    cosines = ((mine[face] * true[there.faces]).sum(1).abs(), (true[true_face] * mine[back.faces]).sum(1).abs())
    return SurfaceErrors(
        diagonal,
        float(away.mean()),
        float(missing.mean()),
        tuple(float((away <= share * diagonal).float().mean()) for share in SHARES),
        tuple(float((missing <= share * diagonal).float().mean()) for share in SHARES),
        float(cosines[0].mean() + cosines[1].mean()) / 2,
    )


def _normals(surface: Surface) -> Tensor:
    return triangles.normals(surface[0][surface[1].long()])
