"""Certificates of chapter 7: every statement against simulation or exact arithmetic, and a control.

A certificate is only worth something if it can fail, so each ends with a wrong law that must.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Codebook, EncoderBottleneck, LinearBottleneck
from diffusion_creativity.denoisers.encoder import pca, pooling

LEVEL = 1e-5  # of every test below: a true law fails once in a hundred thousand
DIGITS = dc.data.load("digits").x
LAMBDA = torch.tensor([3.0, 2.0, 1.2, 0.7, 0.3, 0.1], dtype=torch.float64)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TURN = torch.linalg.qr(draw(6, 6, seed=1))[0]
COV = (TURN * LAMBDA) @ TURN.T


def excess(A, sigma):
    C = COV + sigma**2 * torch.eye(6, dtype=torch.float64)
    off = A - torch.linalg.solve(C, COV).T
    return torch.trace(off @ C @ off.T).item()


@pytest.mark.parametrize("sigma", [0.05, 0.7, 4.0, 60.0])
@pytest.mark.parametrize("rank", [1, 2, 5])
def test_thm_bottle_linear(sigma, rank):
    """The loss of the formula is the Eckart-Young bound; every other plane loses more."""
    A, b = LinearBottleneck(torch.zeros(6), COV, rank=rank).maps(sigma)
    lost = (LAMBDA**2 / (LAMBDA + sigma**2))[rank:].sum().item()
    assert excess(A, sigma) == pytest.approx(lost, rel=1e-9)
    assert torch.linalg.matrix_rank(A) == rank
    assert b.abs().max() < 1e-12
    best = torch.linalg.solve(COV + sigma**2 * torch.eye(6).double(), COV)
    for planes in itertools.combinations(range(6), rank):
        if planes != tuple(range(rank)):
            U = TURN[:, planes]
            assert excess(U @ U.T @ best, sigma) > lost * (1 + 1e-9)
    for seed in range(20):  # no map of this rank in the neighbourhood does better
        move = 1e-3 * draw(6, 6, seed=seed)
        U, s, V = torch.linalg.svd(A + move * A.abs().max())
        near = (U[:, :rank] * s[:rank]) @ V[:rank]
        assert excess(near, sigma) > lost


@settings(deadline=None, max_examples=200)
@given(st.floats(1e-4, 1e3), st.floats(1.001, 100), st.floats(1e-3, 100))
def test_the_order_of_directions_does_not_depend_on_the_noise(lam, factor, sigma):
    larger = lam * factor
    assert larger**2 / (larger + sigma**2) > lam**2 / (lam + sigma**2)


@pytest.mark.parametrize("rank", [1, 2, 8, 32])
def test_cor_bottle_law(rank):
    sigmas = dc.noise.karras(18)
    denoise = LinearBottleneck.fit(DIGITS, rank=rank)
    made = dc.sampling.ddim(denoise, dc.sampling.initial_noise(4000, (1, 8, 8), seed=rank), sigmas)
    report = denoise.law(sigmas).agreement(made, alpha=LEVEL)
    assert report.ok, report
    assert report["largest distance off the plane"].value < 1e-5
    assert denoise.law(sigmas).rank == rank
    assert not denoise.law(None).agreement(made, alpha=LEVEL).ok
    wider = LinearBottleneck.fit(DIGITS, rank=rank + 1).law(sigmas)
    assert not wider.agreement(made, alpha=LEVEL).ok
    if rank > 1:
        narrower = LinearBottleneck.fit(DIGITS, rank=rank - 1).law(sigmas)
        assert not narrower.agreement(made, alpha=LEVEL).ok

    # The gains written out, and the limit.
    flat = DIGITS.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T, correction=0))
    values, U = values.flip(0)[:rank], vectors.flip(1)[:, :rank]
    g = torch.ones_like(values)
    for s, t in itertools.pairwise(sigmas):
        g = g * (values + s * t) / (values + s**2)
    expected = (U * (sigmas[0] * g) ** 2) @ U.T
    torch.testing.assert_close(denoise.law(sigmas).cov, expected, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(denoise.law(None).cov, (U * values) @ U.T, atol=1e-9, rtol=1e-9)


def descend(sigma, decay, rank=6, steps=6000):
    C, rate = COV + sigma**2 * torch.eye(6).double(), 0.1 / (3 + sigma**2)
    W1, W2 = 0.3 * draw(rank, 6, seed=7), 0.3 * draw(6, rank, seed=8)
    for _ in range(steps):
        slope = 2 * (W2 @ W1 @ C - COV)
        W1, W2 = (
            W1 - rate * (W2.T @ slope + 2 * decay * W1),
            W2 - rate * (slope @ W1.T + 2 * decay * W2),
        )
    return W2 @ W1


def test_prop_bottle_decay():
    """Gradient descent with weight decay finds the soft threshold, not the ridge's gains."""
    gamma = 0.5
    for sigma, rank in ((0.3, 6), (1.0, 4)):
        threshold = (LAMBDA - gamma).clamp(min=0) / (LAMBDA + sigma**2)
        ridge = LAMBDA / (LAMBDA + sigma**2 + gamma)
        learnt = TURN.T @ descend(sigma, gamma, rank) @ TURN
        torch.testing.assert_close(learnt, torch.diag(threshold), atol=1e-5, rtol=0)
        assert (learnt.diagonal() - ridge).abs().max() > 0.05

    # The ridge on the product: the same plane at the noise variance σ² + γ.
    gain = LinearBottleneck(torch.zeros(6), COV, rank=3, ridge=gamma).gain(0.3)
    torch.testing.assert_close(gain, (LAMBDA / (LAMBDA + 0.09 + gamma))[:3])

    # The factor of the exact flow, by numerical integration; it goes to 0 with σ_min.
    lam, low, high = 1.7, 0.01, 80.0
    a = gamma / lam
    exponent = integrate.quad(
        lambda u: (math.exp(2 * u) + gamma) / (lam + math.exp(2 * u)), math.log(low), math.log(high)
    )[0]
    formula = (low / high) ** a * ((lam + low**2) / (lam + high**2)) ** ((1 - a) / 2)
    assert formula == pytest.approx(math.exp(-exponent), rel=1e-6)
    assert (low / high) ** a * ((lam + low**2) / (lam + high**2)) ** 0.5 != pytest.approx(formula)


