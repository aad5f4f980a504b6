"""The bottleneck denoisers against direct sums, least squares and quadrature, and bad input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffusion_creativity as dc
from diffusion_creativity.denoisers import (
    Affine,
    Bayes,
    Codebook,
    EncoderBottleneck,
    LinearBottleneck,
)
from diffusion_creativity.denoisers.encoder import pca, pooling


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def rows(k, d, seed=0):
    return torch.linalg.qr(draw(d, k, seed=seed, dtype=torch.float64))[0].T


def direct(x, y, sigma, W):
    """E[x | W y] by float64 differences of codes."""
    points = x.double().flatten(1)
    gaps = ((y.double().flatten(1) @ W.T)[:, None] - points @ W.T).square().sum(2)
    gaps = gaps - gaps.amin(1, keepdim=True)
    return ((-gaps / (2 * sigma**2)).softmax(1) @ points).reshape(y.shape)


@pytest.mark.parametrize("sigma", [1e-4, 0.02, 0.3, 1.0, 10.0, 80.0])
@pytest.mark.parametrize("k", [1, 3, 12])
def test_encoder_agrees_with_direct_sums(sigma, k):
    x, W = draw(301, 3, 2, 2, seed=1), rows(k, 12)
    y = x[:40] + sigma * draw(40, 3, 2, 2, seed=2)
    denoise = EncoderBottleneck.fit(x, encoder=W)
    right = direct(x, y, sigma, W)
    assert denoise(y, sigma).dtype == torch.float32
    assert (denoise(y, sigma) - right).abs().max() < 1e-4 * (x.max() - x.min())
    fine = denoise(y.double(), sigma)
    assert fine.dtype == torch.float64
    assert (fine - right).abs().max() < 1e-9


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 30), st.integers(1, 6), st.integers(0, 5), st.floats(1e-3, 80),
    st.integers(0, 99),
)  # fmt: skip
def test_encoder_any_size(count, d, n, sigma, seed):
    x = 3 * draw(count, d, seed=seed)
    W = rows(1 + seed % d, d, seed)
    y = draw(n, d, seed=seed + 1) * (1 + sigma)
    denoise = EncoderBottleneck.fit(x, encoder=W)
    out = denoise(y, sigma)
    assert out.shape == y.shape
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out, denoise(y, torch.full((n,), sigma)))
    unseen = draw(n, d, seed=3).double() @ (torch.eye(d).double() - W.T @ W)
    blind = denoise(y.double() + unseen, sigma)
    torch.testing.assert_close(blind, denoise(y.double(), sigma), atol=1e-6, rtol=1e-6)


def test_whole_encoder_is_bayes_and_turning_the_code_changes_nothing():
    x, y = draw(60, 4, seed=1), draw(9, 4, seed=2)
    full = EncoderBottleneck.fit(x, encoder=torch.eye(4))
    torch.testing.assert_close(full(y, 0.7), Bayes.fit(x)(y, 0.7), atol=1e-5, rtol=1e-5)
    W, turn = rows(2, 4), rows(2, 2, seed=5)
    torch.testing.assert_close(
        EncoderBottleneck.fit(x, encoder=turn @ W)(y, 0.4),
        EncoderBottleneck.fit(x, encoder=W)(y, 0.4), atol=1e-5, rtol=1e-5,
    )  # fmt: skip


def test_mixture_agrees_with_quadrature():
    """One hidden coordinate integrated on a grid."""
    means, scales = draw(4, 2, seed=1).double(), torch.tensor([0.3, 0.2, 0.5, 0.4]).double()
    weights, W = torch.tensor([0.1, 0.4, 0.3, 0.2]).double(), torch.eye(2)[:1].double()
    denoise = EncoderBottleneck.from_mixture(means, scales, weights, encoder=W)
    grid = torch.linspace(-6, 6, 601).double()
    x = torch.cartesian_prod(grid, grid)
    density = sum(
        w * torch.exp(-(x - m).square().sum(1) / (2 * s**2)) / s**2
        for w, m, s in zip(weights, means, scales, strict=True)
    )
    for sigma in (0.2, 1.5):
        for code in (-0.6, 0.8):
            share = density * torch.exp(-((code - x[:, 0]) ** 2) / (2 * sigma**2))
            right = share @ x / share.sum()
            y = torch.tensor([[code, 7.0]]).double()
            torch.testing.assert_close(denoise(y, sigma)[0], right, atol=1e-6, rtol=0)


def test_gaussian_and_mixture_of_one_agree():
    mean, W = torch.tensor([1.0, -2, 3]).double(), rows(2, 3)
    one = EncoderBottleneck.from_mixture(mean[None], 0.7, encoder=W)
    normal = EncoderBottleneck.from_gaussian(mean, 0.49 * torch.eye(3).double(), encoder=W)
    y = draw(5, 3, seed=4).double()
    torch.testing.assert_close(one(y, 0.9), normal(y, 0.9))
    A, b = normal._conditional.maps(0.9)
    torch.testing.assert_close(y @ A.T + b, normal(y, 0.9))


def test_makers():
    W = pooling((1, 4, 6), 2)
    assert W.shape == (6, 24)
    torch.testing.assert_close(W @ W.T, torch.eye(6).double())
    x = draw(3, 1, 4, 6)
    pooled = torch.nn.functional.avg_pool2d(x, 2)
    torch.testing.assert_close((x.flatten(1) @ W.float().T) / 2, pooled.flatten(1))
    data = draw(50, 5) * torch.tensor([1, 5, 2, 3, 4])
    V = pca(data, 2)
    torch.testing.assert_close(V @ V.T, torch.eye(2).double())
    cov = torch.cov(data.double().T, correction=0)
    torch.testing.assert_close(
        torch.linalg.eigvalsh(V @ cov @ V.T), torch.linalg.eigvalsh(cov)[-2:]
    )


def test_linear_is_affine_at_full_rank_and_projects_otherwise():
    x, y = draw(40, 2, 3, seed=1), draw(7, 2, 3, seed=2)
    torch.testing.assert_close(LinearBottleneck.fit(x, rank=6)(y, 0.5), Affine.fit(x)(y, 0.5))
    denoise = LinearBottleneck.fit(x, rank=2)
    assert denoise.rank == 2
    assert torch.linalg.matrix_rank(denoise.maps(0.5)[0]) == 2
    A, b = denoise.maps(0.5)
    right = (y.flatten(1).double() @ A.T + b).reshape(y.shape)
    torch.testing.assert_close(denoise(y.double(), 0.5), right)
    sigmas = dc.noise.karras(12)
    noise = dc.sampling.initial_noise(5, (2, 3), seed=1).double()
    torch.testing.assert_close(
        denoise.generate(noise, sigmas), dc.sampling.ddim(denoise, noise, sigmas)
    )
    assert LinearBottleneck.fit(x[:3], rank=5).law(sigmas).rank == 2  # more than the data have


def test_law_of_equal_codes():
    x = torch.tensor([[0.0, 1], [0, 3], [2, 1], [0, -7]])
    law = EncoderBottleneck.fit(x, encoder=torch.tensor([[1.0, 0]])).law()
    assert law.atoms.tolist() == [[0, -1], [2, 1]]
    assert law.probabilities.tolist() == [0.75, 0.25]


def test_codebook():
    x = torch.cat([draw(30, 2, seed=k) * 0.1 + 5 * k for k in range(3)])
    denoise = Codebook.fit(x, words=3)
    means = torch.stack([x[30 * k : 30 * k + 30].mean(0) for k in range(3)])
    torch.testing.assert_close(denoise.centroids.sort(0).values, means, atol=1e-5, rtol=0)
    torch.testing.assert_close(denoise.shares, torch.full((3,), 1 / 3).double())
    y = x + 0.3 * draw(90, 2, seed=9)
    m = Bayes.fit(x)(y, 0.3)
    nearest = torch.cdist(m, denoise.centroids).argmin(1)
    torch.testing.assert_close(denoise(y, 0.3), denoise.centroids[nearest])
    torch.testing.assert_close(Codebook.fit(x, words=1)(y, 0.3)[0], x.mean(0))
    assert Codebook.fit(x, words=1).law().agreement(x.mean(0).expand(9, 2)).ok
    again = Codebook.fit(x, words=3)
    assert torch.equal(again.centroids, denoise.centroids)
    half = denoise(y.half(), 0.3)
    assert half.dtype == torch.float16


X = draw(9, 1, 2, 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: LinearBottleneck.fit(X, rank=5), r"rank must be at most .* 4, got 5"),
        (lambda: LinearBottleneck.fit(X, rank=0), "rank must be an integer >= 1"),
        (lambda: LinearBottleneck.fit(X, rank=2.5), "rank must be an integer"),
        (lambda: LinearBottleneck.fit(X * math.nan, rank=2), "x must be finite"),
        (lambda: LinearBottleneck.fit(X, rank=1, ridge=-1), "ridge"),
        (lambda: EncoderBottleneck.fit(X, encoder=rows(2, 3)), r"encoder must have shape \(k, 4\)"),
        (lambda: EncoderBottleneck.fit(X, encoder=2 * rows(2, 4)), "differs from I by 3, .*qr"),
        (lambda: EncoderBottleneck.fit(X, encoder=rows(2, 4) * math.inf), "encoder must be finite"),
        (lambda: EncoderBottleneck.fit(X, encoder="pooling"), "encoder must be an array"),
        (lambda: EncoderBottleneck.from_mixture(X, 0.0, encoder=rows(1, 4)), "scales must be"),
        (lambda: EncoderBottleneck.from_mixture(X, 1, [1.0], encoder=rows(1, 4)), "weights must"),
        (lambda: EncoderBottleneck.from_gaussian(torch.zeros(2), torch.diag(torch.tensor([1.0, 0])),
                                                 encoder=torch.tensor([[0.0, 1]])), "W cov Wᵀ"),
        (lambda: EncoderBottleneck.from_gaussian(torch.zeros(2), torch.eye(3),
                                                 encoder=torch.tensor([[0.0, 1]])), "cov must"),
        (lambda: pooling((1, 8, 8), 3), "factor must divide"),
        (lambda: pca(X, 5), "k must be at most the rank"),
        (lambda: Codebook.fit(X, words=10), "words must be at most 9"),
        (lambda: Codebook.fit(X, words=0), "words must be an integer >= 1"),
        (lambda: Codebook(X, draw(2, 3)), "centroids must have shape"),
        (lambda: Codebook.two_point_share(1.5), "probability must be below 1"),
        (lambda: EncoderBottleneck.fit(X, encoder=rows(1, 4))(draw(2, 4), 1.0), "y must have"),
        (lambda: EncoderBottleneck.fit(X, encoder=rows(1, 4))(X, -1.0), "sigma must be"),
        (lambda: Codebook.fit(X, words=2)(X, -1.0), "sigma must be"),
        (lambda: EncoderBottleneck.fit(X, encoder=rows(1, 4)).law([1.0, 2.0]), "sigmas must"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
