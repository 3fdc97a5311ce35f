"""Pieces of the surface that one photo each shows best, and where they lie in it.

Cut out of photos, a texture is as fine as they are everywhere, and rough surface that no unwrapping could flatten is
flat (Lempitsky and Ivanov, Seamless Mosaicing of Image-Based Texture Maps, CVPR 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.geometry.graph import connected
from recon.mesh.sight import sight
from recon.mesh.views import SurfaceView

_ROUNDS = 12
_TOGETHER = 0.7
"""Worth of a neighbour in the same photo, in logarithms of how well a photo shows a face."""
_LEAST_COSINE = 0.1
"""More slanted faces are in no piece."""


@dataclass(frozen=True)
class Pieces:
    """Faces by the photo that they are cut from."""

    faces: Tensor
    """[P] int64, the faces that a photo shows."""
    piece: Tensor
    """[P] int64, which piece each belongs to, 0, 1, ...: connected, and from one photo."""
    corners: Tensor
    """[P, 3, 2] float32, where they lie in that photo, px."""


@torch.no_grad()
def photo_pieces(vertices: Tensor, faces: Tensor, views: Sequence[SurfaceView]) -> Pieces:
    """vertices: [V, 3] float32, world; faces: [F, 3] int64; views: at least one, with colours
    that count (`rank`).

    What none of them shows is in no piece.
    """
    scores, corners = [], []
    for view in views:
        seen = sight(vertices, faces, view)
        good = seen.shown & (seen.cosine > _LEAST_COSINE) & view.counts.reshape(-1)[seen.middle]
        # The face's pixels for its area, and once more the cosine: squarely seen, small errors of depth hardly move it.
        worth = 2 * (seen.cosine.clamp(min=_LEAST_COSINE) / seen.depth.clamp(min=1e-9)).log()
        scores.append(torch.where(good, worth + (view.rank * view.K.diagonal()[:2].prod()).log(), -torch.inf))
        corners.append(seen.corners)
    score, pairs = torch.stack(scores, 1), _neighbors(faces)
    label = _agreed(score, pairs)
    shown = score.isfinite().any(1)
    together = pairs[(label[pairs[:, 0]] == label[pairs[:, 1]]) & shown[pairs].all(1)]
    rows = shown.nonzero()[:, 0]
    part = torch.from_numpy(connected(len(faces), together.numpy())).long()[rows]
    return Pieces(rows, part.unique(return_inverse=True)[1], torch.stack(corners)[label[rows], rows])


def _agreed(score: Tensor, pairs: Tensor) -> Tensor:
    """[F] the best photo of each face where neighbours count as well.

    Iterated conditional modes, a random half of the faces at a time: all at once would go to and fro.
    score: [F, photos], minus infinity where the photo does not show the face.
    """
    label, generator = score.argmax(1), torch.Generator().manual_seed(0)
    ones = torch.full((len(pairs),), _TOGETHER)
    for _ in range(_ROUNDS):
        together = score.clone()
        for a, b in (pairs.unbind(1), pairs.flip(1).unbind(1)):
            together.index_put_((a, label[b]), ones, accumulate=True)
        label = torch.where(torch.rand(len(label), generator=generator) < 0.5, together.argmax(1), label)
    return label


def _neighbors(faces: Tensor) -> Tensor:
    """[E, 2] pairs of faces with an edge in common."""
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values
    owner = torch.arange(len(faces)).repeat(3)
    key = edges[:, 0] * (int(faces.max()) + 1) + edges[:, 1]
    order = key.argsort(stable=True)
    same = key[order][1:] == key[order][:-1]
    return torch.stack([owner[order][:-1][same], owner[order][1:][same]], 1)
