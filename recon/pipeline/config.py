"""What a run is told: `RunConfig`, read from a scene.yaml, a preset and `--set` overrides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from recon.config import config
from recon.errors import ReconError
from recon.mesh.build import MeshConfig
from recon.pipeline import presets, schema
from recon.pipeline.document import Document, KeyPath, Place, load_yaml, parse_value
from recon.poses.dense import DenseConfig
from recon.poses.pointmap.config import PointmapConfig
from recon.poses.sfm.config import SfmConfig
from recon.poses.silhouette.config import SilhouetteConfig
from recon.poses.triangulate import TriangulateConfig
from recon.splats.config import SplatsConfig

EveryNth = Annotated[str, Field(pattern=r"^every-[1-9][0-9]*$")]


@config
class ViewsConfig:
    """Which photos train the scene and which are held out to measure it."""

    train: Annotated[int, Field(ge=1)] | tuple[str, ...] | None = None
    """How many photos to train on (spread evenly, or that entry of the split file), or their names; all by default."""
    test: EveryNth | tuple[str, ...] | None = None
    """Held-out photos: `every-8` takes every 8th in name order; or a list of names."""
    file: Path | None = None
    """Split file: JSON with `{"test": [names], "train": [names] or {"9": [names], ...}}`."""


@config
class PosesConfig:
    """How cameras are found."""

    method: Literal["auto", "known", "sfm", "pointmap", "silhouette"] = "auto"
    """`known`: those that come with the capture. `sfm`: structure from motion on the photos alone. `pointmap`: a
    network whose weights `pointmap.checkpoint` names, then matches.
    `silhouette`: outlines of a masked object that photos were taken all around, in order, with little overlap. `auto`:
    known ones where there are any, else `sfm`."""
    min_registered: Annotated[int, Field(ge=2)] = 2
    """The run goes on when so many photos have poses; the others are named and left out."""
    refine: bool | None = None
    """Correct the cameras along with the splats. By default those that were estimated, and known ones not. When asked
    for, known ones that matches contradict are adjusted to these before."""
    sfm: SfmConfig = field(default_factory=SfmConfig)
    """Poses from photos alone."""
    pointmap: PointmapConfig = field(default_factory=PointmapConfig)
    """Poses from a network's pointmaps."""
    silhouette: SilhouetteConfig = field(default_factory=SilhouetteConfig)
    """Poses from the outlines of an object."""
    triangulate: TriangulateConfig = field(default_factory=TriangulateConfig)
    """Points from the training photos, for captures that come without points."""
    dense: DenseConfig = field(default_factory=DenseConfig)
    """Points all over the surfaces, which the splats start at."""


@config
class RunConfig:
    """Everything that decides the outcome of a run."""

    images: Path | tuple[Path, ...]
    """Photos: a folder, a glob or a list of files."""
    cameras: Path | None = None
    """File or folder with known poses; looked for beside the photos when not given."""
    masks: Path | None = None
    """Folder of grey images named like the photos, white where a photo counts."""
    views: ViewsConfig = field(default_factory=ViewsConfig)
    """Training and held-out photos."""
    downscale: Annotated[float, Field(ge=1)] = 1.0
    """Divide photo width and height by this."""
    max_side: Annotated[int, Field(ge=16)] | None = None
    """Shrink photos whose longer side exceeds this, px; after `downscale`."""
    preset: str | None = None
    """Name of a preset: values that lie between the defaults and this file."""
    poses: PosesConfig = field(default_factory=PosesConfig)
    """Stage 1: photos to cameras and points."""
    splats: SplatsConfig = field(default_factory=SplatsConfig)
    """Stage 2: cameras and points to splats."""
    mesh: MeshConfig | None = None
    """Stage 3: splats to a mesh. A run makes one when this section is there, even empty as `{}`."""
    output: Path
    """Folder that receives the scene, the report and the exports."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Every random choice follows from it."""


