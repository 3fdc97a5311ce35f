"""Cameras from pointmaps: stand-ins for the networks' packages say what a procedural scene looks like, with errors."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from recon_datasets import SCENES, cameras_of, render_view

from recon.errors import ReconError
from recon.evaluate.poses import PoseErrors, pose_errors
from recon.events import ignore
from recon.geometry import rigid
from recon.geometry.camera import Camera, pixel_grid
from recon.poses.estimators import PoseEstimate, PoseInput
from recon.poses.estimators.pointmap import PointmapPoses
from recon.poses.pointmap.align import clouds, similarity
from recon.poses.pointmap.config import PointmapConfig
from recon.poses.pointmap.model import Group, one_group, side_by_side
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.mapping import Model, Pair
from recon.scene import Photo, Scene, View

WIDTH, HEIGHT = 320, 240

LOADED = """
import torch
class Loaded(torch.nn.Module):
    @classmethod
    def from_pretrained(cls, folder):
        model = cls()
        model.said = torch.load(folder + "/said.pt")
        return model
"""
VGGT = (
    LOADED
    + """
class VGGT(Loaded):
    def forward(self, images):
        points, confidence = self.said["points"], self.said["confidence"]
        assert images.shape == (len(points), 3, 392, 518) and 0 <= images.min() and images.max() <= 1
        return {"world_points": points[None], "world_points_conf": confidence[None]}
"""
)
DUST3R = (
    LOADED
    + """
class AsymmetricCroCo3DStereo(Loaded):
    def forward(self, first, second):
        said, (i, j) = self.said, (first["idx"], second["idx"])
        assert first["img"].shape == (1, 3, 384, 512) and first["img"].min() < 0
        pose, scale = said["poses"][i], 1 + 0.3 * i + 0.1 * j
        mine, theirs = (scale * (said["points"][k] @ pose[:3, :3].T + pose[:3, 3]) for k in (i, j))
        return ({"pts3d": mine[None], "conf": said["confidence"][i][None]},
                {"pts3d_in_other_view": theirs[None], "conf": said["confidence"][j][None] - 0.1 * abs(i - j)})
"""
)
MAST3R = DUST3R.replace("AsymmetricCroCo3DStereo", "AsymmetricMASt3R")
DEPTH_ANYTHING = (
    LOADED
    + """
from types import SimpleNamespace
class DepthAnything3(Loaded):
    def inference(self, image, process_res):
        points, poses = self.said["points"], self.said["poses"]
        assert len(image) == len(points) and process_res == max(image[0].shape)
        assert image[0].dtype == "uint8" and image[0].shape == (*points.shape[1:3], 3)
        depth = torch.einsum("vj,vhwj->vhw", poses[:, 2, :3], points) + poses[:, None, None, 2, 3]
        rough, K = (None if said is None else said.numpy() for said in (self.said["rough"], self.said["K"]))
        conf = self.said["confidence"].numpy()
        return SimpleNamespace(depth=depth.numpy(), conf=conf, extrinsics=rough, intrinsics=K)
