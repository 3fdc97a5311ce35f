"""Cameras from the outlines of an object."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
import torch
from turntable import Turntable, make_turntable

from recon.errors import ReconError
from recon.evaluate.poses import PoseErrors, pose_errors
from recon.events import ignore
from recon.geometry.camera import Camera
from recon.poses.estimators import PoseEstimate, PoseInput
from recon.poses.estimators.silhouette import SilhouettePoses
from recon.poses.silhouette.coherence import Orbit, Outlines, incoherence
from recon.poses.silhouette.config import SilhouetteConfig
from recon.scene import Scene

QUICK = SilhouetteConfig(elevations_deg=(10.0, 25.0), focals=(0.9,), coarse_steps=40, fine_steps=60)


def estimate(ring: Turntable, order: list[int] | None = None, config: SilhouetteConfig | None = None) -> PoseEstimate:
    lens = Camera.pinhole(160, 120, 1.0)
    blank = [replace(view, world_to_camera=torch.eye(4).double(), camera=lens) for view in ring.views]
    views = tuple(blank[k] for k in order or range(len(blank)))
    return SilhouettePoses(config or SilhouetteConfig(), ring.load).estimate(PoseInput(Scene(views), 0, ignore))


def errors(found: PoseEstimate, ring: Turntable) -> PoseErrors:
    result = pose_errors(found.scene.views, ring.views)
    assert result is not None
    return result


@pytest.mark.parametrize(("count", "rotation_deg", "center"), [(4, 7.0, 0.06), (6, 4.0, 0.04)])
def test_a_ring_of_photos_comes_together(count: int, rotation_deg: float, center: float) -> None:
    ring = make_turntable(count)
    found = estimate(ring, config=QUICK)
    result = errors(found, ring)
    assert statistics.median(result.rotation_deg) < rotation_deg and statistics.median(result.center) < center
    assert max(result.focal) < 0.15
    centers = torch.stack([view.center for view in found.scene.views])
    assert float(centers.norm(dim=1).median()) == pytest.approx(1.0, rel=0.05)
    assert found.info["outlines_filled"] > 0.9


def test_photos_in_no_order_are_not_believed() -> None:
    with pytest.raises(ReconError, match="outlines do not tell the cameras"):
        estimate(make_turntable(6), [0, 3, 1, 5, 2, 4], QUICK)


def test_a_ball_is_not_believed() -> None:
    with pytest.raises(ReconError, match="the other direction"):
        estimate(make_turntable(4, scene="sphere"), config=SilhouetteConfig(coarse_steps=20, fine_steps=20))


def test_photos_without_masks_and_too_few_are_refused() -> None:
    ring = make_turntable(6)
    bare = replace(ring, images=tuple(replace(image, alpha=None) for image in ring.images))
    with pytest.raises(ReconError, match="recon mask"):
        estimate(bare)
    with pytest.raises(ReconError, match="3 photos"):
        estimate(ring, [0, 1, 2])


def test_true_cameras_are_coherent_and_others_are_not() -> None:
    ring = make_turntable(6)
    outlines = Outlines.of([image.alpha > 0.5 for image in ring.images if image.alpha is not None], 0)
    even = Orbit.ring(outlines, 2 * torch.pi, 0.4, 0.95)
    backwards = Orbit.ring(outlines, -2 * torch.pi, 0.4, 0.95)
    assert float(incoherence(even, outlines).mean()) < 0.7 * float(incoherence(backwards, outlines).mean())
    closer = even.with_focal(0.6)
    a, b = (float(one.shifts[0, 2].exp() / one.log_focal.exp()) for one in (even, closer))
    assert a == pytest.approx(b), "the object stays as large in the photos"
