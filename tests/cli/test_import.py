"""Other people's splats and captures as scenes: rendered, measured, fine-tuned, written again."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from command import Cli

from recon.io.ply import read_splats, write_splats
from recon.scene.store import SceneStore
from recon.scene.transform import Similarity, transform_splats


def metrics(folder: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((folder / "metrics.json").read_text())
    return found


@pytest.mark.parametrize("name", ["ply", "compressed-ply", "spz", "spz4", "sog", "glb", "usd"])
def test_splats_with_their_photos_measure_the_same(finished: Path, recon: Cli, name: str) -> None:
    if name == "usd":
        pytest.importorskip("pxr", reason="pip install usd-core")
    out = finished / "out"
    written = recon("export", out, "--format", name).out.strip()
    again = finished / "again"
    done = recon("import", written, "--out", again, "--images", finished / "capture", "--test", "02.png", "--quiet")
    assert done.code == 0, done.err
    assert recon("eval", again, "--quiet").code == 0
    before, after = metrics(out), metrics(again)
    assert after["test"]["psnr"] == pytest.approx(before["test"]["psnr"], abs=0.1)
    assert recon("render", again).code == 0
    assert (again / "renders" / "test" / "02.png").is_file()
    exported = recon("export", again).out.strip()
    assert len(read_splats(Path(exported))) == len(read_splats(out / "exports" / "splats.ply"))


def test_a_folder_with_what_a_sog_holds(finished: Path, recon: Cli) -> None:
    file, folder = Path(recon("export", finished / "out", "--format", "sog").out.strip()), finished / "unpacked"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    scenes = []
    for number, source in enumerate((file, folder, folder / "meta.json")):
        assert recon("import", source, "--out", finished / f"sog-{number}", "--quiet").code == 0
        scenes.append(SceneStore(finished / f"sog-{number}").load().splats)
    assert scenes[0] is not None
    for other in scenes[1:]:
        assert other is not None and torch.equal(scenes[0]["means"], other["means"])
    tuned = ("--set", f"splats.init.file={folder}", "--set", f"output={finished / 'tuned'}", "--quiet")
    done = recon("run", finished / "scene.yaml", "--until", "splats", *tuned)
    assert done.code == 0, done.err
    nothing = recon("eval", finished / "sog-0", "--quiet")
    assert nothing.code == 2 and "`recon import` with --images" in nothing.err


@pytest.mark.slow
def test_splats_without_photos_become_a_mesh(finished: Path, recon: Cli) -> None:
    """By pictures of them."""
    source, alone = finished / "out" / "exports" / "splats.ply", finished / "alone"
    assert recon("import", source, "--out", alone, "--pictures", 9, "--quiet").code == 0
    scene = SceneStore(alone).load()
    assert len(scene.views) == 9 and scene.splats is not None
    torch.testing.assert_close(scene.splats["means"], read_splats(source)["means"])
    assert recon("eval", alone, "--quiet").code == 0
    assert metrics(alone)["train"]["psnr"] > 35, "they are its own"
    settings = (
        "--set",
        "downscale=8",
        "--set",
        "mesh.resolution=24",
        "--set",
        "mesh.refine.iterations=2",
        "--set",
        "mesh.texture=null",
    )
    done = recon("run", alone / "scene.yaml", "--until", "mesh", "--quiet", *settings)
    assert done.code == 0, done.err
    mesh = SceneStore(alone / "fine-tuned").load().mesh
    assert mesh is not None and len(mesh.faces) > 20
    assert recon("import", source, "--out", alone, "--pictures", 4, "--quiet").code == 0, "again, in place of the first"
    for more in (("--images", finished / "capture"), ("--pictures", 1)):
        wrong = recon("import", source, "--out", finished / "x", "--pictures", 9, *more, "--quiet")
        assert wrong.code == 2 and "--pictures" in wrong.err


def test_fine_tuning_goes_on_from_the_imported_splats(finished: Path, recon: Cli) -> None:
    again = finished / "again"
    source = finished / "out" / "exports" / "splats.ply"
    done = recon("import", source, "--out", again, "--images", finished / "capture", "--test", "02.png", "--quiet")
    assert f"recon run {again / 'scene.yaml'}" in done.out
    assert recon("eval", again, "--quiet").code == 0
    more = ["--set", "splats.iterations=6", "--set", "splats.resolution.start_divisor=1", "--quiet"]
    assert recon("run", again / "scene.yaml", *more).code == 0
    tuned = again / "fine-tuned"
    assert metrics(tuned)["train"]["psnr"] > metrics(again)["train"]["psnr"] - 0.5
    first, second = (SceneStore(folder).load().splats for folder in (again, tuned))
    assert first is not None and second is not None and first.sh_degree == second.sh_degree
    # A start at points would have 60 of one size and 0.1 opaque.
    assert abs(len(first) - len(second)) < 10
    # The short form, and the content of the file as part of the key.
    more[1] = "splats.iterations=2"
    short = ["--set", f"splats.init={source}", "--set", f"output={finished / 'short'}"]
    assert recon("run", again / "scene.yaml", *more, *short).code == 0
    key = SceneStore(finished / "short").load().provenance[-1].key
    splats = read_splats(source)
    write_splats(source, type(splats)(splats.family, {k: v[:-1] for k, v in splats.params.items()}))
    assert recon("run", again / "scene.yaml", *more, *short).code == 0
    assert SceneStore(finished / "short").load().provenance[-1].key != key
    wrong = recon("run", again / "scene.yaml", *more, *short, "--set", "splats.primitive=triangle")
    assert wrong.code == 2 and "set splats.primitive: gaussian" in wrong.err


def test_splats_alone_have_cameras_around_them(finished: Path, recon: Cli) -> None:
    source = finished / "out" / "exports" / "splats.ply"
    alone = finished / "alone"
    assert recon("import", source, "--out", alone, "--quiet").code == 0
    assert recon("render", alone, "--views", "train", "--scale", "0.1").code == 0
    from PIL import Image

    pictures = [np.asarray(Image.open(path)) for path in sorted((alone / "renders" / "train").glob("*.png"))]
    assert len(pictures) == 8
    for picture in pictures:
        lit = picture.max(2) > 20
        assert lit[15:45, 20:60].mean() > 0.2 and lit[0].mean() < 0.2, "most of it, in the middle"
    failed = recon("eval", alone)
    assert failed.code == 2 and "no view of the scene has a photo" in failed.err


def test_a_turned_file_is_turned_back(finished: Path, recon: Cli) -> None:
    out = finished / "out"
    written = recon("export", out, "--format", "ply", "--axes", "x,-z,y", "--to", finished / "turned.ply").out.strip()
    assert recon("import", written, "--out", finished / "b", "--axes", "x,z,-y", "--quiet").code == 0
    found, wanted = SceneStore(finished / "b").load().splats, SceneStore(out).load().splats
    assert found is not None and wanted is not None
    torch.testing.assert_close(found["means"], wanted["means"])
    torch.testing.assert_close(found["sh_coeffs"], wanted["sh_coeffs"], atol=1e-5, rtol=1e-5)


APPLIED = torch.tensor([[0.0, 1, 0, 0.5], [0, 0, 1, 0.25], [1, 0, 0, -1]], dtype=torch.float64)
"""From the source of the capture to the coordinates of its file."""


def write_nerfstudio_run(folder: Path, out: Path, data: Path) -> Path:
    """A run as nerfstudio 1.1.5 leaves it: world turned, moved and scaled; the scheduler's numpy scalar in it."""
    run = folder / "outputs" / "splatfacto" / "2026-01-01"
    (run / "nerfstudio_models").mkdir(parents=True)
    rotation = turned_up().rotation
    transform = torch.cat([rotation, torch.tensor([[0.3], [-0.1], [0.7]], dtype=torch.float64)], dim=1)
    scale = 0.4
    whole = torch.cat([rotation @ APPLIED[:, :3], rotation @ APPLIED[:, 3:] + transform[:, 3:]], dim=1)
    (run / "dataparser_transforms.json").write_text(json.dumps({"transform": whole.tolist(), "scale": scale}))
    splats = SceneStore(out).load().splats
    assert splats is not None
    moved = transform_splats(splats, Similarity(scale, rotation, scale * transform[:, 3]))
    names = {"means": "means", "quats": "quats", "scales": "log_scales"}
    params = {f"_model.gauss_params.{theirs}": moved[ours] for theirs, ours in names.items()}
    params["_model.gauss_params.opacities"] = moved["opacity_logits"][:, None]
    params["_model.gauss_params.features_dc"] = moved["sh_coeffs"][:, 0]
    params["_model.gauss_params.features_rest"] = moved["sh_coeffs"][:, 1:]
    checkpoint = {"step": 7, "pipeline": params, "schedulers": {"means": {"base_lrs": [np.float64(0.1)]}}}
    torch.save({**checkpoint, "pipeline": {}}, run / "nerfstudio_models" / "step-000000003.ckpt")
    torch.save(checkpoint, run / "nerfstudio_models" / "step-000000007.ckpt")
    parts = "".join(f"\n      - '{part}'" for part in data.absolute().parts)
    (run / "config.yml").write_text(
        "!!python/object:nerfstudio.engine.trainer.TrainerConfig\n"
        "_target: !!python/name:nerfstudio.engine.trainer.Trainer ''\n"
        "pipeline: !!python/object:nerfstudio.pipelines.base_pipeline.VanillaPipelineConfig\n"
        "  datamanager: !!python/object:x.Y\n"
        f"    data: !!python/object/apply:pathlib.PosixPath{parts}\n"
        "  model: !!python/object:x.Z\n    rasterize_mode: antialiased\n"
    )
    return run