"""
)
PACKAGES = {
    "vggt/models/vggt": VGGT, "dust3r/model": DUST3R, "mast3r/model": MAST3R, "depth_anything_3/api": DEPTH_ANYTHING,
}  # fmt: skip


class Shoot:
    """Six photos of a corner of a room, and what is known of them."""

    def __init__(self, folder: Path) -> None:
        model = SCENES["corner"](0)
        self.views: list[View] = []
        self.depths: list[torch.Tensor] = []
        for index, camera in enumerate(cameras_of(model, 12, WIDTH, HEIGHT, 0, center=(0.5, 0.5))[3:9]):
            seen = render_view(model, camera, 1)
            path = folder / f"{index}.png"
            iio.imwrite(path, seen.rgb)
            lens = Camera(WIDTH, HEIGHT, torch.from_numpy(camera.K))
            self.views.append(View(path.name, lens, torch.from_numpy(camera.world_to_camera), Photo(path)))
            self.depths.append(torch.from_numpy(seen.depth))

    def said(self, width: int, height: int) -> dict[str, torch.Tensor]:
        """World points [V, height, width, 3] with depths off by 1 % and maps by 2 degrees and 2 %, nonsense where
        confidence is low."""
        g = torch.Generator().manual_seed(0)
        points, confidence = [], []
        for view, depth in zip(self.views, self.depths, strict=True):
            grid = pixel_grid(width, height, torch.float64) * torch.tensor([WIDTH / width, HEIGHT / height])
            x, y = grid.long().unbind(-1)
            off = 1 + 0.01 * torch.randn(height, width, generator=g)
            wrong = torch.rand(height // 8 + 1, width // 8 + 1, generator=g) < 0.15
            wrong = wrong.repeat_interleave(8, 0)[:height].repeat_interleave(8, 1)[:, :width]
            z = torch.where(wrong, 3 * torch.rand(height, width, generator=g), depth[y, x] * off)
            world = view.unproject(grid, z)
            middle = world.reshape(-1, 3).median(0).values
            turn = rigid.so3_exp(torch.randn(3, generator=g, dtype=torch.float64) * 0.02)
            world = (world - middle) @ turn.T + middle + 0.02 * torch.randn(3, generator=g, dtype=torch.float64)
            points.append(world.float())
            confidence.append(torch.where(wrong, 1.0, 5.0) + torch.rand(height, width, generator=g))
        poses = torch.stack([view.world_to_camera for view in self.views]).float()
        turns = rigid.so3_exp(0.03 * torch.randn(len(poses), 3, generator=g))
        rough = torch.cat([turns @ poses[:, :3, :3], poses[:, :3, 3:]], 2)
        K = torch.stack([view.camera.resized(width, height).K for view in self.views]).float()
        K[:, :2, 2] -= 0.5
        return {
            "points": torch.stack(points),
            "confidence": torch.stack(confidence),
            "poses": poses,
            "rough": rough,
            "K": K,
        }


@pytest.fixture(scope="module")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Shoot:
    return Shoot(tmp_path_factory.mktemp("photos"))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, said: Mapping[str, torch.Tensor | None]) -> Path:
    """Stand-ins for the packages, and a checkpoint that says `said`."""
    for name, source in PACKAGES.items():
        path = folder / "packages" / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(source)
    monkeypatch.syspath_prepend(str(folder / "packages"))
    checkpoint = folder / "weights"
    checkpoint.mkdir()
    torch.save(said, checkpoint / "said.pt")
    return checkpoint


def estimate(shoot: Shoot, config: PointmapConfig) -> PoseEstimate:
    blank = [
        replace(view, world_to_camera=torch.eye(4, dtype=torch.float64), camera=Camera.pinhole(WIDTH, HEIGHT, 999.0))
        for view in shoot.views
    ]
    poses = PointmapPoses(config, SfmConfig(), 2)
    return poses.estimate(PoseInput(Scene(tuple(blank)), 0, ignore))


def errors(found: Sequence[View], shoot: Shoot) -> PoseErrors:
    result = pose_errors(found, shoot.views)
    assert result is not None
    return result


@pytest.mark.parametrize(("model", "size"), [
    ("vggt", (518, 392)), ("dust3r", (512, 384)), ("mast3r", (512, 384)), ("depth-anything-3", (504, 378)),
])  # fmt: skip
def test_cameras_come_from_pointmaps_and_matches_make_them_exact(
    model: str, size: tuple[int, int], shoot: Shoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = install(tmp_path, monkeypatch, shoot.said(*size))
    config = replace(PointmapConfig(checkpoint=checkpoint, device="cpu"), model=model)
    own: list[View] = []
    refined = PointmapPoses._refined

    def heard(self: PointmapPoses, said: Model, matches: Mapping[Pair, torch.Tensor]) -> tuple[Model, bool]:
        own.extend(View(said.photos.names[k], said.cameras[k], said.poses[k]) for k in said.poses)
        return refined(self, said, matches)

    monkeypatch.setattr(PointmapPoses, "_refined", heard)
    found = estimate(shoot, config)
    assert found.info["refined_by_matches"] and not found.left_out
    exact, rough = errors(found.scene.views, shoot), errors(own, shoot)
    assert max(exact.rotation_deg) < 0.3 and max(exact.center) < 0.01 and max(exact.focal) < 0.02
    assert max(rough.rotation_deg) < 6.0 and max(rough.focal) < 0.1, "the network's own cameras"
    assert max(rough.rotation_deg) > 1.5 * max(exact.rotation_deg)


def test_a_checkpoint_of_depth_alone_is_refused(shoot: Shoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = install(tmp_path, monkeypatch, {**shoot.said(504, 378), "rough": None, "K": None})
    with pytest.raises(ReconError, match="nothing of cameras"):
        estimate(shoot, PointmapConfig(model="depth-anything-3", checkpoint=checkpoint, device="cpu"))


def test_photos_of_other_shapes_share_a_batch() -> None:
    photos = [np.zeros((60, 80, 3), np.float32), np.zeros((80, 40, 3), np.float32)]
    batch, sizes = side_by_side(photos, 56, 14)
    assert batch.shape == (2, 3, 56, 56) and sizes == [(42, 56), (56, 28)]
    assert all(batch[k].sum() == 3 * (56 * 56 - h * w) for k, (h, w) in enumerate(sizes)), "white beside the photo"
    (group,) = one_group(torch.rand(2, 56, 56, 3), torch.rand(2, 56, 56), sizes)
    assert [one.shape for one in group.points] == [(42, 56, 3), (56, 28, 3)] and group.photos == (0, 1)


def test_a_photo_whose_points_fit_no_camera_is_left_out(
    shoot: Shoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shoot.said(518, 392)
    said["points"][4] = torch.randn(392, 518, 3, generator=torch.Generator().manual_seed(0))
    found = estimate(shoot, PointmapConfig(checkpoint=install(tmp_path, monkeypatch, said), device="cpu"))
    assert [one.name for one in found.left_out] == ["4.png"] and "vggt" in found.left_out[0].reason
    assert max(errors(found.scene.views, shoot).rotation_deg) < 0.5


def test_points_that_fit_nothing_end_with_advice(shoot: Shoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = shoot.said(518, 392)
    said["points"] = torch.randn(said["points"].shape, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ReconError, match="0 of 6 photos"):
        estimate(shoot, PointmapConfig(checkpoint=install(tmp_path, monkeypatch, said), device="cpu"))


def test_what_is_missing_is_named_with_the_command_that_gets_it(
    shoot: Shoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "mast3r", raising=False)  # the stand-in of another test
    with pytest.raises(ReconError) as raised:
        estimate(shoot, PointmapConfig(model="mast3r", checkpoint=tmp_path / "nowhere"))
    text = str(raised.value)
    assert "no package mast3r and no checkpoint" in text and "nowhere" in text
    assert "pip install" in text and "hf download" in text


def test_weights_that_do_not_load_are_a_mistake_of_the_user(
    shoot: Shoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = install(tmp_path, monkeypatch, shoot.said(518, 392))
    (checkpoint / "said.pt").unlink()
    with pytest.raises(ReconError, match="cannot load"):
        estimate(shoot, PointmapConfig(checkpoint=checkpoint, device="cpu"))


def test_a_similarity_is_found_among_wrong_points() -> None:
    g = torch.Generator().manual_seed(0)
    source = torch.randn(500, 3, generator=g, dtype=torch.float64)
    rotation = rigid.so3_exp(torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64))
    target = 2.5 * source @ rotation.T + torch.tensor([1.0, 2, 3])
    target[:100] += torch.randn(100, 3, generator=g, dtype=torch.float64)
    found, shift, scale = similarity(source, target, torch.ones(500, dtype=torch.float64))
    assert scale == pytest.approx(2.5, rel=0.01)
    assert torch.allclose(found, rotation, atol=0.01) and torch.allclose(
        shift, torch.tensor([1.0, 2, 3]).double(), atol=0.05
    )


def test_groups_that_share_no_photo_with_the_others_are_left_out() -> None:
    maps = (torch.rand(8, 8, 3), torch.rand(8, 8, 3))
    sure, unsure = (torch.full((8, 8), value) for value in (2.0, 1.0))
    groups = [Group((0, 1), maps, (sure, sure)), Group((2, 3), maps, (unsure, unsure))]
    assert sorted(clouds(groups, 0.0)) == [0, 1]
    chain = [*groups, Group((1, 2), maps, (unsure, unsure))]
    assert sorted(clouds(chain, 0.0)) == [0, 1, 2, 3]
