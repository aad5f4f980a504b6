"""Certificates of chapter 10: twins generate the same samples, and a richer architecture tells.

Each ends with a control that must fail: moments one order short, or a wrong formula.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import diffusion_creativity as dc
from diffusion_creativity.data import toy, twins
from diffusion_creativity.denoisers import (
    Affine,
    Bayes,
    Blockwise,
    Convolutional,
    Equivariant,
    LinearBottleneck,
    Pixelwise,
    Polynomial,
)

LEVEL = 1e-5  # of every statistical test below
SAME = 1e-7  # distance between samples from the same noise, of targets of size 1: rounding
SIGMAS = dc.noise.karras(18)
NOISE = dc.sampling.initial_noise(60, (2,), seed=1).double()
CLUSTERS = toy.gaussian_mixture([[-1.0, -0.6], [0.2, 1.0], [1.1, -0.5]], 0.12).sample(200, 1)
SPIRAL = toy.spiral().sample(220, seed=2)
BOARD = toy.checkerboard().sample(240, seed=3)
POOL = torch.cat([twins.moment_twin(CLUSTERS, x, 2) for x in (CLUSTERS, SPIRAL, BOARD)])
DIGITS = dc.data.load("digits").subset(120, seed=4).x.double()
IMAGE_NOISE = dc.sampling.initial_noise(8, (1, 8, 8), seed=5).double()


def apart(a, b):
    return (a - b).flatten(1).norm(dim=1).nan_to_num(math.inf).max().item()


def pair(order):
    return twins.moment_twin(POOL, SPIRAL, order), twins.moment_twin(POOL, BOARD, order)


def joint(degree):
    return lambda x: Polynomial.fit(x, degree=degree, basis="joint")


def monomials(degree):
    which = torch.cat([torch.zeros(1, 2, dtype=torch.long), twins.exponents(degree, 2)])
    return lambda y: (y[:, None] ** which).prod(-1)


def brute_force(x, features, sigma, nodes=6):
    """E[x φᵀ] E[φ φᵀ]⁺ literally, the noise by Gauss–Hermite quadrature: C (d, m)."""
    at, weight = np.polynomial.hermite_e.hermegauss(nodes)
    grid = list(itertools.product(range(nodes), repeat=2))
    n = torch.tensor([[at[i], at[j]] for i, j in grid])
    w = torch.tensor([weight[i] * weight[j] for i, j in grid]) / (weight.sum() ** 2 * len(x))
    y = (x[:, None] + sigma * n).flatten(0, 1)
    phi, w = features(y), w.repeat(len(x))[:, None]
    cross = (w * x.repeat_interleave(len(n), 0)).T @ phi
    return cross @ torch.linalg.pinv(phi.T @ (w * phi), hermitian=True, rtol=1e-12)


def test_thm_unify_moments():
    """Normal equations, the pseudo-inverse formula, and equal samples of five samplers."""
    x = pair(2)[0]
    sigma, y = 0.6, NOISE[:40] / 80
    generator = torch.Generator().manual_seed(6)

    def redundant(y):
        phi = monomials(2)(y)
        return torch.cat([phi, phi[:, :1] - 2 * phi[:, 3:4], phi[:, 1:2]], 1)

    # Part 2, singular Gram matrix included, against the package's own formulas.
    for features, fit in (
        (monomials(1), Affine.fit),
        (redundant, joint(2)),
        (monomials(3), joint(3)),
    ):
        C = brute_force(x, features, sigma)
        assert apart(features(y) @ C.T, fit(x)(y, sigma)) < 1e-7
    wrong = features(y) @ brute_force(x, features, sigma * 1.01).T
    assert apart(wrong, fit(x)(y, sigma)) > 1e-4

    # Part 1: the error is orthogonal to each feature, and any other function loses more.
    n = 200_000
    clean = x[torch.randint(len(x), (n,), generator=generator)]
    noisy = clean + sigma * torch.randn(n, 2, generator=generator, dtype=torch.float64)

    def p_value(denoise):
        terms = (
            (clean - denoise(noisy, sigma))[:, :, None] * monomials(2)(noisy)[:, None]
        ).flatten(1)
        z = terms.mean(0) / (terms.std(0) / math.sqrt(n))
        return min(1.0, z.numel() * 2 * stats.norm.sf(z.abs().max().item()))

    assert p_value(joint(2)(x)) > LEVEL
    assert p_value(lambda y, s: 0.97 * joint(2)(x)(y, s)) < LEVEL

    # Part 3: every sampler, few steps and many; one order more is told apart.
    samplers = (
        lambda f: dc.sampling.ddim(f, NOISE, SIGMAS),
        lambda f: dc.sampling.ddim(f, NOISE, dc.noise.karras(3)),
        lambda f: dc.sampling.heun(f, NOISE, SIGMAS),
        lambda f: dc.sampling.ancestral(f, NOISE, SIGMAS, seed=7, churn=2.0),
        lambda f: dc.sampling.heun(f, NOISE, SIGMAS, seed=7, churn=2.0),
    )
    for order, degree in itertools.product((2, 4, 6), (1, 2, 3)):
        a, b = (joint(degree)(t) for t in pair(order))
        for sample in samplers:
            gap = apart(sample(a), sample(b))
            assert (gap < SAME) == (2 * degree <= order), (order, degree, gap)
            assert gap < SAME or gap > 10 * SAME


def test_only_targets_that_differ_where_it_matters_are_told_apart_by_their_samples():
    """From fresh noise: the energy test cannot tell affine twins apart, and does for degree 3."""
    a, b = twins.moment_twin(POOL, CLUSTERS, 2), pair(2)[1]

    def p_value(fit):
        made = [
            dc.sampling.ddim(fit(t), dc.sampling.initial_noise(1000, (2,), seed=s).double(), SIGMAS)
            for t, s in ((a, 8), (b, 9))
        ]
        return dc.metrics.energy_test(*made, permutations=999, seed=0).p_value

    assert p_value(Affine.fit) > 0.001
    assert p_value(joint(3)) == 0.001


def scrambled(x):
    generator = torch.Generator().manual_seed(10)
    phase = torch.fft.fft2(torch.randn(x.shape, generator=generator, dtype=x.dtype)).sgn()
    phase[..., 0, 0] = 1
    return torch.fft.ifft2(torch.fft.fft2(x) * phase).real


def dealt(x, block):
    generator = torch.Generator().manual_seed(11)
    x = x.clone()
    for i, j in itertools.product(range(0, 8, block), repeat=2):
        order = torch.randperm(len(x), generator=generator)
        x[:, :, i : i + block, j : j + block] = x[order, :, i : i + block, j : j + block]
    return x


def shifted(x):
    generator = torch.Generator().manual_seed(12)
    by = torch.randint(8, (len(x), 2), generator=generator).tolist()
    return torch.stack([image.roll(tuple(s), (1, 2)) for image, s in zip(x, by, strict=True)])


def blocks(x):
    return Blockwise.fit(x, block=4)


def pooled_twin(x):
    """Other images with the same values, each anywhere."""
    order = torch.randperm(x.numel(), generator=torch.Generator().manual_seed(13))
    return x.flatten()[order].reshape(x.shape)


ROWS = {
    "affine": (Affine.fit, twins.second_twin(DIGITS), Bayes.fit),
    "convolution": (Convolutional.fit, scrambled(DIGITS), Affine.fit),
    "window": (lambda x: Convolutional.fit(x, kernel_size=3), scrambled(DIGITS), Affine.fit),
    "pixelwise": (Pixelwise.fit, dealt(DIGITS, 1), blocks),
    "pixelwise, shared": (
        lambda x: Pixelwise.fit(x, shared=True),
        pooled_twin(DIGITS),
        Pixelwise.fit,
    ),
    "blocks": (blocks, dealt(DIGITS, 4), Bayes.fit),
    "equivariant": (Equivariant.fit, shifted(DIGITS), Bayes.fit),
}


@pytest.mark.parametrize("row", ROWS)
def test_cor_unify_rows(row):
    """Digits and a twin: the same images, and other images one architecture further."""
    fit, twin, richer = ROWS[row]
    assert dc.metrics.copied_fraction(twin, DIGITS) < 0.05  # it is another data set

    def gap(fit):
        return apart(*(dc.sampling.ddim(fit(x), IMAGE_NOISE, SIGMAS) for x in (DIGITS, twin)))

    assert gap(fit) < 8 * SAME  # images have a norm of about 6
    assert gap(richer) > 0.3


def test_windows_see_windows():
    """Rotations of two De Bruijn cycles: every 3-window alike at each place, 4-windows not."""
    cycles = [[0, 0, 0, 1, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1, 0, 1]]
    a, b = (
        torch.from_numpy(np.stack([np.roll(c, k) for k in range(8)])).double() * 2 - 1
        for c in cycles
    )
    noise = dc.sampling.initial_noise(20, (8,), seed=21).double()

    def local(x, left, right):
        """E[x_i | y on places i - left … i + right], circular."""

        def cut(v):
            return torch.stack([v.roll(k, -1) for k in range(-right, left + 1)], -1)

        def denoise(y, sigma):
            distance = (cut(y)[:, None] - cut(x)[None]).square().sum(-1)  # (n, N, 8)
            weights = torch.softmax(-distance / (2 * sigma**2), 1)
            return (weights * x[None]).sum(1)

        return denoise

    def gap(left, right):
        made = [dc.sampling.ddim(local(x, left, right), noise, SIGMAS) for x in (a, b)]
        return apart(*made)

    assert gap(1, 1) < SAME
    assert gap(2, 0) < SAME
    assert gap(2, 1) > 0.3


def test_all_functions_see_everything():
    """The last row: targets that share 27 moments have other denoisers at every level."""
    a, b = (Bayes.fit(x) for x in pair(6))
    at = torch.randn(200, 2, generator=torch.Generator().manual_seed(14), dtype=torch.float64)
    gaps = [(a(at * (1 + s), s) - b(at * (1 + s), s)).abs().max().item() for s in (0.1, 0.5, 1, 2)]
    assert min(gaps) > 1e-9
    assert gaps == sorted(gaps, reverse=True)


def test_window_sees_a_part_of_the_spectrum():
    """A spectrum changed at far shifts only: the 3-window cannot tell, the full one can."""
    size = 32
    f = torch.fft.fftfreq(size, dtype=torch.float64)
    a = 1 / (0.1 + f.abs())
    b = a + 1.5 * torch.cos(2 * math.pi * 5 * f)  # the autocovariance at shifts ±5 changes
    assert b.min() > 0
    covariances = []
    for power in (a, b):
        row = torch.fft.ifft(power).real
        i = torch.arange(size)
        covariances.append(row[(i[:, None] - i[None]) % size])
    noise = dc.sampling.initial_noise(8, (1, size), seed=15).double()

    def gap(**options):
        made = [
            dc.sampling.ddim(Convolutional(torch.zeros(1, size), cov, **options), noise, SIGMAS)
            for cov in covariances
        ]
        return apart(*made)

    assert gap(kernel_size=3) < SAME
    assert gap(kernel_size=5) < SAME  # differences up to 4
    assert gap(kernel_size=7) > 1e-2
    assert gap() > 1e-2


def test_cor_unify_bottleneck():
    """Equal top eigenpairs, everything else removed or replaced; the full rank notices."""
    noise = IMAGE_NOISE
    other = twins.second_twin(DIGITS, rank=8)
    generator = torch.Generator().manual_seed(16)
    extra = torch.randn(64, 20, generator=generator, dtype=torch.float64)
    vectors = Affine.fit(DIGITS).eigenvectors[:, :8]
    extra = torch.linalg.qr(extra - vectors @ (vectors.T @ extra))[0].T.reshape(20, 1, 8, 8)
    count = len(other) + 40  # rescale so that the top eight keep their variances
    mean = DIGITS.mean(0)
    stretch = math.sqrt(count / len(other))
    replaced = mean + torch.cat([stretch * (other - mean), extra, -extra])
    for k in (1, 3, 8):
        made = [dc.sampling.ddim(LinearBottleneck.fit(x, rank=k), noise, SIGMAS)
                for x in (DIGITS, other, replaced)]  # fmt: skip
        assert apart(made[0], made[1]) < 8 * SAME
        assert apart(made[0], made[2]) < 8 * SAME
    made = [dc.sampling.ddim(LinearBottleneck.fit(x, rank=9), noise, SIGMAS)
            for x in (DIGITS, replaced)]  # fmt: skip
    assert apart(*made) > 0.3

    # No map of rank k does better on the population: random ones, and descent from the optimum.
    law = Affine.fit(DIGITS)
    sigma, k = 0.8, 3
    noisy = law.law().cov + sigma**2 * torch.eye(64, dtype=torch.float64)
    best = LinearBottleneck.fit(DIGITS, rank=k).maps(sigma)[0]
    full = law.maps(sigma)[0]

    def excess(A):
        return ((A - full) @ noisy @ (A - full).T).trace().item()

    left, values, right = torch.linalg.svd(best)
    for scale in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(20):
            step = [torch.randn(64, k, generator=generator, dtype=torch.float64) for _ in "lr"]
            a = left[:, :k] * values[:k] + scale * step[0]
            assert excess(a @ (right[:k].T + scale * step[1]).T) > excess(best) - 1e-12
    second = law.eigenvectors[:, [0, 1, 3]]  # another choice of eigenvectors loses more
    assert excess(second @ second.T @ full) > excess(best)


def test_prop_unify_subsets():
    """Full-batch training of a two-layer bottleneck: equal weights for twins, not for mini-batches.

    The loss is a network's own, sampled noise replaced by its expectation.
    """
    a, b = (2 * x for x in pair(2))

    def trained(x, batch, optimizer, penalty):
        generator = torch.Generator().manual_seed(17)
        encode, decode = (torch.randn(2, 1, generator=generator, dtype=torch.float64) for _ in "ed")
        offset = torch.zeros(2, dtype=torch.float64)
        weights = [w.requires_grad_() for w in (encode, decode, offset)]
        opt = optimizer(weights)
        for _ in range(60):
            part = x if batch is None else x[torch.randint(len(x), (batch,), generator=generator)]
            matrix = decode @ encode.T
            error = part - part @ matrix.T - offset
            loss = error.square().sum(1).mean() + 0.25 * matrix.square().sum()  # σ = 0.5
            loss = loss + penalty * sum(w.abs().sum() for w in weights)
            opt.zero_grad()
            loss.backward()
            opt.step()
        return torch.cat([w.detach().flatten() for w in weights])

    for optimizer in (
        lambda w: torch.optim.SGD(w, lr=0.02, momentum=0.9),
        lambda w: torch.optim.Adam(w, lr=0.05),
    ):
        for penalty in (0.0, 0.1):
            full = [trained(x, None, optimizer, penalty) for x in (a, b)]
            assert (full[0] - full[1]).abs().max() < 1e-9
            batches = [trained(x, 8, optimizer, penalty) for x in (a, b)]
            assert (batches[0] - batches[1]).abs().max() > 1e-3

    # Ridge and early stopping of the package.
    for options in ({"ridge": 0.1}, {"stopped_at": 0.7}, {"ridge": 0.1, "stopped_at": 2.0}):
        made = [dc.sampling.ddim(Affine.fit(x, **options), NOISE, SIGMAS) for x in (a, b)]
        assert apart(*made) < SAME
        plain = dc.sampling.ddim(Affine.fit(a), NOISE, SIGMAS)
        assert apart(made[0], plain) > 1e-2  # they do change the samples, for both alike


def test_prop_unify_not_used():
    """Three atoms: affine up to degree 3, and not for degree 5; sixth moments are 9 and 15."""
    atoms = [(Fraction(-1), 1), (Fraction(0), 4), (Fraction(1), 1)]  # in units of √3, of 6

    def moment(k):
        return sum(w * v**k for v, w in atoms) * Fraction(3) ** (k // 2) / 6

    assert [moment(k) for k in range(7)] == [1, 0, 1, 0, 3, 0, 9]
    x = math.sqrt(3) * torch.tensor([[-1.0], [0], [0], [0], [0], [1]], dtype=torch.float64)
    noise = dc.sampling.initial_noise(200, (1,), seed=18).double()
    affine = Affine(torch.zeros(1), torch.eye(1, dtype=torch.float64))
    normal = dc.sampling.ddim(affine, noise, SIGMAS)
    for degree, ignored in ((1, True), (2, True), (3, True), (5, False)):
        denoise = Polynomial.fit(x, degree=degree)
        made = dc.sampling.ddim(denoise, noise, SIGMAS)
        assert (apart(made, normal) < SAME) == ignored, degree
    y = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    for sigma in (0.1, 1.0, 10.0):
        assert apart(Polynomial.fit(x, degree=3)(y, sigma), y / (1 + sigma**2)) < 1e-8


def test_prop_unify_nested():
    """Both identities, by simulation; and a denoiser that is not the projection breaks them."""
    x = pair(2)[0]
    n, sigma = 100_000, 0.4
    generator = torch.Generator().manual_seed(19)
    clean = x[torch.randint(len(x), (n,), generator=generator)]
    y = clean + sigma * torch.randn(n, 2, generator=generator, dtype=torch.float64)

    def score(small, large):
        small, large = small(y, sigma), large(y, sigma)
        gap = (clean - small).square().sum(1) - (clean - large).square().sum(1)
        gap = gap - (small - large).square().sum(1)
        return abs(gap.mean().item()) / (gap.std().item() / math.sqrt(n))

    chain = [Affine.fit(x), joint(2)(x), joint(3)(x), joint(5)(x), Bayes.fit(x)]
    pairs = list(itertools.combinations(chain, 2))
    bound = stats.norm.isf(LEVEL / 2 / len(pairs))
    assert max(score(a, b) for a, b in pairs) < bound
    losses = [(clean - f(y, sigma)).square().sum(1).mean().item() for f in chain]
    assert all(a > b for a, b in itertools.pairwise(losses))
    assert score(chain[0], lambda y, s: 0.95 * chain[2](y, s)) > bound
    rank_one = LinearBottleneck.fit(x, rank=1)  # below the affine maps: the identity holds too
    assert score(rank_one, chain[0]) < bound
    # Affine in one coordinate each is no part of "rank 1": not nested, no identity.
    assert score(rank_one, Pixelwise.fit(x)) > bound


def test_prop_unify_sgd():
    """Mean and variance of the trained weight against 40,000 runs; the other twin's variance."""
    sigma, rate, steps, runs = 0.5, 0.05, 40, 40_000

    def predicted(fourth):
        yy, xy3, x2y2 = 1 + sigma**2, fourth + 3 * sigma**2, fourth + sigma**2
        y4 = fourth + 6 * sigma**2 + 3 * sigma**4
        m, s = 0.3, 0.09
        for _ in range(steps):
            s = (1 - 4 * rate * yy + 4 * rate**2 * y4) * s
            s += (4 * rate - 8 * rate**2 * xy3) * m + 4 * rate**2 * x2y2
            m = (1 - 2 * rate * yy) * m + 2 * rate
        return m, s - m * m

    def p_value(w, fourth):
        mean, variance = predicted(fourth)
        off = np.stack([w - mean, (w - mean) ** 2 - variance])
        middle = off.mean(1)
        return stats.chi2.sf(runs * middle @ np.linalg.solve(np.cov(off), middle), 2)

    trained = {}
    for fourth, values, shares in (
        (1, [-1, 1], [0.5, 0.5]),
        (4, [-2, 0, 2], [1 / 8, 3 / 4, 1 / 8]),
    ):
        rng = np.random.default_rng(20 + fourth)
        w = np.full(runs, 0.3)
        for _ in range(steps):
            x = rng.choice(values, runs, p=shares)
            y = x + sigma * rng.standard_normal(runs)
            w = w + 2 * rate * (x - w * y) * y
        trained[fourth] = w
    assert p_value(trained[1], 1) > LEVEL
    assert p_value(trained[4], 4) > LEVEL
    assert p_value(trained[1], 4) < LEVEL
    assert p_value(trained[4], 1) < LEVEL
    assert predicted(1)[0] == predicted(4)[0]


