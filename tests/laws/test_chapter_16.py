"""Certificates of the chapter on generalising: who agrees, who copies, and when."""

import math

import pytest
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.data.faces import Faces

LEVEL = 1e-5  # of every test below: a true statement fails once in a hundred thousand
FAMILY = Faces(positions=1)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def root(A):
    values, vectors = torch.linalg.eigh(A)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def moments(x):
    """Mean and covariance of rows, normalised by their number."""
    centred = x - x.mean(0)
    return x.mean(0), centred.T @ centred / len(x)


def gap(a, b):
    """Mean squared distance between the samples of two linear machines from the same noise."""
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    return ((root(cov_a) - root(cov_b)).square().sum() + (mean_a - mean_b).square().sum()).item()


def population(kind):
    """Rows that are drawn from with replacement: faces, or heavy tails in 12 dimensions."""
    if kind == "faces":
        return FAMILY.render(torch.arange(0, len(FAMILY), 5)).double().flatten(1)
    return draw(2000, 12, seed=1).pow(3) * torch.linspace(0.1, 2, 12)


def bound(x, n):
    centred = x - x.mean(0)
    sigma = centred.T @ centred / len(x)
    fourth = centred.square().sum(1).square().mean()
    spread = 2 * x.shape[1] * (fourth - sigma.square().sum()) / n
    return (4 * sigma.trace() / n + spread.sqrt()).item()


@pytest.mark.parametrize("kind", ["faces", "heavy tails"])
def test_thm_linear_halves(kind):
    """The distance between two linear machines is that of the formula, and below the bound."""
    x = population(kind)
    generator = torch.Generator().manual_seed(2)
    found = {}
    for n in (8, 64, 512):
        pairs = [x[torch.randint(len(x), (2, n), generator=generator)] for _ in range(12)]
        gaps = torch.tensor([gap(a, b) for a, b in pairs])
        # Markov's inequality would allow more; the mean of twelve lies far below the bound.
        assert gaps.mean() < bound(x, n)
        found[n] = gaps.mean()
    assert found[512] < found[8] / 4  # it goes to 0
    assert bound(x, 4 * 512) < 0.51 * bound(x, 512)  # as the root of N at least

    # The formula is about samples: the flow from the same noise, in finer and finer steps.
    a, b = pairs[0]
    sigmas = dc.noise.log_linear(400, sigma_min=1e-3, sigma_max=1e4)
    noise = dc.sampling.initial_noise(300, (x.shape[1],), sigma_max=1e4, seed=3).double()
    ends = [dc.sampling.heun(dc.denoisers.Affine.fit(y), noise, sigmas) for y in (a, b)]
    for end, y in zip(ends, (a, b), strict=True):
        mean, cov = moments(y)
        assert (end - (mean + noise / 1e4 @ root(cov))).abs().max() < 0.02 * cov.trace().sqrt()
    squares = (ends[0] - ends[1]).square().sum(1)
    error = stats.norm.isf(LEVEL / 2) * squares.std() / math.sqrt(len(squares))
    assert abs(squares.mean() - gap(a, b)) < error + 0.02 * squares.mean()
    # Control: from other noise they are as far apart as two samples of one machine.
    others = (ends[0] - ends[1].roll(1, 0)).square().sum(1).mean()
    assert others > 1.5 * moments(a)[1].trace()
    assert others > 5 * squares.mean()


def test_lem_square_roots():
    """Of two positive matrices the roots differ by no more than the trace norm allows."""
    for seed in range(200):
        rank = 1 + seed % 6
        A, B = (m @ m.T for m in (draw(6, rank, seed=2 * seed), draw(6, 6, seed=2 * seed + 1)))
        left = (root(A) - root(B)).square().sum()
        assert left <= torch.linalg.svdvals(A - B).sum() * (1 + 1e-9)
    # Equality where one is 0, and no such inequality in the Frobenius norm.
    A = torch.eye(6, dtype=torch.float64)
    assert root(A).square().sum() == pytest.approx(torch.linalg.svdvals(A).sum())
    assert root(A).square().sum() > A.norm()


