"""One tiny capture and one finished run of it, for all tests of the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import photo_folder
import pytest
from command import Cli, Outcome

from recon.cli.main import main


@pytest.fixture
def recon(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs one command through the real main function, in this process."""

    def run(*argv: str | Path) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in argv])
        except SystemExit as stop:  # the parser of arguments
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos; not to be written to."""
    return photo_folder.write_capture(tmp_path_factory.mktemp("tiny") / "capture")


@pytest.fixture(scope="session")
def finished_folder(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scene.yaml, capture/ and the finished run out/; not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(capture, folder / "capture")
    scene = photo_folder.write_config(folder / "scene.yaml")
    assert main(["run", str(scene), "--quiet"]) == 0
    return folder


@pytest.fixture
def finished(finished_folder: Path, tmp_path: Path) -> Path:
    """A copy of `finished_folder` that a test may spoil."""
    return Path(shutil.copytree(finished_folder, tmp_path / "finished"))


@pytest.fixture
def work(capture: Path, tmp_path: Path) -> Path:
    """A folder with capture/ and scene.yaml, nothing made yet."""
    folder = tmp_path / "work"
    shutil.copytree(capture, folder / "capture")
    photo_folder.write_config(folder / "scene.yaml")
    return folder
