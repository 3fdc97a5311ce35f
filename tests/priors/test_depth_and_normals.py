"""Depth and normals of photos by models of other libraries, tiny and random: shapes, kinds, devices, messages."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models
import torch

from recon.errors import ReconError
from recon.priors import DepthPrior, NormalPrior
from recon.priors.depth import DepthConfig
from recon.priors.normals import NormalsConfig

CPU = torch.device("cpu")


@pytest.fixture
def photo() -> torch.Tensor:
    return torch.rand(50, 70, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("estimation", "kind"), [("relative", "inverse"), ("metric", "metric")])
def test_depth_has_the_photos_size_and_the_models_kind(
    tmp_path: Path, photo: torch.Tensor, estimation: str, kind: str
) -> None:
    prior = DepthConfig(checkpoint=tiny_models.save_depth_model(tmp_path, estimation)).load(CPU)
    assert isinstance(prior, DepthPrior) and not isinstance(prior, NormalPrior)
    found = prior.depth(photo)
    assert (found.values.shape, found.values.dtype, found.kind) == ((50, 70), torch.float32, kind)
    assert found.values.isfinite().all()
    torch.testing.assert_close(prior.depth(photo).values, found.values)


def test_half_precision_comes_close_to_single(tmp_path: Path, photo: torch.Tensor) -> None:
    folder = tiny_models.save_depth_model(tmp_path)
    single, half = (
        DepthConfig(checkpoint=folder, precision=one).load(CPU).depth(photo).values for one in ("float32", "bfloat16")
    )
    assert (single - half).abs().max() <= 0.05 * single.abs().max() + 1e-3  # bfloat16 has 8 bits


def test_normals_are_unit_vectors_towards_the_camera_axes(tmp_path: Path, photo: torch.Tensor) -> None:
    prior = NormalsConfig(checkpoint=tiny_models.save_normals_pipeline(tmp_path), steps=1, max_side=32).load(CPU)
    assert isinstance(prior, NormalPrior)
    found = prior.normal(photo)
    assert found.shape == photo.shape
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(50, 70), rtol=0, atol=1e-4)
    torch.testing.assert_close(prior.normal(photo), found)


def test_one_message_names_what_is_missing_and_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NormalsConfig, "packages", ("diffusers", "no_such_package"))
    with pytest.raises(ReconError) as caught:
        NormalsConfig(checkpoint=tmp_path / "none").load(CPU)
    for words in (
        "no_such_package",
        "pip install 'recon[diffusion]'",
        f"no folder {tmp_path}/none",
        "hf download prs-",
    ):
        assert words in str(caught.value)


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ReconError, match="cannot be loaded as Auto"):
        DepthConfig(checkpoint=tmp_path).load(CPU)


def test_the_key_follows_the_files(tmp_path: Path) -> None:
    config = DepthConfig(checkpoint=tiny_models.save_depth_model(tmp_path))
    before = config.content()
    assert before == DepthConfig(checkpoint=tmp_path).content()
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text() + " ")
    assert config.content() != before
