"""Sparse points from photos with known poses."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from recon.config import config
from recon.errors import ReconError
from recon.io.images import Image, load_image
from recon.poses.colmap_database import calibrated_pair, colmap_camera, write_database
from recon.poses.features import FeatureConfig, Features, extract_features, quiet_pycolmap
from recon.poses.matching import MatchConfig, match_all
from recon.scene.nodes import Points
from recon.scene.scene import Scene


@config
class TriangulateConfig:
    """Points from keypoint tracks; the defaults suit 3 to 30 photos."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    min_angle_deg: float = 1.0
    """Least angle between two rays to a point; below it the depth is mostly noise."""
    max_error_px: float = 2.0
    """Largest reprojection error of an observation, px of the image that features were taken from."""
    given: Literal["auto", "keep", "replace"] = "auto"
    """Points that come with a capture were found in all of its photos, held-out ones included. `replace` triangulates
    anew from the training photos, `keep` does not; `auto` does where fewer than half of the photos train, because there
    it would make a difference to what is measured."""
    two_view_tracks: bool = True
    """Keep points that only two photos see. Few views lose half their points without them."""


def triangulate_points(
    scene: Scene,
    config: TriangulateConfig | None = None,
    *,
    seed: int = 0,
    load: Callable[..., Image] = load_image,
) -> Points:
    """Coloured points from the training photos of `scene`, whose poses and lenses are taken as exact.

    Give it the source views: at 480 px keypoints are too few, so photos should not be downscaled before.
    Test views are not looked at. The result may be empty (textureless photos, no parallax).
    Deterministic for a seed. Raises ReconError when fewer than two training views have a photo.
    """
    config = config or TriangulateConfig()
    views = [view for view in scene.split("train") if view.photo is not None]
    if len(views) < 2:
        raise ReconError(
            "points cannot be triangulated", found=f"{len(views)} training photo(s)", wanted="at least 2",
            fix="add photos or give a capture that comes with points",
        )  # fmt: skip
    world_to_cameras = torch.stack([view.world_to_camera for view in views])
    features = extract_features(views, config.features, load)
    matches = match_all(features, world_to_cameras, config.match)
    with quiet_pycolmap(), tempfile.TemporaryDirectory(prefix="recon-triangulate-") as folder:
        reconstruction = _triangulate(features, world_to_cameras, matches, config, seed, Path(folder))
    return _points(reconstruction, features)


def _triangulate(
    features: Sequence[Features],
    world_to_cameras: Tensor,
    matches: dict[tuple[int, int], Tensor],
    config: TriangulateConfig,
    seed: int,
    folder: Path,
) -> Any:
    """Run COLMAP's triangulator on the tracks that `matches` form; ids are indices plus one."""
    import pycolmap

    pycolmap.set_random_seed(seed)
    reconstruction = write_database(
        folder / "database.db",
        [colmap_camera(feature.camera, index + 1) for index, feature in enumerate(features)],
        range(len(features)),
        [feature.pixels for feature in features],
        {pair: calibrated_pair(found) for pair, found in matches.items()},
        dict(enumerate(world_to_cameras)),
    )
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = torch.get_num_threads()
    options.random_seed = seed
    options.extract_colors = False
    options.min_num_matches = 1
    options.triangulation.random_seed = seed
    options.triangulation.ignore_two_view_tracks = not config.two_view_tracks
    options.triangulation.min_angle = config.min_angle_deg
    options.triangulation.merge_max_reproj_error = config.max_error_px
    options.triangulation.complete_max_reproj_error = config.max_error_px
    options.mapper.filter_min_tri_angle = config.min_angle_deg
    options.mapper.filter_max_reproj_error = config.max_error_px
    # The pipeline applies its own limits on lenses; ours were accepted when the capture was read.
    options.min_focal_length_ratio, options.max_focal_length_ratio = 1e-3, 1e3
    output = folder / "model"
    output.mkdir()
    return pycolmap.triangulate_points(reconstruction, folder / "database.db", folder, output, options=options)


def _points(reconstruction: Any, features: Sequence[Features]) -> Points:
    """World positions and mean colours over the observations, in a fixed order."""
    positions, colors = [], []
    for point_id in sorted(reconstruction.points3D):
        point = reconstruction.points3D[point_id]
        seen = [features[e.image_id - 1].colors[e.point2D_idx] for e in point.track.elements]
        positions.append(torch.from_numpy(point.xyz.copy()))
        colors.append(torch.stack(seen).mean(0))
    if not positions:
        return Points(torch.zeros(0, 3), torch.zeros(0, 3))
    return Points(torch.stack(positions).float(), torch.stack(colors))
