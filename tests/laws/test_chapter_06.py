"""Certificates of chapter 6: every statement against simulation or exact arithmetic, and a control.

A certificate is only worth something if it can fail, so each ends with a wrong law that must.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, Polynomial

LEVEL = 1e-5  # of every test below: a true law fails once in a hundred thousand
ROOT = math.sqrt(3)
SIGMAS = dc.noise.karras(25)
NOISE = dc.sampling.initial_noise(20_000, (1,), seed=3)


def of_atoms(points, weights=None, **options):
    points = torch.tensor(points, dtype=torch.float64)
    weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    return Polynomial.from_atoms(points, weights, **options)


def three(degree):
    return of_atoms([-ROOT, 0.0, ROOT], [1 / 6, 2 / 3, 1 / 6], degree=degree)


@pytest.mark.parametrize("degree", [1, 2, 3, 5, 8])
def test_thm_poly_denoiser(degree):
    """Errors are uncorrelated with each power of y, by simulation; another sigma's are not."""
    target = dc.data.toy.gaussian_mixture([[-1.0], [0.4], [2.0]], 0.1, [0.5, 0.3, 0.2])
    denoise = of_atoms([-1.0, 0.4, 2.0], [0.5, 0.3, 0.2], degree=degree, width=0.1)
    x = target.sample(200_000, seed=5).double()
    sigma = 0.6
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(6)).double()
    y = x + sigma * noise

    def p_value(answer):
        """The normal equations as a test of means: Hotelling's on bounded features of the noise."""
        u = y / y.std()
        scores = torch.cat([(x - answer) * u**k for k in range(degree + 1)], 1).numpy()
        z = scores.mean(0) / (scores.std(0) / math.sqrt(len(scores)))
        return min(1.0, (degree + 1) * 2 * stats.norm.sf(abs(z).max()))

    assert p_value(denoise(y, sigma)) > LEVEL
    assert p_value(denoise(y, 1.1 * sigma)) < LEVEL

    # Stein's form of the right side, by quadrature against the density of y.
    points, weights = np.array([-1.0, 0.4, 2.0]), np.array([0.5, 0.3, 0.2])
    t, w = np.polynomial.hermite_e.hermegauss(12)
    w = w / w.sum()
    nodes = points[:, None] + sigma * t
    for j in range(degree + 1):
        direct = (weights[:, None] * w * points[:, None] * nodes**j).sum()
        lower = j * nodes ** max(j - 1, 0)
        by_stein = (weights[:, None] * w * (nodes ** (j + 1) - sigma**2 * lower)).sum()
        assert by_stein == pytest.approx(direct, rel=1e-10, abs=1e-10)


def test_prop_poly_law():
    """Density and distribution against 20,000 samples; another degree's and schedule's fail."""
    denoise = of_atoms([-1.0, 0.5, 1.5], [0.3, 0.5, 0.2], degree=4, width=0.15)
    law = denoise.law(SIGMAS)
    samples = dc.sampling.ddim(denoise, NOISE, SIGMAS)
    assert law.agreement(samples, alpha=LEVEL).ok
    for wrong in (
        of_atoms([-1.0, 0.5, 1.5], [0.3, 0.5, 0.2], degree=3, width=0.15).law(SIGMAS),
        denoise.law(dc.noise.karras(15)),
    ):
        assert not wrong.agreement(samples, alpha=LEVEL).ok
    t = torch.linspace(-2, 2.5, 60, dtype=torch.float64)
    mass = [integrate.quad(lambda v: law.density(torch.tensor([v])).item(), a, b, limit=60)[0]
            for a, b in ((-1.2, -0.8), (0.2, 0.6))]  # fmt: skip
    cdf = law.cdf(torch.tensor([-1.2, -0.8, 0.2, 0.6]))
    assert mass == pytest.approx([(cdf[1] - cdf[0]).item(), (cdf[3] - cdf[2]).item()], abs=2e-4)
    assert (law.density(t) >= 0).all()


