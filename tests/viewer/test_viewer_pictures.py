"""What the page draws is what the core draws."""

from __future__ import annotations

import family_room
import pytest
import torch
from browser import Tab, keep_difference, psnr
from family_room import Served

from recon.evaluate.mesh_renderer import MeshRenderer
from recon.render.rasterize import rasterize
from recon.scene import Splats

pytestmark = pytest.mark.browser

# 8-bit colours after every primitive leave about 50 dB; the mesh's edges are smoothed by the core alone.
LEAST_DB = {"gaussian": 40.0, "exponential": 40.0, "surfel": 40.0, "triangle": 40.0, "convex": 35.0, "mesh": 30.0}


def test_many_gaussians_are_shown_while_they_come_and_with_levels_of_detail(served: Served, shown: Tab) -> None:
    """What is done with millions, with a few hundred: the first rows by themselves, then Spark's levels."""
    view = served.scene.views[1]
    splats = next(one.content for one in served.scene.nodes if one.id == "gaussian")
    assert isinstance(splats, Splats)
    without = {**splats.params, "sh_coeffs": splats["sh_coeffs"][:, :9]}  # levels have harmonics up to degree 2
    wanted = rasterize(
        without, view.world_to_camera.float(), view.camera.K.float(), view.camera.width, view.camera.height,
        background=torch.tensor(family_room.BACKGROUND),
    ).color.clamp(0, 1)  # fmt: skip
    shown.run("recon.viewer.layers.remove('gaussian'); await recon.tree.show([]);")
    shown.run("Object.assign(recon.viewer.scale, { partialAbove: 100, partialRows: 90, levelsAbove: 100 })")
    counts = shown.run(
        """const counts = [];
        const put = recon.viewer.layers.set.bind(recon.viewer.layers);
        recon.viewer.layers.set = (id, layer) => { counts.push(layer.count); return put(id, layer); };
        await recon.tree.show(["gaussian"]);
        delete recon.viewer.layers.set;
        return [...counts, recon.viewer.layers.get("gaussian").count];"""
    )
    assert counts == [90, family_room.SPLATS]
    shown.snap(view.name)
    picture = shown.picture(family_room.WIDTH, family_room.HEIGHT)
    keep_difference("core-levels", picture, wanted.double().numpy())
    assert psnr(picture, wanted.double().numpy()) >= 30
    shown.run("Object.assign(recon.viewer.scale, argument)", {"partialAbove": 5e5, "levelsAbove": 5e5})
    shown.run("recon.viewer.layers.remove('gaussian')")
    assert not shown.faults


@pytest.mark.parametrize("node", LEAST_DB)
def test_pictures_are_those_of_the_core(node: str, served: Served, shown: Tab) -> None:
    view = served.scene.views[1]
    content = next(one.content for one in served.scene.nodes if one.id == node)
    if isinstance(content, Splats):
        wanted = rasterize(
            content.params, view.world_to_camera.float(), view.camera.K.float(), view.camera.width, view.camera.height,
            family=content.family, background=torch.tensor(family_room.BACKGROUND),
        ).color.clamp(0, 1)  # fmt: skip
    else:
        wanted = MeshRenderer.of(served.scene)(view)
    shown.run("await recon.tree.show([argument])", node)
    shown.snap(view.name)
    picture = shown.picture(family_room.WIDTH, family_room.HEIGHT)
    keep_difference(f"core-{node}", picture, wanted.double().numpy())
    assert float(wanted.std()) > 0.05, "an empty picture proves nothing"
    assert psnr(picture, wanted.double().numpy()) >= LEAST_DB[node]
    assert not shown.faults