_ADAPTER = TypeAdapter(RunConfig)


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a scene.yaml. `overrides` are texts such as "splats.iterations=500", the last one wins.

    Order of precedence: overrides, the file, the preset, the defaults of the classes. Relative paths start from
    the folder of the file; in overrides, from the current folder. Raises ReconError naming file, line and key.
    """
    return build_config(load_yaml(path), overrides, name=str(path))


def build_config(document: Document, overrides: Sequence[str] = (), *, name: str) -> RunConfig:
    """`load_config` of a document that is already parsed; `name` stands for the file in messages."""
    for text in overrides:
        document = _override(document, text)
    preset = document.data.get("preset")
    if preset is not None:
        place = document.place(("preset",))
        document = presets.load_preset(preset, place.source if place else name).overlaid(document)
    _expand_start(document)
    _anchor_paths(document)
    try:
        return _ADAPTER.validate_json(_to_json(document), strict=True)
    except ValidationError as error:
        raise schema.explain(error, RunConfig, document, name) from None


def to_plain(run_config: RunConfig) -> dict[str, Any]:
    """The configuration as JSON values; what `build_config` takes back."""
    return _ADAPTER.dump_python(run_config, mode="json")


def differences(run_config: RunConfig) -> dict[str, Any]:
    """Values that differ from the classes' defaults, by dotted key; required keys are always listed."""
    found: dict[str, Any] = {}
    required: dict[str, Any] = {"images": run_config.images, "output": run_config.output}
    defaults = to_plain(RunConfig(**required))

    def compare(values: Mapping[str, Any], reference: Mapping[str, Any], prefix: str) -> None:
        for key, value in values.items():
            default = reference.get(key)
            if isinstance(value, dict) and isinstance(default, dict):
                compare(value, default, f"{prefix}{key}.")
            elif value != default or prefix + key in required:
                found[prefix + key] = value

    compare(to_plain(run_config), defaults, "")
    return found


def _override(document: Document, text: str) -> Document:
    """`document` with one `key=value` on top."""
    place = Place(f"--set {text}", Path.cwd())
    key, equals, value_text = text.partition("=")
    path: KeyPath = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ReconError(f"{place.source}: not an override", wanted="key=value, such as --set splats.iterations=500")
    value, inner = parse_value(value_text, place)
    data: Any = value
    for part in reversed(path):
        data = {part: data}
    places = {path[:length]: place for length in range(1, len(path) + 1)}
    return document.overlaid(Document(data, places | {(*path, *rest): where for rest, where in inner.items()}))


def _expand_start(document: Document) -> None:
    """`splats: {init: FILE}` is short for `splats: {init: {file: FILE}}`."""
    splats = document.data.get("splats")
    if isinstance(splats, dict) and isinstance(splats.get("init"), str):
        document.data["splats"] = {**splats, "init": {"file": splats["init"]}}


def _anchor_paths(document: Document) -> None:
    """Make every relative path absolute, in place, from the folder of the text that it was written in."""

    def anchored(value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return {key: anchored(child, (*path, key)) for key, child in value.items()}
        if isinstance(value, list):
            return [anchored(child, (*path, index)) for index, child in enumerate(value)]
        place = document.place(path)
        if isinstance(value, str) and value and place and schema.is_path(RunConfig, path):
            return str(_joined(place.folder, Path(value).expanduser()))
        return value

    for key, value in document.data.items():
        document.data[key] = anchored(value, (key,))


def _joined(folder: Path, path: Path) -> Path:
    """`folder / path` without the `..` that `path` begins with; `folder` has no links in it, so that this is exact."""
    while not path.is_absolute() and path.parts[:1] == ("..",):
        folder, path = folder.parent, Path(*path.parts[1:])
    return folder / path


def _to_json(document: Document) -> str:
    # Strict validation from JSON: a list may become a tuple and a text a path, but "5" is no number and true no 1.
    return json.dumps(document.data)
