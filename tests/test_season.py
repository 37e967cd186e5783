"""Finding the season of a series."""

import numpy as np
import pytest

from pygru.data.co2 import load_co2
from pygru.forecasting.season import _quotients, find_season


def periodic(season, n, noise, seed=0, trend=0.0):
    rng = np.random.default_rng(seed)
    pattern = rng.standard_normal(season)
    pattern = (pattern - pattern.mean()) / pattern.std()
    t = np.arange(n)
    return pattern[t % season] + noise * rng.standard_normal(n) + trend * t


@pytest.mark.parametrize("season", [4, 7, 12, 24, 168])
@pytest.mark.parametrize("trend", [0.0, 0.05, 100.0])
def test_a_season_is_found_in_noise_and_with_a_trend(season, trend):
    n = max(5 * season, 150)
    assert find_season([periodic(season, n, 0.3, seed=1, trend=trend)]) == season


@pytest.mark.parametrize("factor", [1e-9, 1e-5, 1e12])
def test_the_size_of_the_values_does_not_matter(factor):
    assert find_season([factor * periodic(12, 150, 0.3)]) == 12


def test_a_high_level_does_not_matter():
    assert find_season([1e12 + periodic(12, 150, 0.3)]) == 12


def test_gaps_do_not_matter():
    values = periodic(12, 300, 0.3)
    values[np.random.default_rng(1).random(300) < 0.2] = np.nan
    values[:30] = np.nan
    assert find_season([values]) == 12


def test_series_are_judged_together():
    """Neither alone shows it: the columns have 26 steps, and noise as large as the season."""
    columns = [periodic(4, 26, 0.9, seed=seed) for seed in range(40)]
    assert find_season(columns) == 4


@pytest.mark.parametrize("n", [60, 200, 1000])
def test_noise_and_random_walks_have_no_season(n):
    found = 0
    for seed in range(25):
        noise = np.random.default_rng(seed).standard_normal(n)
        found += find_season([noise]) is not None
        found += find_season([np.cumsum(noise)]) is not None
    assert found <= 1


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(0),
        np.arange(5.0),
        np.full(50, np.nan),
        np.full(50, 0.1) * 3,
        np.arange(50.0),
        np.arange(50.0) ** 2,
        np.where(np.arange(50) == 20, 1.0, np.nan),
    ],
)
def test_no_season_without_an_error(values):
    assert find_season([values]) is None
    assert find_season([]) is None


def test_real_series():
    values = load_co2().to_numpy().ravel()[:1500]
    assert find_season([values]) == 52


def test_the_quotients_against_the_definition():
    values = periodic(5, 40, 0.5)
    values[[3, 4, 17, 30]] = np.nan
    quotients = _quotients(values, 13)
    variances = []
    for lag in range(1, 14):
        changes = values[lag:] - values[:-lag]
        variances.append(np.var(changes[~np.isnan(changes)]))
        expected = variances[-1] / np.mean(variances)
        assert quotients[lag] == pytest.approx(expected, rel=1e-9)
