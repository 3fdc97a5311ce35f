from __future__ import annotations

import itertools

import pytest
from pydantic import ValidationError

from recon.splats.schedule import ResolutionConfig, frozen_bands, log_linear, sh_degree_at


def test_log_linear_meets_both_ends_and_shrinks_by_a_constant_factor() -> None:
    values = [log_linear(1.6e-4, 1.6e-6, k / 10) for k in range(11)]
    assert values[0] == pytest.approx(1.6e-4)
    assert values[-1] == pytest.approx(1.6e-6)
    ratios = [b / a for a, b in itertools.pairwise(values)]
    assert ratios == pytest.approx([ratios[0]] * 10)


def test_a_rate_of_zero_stays_zero() -> None:
    assert log_linear(0.0, 0.0, 0.5) == 0.0


def test_harmonics_join_in_one_band_at_a_time() -> None:
    degrees = [sh_degree_at(i, 100, 2) for i in (0, 99, 100, 199, 200, 10_000)]
    assert degrees == [0, 0, 1, 1, 2, 2]
    assert sh_degree_at(0, 0, 3) == 3


def test_resolution_halves_until_it_is_full() -> None:
    config = ResolutionConfig(start_divisor=4, full_from=0.5)
    assert config.divisors() == (4, 2, 1)
    levels = [config.level_at(i, 1000) for i in range(1000)]
    assert levels == sorted(levels)
    assert [levels.count(k) for k in range(3)] == [250, 250, 500]


@pytest.mark.parametrize("config", [ResolutionConfig(start_divisor=1), ResolutionConfig(full_from=0.0)])
def test_full_resolution_throughout(config: ResolutionConfig) -> None:
    last = len(config.divisors()) - 1
    assert {config.level_at(i, 50) for i in range(50)} == {last}


def test_divisor_must_be_a_power_of_two() -> None:
    with pytest.raises(ValidationError, match="power of two"):
        ResolutionConfig(start_divisor=3)


def test_frozen_bands_keep_the_rest_moving() -> None:
    rates = {"means": 0.1, "sh_coeffs": (0.2, 0.01)}
    assert frozen_bands(rates) == {"means": 0.1, "sh_coeffs": (0.2, 0.0)}
    assert frozen_bands({"sh_coeffs": 0.2}) == {"sh_coeffs": (0.2, 0.0)}
