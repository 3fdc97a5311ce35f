"""Scenes from what other programs made: splats, with the photos and cameras they were made of where there are any."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml

from recon.errors import ReconError
from recon.events import Listener, StageFinished, StageStarted
from recon.geometry import rigid
from recon.geometry.camera import Camera
from recon.io.formats import read_splats, unpacked_sog
from recon.io.nerfstudio_run import is_run, read_run
from recon.pipeline import environment
from recon.pipeline.config import RunConfig
from recon.pipeline.run import run
from recon.pipeline.stage import artifact_key
from recon.scene import Node, Scene, Splats, View
from recon.scene.edit import PLACES, centers, select
from recon.scene.store import SceneStore
from recon.scene.transform import Similarity, transform_splats
from recon.splats.start import hash_splats

_RING = tuple((45.0 * index, 15.0) for index in range(8))
_FOCAL = 700.0
_SIZE = (800, 600)
_ENOUGH = 100_000
_SHARE = 0.9
"""Of the splats that the cameras of a scene without photos take in, by opacity."""


@dataclass(frozen=True)
class Source:
    """Splats of somebody else."""

    splats: Splats
    digest: str
    """Hash of the file."""
    run_from_source: Similarity | None = None
    """From the capture's own coordinates to those of the splats, where the run says so."""
    data: Path | None = None
    """Photos and cameras, where the run says so."""
    antialias: bool = False


def open_source(path: Path, drop_broken: bool = False) -> Source | None:
    """The splats at `path`; None when it is a folder or a JSON file of photos and cameras instead."""
    path = unpacked_sog(path) or path
    if is_run(path):
        found = read_run(path)
        return Source(found.splats, hash_splats(found.checkpoint), found.run_from_source, found.data, found.antialias)
    if path.is_dir() or (path.suffix.lower() in (".json", ".bin", ".txt", ".npy", ".npz") and path.name != "meta.json"):
        return None
    return Source(read_splats(path, drop_broken), hash_splats(path))


def import_scene(
    out: Path,
    source: Source | None,
    photos: RunConfig | None,
    *,
    up: Sequence[float] = (0.0, -1.0, 0.0),
    name: str = "",
    events: Listener,
) -> Scene:
    """Publish a scene in `out` and return it.

    source: its splats are moved to where the photos are, in place.
    photos: read and prepared as `recon run` does; without them the scene gets cameras around its splats.
    up: of a scene without photos.   name: of the source, for the record.
    Raises ReconError for what the user can mend.
    """
    if photos is not None:
        scene = run(photos, until="poses", listeners=[events], argv=["recon", "import", name]).scene
    elif source is None:
        raise ReconError("nothing to import", fix="give a file of splats, or photos with cameras")
    else:
        scene = Scene()
    if source is None:
        return scene
    splats, moved = source.splats, torch.eye(4, dtype=torch.float64)
    if source.run_from_source is not None:
        moved = torch.linalg.inv(source.run_from_source.matrix @ scene.source_from_world)
        splats = transform_splats(splats, Similarity.of(moved, f"{name}: the run's transform"), in_place=True)
    if not scene.views:
        scene = replace(scene, views=views_around(splats, up))
    events(StageStarted("splats"))
    begin = time.perf_counter()
    store = SceneStore(out)
    out.mkdir(parents=True, exist_ok=True)
    key = artifact_key("splats", {"import": moved.tolist()}, {"file": source.digest})
    background = next((record.info.get("background") for record in scene.provenance if record.stage == "poses"), None)
    info = {
        "imported": name,
        "num_primitives": len(splats),
        "antialias": source.antialias,
        "coverage": background is not None,
        "summary": f"{len(splats):,} splats of the family {splats.family} from {name}",
        "versions": environment.versions(),
    }
    with store.lock():
        store.prune()
        if photos is not None:
            scene = store.load()  # so that what lies in the folder is referred to and not written again
        with store.begin("splats", key) as writer:
            scene = writer.publish(scene.with_node(Node("splats", splats, kind="scene")), info)
    events(StageFinished("splats", time.perf_counter() - begin, summary=str(info["summary"])))
    return scene


def views_around(
    splats: Splats, up: Sequence[float], places: Sequence[tuple[float, float]] = _RING
) -> tuple[View, ...]:
    """Cameras that see most of the splats from outside.

    places: azimuth and elevation of each, degrees; by default a ring.
    """
    if len(splats) > _ENOUGH:
        # Of what is asked about only: all of it, with harmonics, is megabytes.
        asked = {name: splats[name] for name in (*PLACES, "opacity_logits") if name in splats.params}
        splats = select(Splats(splats.family, asked), torch.linspace(0, len(splats) - 1, _ENOUGH).long())
    positions = centers(splats).double()
    weights = splats["opacity_logits"].double().sigmoid()
    middle = torch.stack([_weighted_quantile(positions[:, axis], weights, 0.5) for axis in range(3)])
    radius = float(_weighted_quantile((positions - middle).norm(dim=1), weights, _SHARE))
    upward = torch.tensor(list(up), dtype=torch.float64)
    across = torch.linalg.cross(upward, torch.eye(3, dtype=torch.float64)[int(upward.abs().argmin())])
    across = across / across.norm()
    other = torch.linalg.cross(upward, across)
    width, height = _SIZE
    distance = 1.2 * max(radius, 1e-6) * 2 * _FOCAL / height
    views = []
    for index, (azimuth, elevation) in enumerate(places):
        angle, rise = torch.tensor([azimuth, elevation], dtype=torch.float64).deg2rad()
        direction = rise.cos() * (angle.cos() * across + angle.sin() * other) + rise.sin() * upward
        pose = rigid.look_at(middle + distance * direction, middle, upward)
        views.append(View(f"around_{index}", Camera.pinhole(width, height, _FOCAL), pose))
    return tuple(views)


def _weighted_quantile(values: torch.Tensor, weights: torch.Tensor, share: float) -> torch.Tensor:
    order = values.argsort()
    total = weights[order].cumsum(0)
    return values[order][int(torch.searchsorted(total, share * total[-1]).clamp(max=len(values) - 1))]


def write_config(out: Path, photos: RunConfig, scene: Scene, tune: bool = True) -> Path:
    """A scene.yaml that goes on from an imported scene: `recon run` fine-tunes its splats into another folder.

    tune: False for splats whose photos are their own pictures, of which there is nothing to learn.
    """
    data: dict[str, object] = {"images": _plain(photos.images)}
    for key in ("cameras", "masks"):
        value = getattr(photos, key)
        if value is not None:
            data[key] = _plain(value)
    views = {key: value for key in ("train", "test", "file") if (value := getattr(photos.views, key)) is not None}
    if views:
        data["views"] = {key: _plain(value) for key, value in views.items()}
    if photos.downscale != 1:
        data["downscale"] = photos.downscale
    if scene.splats is not None:
        data["poses"] = {"dense": {"method": "none"}}
        start = {"file": str(out.absolute())}
        settings = {"primitive": scene.splats.family, "sh_degree": scene.splats.sh_degree, "init": start}
        data["splats"] = settings if tune else settings | {"iterations": 1}
        data["output"] = str(out.absolute() / "fine-tuned")
    else:
        data["output"] = str(out.absolute())
    path = out / "scene.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value.absolute()) if isinstance(value, Path) else value
