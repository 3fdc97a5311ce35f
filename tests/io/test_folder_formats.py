"""COLMAP and nerfstudio folders: read back by our capture readers and by pycolmap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import asymmetric_scene
import numpy as np
import pytest
import torch

from recon.errors import ReconError
from recon.geometry.camera import Distortion
from recon.io.capture import read_capture
from recon.io.decode import write_png
from recon.io.formats import FORMATS
from recon.scene import Photo, Scene


def scene_with_photos(folder: Path, rational: bool = False) -> Scene:
    """Two views with lenses of their own (one fisheye for COLMAP only) and a third without a photo."""
    scene = asymmetric_scene.scene(folder)
    first, second, third = scene.views
    lens = Distortion("opencv", (0.1, -0.02, 0.003, -0.0004, 1 / 3, 0.1, 0.2, 0.3)) if rational else None
    first = replace(first, camera=replace(first.camera, distortion=lens or first.camera.distortion))
    if not rational:
        second = replace(second, camera=replace(second.camera, distortion=Distortion()))
    views = []
    for view in (first, second):
        photo = folder / "photos" / view.name
        write_png(photo, np.full((view.camera.height, view.camera.width, 3), 90, np.uint8))
        mask = folder / "photos" / f"mask-{view.name}"
        write_png(mask, np.full((view.camera.height, view.camera.width, 3), 255, np.uint8))
        views.append(replace(view, photo=Photo(photo, mask if view is first else None)))
    source = torch.eye(4, dtype=torch.float64)
    source[:3, :3] = torch.tensor([[0.0, 0, 2], [2, 0, 0], [0, 2, 0]])
    source[:3, 3] = torch.tensor([1.0, 2.0, 3.0])
    return replace(scene, views=(*views, third), source_from_world=source)


@pytest.mark.parametrize("name", ["colmap", "colmap-text", "nerfstudio"])
def test_our_readers_find_the_same_cameras(tmp_path: Path, name: str) -> None:
    scene = scene_with_photos(tmp_path, rational=name != "nerfstudio")
    out = tmp_path / "out"
    FORMATS[name].write(scene, out)
    found = read_capture(out / "images").scene
    assert [view.name for view in found.views] == ["a.png", "b.png"]
    for view, wanted in zip(found.views, scene.views, strict=False):
        torch.testing.assert_close(view.world_to_camera, wanted.world_to_camera)
        torch.testing.assert_close(view.camera.K[:2], wanted.camera.K[:2])
        assert (view.camera.width, view.camera.height) == (wanted.camera.width, wanted.camera.height)
        assert view.camera.distortion.model == wanted.camera.distortion.model
        assert view.camera.distortion.params == pytest.approx(wanted.camera.distortion.params)
    assert found.points is not None and scene.points is not None
    torch.testing.assert_close(found.points.positions, scene.points.positions)
    assert (found.points.colors - scene.points.colors).abs().max() <= 0.5 / 255 + 1e-6
    if name == "nerfstudio":
        assert [view.split for view in found.views] == ["train", "test"]
        assert found.views[0].photo is not None and found.views[0].photo.mask == out / "masks" / "a.png.png"
        torch.testing.assert_close(found.source_from_world, scene.source_from_world)


@pytest.mark.parametrize("name", ["colmap", "colmap-text"])
def test_pycolmap_reads_the_model(tmp_path: Path, name: str) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    scene = scene_with_photos(tmp_path, rational=True)
    FORMATS[name].write(scene, tmp_path / "out")
    model = pycolmap.Reconstruction(str(tmp_path / "out" / "sparse" / "0"))
    images = {image.name: image for image in model.images.values()}
    assert set(images) == {"a.png", "b.png"} and len(model.points3D) == 5
    for view in scene.views[:2]:
        image = images[view.name]
        matrix = image.cam_from_world().matrix()
        np.testing.assert_allclose(matrix, view.world_to_camera.numpy()[:3], atol=1e-9)
        camera = model.cameras[image.camera_id]
        np.testing.assert_allclose(camera.calibration_matrix()[:2], view.camera.K.numpy()[:2], atol=1e-9)
        assert camera.model.name == ("OPENCV_FISHEYE" if view.name == "b.png" else "FULL_OPENCV")


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    scene = scene_with_photos(tmp_path)
    (tmp_path / "out").mkdir()
    FORMATS["colmap"].write(scene, tmp_path / "out")
    with pytest.raises(ReconError, match="is there already"):
        FORMATS["colmap"].write(scene, tmp_path / "out")
    with pytest.raises(ReconError, match="a lens that nerfstudio does not know"):
        FORMATS["nerfstudio"].write(scene_with_photos(tmp_path, rational=True), tmp_path / "other")
    assert not (tmp_path / "other").exists() and not list(tmp_path.glob(".tmp-*"))
    (tmp_path / "photos" / "a.png").unlink()
    with pytest.raises(ReconError, match=r"a\.png: cannot be read"):
        FORMATS["colmap"].write(scene, tmp_path / "third")
