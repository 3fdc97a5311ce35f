"""LPIPS is measured where its package and weights are, and nothing is downloaded where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from recon.evaluate.perceptual import lpips


class Network(torch.nn.Module):
    """Stands in for the package's network: the mean distance of pictures [1, 3, H, W] of which it is told the range."""

    def __init__(self, net: str, verbose: bool) -> None:
        super().__init__()
        self.net = net

    def forward(self, a: Tensor, b: Tensor, normalize: bool) -> Tensor:
        assert normalize and a.shape == b.shape == (1, 3, 4, 5) and self.net == "alex"
        return (a - b).abs().mean().reshape(1, 1, 1, 1)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for weights of a machine that has the package."""
    (tmp_path / "lpips.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    module = ModuleType("lpips")
    module.LPIPS = Network  # type: ignore[attr-defined]
    monkeypatch.setattr("recon.evaluate.perceptual.import_module", lambda name: module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    lpips.cache_clear()
    yield tmp_path / "hub" / "checkpoints"
    lpips.cache_clear()


def test_nothing_is_measured_without_weights(package: Path) -> None:
    assert lpips() is None


def test_pictures_are_handed_over_as_the_package_wants_them(package: Path) -> None:
    (package / "alexnet-owt-7be5be79.pth").touch()
    distance = lpips()
    assert distance is not None
    assert distance(torch.zeros(4, 5, 3), torch.full((4, 5, 3), 0.25)) == pytest.approx(0.25)
