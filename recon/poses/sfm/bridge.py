"""Photos that match one of the model's photos well, and yet share next to no keypoint with two of them.

Two photos tell a third one's rotation and direction. How far away it was taken only points tell that all three show,
and wide steps between photos leave a handful. Along epipolar lines many more keypoints match, some of them in all three
photos, and each of these says how far: those that are wrong say anything, those that are right say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.geometry.camera import Camera
from recon.poses.features import Features, undistort_pixels
from recon.poses.matching import MatchConfig, match_pair
from recon.poses.sfm.config import PolishConfig
from recon.poses.sfm.evidence import fits
from recon.poses.sfm.mapping import Model, Pair, two_view_pose
from recon.poses.sfm.rework import rework, tracks, triangulated

_LEAST_MATCHES = 40  # with one photo of the model: fewer do not tell a rotation to a degree
_SAME = 0.05  # logarithm of the distance, within which two keypoints say the same
_APART = 3 * _SAME  # and from which on they say something else
_LEAST_AGREEING, _CLEAR = 10, 3.0  # keypoints that say the same, and times as many as say any other thing
_PARTNERS = 4  # photos that a guided match with the known one and the new one is worth its time for
_ERROR_PX, _GENEROUS_PX = 2.0, 4.0
_RATIOS = (0.8, *4 * (0.85,))  # of descriptors, by round: cameras that are better known allow for weaker matches


@dataclass(frozen=True)
class Bridge:
    """A photo that came to the model by few keypoints."""

    photo: int
    agreeing: int
    """Keypoints that say the same of its distance."""
    otherwise: int
    """The most that say another thing together."""
    shared: int
    """Points that it shares with two or more photos in the end."""


def bridged(
    model: Model, matches: Mapping[Pair, Tensor], config: PolishConfig, seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Model, dict[Pair, Tensor], list[Bridge]]:  # fmt: skip
    """`model` with the photos whose distance enough keypoints agree on, and `matches` with those that this led to.

    matches: [M, 2] by pair. Photos come one by one, the one with most matches first. The model is as it was when none
    can be had.
    """
    matches, added = dict(matches), list[Bridge]()
    tried: set[int] = set()
    outside, rounds = len(model.photos.names) - len(model.poses), 1 + len(_RATIOS)
    while (step := _best_step(model, matches, tried)) is not None:
        known, photo = step
        found = _added(
            model, matches, known, photo, config, seed,
            lambda done: progress(rounds * (len(tried) + len(added)) + done, rounds * outside),
        )  # fmt: skip
        if found is None:
            tried.add(photo)
            continue
        model, matches, bridge = found
        added.append(bridge)
    return model, matches, added


def _best_step(model: Model, matches: Mapping[Pair, Tensor], tried: set[int]) -> tuple[int, int] | None:
    """A photo of the model and one to add, with the most matches between them."""
    counts = {
        (known, photo): len(matches.get(_pair(known, photo), ()))
        for known in model.poses
        for photo in range(len(model.photos.names)) if photo not in model.poses and photo not in tried
    }  # fmt: skip
    best = max(sorted(counts), key=lambda one: counts[one], default=None)
    return best if best is not None and counts[best] >= _LEAST_MATCHES else None


def _added(
    model: Model, matches: Mapping[Pair, Tensor], known: int, photo: int, config: PolishConfig, seed: int,
    progress: Callable[[int], None],
) -> tuple[Model, dict[Pair, Tensor], Bridge] | None:  # fmt: skip
    """Everything with `photo`, None when its distance cannot be told. progress: is told how many rounds are done."""
    progress(0)
    pair = _pair(known, photo)
    cameras = {**model.cameras, photo: _camera(model, photo)}
    turned = two_view_pose(model.photos, pair, matches[pair], (cameras[pair[0]], cameras[pair[1]]), seed)
    if turned is None:
        return None
    relative = turned if pair[0] == known else rigid.inverse(turned)
    used = {one: found for one, found in matches.items() if set(one) <= set(model.poses)}
    # Both together know the focal length better than either, and epipolar lines hang on it.
    rough = _at(replace(model, cameras=cameras), known, photo, relative, 1.0)
    # Matches that fit a fundamental matrix and no pose of these cameras bend both: five of 301 do so by 0.3 degrees.
    fitting = matches[pair][fits(rough, pair, matches[pair], _GENEROUS_PX)]
    rough = rework(model.photos, {**used, pair: fitting}, rough.poses, cameras, config)
    relative = rough.poses[photo] @ rigid.inverse(rough.poses[known])
    common = {one: len(matches.get(_pair(known, one), ())) for one in model.poses if one != known}
    others = sorted((one for one in common if common[one]), key=lambda one: -common[one])[:_PARTNERS]
    guided = _guided(rough, [pair, *(_pair(known, one) for one in others)], _RATIOS[0])
    distance = _vote(rough, guided, known, photo)
    if distance is None:
        return None
    scale, agreeing, otherwise = distance
    larger, more = _at(rough, known, photo, relative, scale), dict(used)
    for done, ratio in enumerate(_RATIOS, 1):
        progress(done)
        more = {**used, **_guided(larger, [pair, *(_pair(photo, one) for one in others)], ratio)}
        more |= _guided(larger, [_pair(known, one) for one in others], ratio)
        larger = rework(model.photos, more, larger.poses, larger.cameras, config)
    shared = sum(len(track) > 2 and any(one == photo for one, _ in track) for track in larger.tracks)
    if shared < _LEAST_AGREEING:
        return None
    return larger, {**matches, **more}, Bridge(photo, agreeing, otherwise, shared)


def _vote(model: Model, matches: Mapping[Pair, Tensor], known: int, photo: int) -> tuple[float, int, int] | None:
    """By how much the baseline between two photos is too short, how many keypoints of `known` say so, and how many say
    any other thing; None when that is not clear."""
    pair = _pair(known, photo)
    mine = _depths(model, {pair: matches[pair]}, known)
    theirs = _depths(model, {one: found for one, found in matches.items() if one != pair}, known)
    ratios = torch.tensor([theirs[key] / mine[key] for key in sorted(mine.keys() & theirs.keys())], dtype=torch.float64)
    if len(ratios) < _LEAST_AGREEING:
        return None
    logs = ratios.log()
    apart = (logs[:, None] - logs).abs()
    near = apart < _SAME
    most = int(near.sum(1).argmax())
    agreeing = int(near[most].sum())
    elsewhere = near.sum(1)[apart[most] > _APART]
    otherwise = int(elsewhere.max()) if len(elsewhere) else 0
    if agreeing < max(_LEAST_AGREEING, _CLEAR * otherwise):
        return None
    return float(logs[near[most]].median().exp()), agreeing, otherwise


def _depths(model: Model, matches: Mapping[Pair, Tensor], photo: int) -> dict[int, float]:
    """Depths of keypoints of `photo` by matches with others, scene units."""
    used = {one for pair in matches for one in pair}
    poses = {one: model.poses[one] for one in sorted(used)}
    made = triangulated(model.photos, tracks(model.photos, matches, used), poses, model.cameras)
    depths = rigid.transform_points(model.poses[photo], made.positions)[:, 2].tolist()
    return {key: depths[index] for index, track in enumerate(made.tracks) for one, key in track if one == photo}


def _guided(model: Model, pairs: Sequence[Pair], ratio: float) -> dict[Pair, Tensor]:
    """Matches [M, 2] of `pairs` along the epipolar lines, in front of both cameras."""
    config = MatchConfig(max_epipolar_error_px=_ERROR_PX, max_ratio=ratio)
    found = {}
    for i, j in pairs:
        i_to_j = model.poses[j] @ rigid.inverse(model.poses[i])
        one = match_pair(_ideal(model, i), _ideal(model, j), i_to_j, config)
        found[i, j] = one[fits(model, (i, j), one, _ERROR_PX)]
    return found


def _ideal(model: Model, photo: int) -> Features:
    """Keypoints of a photo as a pinhole of its camera would see them."""
    features, camera = model.photos.features[photo], model.cameras[photo]
    pixels, _ = undistort_pixels(features.pixels, camera)
    return replace(features, camera=Camera(camera.width, camera.height, camera.K), pixels=pixels)


def _at(model: Model, known: int, photo: int, relative: Tensor, scale: float) -> Model:
    """The model with `photo` at `relative` [4, 4] of the photo `known`, its baseline times `scale`."""
    longer = relative.clone()
    longer[:3, 3] *= scale
    return replace(model, poses={**model.poses, photo: longer @ model.poses[known]})


def _camera(model: Model, photo: int) -> Camera:
    """The lens of a photo that is not in the model: that of one which shares it, else like the first one's."""
    lens = model.photos.lens_of[photo]
    same = next((one for one in model.poses if model.photos.lens_of[one] == lens), None)
    if same is not None:
        return model.cameras[same]
    own = model.photos.lenses[lens]
    return own.camera(own.exif_focal or model.focal(min(model.poses)))


def _pair(a: int, b: int) -> Pair:
    return min(a, b), max(a, b)