def turned_up() -> Similarity:
    from recon.geometry import quaternion

    rotation = quaternion.to_matrix(torch.tensor([0.3, 0.5, -0.7, 0.2], dtype=torch.float64))
    return Similarity(1.0, rotation, torch.zeros(3, dtype=torch.float64))


def test_a_nerfstudio_run_finds_its_photos_and_its_place(finished: Path, recon: Cli) -> None:
    # The run's transform starts before the applied_transform of the data.
    cameras = finished / "capture" / "transforms.json"
    cameras.write_text(json.dumps({**json.loads(cameras.read_text()), "applied_transform": APPLIED.tolist()}))
    out = finished / "out"
    run = write_nerfstudio_run(finished, out, finished / "capture")
    done = recon("import", run, "--out", finished / "ns", "--test", "02.png", "--quiet")
    assert done.code == 0, done.err
    scene, wanted = SceneStore(finished / "ns").load(), SceneStore(out).load()
    assert scene.splats is not None and wanted.splats is not None
    torch.testing.assert_close(scene.splats["means"], wanted.splats["means"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scene.splats["log_scales"], wanted.splats["log_scales"], atol=1e-5, rtol=1e-5)
    assert scene.provenance[-1].info["antialias"] is True
    # Without photos, and with the transform given by hand for a PLY of the run.
    to_run = run_similarity(run).matrix @ torch.cat([APPLIED, torch.tensor([[0.0, 0, 0, 1]]).double()]).inverse()
    write_splats(finished / "ns.ply", transform_splats(wanted.splats, Similarity.of(to_run, "test")))
    done = recon("import", finished / "ns.ply", "--out", finished / "c", "--images", finished / "capture",
                 "--transform", run / "dataparser_transforms.json", "--quiet")  # fmt: skip
    assert done.code == 0, done.err
    third = SceneStore(finished / "c").load().splats
    assert third is not None
    torch.testing.assert_close(third["means"], wanted.splats["means"], atol=1e-5, rtol=1e-5)


def run_similarity(run: Path) -> Similarity:
    from recon.io.nerfstudio_run import read_transform

    return read_transform(run / "dataparser_transforms.json")


def test_captures_become_scenes_and_a_scene_yaml(finished: Path, recon: Cli) -> None:
    for name in ("colmap", "colmap-text", "nerfstudio"):
        folder = recon("export", finished / "out", "--format", name, "--to", finished / name).out.strip()
        out = finished / f"from-{name}"
        done = recon("import", folder, "--out", out, "--test", "02.png", "--quiet")
        assert done.code == 0, done.err
        scene, wanted = SceneStore(out).load(), SceneStore(finished / "out").load()
        assert [view.name for view in scene.split("test")] == ["02.png"]
        for view, other in zip(scene.views, wanted.views, strict=True):
            torch.testing.assert_close(view.world_to_camera, other.world_to_camera)
        config = yaml.safe_load((out / "scene.yaml").read_text())
        assert config["output"] == str(out) and "splats" not in config


def test_mistakes(finished: Path, recon: Cli) -> None:
    source = finished / "out" / "exports" / "splats.ply"
    cases = {
        "no such file": ["import", finished / "nothing.ply"],
        "are about photos": ["import", source, "--test", "every-2"],
        "are about splats": ["import", finished / "capture", "--axes", "x,y,z"],
        "not splats in a known format": ["import", finished / "capture" / "images" / "00.png"],
        "a mirror image": ["import", source, "--axes", "x,z,y"],
    }
    for message, argv in cases.items():
        done = recon(*argv, "--out", finished / "x")
        assert done.code == 2 and message in done.err, done.err
    run = write_nerfstudio_run(finished, finished / "out", finished / "moved-away")
    done = recon("import", run, "--out", finished / "x")
    assert done.code == 2 and "say where with --images" in done.err
    (run / "nerfstudio_models" / "step-000000007.ckpt").write_bytes(b"PK\x03\x04broken")
    done = recon("import", run, "--out", finished / "x", "--images", finished / "capture")
    assert done.code == 2 and "no checkpoint of splatfacto" in done.err


def test_bench_formats_compares_them(finished: Path, recon: Cli) -> None:
    done = recon("bench", "formats", finished / "out", "--out", finished / "tables")
    assert done.code == 0, done.err
    table = json.loads((finished / "tables" / "formats.json").read_text())["tables"][0]
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}
    assert rows["ply"]["pictures dB"] == rows["glb"]["pictures dB"] == "same"
    assert float(rows["spz"]["bytes a splat"]) < float(rows["ply"]["bytes a splat"]) / 2
    assert float(rows["spz"]["pictures dB"]) > 35
