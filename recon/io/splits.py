"""Which views train a scene and which are held out to measure it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import ReconError
from recon.io.checks import brief
from recon.io.files import load_json_object, natural_key, shorten
from recon.scene import Scene
from recon.scene.nodes import Split


def assign_splits(
    scene: Scene,
    train: int | Sequence[str] | None = None,
    test: str | Sequence[str] | None = None,
    split_file: Path | None = None,
) -> Scene:
    """`scene` with each view in the training or the test split; views in neither are dropped.

    test: names; or "every-8": the views at positions 0, 8, 16, ... in natural name order, of the capture's own test
    views where it has some, else of all views. None: the split file's list, else the capture's own test views.
    train: names; or a number n: the entry "n" of the split file where that has one, else n views spread evenly over
    those that are left (first and last included). None: the split file's list, else all that are left.
    split_file: JSON with {"test": [names], "train": [names] or {"9": [names], ...}}.
    """
    names = sorted((view.name for view in scene.views), key=natural_key)
    own_test = {view.name for view in scene.views if view.split == "test"}
    listed = load_json_object(split_file) if split_file else {}
    held_out = _test_names(names, own_test, test, listed, split_file)
    candidates = [name for name in names if name not in held_out and name not in own_test]
    chosen = _train_names(candidates, names, train, listed, split_file)
    both = sorted(held_out & set(chosen), key=natural_key)
    if both:
        raise ReconError(
            "views: a photo is in both splits", found=shorten(both), fix="remove it from the training or the test list"
        )
    if not chosen:
        raise ReconError(
            "views: no training views are left",
            found=f"{len(held_out)} of {len(names)} views held out",
            wanted="at least one to train on",
            fix="hold out fewer, for instance test: every-8",
        )
    split_of: dict[str, Split] = dict.fromkeys(chosen, "train")
    split_of |= dict.fromkeys(held_out, "test")
    views = tuple(replace(view, split=split_of[view.name]) for view in scene.views if view.name in split_of)
    return replace(scene, views=views)


def spread(count: int, total: int) -> list[int]:
    """`count` positions spread evenly over range(total), first and last included."""
    return [int(position) for position in np.round(np.linspace(0, total - 1, count))]


def _test_names(
    names: Sequence[str], own: set[str], test: str | Sequence[str] | None, listed: dict[str, Any], file: Path | None
) -> set[str]:
    if isinstance(test, str):
        every = re.fullmatch(r"every-([1-9]\d*)", test)
        if not every:
            raise ReconError("views.test", found=repr(test), wanted='"every-8" or a list of photo names')
        return set([name for name in names if name in own or not own][:: int(every[1])])
    if test is not None:
        return set(_known(test, names, "views.test"))
    if "test" in listed:
        return set(_known(listed["test"], names, f"{file}: test"))
    return own


def _train_names(
    candidates: Sequence[str],
    names: Sequence[str],
    train: int | Sequence[str] | None,
    listed: dict[str, Any],
    file: Path | None,
) -> list[str]:
    entry = listed.get("train")
    if isinstance(train, int):
        if isinstance(entry, dict) and str(train) in entry:
            return _known(entry[str(train)], names, f"{file}: train.{train}")
        if not 1 <= train <= len(candidates):
            raise ReconError(
                "views.train",
                found=train,
                wanted=f"between 1 and {len(candidates)}, the number of views that are not held out",
                fix="choose fewer training views or hold out fewer",
            )
        return [candidates[position] for position in spread(train, len(candidates))]
    if train is not None:
        return _known(train, names, "views.train")
    if entry is not None and not isinstance(entry, dict):
        return _known(entry, names, f"{file}: train")
    return list(candidates)


def _known(wanted: object, names: Sequence[str], field: str) -> list[str]:
    """`wanted` as a list of names of views, each listed once."""
    if not isinstance(wanted, list | tuple) or not all(isinstance(name, str) for name in wanted):
        raise ReconError(field, found=brief(wanted), wanted="a list of photo names")
    unknown = [name for name in wanted if name not in set(names)]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        raise ReconError(
            f"{field}: {len(unknown)} unknown photo name{'s' if len(unknown) > 1 else ''}",
            found=shorten(unknown),
            wanted=f"names such as {near[0] if near else names[0]}",
            fix="remove the name, or add its photo if that is missing",
        )
    return list(dict.fromkeys(wanted))
