"""Scenes in great variety: from their seeds alone, closed meshes, and two families with nothing in common."""

from __future__ import annotations

import numpy as np
import pytest
from recon_datasets import cameras_of, render_view
from recon_datasets.shapes import Sheet
from recon_datasets.truth import item_mesh
from recon_datasets.varied import VARIED


@pytest.mark.parametrize("kind", sorted(VARIED))
def test_a_seed_makes_one_scene_and_another_makes_another(kind: str) -> None:
    def photo(seed: int) -> np.ndarray:
        model = VARIED[kind](seed)
        return render_view(model, cameras_of(model, 6, 32, 24, seed=0)[2], samples=1).rgb

    assert (photo(3) == photo(3)).all()
    assert (photo(3) != photo(4)).mean() > 0.5


@pytest.mark.parametrize("kind", sorted(VARIED))
def test_every_layout_of_cameras_fits_in_and_looks_at_the_things(kind: str) -> None:
    shown = []
    for seed in range(12):
        model = VARIED[kind](seed)
        for layout in ("arc", "orbit", "forward"):
            camera = cameras_of(model, 7, 16, 12, seed, layout)[seed % 7]
            view = render_view(model, camera, samples=1)
            assert np.isfinite(view.depth).all(), "the room closes every view"
            shown.append(view.mask.mean())
    assert np.median(shown) > 0.08 and np.mean(np.array(shown) > 0) > 0.9


def test_meshes_are_closed_and_turned_outside() -> None:
    import trimesh

    for seed in range(6):
        for kind in VARIED:
            for item in VARIED[kind](seed).items:
                if not item.is_object or isinstance(item.shape, Sheet):
                    continue
                mesh = trimesh.Trimesh(*item_mesh(item, 0.1), process=False)
                assert mesh.is_watertight and mesh.volume > 0, (kind, seed, item.shape)


def test_the_families_share_no_print() -> None:
    def prints(kind: str) -> set[str]:
        items = [item for seed in range(30) for item in VARIED[kind](seed).items]
        return {item.texture.__qualname__ for item in items} - {"paint.<locals>.texture"}

    assert len(prints("familiar")) == len(prints("novel")) == 6
    assert not prints("familiar") & prints("novel")