def test_prop_perfect_halves():
    """Two perfect denoisers of disjoint sets never end on one image, however large the sets."""
    sigmas = dc.noise.karras(60)
    for n in (8, 64, 512):
        train, _ = FAMILY.split(2 * n, held_out=0, seed=n)
        halves = FAMILY.render(train).double().split(n)
        noise = dc.sampling.initial_noise(200, halves[0].shape[1:], seed=0).double()
        ends = [dc.sampling.ddim(dc.denoisers.Bayes.fit(x), noise, sigmas) for x in halves]
        for end, x in zip(ends, halves, strict=True):
            assert dc.metrics.copied_fraction(end, x, tolerance=1e-3) == 1
        apart = (ends[0] - ends[1]).flatten(1).norm(dim=1)
        least = dc.metrics.nearest(*halves)[0].min()
        assert apart.min() > least - 0.05 > 0.5
        # Control: on one set twice they do agree.
        again = dc.sampling.ddim(dc.denoisers.Bayes.fit(halves[0].flip(0)), noise, sigmas)
        assert (again - ends[0]).abs().max() < 1e-6


def shuffled(x, order):
    return x.flatten(1)[:, order].reshape(x.shape)


def test_prop_shuffled_pixels():
    """Machines of classes that do not know the grid draw the same images, shuffled."""
    x = dc.data.load("digits").x[:120].double()
    order = torch.randperm(64, generator=torch.Generator().manual_seed(4))
    sigmas = dc.noise.karras(30)
    noise = dc.sampling.initial_noise(20, x.shape[1:], seed=1).double()

    def difference(fit):
        plain = dc.sampling.ddim(fit(x), noise, sigmas)
        other = dc.sampling.ddim(fit(shuffled(x, order)), shuffled(noise, order), sigmas)
        return ((shuffled(plain, order) - other).norm() / plain.norm()).item()

    blind = {
        "Bayes": dc.denoisers.Bayes.fit,
        "affine": dc.denoisers.Affine.fit,
        "bottleneck": lambda y: dc.denoisers.LinearBottleneck.fit(y, rank=5),
        "pixels": lambda y: dc.denoisers.Pixelwise.fit(y),
    }
    for name, fit in blind.items():
        assert difference(fit) < 1e-5, name
    seeing = {
        "convolution": lambda y: dc.denoisers.Convolutional.fit(y, kernel_size=3),
        "windows": lambda y: dc.denoisers.LocalScore.fit(y, window=3),
    }
    for name, fit in seeing.items():
        assert difference(fit) > 0.1, name


def features(n, shared, private, seed=0):
    """n rows with one common part of that squared length and private ones, all at right angles."""
    basis = torch.linalg.qr(draw(n + 3, n + 1, seed=seed))[0].T
    return shared**0.5 * basis[:1] + private**0.5 * basis[1:], shared**0.5 * basis[0]


def residuals(Phi, target, t):
    """Gradient flow from 0 on half the mean squared error, by the exponential of its matrix."""
    K = Phi @ Phi.T / len(Phi)
    return torch.linalg.matrix_exp(-K * t) @ target


@pytest.mark.parametrize(("shared", "private"), [(1.0, 0.5), (0.2, 3.0)])
def test_prop_shared_first(shared, private):
    """What is shared is learned at a rate that hardly knows N, what is private in a time as N."""
    for n in (4, 16, 64):
        Phi, common = features(n, shared, private)
        target = 1 + draw(n, seed=n)
        mean, v = target.mean(), target.var(correction=0)
        for t in (0.1, 1.0, n / private):
            r = residuals(Phi, target, t)
            fast, slow = shared + private / n, private / n
            assert r.mean() == pytest.approx((mean * math.exp(-fast * t)).item())
            assert r.var(correction=0).item() == pytest.approx((v * math.exp(-2 * slow * t)).item())
            # The prediction for an example that it has not seen is the common part's alone.
            w = torch.linalg.pinv(Phi) @ (target - r)
            unseen = common @ w
            share = shared / fast * (1 - math.exp(-fast * t))
            assert unseen == pytest.approx((share * mean).item(), abs=1e-9)
        assert residuals(Phi, target - mean, n / private).norm() == pytest.approx(
            (target - mean).norm().item() / math.e
        )

    # Control: private parts that share a few directions are learned in a time that stops growing.
    def time_of(n):
        Phi = draw(n, 3, seed=5)
        K = Phi @ Phi.T / n
        return 1 / torch.linalg.eigvalsh(K)[-1].item()

    assert time_of(256) < 2 * time_of(16)
