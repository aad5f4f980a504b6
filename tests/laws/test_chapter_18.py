"""Certificates of chapter 18: every case counted, in exact fractions, and controls."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats


@given(rate=st.floats(1e-4, 0.99), miss=st.floats(1e-4, 0.9), n=st.integers(1, 2000))
def test_prop_projects_none(rate, miss, n):
    """The bound on n is sharp; the rates that are not refuted end where SciPy's test says."""
    least = math.log(miss) / math.log1p(-rate)
    enough = stats.binom.pmf(0, n, rate) <= miss
    assert enough == (n >= least) or math.isclose(n, least, rel_tol=1e-9)
    end = 1 - miss ** (1 / n)
    at_end = stats.binomtest(0, n, end, alternative="less").pvalue
    assert at_end == pytest.approx(miss, rel=1e-9)
    assert stats.binomtest(0, n, min(1, 1.01 * end), alternative="less").pvalue < miss
    assert end <= math.log(1 / miss) / n
    if n > 50:  # "a little less than 3/n", and not by much
        assert 2.9 / n < 1 - 0.05 ** (1 / n) < 3 / n


def moments_of_share(rates, runs, samples):
    """Exact mean and variance of the pooled share, from every outcome there is."""
    mean = square = Fraction(0)
    for chosen in itertools.product(rates, repeat=runs):
        for hits in itertools.product(range(samples + 1), repeat=runs):
            weight = Fraction(1, len(rates) ** runs)
            for p, k in zip(chosen, hits, strict=True):
                weight *= math.comb(samples, k) * p**k * (1 - p) ** (samples - k)
            share = Fraction(sum(hits), runs * samples)
            mean, square = mean + weight * share, square + weight * share**2
    return mean, square - mean**2


@pytest.mark.parametrize(("runs", "samples"), [(1, 1), (1, 5), (2, 3), (3, 2)])
def test_prop_projects_seeds(runs, samples):
    """Both forms of the variance hold exactly; the pile of all samples has it too small."""
    rates = [Fraction(1, 10), Fraction(2, 5), Fraction(9, 10)]
    p = sum(rates) / 3
    tau2 = sum(r**2 for r in rates) / 3 - p**2
    mean, variance = moments_of_share(rates, runs, samples)
    assert mean == p
    assert variance == tau2 / runs + (p * (1 - p) - tau2) / (samples * runs)
    naive = p * (1 - p) / (samples * runs)
    assert variance == naive * (1 + (samples - 1) * tau2 / (p * (1 - p)))
    assert (variance > naive) == (samples > 1)


def variance_of_difference(joint, n, paired):
    """Exact variance of the mean difference over n inputs with these pairs of measures."""
    draws = list(itertools.product(joint, repeat=n if paired else 2 * n))
    mean = square = Fraction(0)
    for draw in draws:
        a = draw[:n]
        b = draw[:n] if paired else draw[n:]
        d = Fraction(sum(x[0] for x in a) - sum(x[1] for x in b), n)
        mean, square = mean + d / len(draws), square + d**2 / len(draws)
    return square - mean**2


@pytest.mark.parametrize("n", [1, 2])
def test_prop_projects_pairs(n):
    """Every case counted; with negative correlation pairs are worse, as the formula says."""
    for joint in ([(0, 1), (1, 1), (2, 5), (7, 8)], [(0, 3), (1, 2), (2, 1), (3, 0)]):
        a, b = zip(*joint, strict=True)
        va, vb = (Fraction(sum(x * x for x in v), 4) - Fraction(sum(v), 4) ** 2 for v in (a, b))
        c = Fraction(sum(x * y for x, y in joint), 4) - Fraction(sum(a), 4) * Fraction(sum(b), 4)
        paired, apart = (variance_of_difference(joint, n, kind) for kind in (True, False))
        assert paired == (va + vb - 2 * c) / n
        assert apart == (va + vb) / n
        assert (paired < apart) == (c > 0)
        if va == vb:
            assert paired / apart == 1 - c / va