def curve(noise=0.05):
    t = torch.linspace(0, 1, 200, dtype=torch.float64)
    points = torch.stack([t * torch.cos(7 * t), t * torch.sin(7 * t), t**2], 1)
    return points, noise


@pytest.mark.parametrize("k", [1, 2])
def test_thm_bottle_encoder(k):
    """DDIM against E[x | Wx + σ n] drawn without a flow; another encoder's law fails."""
    points, noise = curve()
    W = torch.linalg.qr(draw(3, k, seed=k))[0].T
    denoise = EncoderBottleneck.from_mixture(points, noise, encoder=W)
    sigmas = dc.noise.karras(120)
    start = dc.sampling.initial_noise(3000, (3,), seed=3).double()
    path = dc.sampling.ddim(denoise, start, sigmas, return_trajectory=True)
    report = denoise.law(sigmas).agreement(path[-1], alpha=LEVEL)
    assert report.ok, report
    other = EncoderBottleneck.from_mixture(points, noise, encoder=torch.eye(3)[:k])
    assert not other.law(sigmas).agreement(path[-1], alpha=LEVEL).ok

    # (1) On the way the codes have the law of Wx + σ n, and what W does not see does not matter.
    j = 100
    x = points[torch.randint(200, (3000,), generator=torch.Generator().manual_seed(5))]
    x = x + noise * draw(3000, 3, seed=6)
    code = x @ W.T + sigmas[j] * draw(3000, k, seed=7)
    assert dc.laws.Empirical(code).agreement(path[j] @ W.T, alpha=LEVEL).ok
    assert not dc.laws.Empirical(x @ W.T + 0.5).agreement(path[j] @ W.T, alpha=LEVEL).ok
    unseen = torch.eye(3).double() - W.T @ W
    again = dc.sampling.ddim(denoise, start + 50 * draw(3000, 3, seed=8) @ unseen, sigmas)
    torch.testing.assert_close(again, path[-1], atol=1e-9, rtol=1e-9)


