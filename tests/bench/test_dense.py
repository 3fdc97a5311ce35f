from __future__ import annotations

from pathlib import Path

from recon_datasets import make_capture

from recon.bench.dense import measure


def test_depths_of_a_procedural_capture(tmp_path: Path) -> None:
    capture = make_capture("corner", tmp_path / "corner", views=8, width=160, height=120, samples=1, seed=0)
    seen, close, near, seconds = measure(capture, 6)
    assert isinstance(seen, float) and isinstance(close, float) and isinstance(near, float)
    # Half the size of the bench's photos: half as many pixels per tile of the floor.
    assert seen > 0.7 and near > 0.75 and close <= near
    assert isinstance(seconds, float) and seconds > 0
