"""Certificates of the refresher: what textbooks prove, held against computations."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

LEVEL = 1e-5  # of every test below


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_prop_refresher_gaussian():
    """A linear map has the law claimed; so has what is left of u once its guess from w is off."""
    n, root = 20_000, draw(4, 4, seed=1)
    mean, cov = draw(4, seed=2), root @ root.T
    x = mean + draw(n, 4, seed=3) @ root.T
    A, b = draw(2, 4, seed=4), draw(2, seed=5)
    z = torch.linalg.solve(torch.linalg.cholesky(A @ cov @ A.T), (x @ A.T + b - A @ mean - b).T)
    assert stats.kstest(z.square().sum(0).numpy(), stats.chi2(2).cdf).pvalue > LEVEL
    wrong = torch.linalg.solve(torch.linalg.cholesky(A @ A.T), (x @ A.T - A @ mean).T)
    assert stats.kstest(wrong.square().sum(0).numpy(), stats.chi2(2).cdf).pvalue < LEVEL
    gain = torch.linalg.solve(cov[2:, 2:], cov[2:, :2]).T
    left = x[:, :2] - mean[:2] - (x[:, 2:] - mean[2:]) @ gain.T
    whiten = torch.linalg.cholesky(cov[:2, :2] - gain @ cov[2:, :2])
    r = torch.linalg.solve(whiten, left.T)
    assert stats.kstest(r.square().sum(0).numpy(), stats.chi2(2).cdf).pvalue > LEVEL
    # Not only uncorrelated with w but independent: the size of one says nothing of the other's.
    sizes = (r.square().sum(0), (x[:, 2:] - mean[2:]).square().sum(1))
    assert stats.spearmanr(*sizes).pvalue > LEVEL
    assert stats.spearmanr((x[:, :2] - mean[:2]).square().sum(1), sizes[1]).pvalue < LEVEL


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_prop_refresher_plane(seed, k):
    """The distance is the sum of what is left out, and no other plane is nearer."""
    x = draw(40, 5, seed=seed) @ draw(5, 5, seed=seed + 1)
    centred = x - x.mean(0)
    lam, U = torch.linalg.eigh(centred.T @ centred / len(x))

    def distance(basis, through=0.0):
        gaps = centred - through
        return (gaps - gaps @ basis @ basis.T).square().sum(1).mean().item()

    least = distance(U[:, -k:])
    assert least == pytest.approx(lam[:-k].sum().item(), rel=1e-9, abs=1e-9)
    for trial in range(20):
        other = torch.linalg.qr(draw(5, k, seed=seed + 2 + trial)).Q
        assert distance(other) >= least - 1e-9
    assert distance(U[:, -k:], through=U[:, 0]) > least + 0.9  # a plane beside the mean
    assert distance(U[:, :k]) > least  # the weakest directions


@given(st.integers(0, 10_000))
def test_prop_refresher_squares(seed):
    """Both equations hold at the formulas, and every change makes the error larger."""
    y, x = draw(50, 3, seed=seed) + 1, draw(50, 2, seed=seed + 1).exp()
    inside = y - y.mean(0)
    A = torch.linalg.solve(inside.T @ inside, inside.T @ (x - x.mean(0))).T
    b = x.mean(0) - A @ y.mean(0)
    error = x - y @ A.T - b
    assert error.mean(0).abs().max() < 1e-9
    assert (error.T @ y / 50).abs().max() < 1e-9
    least = error.square().sum(1).mean()
    change, offset = 0.1 * draw(2, 3, seed=seed + 2), 0.1 * draw(2, seed=seed + 3)
    worse = (x - y @ (A + change).T - b - offset).square().sum(1).mean()
    extra = (y @ change.T + offset).square().sum(1).mean()
    assert worse.item() == pytest.approx((least + extra).item(), rel=1e-9)
    through_origin = torch.linalg.lstsq(y, x).solution
    assert ((x - y @ through_origin).T @ y).abs().max() < 1e-7  # one of the two equations ...
    assert (x - y @ through_origin).square().sum(1).mean() > least  # ... is not enough


@pytest.mark.parametrize("a", [-2.0, -0.3, 0.7])
def test_prop_refresher_euler(a):
    """The error has the leading term claimed: what remains falls with the square of the steps."""
    t, steps = 1.5, [50, 100, 200, 400]

    def rest(K, order):
        leading = math.exp(a * t) * (1 - (a * t) ** 2 / (2 * K) if order else 1.0)
        y = 1.0
        for _ in range(K):
            y += t / K * a * y
        return abs(y - leading)

    for K in steps:
        assert rest(K, 1) / rest(2 * K, 1) == pytest.approx(4, rel=0.1)
        assert rest(K, 0) / rest(2 * K, 0) == pytest.approx(2, rel=0.1)
