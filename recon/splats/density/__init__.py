"""Density strategies. A new one is a file here, a line in `STRATEGIES` and a member of `SplatsConfig.density`."""

from __future__ import annotations

from recon.splats.density.gradient import GradientConfig, GradientStrategy
from recon.splats.density.mcmc import McmcConfig, McmcStrategy
from recon.splats.density.strategy import DensityStrategy

STRATEGIES = {
    GradientConfig: GradientStrategy,
    McmcConfig: McmcStrategy,
}


def make_strategy(config: object, iterations: int, dense: bool = False) -> DensityStrategy:
    """The strategy that a configuration section is for, in a run of so many iterations, after a dense start or not."""
    return STRATEGIES[type(config)](config, iterations, dense)  # type: ignore[index, no-any-return]


__all__ = ["STRATEGIES", "DensityStrategy", "make_strategy"]
