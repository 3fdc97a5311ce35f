"""Open3D's registration and outliers, on clouds whose answer is known."""

from __future__ import annotations

import importlib.util
import math

import pytest
import torch

from recon.errors import ReconError
from recon.geometry import rigid
from recon.geometry.open3d import icp, inliers

needs_open3d = pytest.mark.skipif(
    importlib.util.find_spec("open3d") is None, reason="open3d is not installed: pip install 'recon[open3d]'"
)


def cloud(count: int = 3000) -> torch.Tensor:
    """A bent sheet with a bump: no motion maps it onto itself."""
    u, v = torch.rand(2, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.stack([u, 0.6 * v, 0.3 * u * u + 0.2 * torch.exp(-30 * ((u - 0.3) ** 2 + (v - 0.6) ** 2))], dim=1)


@needs_open3d
@pytest.mark.parametrize("scale", [1.0, 1.07])
def test_a_known_motion_is_found_again(scale: float) -> None:
    angle = math.radians(6)
    moved = torch.eye(4, dtype=torch.float64)
    moved[:2, :2] = scale * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    moved[2, 2] = scale
    moved[:3, 3] = torch.tensor([0.03, -0.02, 0.04])
    target = cloud()
    source = rigid.transform_points(torch.linalg.inv(moved), target)
    found = icp(source, target, [0.2, 0.05, 0.02], scale=scale != 1)
    torch.testing.assert_close(found.target_from_source, moved, atol=1e-4, rtol=0)
    assert found.overlap == 1 and found.residual < 1e-4
    from_there = icp(source, target, [0.01], scale=scale != 1, start=moved)
    torch.testing.assert_close(from_there.target_from_source, moved, atol=1e-6, rtol=0)


@needs_open3d
def test_points_far_from_all_others_are_outliers() -> None:
    far = torch.tensor([[3.0, 3, 3], [-4, 0, 0]], dtype=torch.float64)
    kept = inliers(torch.cat([cloud(), far]), deviations=3)
    assert not kept[-2:].any() and kept[:-2].float().mean() > 0.97


def test_without_it_one_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ReconError, match=r"outlier removal needs Open3D[\s\S]*recon\[open3d\]"):
        inliers(cloud(10), 2)
