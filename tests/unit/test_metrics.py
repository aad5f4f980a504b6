"""Metrics against brute force, and tests against their promised error rates."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffusion_creativity import metrics


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def every_distance(samples, train):
    gap = samples.double().flatten(1)[:, None] - train.double().flatten(1)[None]
    return gap.square().sum(2).sqrt()


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 30),
    count=st.integers(2, 80),
    shape=st.sampled_from([(1,), (5,), (2, 3), (1, 4, 4)]),
    offset=st.sampled_from([0.0, 1000.0]),
    seed=st.integers(0, 2**20),
)
def test_nearest_is_exact(n, count, shape, offset, seed):
    train, samples = (
        draw(count, *shape, seed=seed) + offset,
        draw(n, *shape, seed=seed + 1) + offset,
    )
    samples[0] = train[-1]
    exact = every_distance(samples, train)
    distances, indices = metrics.nearest(samples, train)
    assert (indices == exact.argmin(1)).all()
    torch.testing.assert_close(distances, exact.amin(1).float())
    two = exact.topk(2, largest=False).values
    torch.testing.assert_close(
        metrics.neighbour_ratio(samples, train), (two[:, 0] / two[:, 1]).float()
    )


def test_a_copy_is_at_distance_zero():
    train = 10 * draw(3000, 784)
    distances, indices = metrics.nearest(train[100:164], train)
    assert (distances == 0).all()
    assert (indices == torch.arange(100, 164)).all()


def test_ties_go_to_the_first_index():
    train = torch.cat([torch.ones(1, 4), torch.zeros(500, 4), torch.ones(500, 4)])
    distances, indices = metrics.nearest(torch.tensor([[1.0] * 4, [0.0] * 4]), train)
    assert distances.tolist() == [0, 0]
    assert indices.tolist() == [0, 1]
    assert metrics.neighbour_ratio(torch.ones(1, 4), train).item() == 1


def test_nearest_checks_what_it_gets():
    x = draw(5, 3)
    for samples, train, options, name in [
        (x, x, {"modulo": "turns"}, "modulo"),
        (x, x[:0], {}, "train"),
        (x[:, :2], x, {}, "samples"),
        (x * torch.nan, x, {}, "samples"),
    ]:
        with pytest.raises(ValueError, match=name):
            metrics.nearest(samples, train, **options)
    with pytest.raises(ValueError, match="at least 2"):
        metrics.neighbour_ratio(x, x[:1])
    with pytest.raises(ValueError, match="tolerance"):
        metrics.copied_fraction(x, x, tolerance=-1)
    with pytest.raises(ValueError, match="confidence"):
        metrics.copied_fraction(x, x, interval=1.0)


def test_nearest_takes_arrays():
    x = np.random.default_rng(0).normal(size=(9, 2))
    assert metrics.nearest(x[:3], x)[1].tolist() == [0, 1, 2]


def test_copied_fraction_counts_by_root_mean_square():
    train = draw(50, 3, 4, 4)
    samples = train[:8].clone()
    samples[:2] += 0.9e-3  # within the tolerance in every entry
    samples[2:4] += 1.1e-3
    samples[4] += draw(3, 4, 4, seed=1)
    assert metrics.copied_fraction(samples, train) == 5 / 8
    assert metrics.copied_fraction(samples, train, tolerance=2e-3) == 7 / 8
    value, low, high = metrics.copied_fraction(samples, train, interval=0.95)
    expected = stats.binomtest(5, 8).proportion_ci(0.95, method="wilson")
    assert value == 5 / 8
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_empty_samples_and_impossible_counts_are_named():
    x = draw(5, 3)
    assert metrics.copied_fraction(x.tolist(), x.tolist()) == 1
    with pytest.raises(ValueError, match="samples must hold"):
        metrics.copied_fraction(x[:0], x)
    with pytest.raises(ValueError, match="samples must be an array"):
        metrics.nearest(None, x)
    for successes, trials, name in [(0, 0, "trials"), (5, 3, "successes"), (-1, 3, "successes")]:
        with pytest.raises(ValueError, match=name):
            metrics.wilson(successes, trials)


def test_wilson_at_the_ends():
    assert metrics.wilson(0, 20).low == 0
    assert metrics.wilson(20, 20).high == 1
    assert 0 < metrics.wilson(0, 20).high < 0.2


@pytest.mark.parametrize(("n", "m"), [(40, 40), (17, 60), (1, 5)])
def test_sliced_wasserstein_in_one_dimension(n, m):
    a, b = draw(n, 1, dtype=torch.float64), 2 * draw(m, 1, seed=1, dtype=torch.float64) + 1
    # On a common grid of n·m equal weights the coupling is sorted against sorted.
    left, right = a[:, 0].sort()[0].repeat_interleave(m), b[:, 0].sort()[0].repeat_interleave(n)
    expected = float((left - right).square().mean().sqrt())
    assert metrics.sliced_wasserstein(a, b) == pytest.approx(expected, rel=1e-12)


def test_sliced_wasserstein_of_a_shift():
    a = draw(200, 2, 5)
    shift = torch.full((2, 5), 0.5)
    # E<theta, v>² = |v|²/d over the sphere.
    found = metrics.sliced_wasserstein(a, a + shift, projections=4000)
    assert found == pytest.approx(0.5, rel=0.05)
    assert metrics.sliced_wasserstein(a, a) == 0
    assert found == metrics.sliced_wasserstein(a, a + shift, projections=4000)
    assert found != metrics.sliced_wasserstein(a, a + shift, projections=4000, seed=1)


def test_energy_statistic_is_the_definition():
    a, b = draw(12, 2, 2, dtype=torch.float64), draw(20, 2, 2, seed=1, dtype=torch.float64)
    mean = [every_distance(*pair).mean() for pair in [(a, b), (a, a), (b, b)]]
    expected = 12 * 20 / 32 * (2 * mean[0] - mean[1] - mean[2])
    assert metrics.energy_test(a, b).statistic == pytest.approx(float(expected), rel=1e-12)


def test_energy_test_keeps_its_error_rate():
    p = np.array(
        [
            metrics.energy_test(
                draw(20, 3, seed=2 * s), draw(30, 3, seed=2 * s + 1), seed=s
            ).p_value
            for s in range(300)
        ]
    )
    for level in (0.05, 0.2, 0.5):  # neither too many rejections nor too few
        assert stats.binomtest(int((p <= level).sum()), 300, level).pvalue > 1e-4
    assert p.min() >= 1 / 200


def test_energy_test_has_power():
    a = draw(150, 4)
    assert metrics.energy_test(a, draw(150, 4, seed=1) + 0.5).p_value == 1 / 200
    assert metrics.energy_test(a, 1.6 * draw(150, 4, seed=1)).p_value == 1 / 200
    # The same mean and covariance, another law: two atoms.
    b = draw(300, 1, seed=2)
    assert metrics.energy_test(b, draw(300, 1, seed=3).sign()).p_value == 1 / 200


def test_energy_test_of_equal_samples_ties():
    a = torch.zeros(5, 2)
    assert metrics.energy_test(a, a) == (0, 1)


def test_two_sample_metrics_check_what_they_get():
    for metric in (metrics.sliced_wasserstein, metrics.energy_test):
        with pytest.raises(ValueError, match="one shape"):
            metric(draw(5, 2), draw(5, 3))
        with pytest.raises(ValueError, match="seed"):
            metric(draw(5, 2), draw(5, 2), seed=-1)
        with pytest.raises(ValueError, match="b must be finite"):
            metric(draw(5, 2), torch.full((5, 2), math.nan))
    with pytest.raises(ValueError, match="projections"):
        metrics.sliced_wasserstein(draw(5, 2), draw(5, 2), projections=0)
    with pytest.raises(ValueError, match="permutations"):
        metrics.energy_test(draw(5, 2), draw(5, 2), permutations=0)
