"""From the chosen model to the final one: every match that fits it, and all cameras and points adjusted together."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon.poses.colmap_database import calibrated_pair, write_database
from recon.poses.features import quiet_pycolmap
from recon.poses.sfm.evidence import fits
from recon.poses.sfm.mapping import Model, Pair
from recon.poses.sfm.photos import Lens

MANY_PHOTOS, MANY_POINTS = 5, 1000  # what it takes to tell a lens's distortion from the scene's shape
_FILTERS_PX = (4.0, 2.0)  # observations further off are dropped, first generously


def adjust(model: Model, matches: Mapping[Pair, Tensor], seed: int) -> Model:
    """`model` with points from all of `matches` that fit it, after bundle adjustment with a robust loss.

    Lenses get one term of distortion where photos and points are many. Matching again along epipolar lines was tried:
    three times as many points, no better cameras, and most of the time.
    """
    import pycolmap

    photos = model.photos
    with_lens = len(model.poses) >= MANY_PHOTOS and len(model.positions) >= MANY_POINTS
    cameras = [_camera(model, lens, index, with_lens) for index, lens in enumerate(photos.lenses)]
    fitting = {
        pair: calibrated_pair(found[fits(model, pair, found, _FILTERS_PX[0])])
        for pair, found in matches.items()
        if pair[0] in model.poses and pair[1] in model.poses
    }
    with quiet_pycolmap(), tempfile.TemporaryDirectory(prefix="recon-sfm-") as name:
        folder = Path(name)
        pycolmap.set_random_seed(seed)
        pixels = [features.pixels for features in photos.features]
        given = write_database(folder / "database.db", cameras, photos.lens_of, pixels, fitting, model.poses)
        (folder / "model").mkdir()
        made = pycolmap.triangulate_points(
            given, folder / "database.db", folder, folder / "model", options=_options(seed)
        )
        for largest in _FILTERS_PX:
            _bundle(made)
            observations = pycolmap.ObservationManager(made)
            observations.filter_all_points3D(largest, 1.0)
            observations.filter_observations_with_negative_depth()
        _bundle(made)
    return Model.of(made, photos)


def _camera(model: Model, lens: Lens, index: int, with_lens: bool) -> Any:
    """The lens's camera as the model has it, with room for distortion where that is asked for."""
    import pycolmap

    taken = next((model.cameras[p] for p in model.poses if model.photos.lens_of[p] == index), lens.camera(1.0))
    params = [float(taken.K[0, 0]), float(taken.K[0, 2]), float(taken.K[1, 2])]
    return pycolmap.Camera(
        camera_id=index + 1, model="SIMPLE_RADIAL" if with_lens else "SIMPLE_PINHOLE", width=lens.width,
        height=lens.height, params=[*params, 0.0] if with_lens else params, has_prior_focal_length=True,
    )  # fmt: skip


def _options(seed: int) -> Any:
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = torch.get_num_threads()
    options.random_seed = options.triangulation.random_seed = seed
    options.extract_colors = False
    options.min_num_matches = 1
    options.triangulation.ignore_two_view_tracks = False
    options.triangulation.min_angle = options.mapper.filter_min_tri_angle = 1.0
    options.min_focal_length_ratio, options.max_focal_length_ratio = 0.2, 10.0
    return options


def _bundle(reconstruction: Any) -> None:
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.SOFT_L1
    options.ceres.solver_options.num_threads = torch.get_num_threads()
    options.ceres.solver_options.max_num_iterations = 50
    options.ceres.solver_options.function_tolerance = 1e-6
    # What pycolmap.bundle_adjustment does, without its lines on the terminal, which no log level silences.
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in reconstruction.reg_image_ids():
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(options, config, reconstruction).solve()
    reconstruction.update_point_3d_errors()
