"""Fréchet and kernel distances against closed forms, direct float64 sums and torchmetrics."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from diffusion_creativity import metrics
from diffusion_creativity.metrics import frechet, kernel


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def moments(n, mean, cov):
    """A sample whose mean and covariance (by n − 1) are the given ones, up to rounding."""
    x = draw(n, len(mean))
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    return white @ torch.linalg.cholesky(cov).T + mean


def by_sqrtm(a, b):
    """The formula as it stands, with a matrix root."""
    a, b = a.double().flatten(1).numpy(), b.double().flatten(1).numpy()
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T))
    return float(
        ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root.real)
    )


def test_frechet_of_gaussians_with_known_moments():
    one, two = torch.tensor([1.0, 0, -2]).double(), torch.tensor([0.0, 1, 1]).double()
    # Covariances with common axes: Σ (σ − τ)² is left of the trace.
    axes = torch.linalg.qr(draw(3, 3)).Q
    wide, narrow = torch.tensor([4.0, 1, 9]).double(), torch.tensor([1.0, 0.25, 16]).double()
    a = moments(50, one, axes * wide @ axes.T)
    b = moments(70, two, axes * narrow @ axes.T)
    expected = 1 + 1 + 9 + (2 - 1) ** 2 + (1 - 0.5) ** 2 + (3 - 4) ** 2
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 60),
    m=st.integers(2, 60),
    d=st.integers(1, 30),
    offset=st.sampled_from([0.0, 100.0]),
    seed=st.integers(0, 2**20),
)
def test_frechet_is_the_formula_in_every_regime(n, m, d, offset, seed):
    """More features than examples, fewer, and one of each."""
    a = draw(n, d, seed=seed) + offset
    b = 2 * draw(m, d, seed=seed + 1) @ draw(d, d, seed=seed + 2) + offset
    # The nuclear norm, from the d × d covariances: eigenvalues of the product of both.
    left, right = (torch.cov(x.T).reshape(d, d) for x in (a, b))
    values = torch.linalg.eigvals(left @ right).real.clamp(min=0)
    expected = (a.mean(0) - b.mean(0)).square().sum() + left.trace() + right.trace()
    expected = float(expected - 2 * values.sqrt().sum())
    scale = float(left.trace() + right.trace())
    # The reference itself takes roots of eigenvalues near 0 that rounding has lifted to 1e-16.
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, abs=1e-6 * scale)


def test_frechet_against_the_matrix_root():
    a, b = draw(300, 12), draw(200, 12, seed=1) @ draw(12, 12, seed=2) + 0.3
    assert metrics.frechet_distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(5, 40), d=st.integers(1, 25), seed=st.integers(0, 2**20))
def test_frechet_knows_no_order_no_axes_and_no_sides(n, d, seed):
    a, b = draw(n, d, seed=seed), 1.5 * draw(n + 3, d, seed=seed + 1) + 1
    value = metrics.frechet_distance(a, b)
    turn = torch.linalg.qr(draw(d, d, seed=seed + 2)).Q
    close = {"rel": 1e-8, "abs": 1e-8}
    assert metrics.frechet_distance(a.flip(0), b) == pytest.approx(value, **close)
    assert metrics.frechet_distance(b, a) == pytest.approx(value, **close)
    assert metrics.frechet_distance(a @ turn + 7, b @ turn + 7) == pytest.approx(value, **close)
    assert metrics.frechet_distance(3 * a, 3 * b) == pytest.approx(9 * value, **close)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-6 * n * d)


def test_frechet_with_constant_and_copied_features():
    a, b = draw(100, 5), 2 * draw(90, 5, seed=1)
    value = metrics.frechet_distance(a, b)
    fixed = [torch.cat([x, torch.full((len(x), 3), 0.25).double()], 1) for x in (a, b)]
    assert metrics.frechet_distance(*fixed) == pytest.approx(value, rel=1e-6)
    twice = [torch.cat([x, x], 1) for x in (a, b)]
    assert metrics.frechet_distance(*twice) == pytest.approx(2 * value, rel=1e-6)


def test_singular_covariance_takes_the_eigenvectors():
    x = draw(6, 9)
    cov = x.T @ x
    factor = frechet._root(cov)
    torch.testing.assert_close(factor.T @ factor, cov, atol=1e-12, rtol=1e-12)
    factor = frechet._root(torch.diag(torch.tensor([1.0, 0, 4]).double()))
    torch.testing.assert_close(factor.T @ factor, torch.diag(torch.tensor([1.0, 0, 4]).double()))


@pytest.mark.parametrize("block", [1, 3, 256])
def test_blocks_of_the_triangle_change_nothing(block, monkeypatch):
    a, b = draw(30, 7), 2 * draw(20, 7, seed=1)
    expected = metrics.frechet_distance(a, b)
    monkeypatch.setattr(frechet, "BLOCK", block)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert metrics.frechet_distance(a.T.contiguous().T, b) == pytest.approx(expected, rel=1e-12)


def test_weights_are_repeated_rows():
    for d in (3, 30):
        a, b = draw(20, d), 2 * draw(15, d, seed=1)
        w, v = (
            torch.randint(0, 3, (n,), generator=torch.Generator().manual_seed(n)) for n in (20, 15)
        )
        rows = a.repeat_interleave(w, 0), b.repeat_interleave(v, 0)
        gap = a.mean(0) - b.mean(0)
        centred = a - a.mean(0), b - b.mean(0)
        found = frechet._distance(*centred, gap, w.double(), v.double())
        assert found == pytest.approx(metrics.frechet_distance(*rows), rel=1e-9)
        one = torch.ones(1, 15).double()
        found = kernel._discrepancy(a, b, w.double()[None], one)
        # Pairs of one example with its own repeats are left out.
        gram = (a @ a.T / d + 1) ** 3
        pairs = torch.outer(w, w).double().fill_diagonal_(0)
        expected = (pairs * gram).sum() / pairs.sum() + kernel._within(b, one)
        expected -= 2 * (w.double() @ (a @ b.T / d + 1) ** 3).mean() / w.sum()
        torch.testing.assert_close(found, expected)


def test_extrapolation_takes_off_the_bias():
    """For equal laws N(0, I) the distance is 0; 40 pairs show the bias, and that it goes."""
    found = np.array(
        [
            [
                metrics.frechet_distance(
                    draw(120, 8, seed=2 * s), draw(120, 8, seed=2 * s + 1), **o
                )
                for o in ({}, {"extrapolate": True})
            ]
            for s in range(40)
        ]
    )
    mean, error = found.mean(0), found.std(0, ddof=1) / math.sqrt(40)
    assert mean[0] > 20 * error[0]
    assert abs(mean[1]) < 4 * error[1] + 0.05 * mean[0]  # what is left falls like 1/n²


def test_the_line_through_exact_points(monkeypatch):
    """A distance that is exactly 5 + 3·parts extrapolates to 5."""
    sizes = iter([8.0] + [11.0] * 2 + [14.0] * 3)
    monkeypatch.setattr(frechet, "_distance", lambda *_: next(sizes))
    assert metrics.frechet_distance(draw(12, 2), draw(9, 2), extrapolate=True) == pytest.approx(5)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 30), m=st.integers(2, 30), d=st.integers(1, 8), seed=st.integers(0, 2**20))
def test_kernel_distance_is_the_double_sum(n, m, d, seed):
    a, b = draw(n, d, seed=seed), 1.5 * draw(m, d, seed=seed + 1) + 0.2

    def k(x, y):
        return (float(x @ y) / d + 1) ** 3

    own = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    other = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    across = sum(k(x, y) for x in a for y in b) / (n * m)
    assert metrics.kernel_distance(a, b) == pytest.approx(own + other - 2 * across, rel=1e-9)


@pytest.mark.parametrize("tile", [1, 3, 7, 100])
def test_kernel_tiles_change_nothing(tile, monkeypatch):
    a, b = draw(20, 4), draw(13, 4, seed=1) + 1
    expected = metrics.kernel_distance(a, b, interval=0.9, resamples=9)
    monkeypatch.setattr(kernel, "TILE", tile)
    assert metrics.kernel_distance(a, b, interval=0.9, resamples=9) == pytest.approx(expected)


def test_kernel_distance_has_mean_zero_for_one_law():
    found = [
        metrics.kernel_distance(draw(12, 5, seed=2 * s), draw(9, 5, seed=2 * s + 1))
        for s in range(800)
    ]
    assert stats.ttest_1samp(found, 0).pvalue > 1e-3
    shifted = [
        metrics.kernel_distance(draw(12, 5, seed=2 * s), draw(9, 5, seed=2 * s + 1) + 0.3)
        for s in range(800)
    ]
    assert stats.ttest_1samp(shifted, 0).pvalue < 1e-6


class Flat(torch.nn.Module):
    """Features for torchmetrics: the numbers as they are."""

    num_features = 6

    def forward(self, images):
        return images.flatten(1)


@pytest.mark.parametrize("n", [5, 40])
def test_torchmetrics_agrees(n):
    """On the same features; their Fréchet distance takes moments as sums, ours is centred."""
    a, b = draw(n, 6), 1.3 * draw(n, 6, seed=1) + 0.4
    theirs = FrechetInceptionDistance(Flat()).set_dtype(torch.float64)
    theirs.update(a, real=True)
    theirs.update(b, real=False)
    assert metrics.frechet_distance(a, b) == pytest.approx(float(theirs.compute()), rel=1e-6)
    theirs = KernelInceptionDistance(Flat(), subsets=1, subset_size=n)
    theirs.update(a, real=True)
    theirs.update(b, real=False)
    assert metrics.kernel_distance(a, b) == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


def test_distances_take_images_and_float32():
    a, b = draw(30, 1, 3, 4), draw(25, 1, 3, 4, seed=1)
    for metric in (metrics.frechet_distance, metrics.kernel_distance):
        expected = metric(a.flatten(1), b.flatten(1))
        assert metric(a, b) == expected
        assert metric(a.float(), b.float()) == pytest.approx(expected, abs=1e-5)


def test_distances_check_what_they_get():
    a = draw(10, 3)
    for metric in (metrics.frechet_distance, metrics.kernel_distance):
        for left, right, named in [
            (a[:1], a, "a must hold at least 2"),
            (a, a[:1], "b must hold at least 2"),
            (a, a[:, :2], "one shape"),
            (a * math.nan, a, "a must be finite"),
            (a, "words", "b must be an array"),
            (a[:0], a, "a must hold at least one"),
        ]:
            with pytest.raises(ValueError, match=named):
                metric(left, right)
    with pytest.raises(ValueError, match="at least 6"):
        metrics.frechet_distance(a, a[:5], extrapolate=True)
