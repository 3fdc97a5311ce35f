"""Ways to train that `recon bench quality` compares: the pieces of the defaults one after another, and extras."""

from __future__ import annotations

from recon.errors import ReconError

PIECES: dict[str, str] = {
    "dense start": "poses.dense.method=none",
    "coarse to fine": "splats.resolution.start_divisor=1",
    "harmonics of degree 1": "splats.sh_degree=3",
    "dropout": "splats.dropout.rate=0",
    "opacity decay": "splats.opacity_decay.remaining=1",
}
"""Every piece of the defaults in the order they are added, with the blank-separated overrides that leave it out."""

EXTRAS: dict[str, str] = {
    "binocular": "splats.binocular.weight=0.1",
    "frozen harmonics": "splats.sh_freeze=0.5",
    "gains": "splats.appearance=gains",
    "full size from the start": "splats.resolution.start_divisor=1",
    "midpoints": "splats.init.midpoint_rounds=1",
    "midpoints in gaps": "splats.init.midpoint_rounds=1 splats.init.midpoint_gap=4",
    "depth from stereo": "splats.stereo_depth.weight=0.1",
    "trimmed loss": "splats.loss.trim=0.05",
    "co-pruning": "splats.twin.prune_every=500",
    "co-pruning and pseudo views": "splats.twin.prune_every=500 splats.twin.weight=0.5",
    "early stop": "splats.early_stop.runs=1",
    "floater removal": "splats.floaters.deviations=3",
    "absolute gradients": "splats.density.absolute=true splats.density.grow_gradient=8e-4",
    "mcmc": "splats.density={strategy: mcmc, cap: 40000}",
}
"""Pieces that the defaults go without, with the overrides that add each."""

PLAIN = "plain"


def ladder() -> dict[str, tuple[str, ...]]:
    """Overrides of each step: nothing of `PIECES`, then one piece more at a time; the last one is the defaults."""
    names = list(PIECES)
    steps = {PLAIN: tuple(_split(" ".join(PIECES.values())))}
    for count, name in enumerate(names, 1):
        steps[f"+ {name}"] = tuple(_split(" ".join(PIECES[left] for left in names[count:])))
    return steps


def base_of(variant: str) -> str | None:
    """The variant that `variant` adds one piece to; None for the first."""
    steps = list(ladder())
    if variant in steps:
        return steps[steps.index(variant) - 1] if variant != PLAIN else None
    return steps[-1]


def overrides_of(variant: str) -> tuple[str, ...]:
    """The overrides of a step, of an extra, or of `name: key=value key=value`, which are added to the defaults.

    Raises ReconError for anything else.
    """
    steps = ladder()
    if variant in steps:
        return steps[variant]
    if variant in EXTRAS:
        return _split(EXTRAS[variant])
    _, colon, rest = variant.partition(":")
    if not colon:
        raise ReconError(
            "unknown variant", found=repr(variant), wanted=f"{', '.join([*steps, *EXTRAS])}, or NAME: KEY=VALUE ..."
        )
    return _split(rest)


def _split(text: str) -> tuple[str, ...]:
    """Overrides at the blanks that are not inside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == " " and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(part for part in parts if part)
