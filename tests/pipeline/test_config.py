"""Configuration: precedence, places in messages, paths, variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon.errors import ReconError
from recon.pipeline import reference
from recon.pipeline.config import RunConfig, build_config, differences, load_config, to_plain
from recon.pipeline.document import Document, parse_yaml
from recon.pipeline.presets import config_folder, load_preset, preset_names
from recon.priors.depth import DepthConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.yaml"
    path.write_text("images: photos\noutput: out\nseed: 3\nsplats:\n  iterations: 100\n")
    return path


def test_overrides_win_over_the_file_and_the_last_one_over_all(scene: Path) -> None:
    assert load_config(scene).splats.iterations == 100
    overrides = ["splats.iterations=7", "splats.iterations=2e3", "splats={sh_degree: 0}"]
    config = load_config(scene, overrides)
    assert config.splats.iterations == 2000
    assert config.splats.sh_degree == 0
    assert config.seed == 3


def test_the_file_wins_over_its_preset(scene: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "quick.yaml").write_text("seed: 9\nsplats: {iterations: 5, sh_degree: 2}\n")
    monkeypatch.setattr("recon.pipeline.presets.config_folder", lambda: folder)
    config = load_config(scene, ["preset=quick"])
    assert (config.seed, config.splats.iterations, config.splats.sh_degree) == (3, 100, 2)


def test_paths_start_from_the_file_and_those_of_overrides_from_here(
    scene: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir("/")
    config = load_config(scene, ["output=tmp/there"])
    assert config.images == tmp_path / "photos"
    scene.write_text("images: ../../x\noutput: /a/../b\n")
    up = load_config(scene)
    assert up.images == tmp_path.parent.parent / "x"
    assert up.output == Path("/a/../b")  # a may be a link
    assert config.output == Path("/tmp/there")


def test_variables_get_their_type_after_they_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scene.yaml"
    path.write_text("images: ${PHOTOS}/x\noutput: a$${b\nsplats:\n  iterations: ${STEPS:-50}\n")
    monkeypatch.setenv("PHOTOS", "/data")
    config = load_config(path)
    assert config.images == Path("/data/x")
    assert config.output == tmp_path / "a${b"
    assert config.splats.iterations == 50


def test_plain_values_give_the_same_configuration_again(scene: Path) -> None:
    config = load_config(scene, ["splats.density.strategy=mcmc", "views={train: [a.png], test: every-3}"])
    again = build_config(Document(to_plain(config)), name="again")
    assert again == config


def test_differences_are_what_was_set(scene: Path, tmp_path: Path) -> None:
    found = differences(load_config(scene))
    assert found == {
        "images": str(tmp_path / "photos"),
        "output": str(tmp_path / "out"),
        "seed": 3,
        "splats.iterations": 100,
    }


WRONG = [
    ("images: a\noutput: b\nsplat: {}\n", ("scene.yaml:3", "unknown key 'splat'", "'splats'")),
    ("images: a\noutput: b\nsplats:\n  loss: {ssim: 1}\n", ("scene.yaml:4", "splats.loss.ssim", "ssim_weight")),
    ("images: a\noutput: b\nsplats:\n  loss: {ssim_weight: 2}\n", ("scene.yaml:4", "splats.loss.ssim_weight", "1")),
    ("images: a\noutput: b\nseed: true\n", ("scene.yaml:3", "seed", "true", "integer")),
    ("images: a\noutput: b\nseed: '5'\n", ("scene.yaml:3", "'5' (text)", "integer")),
    ("images: a\noutput: b\niterations: 5\n", ("scene.yaml:3", "'splats.iterations'")),
    ("images: a\noutput: b\nviews: {test: each-8}\n", ("views.test", "every-N")),
    ("images: a\noutput: b\nviews: 9\n", ("scene.yaml:3", "views", "section")),
    ("images: a\noutput: b\nsplats: {density: {strategy: magic}}\n", ("splats.density.strategy", "magic")),
    ("- a\n- b\n", ("a list",)),
    ("images: &x [*x]\noutput: b\n", ("scene.yaml:1", "itself")),
    ("images: ${\noutput: b\n", ("scene.yaml:1", "${NAME}")),
]


@pytest.mark.parametrize(("text", "says"), WRONG)
def test_a_wrong_file_is_told_with_its_line(text: str, says: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "scene.yaml"
    path.write_text(text)
    with pytest.raises(ReconError) as caught:
        load_config(path)
    for part in says:
        assert part in str(caught.value)


def test_every_preset_and_example_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECON_DATA", "/data")
    base = parse_yaml("images: a\noutput: b\n", "base", Path("/"))
    for name in preset_names():
        assert isinstance(build_config(load_preset(name, "test").overlaid(base), name=name), RunConfig)
    examples = sorted((config_folder() / "examples").glob("*.yaml"))
    assert {path.stem for path in examples} >= {"demo", "fox"}
    for path in examples:
        load_config(path)


def test_the_documentation_is_current() -> None:
    written = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == reference.markdown(), "run: python -m recon.pipeline.reference > docs/config.md"


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ("[{name: dept, checkpoint: a}]", "splats.priors.0: unknown name 'dept'; known: image-to-image"),
        ("[{name: dept, checkpoint: a}]", "did you mean 'depth'?"),
        ("[{checkpoint: a}]", "wanted a section with the key 'name'"),
        ("[3]", "wanted a section of keys"),
        ("[{name: depth, checkpoint: a, chekpoint: b}]", "did you mean 'splats.priors.0.checkpoint'?"),
        ("[{name: depth, checkpoint: a, tiling: true}]", "unknown key 'splats.priors.0.tiling'; known: checkpoint"),
        ("[{name: normals, checkpoint: a, steps: x}]", "splats.priors.0.steps: found 'x' (text), wanted an integer"),
    ],
)
def test_a_wrong_prior_is_named_with_what_is_known(scene: Path, priors: str, message: str) -> None:
    with pytest.raises(ReconError) as caught:
        load_config(scene, [f"splats.priors={priors}"])
    assert message in str(caught.value)


def test_paths_of_priors_start_from_the_file(scene: Path) -> None:
    scene.write_text(scene.read_text() + "  priors:\n    - {name: depth, checkpoint: weights}\n")
    (prior,) = load_config(scene).splats.priors
    assert isinstance(prior, DepthConfig) and prior.checkpoint == scene.parent / "weights"
