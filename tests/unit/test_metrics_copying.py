"""Metrics of copying and novelty against direct float64 computations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffusion_creativity import metrics


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def every_distance(a, b):
    return (a.double().flatten(1)[:, None] - b.double().flatten(1)[None]).square().sum(2).sqrt()


def test_third_rule_by_hand():
    train = torch.tensor([[0.0, 0], [9, 0]])
    samples = torch.tensor([[0.0, 0], [2, 0], [2.25, 0], [3, 0], [4.5, 0]])
    # Ratios 0, 2/7, 1/3 and above: the rule is strict.
    assert metrics.copied_fraction(samples, train, ratio=1 / 3) == 2 / 5
    assert metrics.copied_fraction(samples, train, ratio=0.5) == 3 / 5
    found = metrics.copied_fraction(samples, train, ratio=1 / 3, interval=0.9)
    assert found == metrics.wilson(2, 5, 0.9)


def test_third_rule_counts_a_doubled_training_point_once():
    train = draw(50, 2, 3)
    doubled = torch.cat([train, train[:5], train[:5]])
    near = train[:5] + 1e-4
    assert (metrics.neighbour_ratio(near, doubled) == 1).all()
    samples = torch.cat([train[:5], near, draw(10, 2, 3, seed=1)])
    expected = metrics.copied_fraction(samples, train, ratio=1 / 3)
    assert metrics.copied_fraction(samples, doubled, ratio=1 / 3) == expected >= 0.5
    zero = torch.tensor([[0.0], [-0.0], [5.0]])
    assert metrics.copied_fraction(torch.tensor([[0.1]]), zero, ratio=1 / 3) == 1
    with pytest.raises(ValueError, match="2 different"):
        metrics.copied_fraction(samples, train[:1].expand(9, 2, 3), ratio=1 / 3)


def test_held_out_data_calibrate_the_copies():
    train, held_out = draw(40, 2), draw(500, 2, seed=1)
    copies, fresh = train[:20], draw(500, 2, seed=2)
    rate = metrics.copied_fraction(
        torch.cat([copies, fresh]), train, ratio=1 / 3, held_out=held_out
    )
    base = metrics.copied_fraction(held_out, train, ratio=1 / 3)
    assert 0.05 < base < 0.6  # in the plane with few points the rule cries wolf
    assert rate.held_out == base
    assert rate.excess == pytest.approx((rate.samples - base) / (1 - base))
    # 20 of 520 are copies; the other rates are binomial.
    error = 3 * math.sqrt(base * (1 - base) / 500 * 2) / (1 - base)
    assert abs(rate.excess - 20 / 520) < error
    wide = metrics.copied_fraction(fresh, train, ratio=1 / 3, held_out=held_out, interval=0.95)
    assert wide.excess.low < 0 < wide.excess.high
    assert wide.samples == metrics.copied_fraction(fresh, train, ratio=1 / 3, interval=0.95)
    only = metrics.copied_fraction(train, train, held_out=train[:3])
    assert only[:2] == (1, 1)
    assert math.isnan(only.excess)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 15), count=st.integers(2, 30), seed=st.integers(0, 2**20))
def test_novelty_ratio_is_the_quotient_of_medians(n, count, seed):
    samples, train, held_out = (draw(k, 3, seed=seed + i) for i, k in enumerate((n, count, 7)))
    own, real = (every_distance(x, train).amin(1).quantile(0.5) for x in (samples, held_out))
    found = metrics.novelty_ratio(samples, train, held_out)
    assert found == pytest.approx(float(own / real), rel=1e-6)
    assert metrics.novelty_ratio(5 * samples, 5 * train, 5 * held_out) == pytest.approx(
        found, rel=1e-5
    )


def test_novelty_ratio_at_its_ends():
    train, held_out = draw(20, 1, 4, 4), draw(9, 1, 4, 4, seed=1)
    assert metrics.novelty_ratio(train, train, held_out) == 0
    assert metrics.novelty_ratio(held_out, train, held_out) == 1
    assert metrics.novelty_ratio(held_out, train, train) == math.inf
    assert metrics.novelty_ratio(train, train, train) == 1
    moved = train.roll(1, -1)
    assert metrics.novelty_ratio(moved, train, held_out) > 0
    assert metrics.novelty_ratio(moved, train, held_out, modulo="translations") == 0


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 20),
    count=st.integers(2, 30),
    seed=st.integers(0, 2**20),
    lattice=st.booleans(),
)
def test_authenticity_is_its_definition(n, count, seed, lattice):
    """On a lattice as well, where distances tie and training points repeat."""
    samples, train = draw(n, 2, seed=seed), draw(count, 2, seed=seed + 1)
    if lattice:
        samples, train = samples.round(), train.round()
    authentic = []
    between = every_distance(train, train).fill_diagonal_(torch.inf)
    for row in every_distance(samples, train):
        original = int(row.argmin())
        authentic.append(bool(row[original] > between[original].min()))
    assert metrics.authenticity(samples, train) == sum(authentic) / n


def test_authenticity_of_copies_and_of_the_far():
    train = draw(50, 3)
    assert metrics.authenticity(train[:9], train) == 0
    found = metrics.authenticity(train + 100, train, interval=0.95)
    assert found == metrics.wilson(50, 50)


def z_score(own, real):
    """Mann-Whitney without correction for ties, by scipy's U."""
    n, m = len(real), len(own)
    u = stats.mannwhitneyu(own, real).statistic
    return (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def test_c_t_of_one_cell_is_the_mann_whitney_score():
    train, samples, held_out = draw(40, 2), draw(30, 2, seed=1) * 1.3, draw(25, 2, seed=2)
    samples, held_out = samples.round(decimals=1), held_out.round(decimals=1)
    own, real = (every_distance(x, train).amin(1).float() for x in (samples, held_out))
    expected = z_score(own, real)
    assert metrics.c_t(samples, train, held_out, cells=1) == pytest.approx(expected, rel=1e-9)


def test_c_t_averages_cells_by_their_held_out_data():
    def clouds(sizes, seed):
        return torch.cat([draw(n, 2, seed=seed + i) + 100 * i for i, n in enumerate(sizes)])

    train, samples, held_out = clouds((50, 40), 0), clouds((30, 25), 10), clouds((20, 60), 20)
    z = [
        z_score(*(every_distance(x, train).amin(1) for x in pair))
        for pair in ((samples[:30], held_out[:20]), (samples[30:], held_out[20:]))
    ]
    found = metrics.c_t(samples, train, held_out, cells=2)
    assert found == pytest.approx((20 * z[0] + 60 * z[1]) / 80, rel=1e-6)
    # Cells with too few samples are left out; the first has 30, the second 25.
    found = metrics.c_t(samples, train, held_out, cells=2, minimum=26)
    assert found == pytest.approx(z[0], rel=1e-6)
    with pytest.raises(ValueError, match="no cell holds 31"):
        metrics.c_t(samples, train, held_out, cells=2, minimum=31)


def test_c_t_knows_copies_from_noise_and_is_standard_normal_between():
    train, held_out = draw(200, 3), draw(150, 3, seed=1)
    assert metrics.c_t(train[:100] + 0.01, train, held_out) < -6
    assert metrics.c_t(3 * draw(100, 3, seed=2), train, held_out) > 6
    fresh = [
        metrics.c_t(draw(40, 3, seed=2 * s + 5), train, draw(40, 3, seed=2 * s + 6), cells=1)
        for s in range(100)
    ]
    # Training data are fixed, samples and held-out data fresh: Z is N(0, 1), by ranks.
    assert stats.kstest(fresh, "norm").pvalue > 1e-3


def test_copying_metrics_check_what_they_get():
    x = draw(30, 3)
    for call, named in [
        (lambda: metrics.copied_fraction(x, x, ratio=0), "ratio"),
        (lambda: metrics.copied_fraction(x, x, ratio=0.3, modulo="flips"), "modulo"),
        (lambda: metrics.copied_fraction(x, x, held_out=x[:, :2]), "held_out must have shape"),
        (lambda: metrics.copied_fraction(x, x, held_out=x[:0]), "held_out must hold"),
        (lambda: metrics.copied_fraction(x, x[:1], ratio=0.3), "train must hold at least 2"),
        (lambda: metrics.novelty_ratio(x[:0], x, x), "samples"),
        (lambda: metrics.novelty_ratio(x, x, x[:0]), "held_out"),
        (lambda: metrics.novelty_ratio(x, x, x[:, :2]), "held_out"),
        (lambda: metrics.authenticity(x[:0], x), "samples"),
        (lambda: metrics.authenticity(x, x[:1]), "train must hold at least 2"),
        (lambda: metrics.authenticity(x, x, interval=2), "confidence"),
        (lambda: metrics.c_t(x, x, x, cells=0), "cells"),
        (lambda: metrics.c_t(x, x[:2], x, cells=3), "cells must be at most 2"),
        (lambda: metrics.c_t(x, x, x, cells=1, minimum=0), "minimum"),
        (lambda: metrics.c_t(x, x, x, cells=1, seed=-1), "seed"),
    ]:
        with pytest.raises(ValueError, match=named):
            call()
