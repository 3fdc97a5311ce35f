"""Mistakes of users: exit code 2, one message that says what, where and what to do, and the last scene unharmed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import Cli

from recon.scene.store import SceneStore


@dataclass(frozen=True)
class Mistake:
    """One way to get it wrong, on a folder that holds a finished run."""

    name: str
    spoil: Callable[[Path], list[str | Path]]
    """Takes the folder, breaks something in it and returns the arguments."""
    says: tuple[str, ...]
    """Parts of the message."""


def run(folder: Path, *overrides: str) -> list[str | Path]:
    return ["run", folder / "scene.yaml", *(word for override in overrides for word in ("--set", override))]


def config(folder: Path, text: str) -> list[str | Path]:
    (folder / "scene.yaml").write_text(text)
    return run(folder)


def edited(folder: Path, old: str, new: str) -> list[str | Path]:
    text = (folder / "scene.yaml").read_text()
    assert old in text
    return config(folder, text.replace(old, new))


def cameras(folder: Path, change: Callable[[dict], object]) -> list[str | Path]:
    path = folder / "capture" / "transforms.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return run(folder)


def truncated(folder: Path) -> list[str | Path]:
    photo = folder / "capture" / "images" / "01.png"
    photo.write_bytes(photo.read_bytes()[:400])
    return run(folder)


def not_a_photo(folder: Path) -> list[str | Path]:
    (folder / "capture" / "images" / "01.png").write_text("not a picture")
    return run(folder)


def no_photos(folder: Path) -> list[str | Path]:
    shutil.rmtree(folder / "capture" / "images")
    (folder / "capture" / "images").mkdir()
    return run(folder)


def one_photo(folder: Path) -> list[str | Path]:
    for photo in list((folder / "capture" / "images").iterdir())[1:]:
        photo.unlink()
    return run(folder, "views.test=null")


def other_size(folder: Path) -> list[str | Path]:
    from PIL import Image

    path = folder / "capture" / "images" / "03.png"
    Image.open(path).resize((32, 24)).save(path)
    return run(folder)


def output_is_a_file(folder: Path) -> list[str | Path]:
    (folder / "file").write_text("")
    return run(folder, f"output={folder / 'file'}")


def same_stem(folder: Path) -> list[str | Path]:
    images = folder / "capture" / "images"
    shutil.copy(images / "01.png", images / "00.tif")
    return cameras(folder, lambda data: data["frames"][1].update(file_path="images/00.tif"))


def truncated_scene(folder: Path) -> list[str | Path]:
    shutil.rmtree(folder / "out" / "renders")
    broken = shutil.copytree(folder / "out", folder / "broken")
    text = (broken / "scene.gltf").read_text()
    (broken / "scene.gltf").write_text(text[: len(text) // 2])
    return ["info", broken]


def no_folder(folder: Path) -> list[str | Path]:
    return ["info", folder / "nowhere"]


MISTAKES = [
    Mistake("config is missing", lambda f: ["run", f / "nowhere.yaml"], ("nowhere.yaml", "no such file")),
    Mistake("config is a folder", lambda f: ["run", f], ("folder",)),
    Mistake("config is no YAML", lambda f: config(f, "images: [a\noutput: out\n"), ("scene.yaml:", "not valid YAML")),
    Mistake("unknown key", lambda f: edited(f, "iterations:", "iteratons:"), (":7", "iteratons", "splats.iterations")),
    Mistake("wrong type", lambda f: edited(f, "iterations: 24", "iterations: many"), (":7", "'many'", "integer")),
    Mistake("negative number", lambda f: edited(f, "iterations: 24", "iterations: -3"), ("-3", "greater than")),
    Mistake("not a number", lambda f: run(f, "downscale=.nan"), ("downscale", "finite")),
    Mistake("key given twice", lambda f: edited(f, "output: out", "output: out\noutput: b"), ("twice",)),
    Mistake("required key missing", lambda f: edited(f, "output: out\n", ""), ("output", "missing")),
    Mistake(
        "mesh too fine",
        lambda f: edited(f, "output: out", "output: out\nmesh: {resolution: 4}"),
        ("mesh.resolution", "8"),
    ),
    Mistake("override without value", lambda f: run(f, "splats.iterations"), ("--set splats.iterations", "key=value")),
    Mistake("override of nothing", lambda f: run(f, "splats.speed=9"), ("--set splats.speed=9", "unknown key")),
    Mistake("unset variable", lambda f: edited(f, "capture/images", "${NOT_SET_ANYWHERE}/x"), ("NOT_SET_ANYWHERE",)),
    Mistake("unknown preset", lambda f: run(f, "preset=objekt"), ("preset", "objekt", "did you mean 'object'")),
    Mistake("unknown primitive", lambda f: run(f, "splats.primitive=gausian"), ("splats.primitive", "'gaussian'")),
    Mistake("no GPU", lambda f: run(f, "device=cuda"), ("cuda", "device: auto")),
    Mistake("photo folder missing", lambda f: edited(f, "capture/images", "capture/img"), ("img", "cannot be read")),
    Mistake("no photos", no_photos, ("images",)),
    Mistake("one photo", one_photo, ("too few photos", "1 of 6")),
    Mistake("no cameras", lambda f: edited(f, "capture/transforms.json", "capture/poses.json"), ("poses.json",)),
    Mistake("truncated photo", truncated, ("01.png",)),
    Mistake("not a photo", not_a_photo, ("01.png",)),
    Mistake("photo of another size", other_size, ("03.png", "32x24", "64x48")),
    Mistake("photos that differ in their ending only", same_stem, ("00.png", "00.tif", "rename")),
    Mistake(
        "NaN pose",
        lambda f: cameras(f, lambda data: data["frames"][2]["transform_matrix"][0].__setitem__(3, float("nan"))),
        ("02.png", "transform_matrix"),
    ),
    Mistake(
        "no focal length",
        lambda f: cameras(f, lambda data: data.update(fl_x=0)),
        ("focal length fx = 0", "transforms.json"),
    ),
    Mistake("unknown test photo", lambda f: edited(f, "[02.png]", "[20.png]"), ("20.png", "views.test")),
    Mistake("all held out", lambda f: edited(f, "[02.png]", "every-1"), ("no training views",)),
    Mistake("split file missing", lambda f: run(f, "views.file=nowhere.json"), ("nowhere.json",)),
    Mistake("output is a file", output_is_a_file, ("cannot be written", "output")),
    Mistake("scene is torn", truncated_scene, ("scene.gltf",)),
    Mistake("no such output folder", no_folder, ("nowhere", "no such folder")),
    Mistake("folder without a scene", lambda f: ["eval", f / "capture"], ("no scene.gltf", "recon run")),
    Mistake("config instead of folder", lambda f: ["render", f / "scene.yaml"], ("output folder",)),
    Mistake("path of one frame", lambda f: ["render", f / "out", "--path", "orbit", "--frames", "1"], ("--frames",)),
    Mistake("scale of zero", lambda f: ["render", f / "out", "--scale", "0"], ("--scale",)),
    Mistake(
        "video of no time",
        lambda f: ["render", f / "out", "--path", "orbit", "--frames", "2", "--fps", "0"],
        ("frames per second",),
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name.replace(" ", "-"))
def test_mistake_gets_one_message_and_harms_nothing(mistake: Mistake, finished: Path, recon: Cli) -> None:
    before = (finished / "out" / "scene.gltf").read_bytes()
    outcome = recon(*mistake.spoil(finished))
    assert_refused(outcome.code, outcome.err, mistake.says)
    assert_unharmed(finished / "out", before)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS], ids=["disk-full", "quota", "read-only"])
@pytest.mark.parametrize("stage", ["poses", "splats", "evaluation"])
def test_a_disk_that_takes_no_more(
    finished: Path, recon: Cli, monkeypatch: pytest.MonkeyPatch, code: int, stage: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code), str(finished / "out" / "some file"))

    target = {"poses": "poses_stage.prepare_view", "splats": "splats_stage.optimize", "evaluation": "outputs.write_png"}
    monkeypatch.setattr(f"recon.pipeline.{target[stage]}", refuse)
    before = (finished / "out" / "scene.gltf").read_bytes()
    outcome = recon(*run(finished), "--force")
    assert_refused(outcome.code, outcome.err, ("some file", os.strerror(code), "output"))
    if stage == "poses":
        assert_unharmed(finished / "out", before)
    else:  # the poses stage was published; what is there now is whole too
        assert SceneStore(finished / "out").load().views
    monkeypatch.undo()
    assert recon(*run(finished)).code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="the rights of folders do not hold for root")
def test_output_folder_without_rights(finished: Path, recon: Cli) -> None:
    (finished / "sealed").mkdir()
    (finished / "sealed").chmod(0o500)
    outcome = recon(*run(finished, f"output={finished / 'sealed' / 'out'}"))
    assert_refused(outcome.code, outcome.err, ("cannot be written", "sealed"))


def test_second_run_on_a_busy_folder(finished: Path, recon: Cli) -> None:
    before = (finished / "out" / "scene.gltf").read_bytes()
    with SceneStore(finished / "out").lock():
        outcome = recon(*run(finished))
    assert_refused(outcome.code, outcome.err, (str(finished / "out"),))
    assert_unharmed(finished / "out", before)
    assert recon(*run(finished)).code == 0


def test_arguments_that_do_not_parse(recon: Cli) -> None:
    for argv in (["fly"], ["run"], ["run", "a.yaml", "--fast"], ["render", "x", "--path", "spiral"]):
        outcome = recon(*argv)
        assert outcome.code == 2, argv
        assert "Traceback" not in outcome.err


def assert_refused(code: int, err: str, says: tuple[str, ...]) -> None:
    assert code == 2, err
    assert "Traceback" not in err
    messages = [line for line in err.splitlines() if line.startswith("recon: ")]
    assert len(messages) == 1, err
    # The message is the last thing that is said.
    assert err.rstrip().endswith(messages[0]), err
    for part in says:
        assert part in messages[0], messages[0]


def assert_unharmed(out: Path, before: bytes) -> None:
    assert (out / "scene.gltf").read_bytes() == before
    scene = SceneStore(out).load()
    assert scene.splats is not None
    assert len(scene.views) == 6
    assert not list((out / "stages").glob(".tmp-*"))
