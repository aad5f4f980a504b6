"""Intervals cover what they promise to cover, as often as promised."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from diffusion_creativity import metrics
from diffusion_creativity.metrics.intervals import Bootstrap

LEVEL = 0.9
TRIALS = 150


def draw(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def check_coverage(covered, *, wide=False):
    """The share of `covered` is LEVEL, but for the 0.05 that few examples and replicates cost."""
    hits, n = int(np.sum(covered)), len(covered)
    assert hits >= stats.binom.ppf(1e-4, n, LEVEL - 0.05)
    if not wide:
        assert hits <= stats.binom.ppf(1 - 1e-4, n, LEVEL + 0.05)


def test_counts_are_multinomial():
    bootstrap = Bootstrap(0.9, 400, 0)
    (first, second), *more = bootstrap.counts([7, 3], torch.zeros(1, dtype=torch.float64))
    assert not more
    assert first.shape == (400, 7)
    assert second.shape == (400, 3)
    assert (first.sum(1) == 7).all()
    assert (second.sum(1) == 3).all()
    # A count is binomial(7, 1/7): 2,800 of them against their law, by the normal bound on a mean.
    zero = (first == 0).double().mean().item()
    expected = (6 / 7) ** 7
    assert abs(zero - expected) < 5 * math.sqrt(expected * (1 - expected) / 2800)


def test_blocks_change_nothing_but_memory(monkeypatch):
    monkeypatch.setattr("diffusion_creativity.metrics.intervals.DRAWS", 50)
    blocks = list(Bootstrap(0.9, 23, 1).counts([10, 4], torch.zeros(1)))
    assert [len(first) for first, _ in blocks] == [5, 5, 5, 5, 3]


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_medians_are_those_of_the_drawn_values(n):
    values = draw(n, seed=n).sort()[0]
    found = Bootstrap(0.9, 50, 3).medians(values)[0]
    (counts,) = next(Bootstrap(0.9, 50, 3).counts([n], values))
    expected = [np.median(np.repeat(values.numpy(), row.numpy().astype(int))) for row in counts]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_the_mean_is_the_mean_of_drawn_values():
    values = draw(30, seed=0)
    value, low, high = Bootstrap(0.8, 4000, 0).mean(values)
    assert value == pytest.approx(float(values.mean()))
    # The replicates' standard deviation is that of the sample over the root of n.
    half = stats.norm.ppf(0.9) * float(values.std(correction=0)) / math.sqrt(30)
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)


def test_median_of_pearson_r_is_covered():
    def pairs(n, seed):
        a = draw(n, 6, seed=seed)
        return a, a + draw(n, 6, seed=seed + 10**6)

    truth = float(metrics.pearson_r(*pairs(200_000, 0)).median())
    found = [
        metrics.pearson_r(*pairs(60, s + 1), interval=LEVEL, resamples=200, seed=s)
        for s in range(TRIALS)
    ]
    check_coverage([low <= truth <= high for _, low, high in found])


def test_novelty_ratio_of_real_data_is_one():
    train = draw(60, 2, seed=0)
    found = [
        metrics.novelty_ratio(
            draw(50, 2, seed=2 * s + 1),
            train,
            draw(50, 2, seed=2 * s + 2),
            interval=LEVEL,
            resamples=200,
            seed=s,
        )
        for s in range(TRIALS)
    ]
    check_coverage([low <= 1 <= high for _, low, high in found])


def test_frechet_interval_covers_the_expected_distance():
    def pair(s):
        return draw(40, 2, seed=2 * s), 1.5 * draw(40, 2, seed=2 * s + 1) + 0.7

    truth = np.mean([metrics.frechet_distance(*pair(s)) for s in range(5000, 6000)])
    found = [
        metrics.frechet_distance(*pair(s), interval=LEVEL, resamples=50, seed=s) for s in range(100)
    ]
    check_coverage([low <= truth <= high for _, low, high in found])


def test_frechet_interval_does_not_double_the_bias():
    """For one law the distance is all bias, and a resample has about twice as much."""
    truth = np.mean(
        [metrics.frechet_distance(draw(40, 8, seed=2 * s), draw(40, 8, seed=2 * s + 1))
         for s in range(5000, 5400)]
    )  # fmt: skip
    found = [
        metrics.frechet_distance(
            draw(40, 8, seed=2 * s),
            draw(40, 8, seed=2 * s + 1),
            interval=LEVEL,
            resamples=40,
            seed=s,
        )
        for s in range(40)
    ]
    check_coverage([low <= truth <= high for _, low, high in found], wide=True)


def test_extrapolated_frechet_interval_covers_the_distance_of_the_laws():
    truth = 2 * 0.7**2 + 2 * 0.5**2  # N(0, 1) and N(0.7, 1.5²), twice
    found = [
        metrics.frechet_distance(
            draw(60, 2, seed=2 * s),
            1.5 * draw(60, 2, seed=2 * s + 1) + 0.7,
            extrapolate=True,
            interval=LEVEL,
            resamples=40,
            seed=s,
        )
        for s in range(50)
    ]
    check_coverage([low <= truth <= high for _, low, high in found])


def test_kernel_interval_covers_the_discrepancy():
    # In one dimension (xy + 1)³ compares the first three moments: 3Δ₁² + 3Δ₂² + Δ₃².
    def moments(mean, sd):
        return np.array([mean, mean**2 + sd**2, mean**3 + 3 * mean * sd**2])

    truth = float(np.array([3, 3, 1]) @ (moments(0.5, 0.5) - moments(0, 1)) ** 2)
    found = [
        metrics.kernel_distance(
            draw(150, 1, seed=2 * s),
            0.5 * draw(150, 1, seed=2 * s + 1) + 0.5,
            interval=LEVEL,
            resamples=200,
            seed=s,
        )
        for s in range(TRIALS)
    ]
    check_coverage([low <= truth <= high for _, low, high in found])


def test_kernel_interval_is_wide_where_laws_agree():
    found = [
        metrics.kernel_distance(
            draw(40, 3, seed=2 * s), draw(40, 3, seed=2 * s + 1), interval=LEVEL, seed=s
        )
        for s in range(TRIALS)
    ]
    check_coverage([low <= 0 <= high for _, low, high in found], wide=True)


def test_vendi_interval_covers_the_expected_score():
    scale = torch.tensor([2.0, 1.0, 0.5, 0.2], dtype=torch.float64)
    truth = np.mean([metrics.vendi(draw(50, 4, seed=s) * scale) for s in range(5000, 6000)])
    found = [
        metrics.vendi(draw(50, 4, seed=s) * scale, interval=LEVEL, resamples=50, seed=s)
        for s in range(100)
    ]
    check_coverage([low <= truth <= high for _, low, high in found])


def test_sliced_wasserstein_interval_covers_the_expected_distance():
    def distance(s, **options):
        a, b = draw(40, 2, seed=2 * s), draw(30, 2, seed=2 * s + 1) + 0.8
        return metrics.sliced_wasserstein(a, b, projections=8, **options)

    truth = np.mean([distance(s) for s in range(5000, 6000)])
    found = [distance(s, interval=LEVEL, resamples=50) for s in range(100)]
    check_coverage([low <= truth <= high for _, low, high in found])


def test_density_interval_covers_the_expectation_given_the_balls():
    reference = draw(60, 2, seed=0)
    truth = metrics.density_coverage(draw(20_000, 2, seed=1), reference).density
    found = [
        metrics.density_coverage(
            draw(60, 2, seed=s + 2), reference, interval=LEVEL, resamples=200, seed=s
        ).density
        for s in range(TRIALS)
    ]
    check_coverage([low <= truth <= high for _, low, high in found])


def test_c_t_interval_covers_zero_for_fresh_data():
    train = draw(80, 2, seed=0)
    found = [
        metrics.c_t(
            draw(80, 2, seed=2 * s + 1),
            train,
            draw(80, 2, seed=2 * s + 2),
            cells=1,
            interval=LEVEL,
            seed=s,
        )
        for s in range(100)
    ]
    check_coverage([low <= 0 <= high for _, low, high in found])


X = draw(40, 3, seed=0)
WITH_INTERVAL = {
    "novelty_ratio": lambda **o: metrics.novelty_ratio(X, X[::2], X[1::2], **o),
    "c_t": lambda **o: metrics.c_t(X, X[::2], X[1::2], cells=1, **o),
    "frechet_distance": lambda **o: metrics.frechet_distance(X, X, **o),
    "kernel_distance": lambda **o: metrics.kernel_distance(X, X, **o),
    "sliced_wasserstein": lambda **o: metrics.sliced_wasserstein(X, X, **o),
    "density_coverage": lambda **o: metrics.density_coverage(X, X, **o).density,
    "vendi": lambda **o: metrics.vendi(X, **o),
    "pearson_r": lambda **o: metrics.pearson_r(X, X, **o),
    "r_squared": lambda **o: metrics.r_squared(X, X, **o),
    "feature_likelihood_divergence": lambda **o: (
        metrics.feature_likelihood_divergence(X, X[::2], X[1::2], **o).divergence
    ),
}


@pytest.mark.parametrize("name", WITH_INTERVAL)
def test_intervals_hold_the_value_depend_on_the_seed_and_check_their_options(name):
    metric = WITH_INTERVAL[name]
    found = metric(interval=0.9, resamples=20)
    assert isinstance(found, metrics.Interval)
    assert all(type(part) is float for part in found)
    assert found.low <= found.value <= found.high
    assert found == metric(interval=0.9, resamples=20)
    assert metric(interval=0.99, resamples=20).low <= found.low
    for options, named in [
        ({"interval": 0.0}, "interval"),
        ({"interval": 1.0}, "interval"),
        ({"interval": 0.9, "resamples": 1}, "resamples"),
        ({"interval": 0.9, "seed": -1}, "seed"),
    ]:
        with pytest.raises(ValueError, match=named):
            metric(**options)
