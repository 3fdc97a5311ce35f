"""Stage 1: photos, posed or not, to undistorted, scaled photos, cameras and points."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from recon.errors import ReconError
from recon.events import PhotosPlaced, Progress, StageWarning
from recon.geometry.open3d import inliers
from recon.io.capture import Capture, Skipped, read_capture
from recon.io.files import shorten
from recon.io.images import is_cut_out, load_image, prepare_view
from recon.io.splits import assign_splits
from recon.pipeline.config import RunConfig, to_plain
from recon.pipeline.stage import StageContext, StageOutput, artifact_key, hash_file
from recon.poses.dense import DenseInput, choose_dense, make_source
from recon.poses.dense.union import with_sparse
from recon.poses.estimators import ESTIMATORS, EstimatorSettings, PoseEstimate, PoseInput, choose_method
from recon.poses.known import check_poses, with_points
from recon.scene import Node, Points, Scene, View
from recon.scene.edit import select_points


class PosesStage:
    """Reads the capture, splits it, sees to points and writes the photos that the next stages work on."""

    name = "poses"

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        plain = to_plain(config)
        # The paths and lists of names are left out: what they lead to is hashed as input.
        self.settings: Mapping[str, Any] = {name: plain[name] for name in ("downscale", "max_side", "poses", "seed")}

    @cached_property
    def capture(self) -> Capture:
        """The photos as they are on disk, with the views that take part and their splits."""
        config = self.config
        images = config.images if isinstance(config.images, Path) else list(config.images)
        needed: dict[str, Any] = {"auto": "optional", "known": "required", "sfm": "ignored", "pointmap": "ignored",
                                  "silhouette": "ignored"}  # fmt: skip
        capture = read_capture(images, config.cameras, config.masks, needed[config.poses.method])
        views = config.views
        scene = assign_splits(
            capture.scene,
            list(views.train) if isinstance(views.train, tuple) else views.train,
            list(views.test) if isinstance(views.test, tuple) else views.test,
            views.file,
        )
        if capture.posed:
            check_poses(scene)
        given = config.poses.triangulate.given
        few = 2 * len(scene.split("train")) < len(capture.scene.views)
        if given == "replace" or (given == "auto" and few):
            scene = replace(scene, nodes=tuple(node for node in scene.nodes if not isinstance(node.content, Points)))
        return replace(capture, scene=scene)

    def key(self, scene: Scene) -> str:
        """Hash of settings, cameras, splits, points and the content of photos and masks."""
        source = self.capture.scene
        inputs: dict[str, Any] = {
            "background": self.capture.background,
            "posed": self.capture.posed,
            "views": [_view_content(view) for view in source.views],
            "points": _points_content(source.points),
        }
        if self.config.poses.dense.depth is not None:
            inputs["depth"] = self.config.poses.dense.depth.content()
        return artifact_key(self.name, self.settings, inputs)

    def make(self, scene: Scene, context: StageContext) -> StageOutput:
        """Points first, because they want the photos at full size; then the photos."""
        for message in _skipped(self.capture.skipped):
            context.events(StageWarning(self.name, message))
        source = self.capture.scene
        if not source.split("test"):
            context.events(StageWarning(self.name, "no view is held out, so quality on new views cannot be measured"))
        estimate, chosen = self._estimate(source, context)
        posed = estimate.scene
        context.events(PhotosPlaced(self.name, source.views, lambda: posed))
        with_seeds = with_points(posed, self.config.poses.triangulate, seed=self.config.seed, events=context.events)
        context.events(PhotosPlaced(self.name, source.views, lambda: with_seeds))
        prepared = self._prepare(with_seeds.views, context)
        cut_out = all(is_cut_out(view) for view in posed.split("train"))
        result, dense = self._with_dense_points(replace(with_seeds, views=prepared, provenance=()), cut_out, context)
        train, test = len(result.split("train")), len(result.split("test"))
        points = 0 if result.points is None else len(result.points.positions)
        camera = prepared[0].camera
        return StageOutput(
            result,
            f"{train} training and {test} held-out views of {camera.width}x{camera.height} px ({estimate.summary}), "
            f"{points:,} points",
            {
                "train_views": train,
                "test_views": test,
                "num_points": points,
                "background": self.capture.background and list(self.capture.background),
                "skipped": len(self.capture.skipped),
                "poses": chosen,
                "dense": dense,
            },
        )

    def _estimate(self, source: Scene, context: StageContext) -> tuple[PoseEstimate, dict[str, Any]]:
        """Cameras, and for the manifest which estimator found them, why that one, and its evidence."""
        config = self.config.poses
        method, why = choose_method(config.method, self.capture.posed)
        told = EstimatorSettings(
            config.sfm, config.pointmap, config.silhouette, config.min_registered, config.refine is True
        )
        # Poses that came with the photos may still be corrected; they are where to look until then.
        known = source if method == "known" else Scene()
        context.events(PhotosPlaced(self.name, source.views, lambda: known))
        estimate = ESTIMATORS[method](told).estimate(PoseInput(source, self.config.seed, context.events))
        for one in estimate.left_out:
            context.events(StageWarning(self.name, f"{one.name} is left out: {one.reason}"))
        if estimate.advice:
            context.events(StageWarning(self.name, estimate.advice))
        left_out = {one.name: one.reason for one in estimate.left_out}
        return estimate, {"method": method, "why": why, **estimate.info, "left_out": left_out}

    def _with_dense_points(
        self, scene: Scene, cut_out: bool, context: StageContext
    ) -> tuple[Scene, dict[str, str] | None]:
        """Dense points in place of the sparse ones, where there are enough, and for the manifest where they are from.

        The photos are those of the next stages.
        """
        config, views = self.config.poses.dense, scene.split("train")
        if (config.method == "none" and config.depth is None) or len(views) < 2:
            return scene, None
        given = DenseInput(
            views, [load_image(view) for view in views], scene.points, self.config.seed,
            lambda done, total: context.events(Progress(self.name, done, total)),
            lambda message: context.events(StageWarning(self.name, message)), cut_out,
        )  # fmt: skip
        method, why = choose_dense(config, given)
        source = make_source(config, method)
        assert source is not None
        points = source.points(given)
        if config.outliers is not None:
            points = select_points(points, inliers(points.positions, config.outliers))
        if len(points.positions) < config.min_points:
            message = (
                f"dense start: {len(points.positions)} points, at least {config.min_points} wanted: the photos share "
                "too little; starting at the sparse points"
            )
            context.events(StageWarning(self.name, message))
            return scene, None
        together = with_sparse(points, scene.points, views, cut_out)
        return scene.with_node(Node("points", together, kind="scene")), {"method": method, "why": why}

    def _prepare(self, views: Sequence[View], context: StageContext) -> tuple[View, ...]:
        """Undistorted and scaled photos in `images/`, in threads: decoding and resampling leave the interpreter."""
        _refuse_same_file(views)
        folder = context.folder / "images"
        workers = min(len(views), os.cpu_count() or 1, 8)  # each holds a few photos in float32
        with ThreadPoolExecutor(workers) as pool:
            config = self.config
            jobs = [pool.submit(prepare_view, view, config.downscale, config.max_side, folder) for view in views]
            try:
                for done, job in enumerate(as_completed(jobs), 1):
                    job.result()
                    context.events(Progress(self.name, done, len(jobs)))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return tuple(job.result() for job in jobs)


def _view_content(view: View) -> dict[str, Any]:
    camera, photo = view.camera, view.photo
    return {
        "name": view.name,
        "split": view.split,
        "size": [camera.width, camera.height],
        "K": camera.K.tolist(),
        "distortion": [camera.distortion.model, list(camera.distortion.params)],
        "world_to_camera": view.world_to_camera.tolist(),
        "photo": photo and hash_file(photo.path),
        "mask": photo and photo.mask and hash_file(photo.mask),
    }


def _points_content(points: Points | None) -> list[str] | None:
    import hashlib

    if points is None:
        return None
    return [
        hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        for tensor in (points.positions, points.colors)
    ]


def _skipped(skipped: Sequence[Skipped]) -> list[str]:
    """One line per reason."""
    return [
        f"{count} skipped ({reason}): {shorten([one.name for one in skipped if one.reason == reason])}"
        for reason, count in Counter(one.reason for one in skipped).items()
    ]


def _refuse_same_file(views: Sequence[View]) -> None:
    """Photos become PNG files, so a.jpg and a.png cannot both be kept."""
    counts = Counter(Path(view.name).with_suffix("") for view in views)
    stem, count = counts.most_common(1)[0]
    if count > 1:
        same = [view.name for view in views if Path(view.name).with_suffix("") == stem]
        raise ReconError(
            "two photos have one name apart from their ending",
            found=shorten(same),
            fix="rename one of them, or leave it out of views",
        )