def test_gaussian_population_through_an_encoder():
    """Exact finite-step law; the PCA encoder gives the law of the linear bottleneck."""
    mean, W = torch.arange(6.0).double(), torch.linalg.qr(draw(6, 2, seed=3))[0].T
    denoise = EncoderBottleneck.from_gaussian(mean, COV, encoder=W)
    sigmas = dc.noise.karras(15)
    made = dc.sampling.ddim(denoise, dc.sampling.initial_noise(8000, (6,), seed=3).double(), sigmas)
    assert denoise.law(sigmas).agreement(made, alpha=LEVEL).ok
    assert not denoise.law(None).agreement(made, alpha=LEVEL).ok
    leading = TURN[:, :2].T
    linear = LinearBottleneck(mean, COV, rank=2)
    behind = EncoderBottleneck.from_gaussian(mean, COV, encoder=leading)
    for levels in (None, sigmas):
        torch.testing.assert_close(behind.law(levels).cov, linear.law(levels).cov)
        torch.testing.assert_close(behind.law(levels).mean, linear.law(levels).mean)


def test_cor_bottle_blur():
    """Mean kept, covariance Σ - E Cov(x | Wx), by quadrature over the code."""
    means = torch.tensor([[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]], dtype=torch.float64)
    scales, weights = torch.tensor([0.3, 0.2, 0.5]), torch.tensor([0.2, 0.3, 0.5])
    W = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    denoise = EncoderBottleneck.from_mixture(means, scales, weights, encoder=W)
    c = torch.linspace(-6, 6, 4001, dtype=torch.float64)[:, None]
    density = sum(
        w * torch.exp(-((c - W @ m) ** 2) / (2 * s**2)) / (s * math.sqrt(2 * math.pi))
        for w, m, s in zip(weights.double(), means, scales.double(), strict=True)
    )[:, 0]
    share = density / density.sum()
    answers = denoise(c @ W, 0.0)
    mean = share @ answers
    second = ((answers - mean).T * share) @ (answers - mean)
    target = dc.data.toy.gaussian_mixture(means, scales, weights)
    torch.testing.assert_close(mean, target.mean, atol=1e-6, rtol=0)
    lost = target.cov - second
    assert torch.linalg.eigvalsh(lost)[0] > -1e-7  # never more variance than the target
    assert lost.trace() > 0.1
    assert (W @ lost @ W.T).abs() < 1e-6  # none is lost along the code

    made = dc.sampling.ddim(
        denoise, dc.sampling.initial_noise(20_000, (2,), seed=4).double(), dc.noise.karras(150)
    )
    total = (made - mean).square().sum(1)
    error = total.std().item() / math.sqrt(len(total))
    bound = stats.norm.isf(LEVEL / 2) * error
    assert abs(total.mean() - second.trace()) < bound
    assert abs(total.mean() - target.cov.trace()) > bound


@pytest.mark.parametrize("kind", ["one number", "thumbnail", "equal codes"])
def test_cor_bottle_copies(kind):
    """Counts and places of the atoms; for equal codes the training set is the wrong law."""
    x = DIGITS[:300]
    W = {"one number": pca(x, 1), "thumbnail": pooling((1, 8, 8), 4),
         "equal codes": pooling((1, 8, 8), 8)}[kind]  # fmt: skip
    denoise = EncoderBottleneck.fit(x, encoder=W)
    sigmas = dc.noise.karras(80, sigma_min=1e-6)
    made = dc.sampling.ddim(
        denoise, dc.sampling.initial_noise(3000, (1, 8, 8), seed=5).double(), sigmas
    )
    law = denoise.law(sigmas)
    report = law.agreement(made, alpha=LEVEL)
    assert report.ok, report
    codes = (x.flatten(1).double() @ W.T).round(decimals=9)
    groups = {tuple(c) for c in codes.tolist()}
    assert len(law.atoms) == len(groups)
    training_set = dc.laws.Discrete(x)
    if kind == "equal codes":
        assert len(groups) < 250
        assert not training_set.agreement(made, alpha=LEVEL).ok
    else:
        assert len(groups) == 300
        assert dc.metrics.copied_fraction(made.float(), x) == 1.0
        skewed = torch.linspace(0.5, 1.5, 300)
        wrong = dc.laws.Discrete(x, skewed / skewed.sum())
        assert not wrong.agreement(made, alpha=LEVEL).ok