def test_thm_unify_aligned():
    """Non-affine polynomials have no target; their excess loss vanishes for Gaussians only."""
    # Were D(y) = a y - c y³ a posterior mean, p_σ would be exp((a-1) y²/2σ² - c y⁴/4σ²), and its
    # characteristic function over the noise's would be that of a target: at most 1 everywhere.
    sigma = 1.0

    def modulus(a, c, t):
        def density(y):
            return math.exp((a - 1) * y * y / 2 - c * y**4 / 4)

        def part(u):
            return integrate.quad(lambda y: density(y) * math.cos(u * y), -14, 14, limit=400,
                                  epsabs=1e-12)[0]  # fmt: skip

        return abs(part(t)) / part(0.0) * math.exp(sigma**2 * t * t / 2)

    for a, c in ((0.5, 0.1), (0.5, 0.2), (0.8, 0.05), (1.5, 0.3)):
        assert max(modulus(a, c, t) for t in np.arange(0.5, 6, 0.25)) > 1 + 1e-6, (a, c)
    for a in (0.1, 0.5, 0.8):  # affine: the Gaussian target with variance a / (1 - a)
        assert max(modulus(a, 0.0, t) for t in np.arange(0.25, 3, 0.25)) <= 1 + 1e-6

    at = np.linspace(-8, 8, 4001)

    def excess(density, posterior, degree):
        weight = np.sqrt(density * (at[1] - at[0]))
        q, _ = np.linalg.qr(weight[:, None] * np.polynomial.chebyshev.chebvander(at / 8, degree))
        goal = weight * posterior
        return np.square(goal - q @ (q.T @ goal)).sum()

    atoms = np.array([[-1.0, 1.0], [0.5, 0.5]])
    skewed = np.array([[-0.5, 1.5], [0.75, 0.25]])
    for points, shares in (atoms, skewed):
        kernels = np.exp(-((at[:, None] - points) ** 2) / 2 / 0.7**2) * shares
        density = kernels.sum(1) / (0.7 * math.sqrt(2 * math.pi))
        posterior = (kernels @ points) / kernels.sum(1)
        values = [excess(density, posterior, p) for p in (1, 3, 5, 7, 9)]
        assert all(a > b > 1e-8 for a, b in itertools.pairwise(values))
    normal = stats.norm.pdf(at, 0.3, math.sqrt(1.5))
    assert excess(normal, 0.3 + (1.5 - 0.49) / 1.5 * (at - 0.3), 1) < 1e-20
