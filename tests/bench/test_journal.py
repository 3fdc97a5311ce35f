from __future__ import annotations

from pathlib import Path

from recon.bench.journal import Journal


def test_rows_are_found_again_by_what_they_are_of(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out")
    journal.add({"scene": "fox", "set": ["a=1"], "seed": 0, "psnr": 20.0})
    journal.add({"scene": "fox", "set": ["a=1"], "seed": 1, "psnr": 21.0})
    path = tmp_path / "out" / "rows.jsonl"
    path.write_text(path.read_text() + '{"scene": "fox", "se')  # as if the machine had gone down within a line
    again = Journal(tmp_path / "out")
    assert again.rows == journal.rows
    found = again.find(scene="fox", set=("a=1",), seed=1)
    assert found is not None and found["psnr"] == 21.0
    assert again.find(scene="fox", set=["a=2"]) is None


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    journal = Journal(None)
    journal.add({"seed": 0})
    assert journal.find(seed=0) == {"seed": 0} and not list(tmp_path.iterdir())