def test_last_step_bound_of_the_copies():
    x = DIGITS[:50]
    W = pooling((1, 8, 8), 4)
    denoise, sigma = EncoderBottleneck.fit(x, encoder=W), 0.3
    y = x.double() + sigma * draw(50, 1, 8, 8, seed=2)
    gaps = torch.cdist(y.flatten(1) @ W.T, x.flatten(1).double() @ W.T).square()
    two = gaps.topk(2, largest=False)
    g = two.values[:, 1] - two.values[:, 0]
    longest = torch.pdist(x.flatten(1)).max()
    off = (denoise(y, sigma) - x[two.indices[:, 0]]).flatten(1).norm(dim=1)
    bound = 49 * longest * torch.exp(-g / (2 * sigma**2))
    assert (off <= bound + 1e-12).all()
    assert (off > bound * torch.exp(-g / sigma**2)).any()  # twice the exponent would be wrong


def test_prop_bottle_words():
    """The nearest word to the posterior mean loses least; every sample is a word."""
    denoise = Codebook.fit(DIGITS, words=10)
    words = denoise.centroids
    x = DIGITS[torch.randint(1797, (20_000,), generator=torch.Generator().manual_seed(1))]
    for sigma in (0.5, 2.0):
        y = x + sigma * draw(*x.shape, seed=2).float()
        best = (x - denoise(y, sigma)).square().flatten(1).sum(1)
        nearest = dc.metrics.nearest(y, words)[1]  # control: nearest to y instead
        other = (x - words[nearest]).square().flatten(1).sum(1)
        z = (other - best).mean() / ((other - best).std() / math.sqrt(len(x)))
        assert z > stats.norm.isf(LEVEL)
    made = dc.sampling.ddim(
        denoise, dc.sampling.initial_noise(300, (1, 8, 8), seed=3), dc.noise.karras(30)
    )
    assert dc.metrics.copied_fraction(made, words, tolerance=1e-6) == 1.0
    assert dc.metrics.copied_fraction(made, DIGITS) < 0.01

    # Each word is the mean of its cell, and small noise sends a training image there.
    cell = denoise.words(DIGITS, 1e-3)
    means = torch.stack([DIGITS[cell == j].mean(0) for j in range(10)])
    torch.testing.assert_close(means, words, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("p", "known"), [(0.5, 0.5), (0.25, 0.0691), (0.1, 0.0180), (0.4, 0.1839)])
def test_prop_bottle_shares(p, known):
    """The share of the rare word by simulation; the cell's share fails."""
    formula = stats.norm.cdf(-math.sqrt(2 * math.log((1 - p) / p)))
    assert formula == pytest.approx(known, abs=5e-5)
    assert Codebook.two_point_share(p) == pytest.approx(formula, rel=1e-9)
    assert Codebook.two_point_share(1 - p) == pytest.approx(1 - formula, rel=1e-9)
    ones = round(20 * p)
    x = torch.tensor([[2.0, 1.0]]) * (torch.arange(20) < ones)[:, None] - 1
    denoise = Codebook(x, x[[0, -1]])
    n, sigmas = 8000, dc.noise.karras(200, sigma_max=2000.0)
    made = dc.sampling.ddim(denoise, dc.sampling.initial_noise(n, (2,), 2000.0, seed=6), sigmas)
    hits = int((made[:, 0] > 0).sum())
    assert stats.binomtest(hits, n, formula).pvalue > LEVEL
    if p < 0.5:
        assert stats.binomtest(hits, n, p).pvalue < LEVEL


def test_shares_of_many_words_are_not_their_cells():
    """The observation of the chapter, and the law by simulation against independent runs."""
    denoise = Codebook.fit(DIGITS, words=6)
    sigmas = dc.noise.karras(25)
    made = dc.sampling.ddim(denoise, dc.sampling.initial_noise(800, (1, 8, 8), seed=9), sigmas)
    counts = dc.metrics.nearest(made, denoise.centroids)[1].bincount(minlength=6).numpy()
    assert stats.chisquare(counts, 800 * denoise.shares.numpy()).pvalue < LEVEL
    assert denoise.law(sigmas, runs=800).agreement(made, alpha=LEVEL).ok
    cells = dc.laws.Discrete(denoise.centroids, denoise.shares)
    assert not cells.agreement(made, alpha=LEVEL).ok
    assert np.isclose(denoise.shares.sum(), 1)
