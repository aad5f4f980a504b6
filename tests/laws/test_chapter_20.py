"""Certificates of chapter 20: how often intervals hold what they should, in many small studies."""

import numpy as np
import pytest
from scipy import stats

STUDIES = 40_000
LEVEL = 1e-6  # of each test: all together refuse a true law less than once in 100,000 runs


def held(networks: int, seeds: int, quantile: float) -> int:
    """In how many studies the interval of the first two networks holds their difference."""
    rng = np.random.default_rng(networks + 100 * seeds)
    means = rng.normal(size=networks)
    x = means[:, None] + 0.3 * rng.normal(size=(STUDIES, networks, seeds))
    spread = np.sqrt(x.var(axis=2, ddof=1).mean(axis=1))
    difference = x[:, 0].mean(axis=1) - x[:, 1].mean(axis=1)
    off = np.abs(difference - (means[0] - means[1]))
    return int((off <= quantile * spread * np.sqrt(2 / seeds)).sum())


@pytest.mark.parametrize(("networks", "seeds"), [(2, 2), (5, 2), (22, 3)])
def test_prop_study_interval(networks, seeds):
    """In 95 % of the studies, whatever their size; a normal quantile promises too much."""
    quantile = stats.t.ppf(0.975, networks * (seeds - 1))
    count = held(networks, seeds, quantile)
    assert stats.binomtest(count, STUDIES, 0.95).pvalue > LEVEL
    if networks < 22:  # with many degrees of freedom the two quantiles are alike
        too_few = held(networks, seeds, stats.norm.ppf(0.975))
        assert stats.binomtest(too_few, STUDIES, 0.95, alternative="less").pvalue < LEVEL
