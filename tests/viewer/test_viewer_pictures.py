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