def test_thm_poly_moments():
    """Gauss's nodes and the uniform density: the same samples until the moments differ."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    moments = [0.0 if k % 2 else 1 / (k + 1) for k in range(1, 13)]
    start = NOISE[:500].double()
    for degree, same in ((1, True), (2, True), (3, True), (5, False), (6, False)):
        a = Polynomial.from_moments(moments, degree=degree)
        b = of_atoms(nodes.tolist(), weights.tolist(), degree=degree)
        gap = (dc.sampling.ddim(a, start, SIGMAS) - dc.sampling.ddim(b, start, SIGMAS)).abs().max()
        assert (gap < 1e-9) == same, degree


def test_thm_poly_gaussian():
    """Three points: a bell curve up to degree 4, refused at 5. Both directions of the theorem."""
    law = Affine(torch.zeros(1), torch.eye(1)).law(SIGMAS)
    for degree in range(1, 7):
        samples = dc.sampling.ddim(three(degree), NOISE, SIGMAS)
        assert law.agreement(samples, alpha=LEVEL).ok == (degree <= 4), degree

    y = torch.linspace(-3, 3, 11, dtype=torch.float64)[:, None]
    for nodes in (2, 3, 4):  # normal moments up to order 2·nodes - 1, not further
        points, weights = np.polynomial.hermite_e.hermegauss(nodes)
        for degree, sigma in itertools.product(range(1, 8), (0.1, 1.0, 5.0)):
            denoise = of_atoms(points.tolist(), weights.tolist(), degree=degree)
            off = (denoise(y, sigma) - y / (1 + sigma**2)).abs().max()
            assert (off < 1e-10) == (degree + 1 <= 2 * nodes - 1), (nodes, degree, sigma)


def test_prop_poly_atoms():
    """Hermite's interpolant in the limit, with error of order σ²; one degree less does not."""
    points = [-1.0, 0.2, 1.5]
    y = torch.linspace(-1.5, 2, 15, dtype=torch.float64)[:, None]
    rows, right = [], []
    for a in points:
        rows += [[a**k for k in range(6)], [k * a ** (k - 1) if k else 0.0 for k in range(6)]]
        right += [a, 0.0]
    c = np.linalg.solve(np.array(rows), np.array(right))
    interpolant = torch.from_numpy(np.polynomial.polynomial.polyval(y.numpy(), c))
    five = of_atoms(points, [0.2, 0.5, 0.3], degree=5)
    errors = [(five(y, s) - interpolant).abs().max().item() for s in (0.01, 0.005, 0.0025)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)
    four = of_atoms(points, [0.2, 0.5, 0.3], degree=4)
    assert (four(y, 0.0025) - interpolant).abs().max() > 0.1

    # So the samples are atoms at the points, with probabilities of their own.
    law = three(5).law(dc.noise.karras(60))
    near = law.cdf(torch.tensor([-ROOT - 0.01, -ROOT + 0.01, -0.01, 0.01]))
    assert (near[1] - near[0]).item() > 0.05
    assert (near[3] - near[2]).item() > 0.5
    below = three(4).law(dc.noise.karras(60)).cdf(torch.tensor([-0.01, 0.01]))
    assert (below[1] - below[0]).item() < 0.01


def test_thm_poly_closure():
    """Part 1 and 3 by quadrature, part 2 by two laws, and the variance that does not come back."""
    weights = np.array([1 / 6, 2 / 3, 1 / 6])
    points = np.array([-ROOT, 0.0, ROOT])
    t, w = np.polynomial.hermite_e.hermegauss(14)
    w, sigma = w / w.sum(), 0.8
    denoise = three(5)
    y, mass = (points[:, None] + sigma * t).ravel(), (weights[:, None] * w).ravel()
    answer = denoise(torch.from_numpy(y)[:, None], sigma)[:, 0].numpy()
    for m in range(1, 10):  # on the noisy data the derivative is right up to order p + 1 = 6
        right = m * (m - 1) * sigma * (mass * y ** max(m - 2, 0)).sum()
        found = m / sigma * (mass * (y**m - y ** (m - 1) * answer)).sum()
        close = abs(found - right) < 1e-8 * (1 + abs(right))
        assert close == (m <= 6 or m % 2 == 1), m  # odd orders vanish by symmetry

    # Two laws with the same moments to order 5, another sixth: with p = 5 the variance moves apart.
    def slope(nodes, degree):
        z, q = np.polynomial.hermite_e.hermegauss(nodes)
        z, q = torch.from_numpy(z), torch.from_numpy(q / q.sum())
        x_hat = three(degree)(z[:, None], sigma)[:, 0]
        return (2 / sigma * (q * (z**2 - z * x_hat)).sum()).item()

    assert slope(3, 5) != pytest.approx(slope(6, 5), abs=1e-3)
    assert slope(3, 1) == pytest.approx(slope(6, 1), abs=1e-12)  # the control: degree 1 closes

    assert three(1).law(None).variance == pytest.approx(1, abs=1e-3)
    flow = three(5).law(None)
    assert flow.variance == pytest.approx(0.533, abs=0.002)
    fine = dc.noise.karras(400, sigma_min=1e-4)
    samples = dc.sampling.heun(three(5), NOISE, fine)
    seen = dc.metrics.wilson(int((samples.abs() > 0.9).sum()), len(samples), 1 - LEVEL)
    share = 1 - (flow.cdf(torch.tensor(0.9)) - flow.cdf(torch.tensor(-0.9))).item()
    assert seen.low < share < seen.high < 1 / 3  # and far from the target's own third


def test_prop_poly_tails():
    """Escapes as often as computed, on one side at an even degree; clipped samples are refused."""
    even = of_atoms([-0.5, 2.0], [0.8, 0.2], degree=2)
    law = even.law(SIGMAS)
    samples = dc.sampling.ddim(even, NOISE, SIGMAS)
    assert law.escaped > 0.01
    assert law.agreement(samples, alpha=LEVEL).ok
    sides = int((samples < -10).sum()), int((samples > 10).sum())
    assert min(sides) == 0 < max(sides)
    stays = samples[samples.abs() < 10][:, None]
    assert not law.agreement(stays, alpha=LEVEL)["escaped"].ok
    far = torch.tensor([[-4.0], [4.0]]).double() * SIGMAS[0]
    ends = even.generate(1e12 * far, SIGMAS)
    assert (ends.sign()[0] == ends.sign()[1]).all()
    odd = of_atoms([-0.5, 2.0], [0.8, 0.2], degree=5).generate(1e12 * far, SIGMAS)
    assert odd.abs().min() > 1e6

    # The leading power: degree 2 twice is degree 4.
    short = torch.tensor([3.0, 1.0, 0.0])
    z = torch.linspace(-1, 1, 9, dtype=torch.float64)
    values = even.generate(3 * z[:, None], short)[:, 0].numpy()
    c = np.polynomial.polynomial.polyfit(z.numpy(), values, 6)
    assert abs(c[4]) > 1e-6 > 1e-9 > abs(c[5]) + abs(c[6])

    # The tail: −log P(|f| > B) over its limit (B / |a|)^(2/q) / 2, for growing B.
    f, a = np.polynomial.Polynomial(c[:5]), abs(c[4])
    ratios = []
    for u in (30.0, 300.0, 3000.0):
        roots = (abs(c[4]) / c[4] * f - a * u**4).roots()
        ends = roots[abs(roots.imag) < 1e-3 * u].real
        log_p = np.logaddexp(stats.norm.logsf(ends.max()), stats.norm.logcdf(ends.min()))
        ratios.append(-log_p / (u**2 / 2))
    off = np.abs(np.array(ratios) - 1)
    assert off[2] < 0.01
    assert (np.diff(off) < 0).all()
    gaussian = stats.norm.logsf([30.0**4, 300.0**4]) / -(np.array([30.0, 300.0]) ** 2) * 2
    assert gaussian.min() > 100  # the control: no Gaussian has such tails

    # Symmetric targets: an even degree does what the odd one before it does, and no more.
    y = torch.linspace(-3, 3, 11, dtype=torch.float64)[:, None]
    for degree in (3, 5, 7):
        torch.testing.assert_close(three(degree)(y, 0.5), three(degree + 1)(y, 0.5))

    bumps = of_atoms([-1.0, 1.0], degree=5, width=0.2)
    for steps in (40, 200):
        assert 0.001 < bumps.law(dc.noise.karras(steps)).escaped < 0.002


def test_prop_poly_many():
    """Independent coordinates with the laws of their marginals; joint sees what they cannot."""
    x = dc.data.load("digits").x[:, :, 2:6, 2:6]
    start = dc.sampling.initial_noise(4000, (1, 4, 4), seed=7)
    samples, laws = {}, {}
    for basis, components in (("pixel", None), ("pca", 5), ("joint", 3)):
        denoise = Polynomial.fit(x, degree=3, basis=basis, components=components)
        samples[basis] = dc.sampling.ddim(denoise, start, SIGMAS)
        laws[basis] = denoise.law(SIGMAS)
    for a, b in itertools.product(laws, laws):
        assert laws[a].agreement(samples[b], alpha=LEVEL).ok == (a == b), (a, b)

    # Same marginals, other dependence: shuffle the pixels' values between images.
    generator = torch.Generator().manual_seed(8)
    flat = x.flatten(1)
    shuffled = torch.stack(
        [column[torch.randperm(len(x), generator=generator)] for column in flat.T], 1
    )
    y = start[:50] / 80
    pixel = [Polynomial.fit(d, degree=3)(y.flatten(1), 0.7) for d in (flat, shuffled)]
    torch.testing.assert_close(*pixel, rtol=0, atol=1e-5)
    joint = [
        Polynomial.fit(d, degree=2, basis="joint", components=3)(y.flatten(1), 0.7)
        for d in (flat, shuffled)
    ]
    assert (joint[0] - joint[1]).abs().max() > 0.1

    # The joint moments alone: a point cloud and its moment twin to order 4.
    spiral = dc.data.toy.spiral().sample(300, 0).double()
    blob = dc.data.toy.polygon(5).sample(300, 1).double()
    blob = blob + 0.3 * torch.randn(300, 2, generator=generator).double()
    twin = dc.data.twins.moment_twin(spiral, blob, 4)
    z = torch.randn(20, 2, generator=generator, dtype=torch.float64)
    for degree, same in ((2, True), (3, False)):
        a, b = (Polynomial.fit(d, degree=degree, basis="joint")(z, 0.4) for d in (spiral, twin))
        assert ((a - b).abs().max() < 1e-6) == same
