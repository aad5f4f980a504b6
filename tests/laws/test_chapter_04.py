"""Certificates of chapter 4: every theorem against simulation or exact arithmetic, and a control.

A certificate is only worth something if it can fail, so each ends with a wrong law that must.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg, stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, affine_law

LEVEL = 1e-5  # of every test below: a true law fails once in a hundred thousand


def clusters(seed=4):
    """Sixteen tight clusters, two-humped along every eigendirection; population moments known."""
    signs = torch.from_numpy(linalg.hadamard(16)[:, 1:9]).double()
    widths = torch.from_numpy(np.geomspace(2.0, 0.35, 8))
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))[0]
    return dc.data.toy.gaussian_mixture((signs * widths) @ turn.T + 1.0, 0.15)


TARGET = clusters()
POPULATION = Affine(TARGET.mean, TARGET.cov)
TRAIN = TARGET.sample(3000, seed=1)
FITTED = Affine.fit(TRAIN)
NOISE = dc.sampling.initial_noise(20_000, (8,), seed=2)
EYE = torch.eye(8, dtype=torch.float64)


def one(lam, **options):
    return Affine(torch.zeros(1), torch.tensor([[lam]], dtype=torch.float64), **options)


def test_thm_affine_denoiser():
    """The excess-loss formula against simulation; with another matrix as 'best' it must fail."""

    def p_value(best_matrix):
        z = []
        for k, sigma in enumerate([0.1, 0.3, 1.0, 3.0]):
            A, b = POPULATION.maps(sigma)
            generator = torch.Generator().manual_seed(k)
            other = A + 0.1 * torch.randn(8, 8, generator=generator)
            shift = b + 0.1 * torch.randn(8, generator=generator)
            noisy = TARGET.cov + sigma**2 * EYE
            off = other - best_matrix(sigma)
            excess = (off @ noisy @ off.T).trace()
            excess += (other @ TARGET.mean + shift - TARGET.mean).square().sum()
            x = TARGET.sample(40_000, seed=10 + k).double()
            y = x + sigma * torch.randn(x.shape, generator=generator, dtype=torch.float64)
            gap = (x - y @ other.T - shift).square().sum(1) - (x - y @ A.T - b).square().sum(1)
            z.append((gap.mean() - excess).item() / (gap.std().item() / math.sqrt(len(gap))))
        return stats.chi2.sf(sum(v * v for v in z), len(z))

    assert p_value(lambda s: POPULATION.maps(s)[0]) > LEVEL
    assert p_value(lambda s: TARGET.cov @ torch.linalg.inv(TARGET.cov + s * EYE)) < LEVEL

    # Least squares finds the formula: no other map does better on the training set's own moments.
    sigma, cov = 0.5, torch.cov(TRAIN.double().T, correction=0)
    A, b = FITTED.maps(sigma)
    torch.testing.assert_close(A @ (cov + sigma**2 * EYE), cov, rtol=0, atol=1e-9)
    mean = TRAIN.double().mean(0)
    torch.testing.assert_close(A @ mean + b, mean)


def test_thm_affine_law():
    """The flow path by path at finite sigma_max, then its end in law; a law without shift fails."""
    top = 5.0
    fine = dc.noise.log_linear(1500, sigma_min=1e-4, sigma_max=top)
    start = dc.sampling.initial_noise(20_000, (8,), sigma_max=top, seed=3).double()
    end = POPULATION.generate(start, fine, second_order=True)
    values, vectors = torch.linalg.eigh(TARGET.cov)
    r = (values / (values + top**2)).sqrt()
    predicted = TARGET.mean + ((start - TARGET.mean) @ vectors * r) @ vectors.T
    assert (end - predicted).abs().max() < 1e-3

    law = POPULATION.ode_law(top)
    torch.testing.assert_close(law.cov, (vectors * values * top**2 / (values + top**2)) @ vectors.T)
    assert law.agreement(end, alpha=LEVEL).ok
    no_shift = dc.laws.Gaussian(TARGET.mean, law.cov)
    assert not no_shift.agreement(end, alpha=LEVEL).ok
    assert not POPULATION.law(None).agreement(end, alpha=LEVEL).ok  # sigma_max = 5 is not infinite

    far = POPULATION.ode_law(1e6)
    torch.testing.assert_close(far.mean, TARGET.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(far.cov, TARGET.cov, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("steps", "known"),
    [(5, 0.4593), (10, 0.9800), (18, 1.2698), (50, 1.5361), (200, 1.6577), (1000, 1.6911)],
)
def test_known_answers_of_finite_steps(steps, known):
    sigmas = dc.noise.karras(steps)
    product = math.prod((1.7 + a * b) / (1.7 + a * a) for a, b in itertools.pairwise(sigmas))
    assert float(sigmas[0] * product) ** 2 == pytest.approx(known, abs=5e-5)
    denoise = one(1.7)
    assert denoise.law(sigmas).cov.item() == pytest.approx(known, abs=5e-5)
    assert affine_law(denoise.maps, sigmas, (1,)).cov.item() == pytest.approx(known, abs=5e-5)


def test_cor_finite_steps():
    """Clusters and digits: the finite-step law passes and N(μ, Σ) fails."""
    sigmas = dc.noise.karras(18)
    samples = dc.sampling.ddim(FITTED, NOISE, sigmas)
    law = FITTED.law(sigmas)
    assert law.agreement(samples, alpha=LEVEL).ok
    assert not FITTED.law(None).agreement(samples, alpha=LEVEL).ok
    draws = law.sample(800, seed=4)
    energy = dc.metrics.energy_test(samples[:800], draws, permutations=4999, seed=0)
    assert energy.p_value > 1 / 5000  # not the smallest of its 5,000 values
    assert dc.metrics.energy_test(samples[:800], TRAIN[:800], seed=0).p_value == 0.005

    digits = Affine.fit(dc.data.load("digits").x)
    few = dc.noise.karras(10)
    noise = dc.sampling.initial_noise(4000, (1, 8, 8), seed=5)
    images = dc.sampling.ddim(digits, noise, few)
    assert digits.law(few).rank == 61
    assert digits.law(few).agreement(images, alpha=LEVEL).ok
    assert not digits.law(None).agreement(images, alpha=LEVEL).ok
    assert not digits.law(dc.noise.karras(11)).agreement(images, alpha=LEVEL).ok


@settings(deadline=None, max_examples=100)
@given(
    lam=st.floats(1e-6, 1e3), high=st.floats(1e-3, 100.0), share=st.floats(0.0, 1.0)
)  # fmt: skip
def test_every_euler_step_loses_variance(lam, high, share):
    """The second half of the corollary: one step against the exact flow over the same step."""
    low = share * high
    euler = (lam + high * low) / (lam + high**2)
    flow = math.sqrt((lam + low**2) / (lam + high**2))
    assert euler <= flow * (1 + 1e-12)


def test_only_mean_and_covariance_matter():
    """Two data sets with the same moments generate the same image from the same noise."""
    x = TRAIN.double()
    rotation = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0]
    white = (x - FITTED.mean) @ FITTED.eigenvectors / FITTED.eigenvalues.sqrt()
    twin = (white @ rotation * FITTED.eigenvalues.sqrt()) @ FITTED.eigenvectors.T + FITTED.mean
    sigmas = dc.noise.karras(18)
    noise = NOISE[:50].double()
    same = Affine.fit(twin).generate(noise, sigmas)
    torch.testing.assert_close(same, FITTED.generate(noise, sigmas), rtol=0, atol=1e-8)
    assert dc.metrics.energy_test(x[:500], twin[500:1000], seed=0).p_value == 0.005


def test_thm_any_affine():
    """Unsymmetric matrices that do not commute, four samplers; each other's laws fail."""
    sigmas = dc.noise.karras(10)
    generator = torch.Generator().manual_seed(6)
    table = {}
    for sigma in sigmas[:-1].tolist():
        A, b = FITTED.maps(sigma)
        table[sigma] = (A + 0.08 * torch.randn(8, 8, generator=generator),
                        b + 0.2 * torch.randn(8, generator=generator))  # fmt: skip

    def maps(sigma):
        return table[min(table, key=lambda level: abs(math.log(level / sigma)))]

    def denoise(y, sigma):
        A, b = maps(sigma)
        return y @ A.T.to(y) + b.to(y)

    runs = {
        "ddim": (dc.sampling.ddim(denoise, NOISE, sigmas), {}),
        "heun": (dc.sampling.heun(denoise, NOISE, sigmas), {"second_order": True}),
        "ancestral": (dc.sampling.ancestral(denoise, NOISE, sigmas, seed=7), {"eta": 1.0}),
        "churn": (
            dc.sampling.ancestral(denoise, NOISE, sigmas, seed=7, eta=0.3, churn=4.0),
            {"eta": 0.3, "churn": 4.0},
        ),
    }
    laws = {name: affine_law(maps, sigmas, (8,), **knobs) for name, (_, knobs) in runs.items()}
    for name, (samples, _) in runs.items():
        for other, law in laws.items():
            assert law.agreement(samples, alpha=LEVEL).ok == (other == name), (name, other)


def test_prop_no_bias():
    """The law is N(0, E[x xᵀ]); with the mean kept, or the covariance centred, it fails."""
    sigmas = dc.noise.karras(18)
    plain = Affine.fit(TRAIN, bias=False)
    x = TRAIN.double()
    second = x.T @ x / len(x)
    torch.testing.assert_close(plain.law().cov, second)
    torch.testing.assert_close(second, FITTED.law().cov + torch.outer(FITTED.mean, FITTED.mean))
    A, b = plain.maps(0.7)
    torch.testing.assert_close(A @ (second + 0.49 * EYE), second, rtol=0, atol=1e-9)
    assert b.abs().max() == 0
    samples = dc.sampling.ddim(plain, NOISE, sigmas)
    assert Affine(torch.zeros(8), second).law(sigmas).agreement(samples, alpha=LEVEL).ok
    assert not FITTED.law(sigmas).agreement(samples, alpha=LEVEL).ok
    centred = Affine(torch.zeros(8), FITTED.law().cov)
    assert not centred.law(sigmas).agreement(samples, alpha=LEVEL).ok


def test_prop_ridge_collapse():
    """The known answer, the flow solved numerically, and the collapse; no ridge, no collapse."""
    assert one(1.7, ridge=0.05).ode_ratio(80.0, 0.01).item() == pytest.approx(0.01438032, abs=5e-9)
    for lam, ridge, low in itertools.product((0.01, 1.7, 30.0), (0.02, 0.5), (1e-3, 0.3)):

        def slope(log_sigma, log_z, lam=lam, ridge=ridge):
            return 1 - lam / (lam + math.exp(2 * log_sigma) + ridge)

        path = integrate.solve_ivp(slope, (math.log(80), math.log(low)), [0.0],
                                   rtol=1e-10, atol=1e-12)  # fmt: skip
        found = one(lam, ridge=ridge).ode_ratio(80.0, low).item()
        assert math.log(found) == pytest.approx(path.y[0, -1], abs=1e-6)
        assert math.log(one(lam).ode_ratio(80.0, low).item()) != pytest.approx(
            path.y[0, -1], abs=1e-3
        )

    for ridge, collapses in ((0.0, False), (1e-3, True), (0.05, True), (1.0, True)):
        bent = one(1.7, ridge=ridge)
        shares = [bent.ode_law(80.0, low).cov.item() / 1.7 for low in (1e-2, 1e-100, 1e-290)]
        exponent = 2 * ridge / (1.7 + ridge)
        assert shares[2] / shares[1] == pytest.approx(10 ** (-190 * exponent), rel=1e-6, abs=1e-300)
        assert (shares[2] < 0.5) == collapses
        assert bent.law(None).rank == (0 if collapses else 1)

    # It is the minimiser of the penalised loss: the gradient is zero.
    sigma, ridge = 0.6, 0.3
    A, _ = Affine(TARGET.mean, TARGET.cov, ridge=ridge).maps(sigma)
    gradient = A @ (TARGET.cov + sigma**2 * EYE) - TARGET.cov + ridge * A
    assert gradient.abs().max() < 1e-9


def test_prop_early_stopping():
    """Gradient flow by small steps; momentum's recursion; and SGD in expectation."""
    sigma, tau = 0.4, 1.3
    noisy = TARGET.cov + sigma**2 * EYE

    def descend(steps, rate, beta=0.0):
        A, velocity = torch.zeros(8, 8, dtype=torch.float64), torch.zeros(8, 8, dtype=torch.float64)
        for t in range(steps):
            velocity = beta * velocity + 2 * (A @ noisy - TARGET.cov)
            A = A - rate(t) * velocity
        return A

    flow = Affine(torch.zeros(8), TARGET.cov, stopped_at=tau).maps(sigma)[0]
    errors = [(descend(n, lambda _, n=n: tau / n) - flow).abs().max() for n in (2000, 4000)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.02)  # of first order in the step
    assert errors[1] < 2e-3
    wrong = Affine(torch.zeros(8), TARGET.cov, stopped_at=tau / 2).maps(sigma)[0]
    assert (wrong - flow).abs().max() > 10 * errors[1]  # without the 2 in the exponent

    values, vectors = torch.linalg.eigh(TARGET.cov)
    share = velocity = torch.zeros_like(values)
    for t in range(60):
        velocity = 0.9 * velocity + 2 * (values + sigma**2) * (share - 1)
        share = share - 0.004 * (1 - t / 60) * velocity
    predicted = (vectors * (values / (values + sigma**2) * share)) @ vectors.T
    found = descend(60, lambda t: 0.004 * (1 - t / 60), beta=0.9)
    torch.testing.assert_close(found, predicted, rtol=0, atol=1e-12)

    # The mean over many runs of real SGD: each entry within its standard error of the prediction.
    x = dc.data.toy.gaussian_mixture([[-1.0, 0.5], [1.0, -0.5]], 0.3).sample(64, seed=8)
    x = x - x.mean(0)
    sigmas = torch.tensor([0.5, 0.0])
    closed = Affine.fit(x)
    network = dc.networks.constrained.Affine((2,), sigmas, seeds=200, gain=0, skip=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    dc.training.train(network, x, optimizer=optimizer, steps=15, batch=8)
    runs = torch.stack([network.maps(0.5, seed)[0] for seed in range(200)])

    def chi2(steps):
        curvature = (closed.eigenvalues + 0.25) / 1.25  # 2 / d = 1; input scaled by 1 / (1 + σ²)
        share = velocity = torch.zeros_like(curvature)
        for _ in range(steps):
            velocity = 0.9 * velocity + curvature * (share - 1)
            share = share - 0.05 * velocity
        V = closed.eigenvectors
        off = (runs.mean(0) - (V * closed.gain(0.5) * share) @ V.T).flatten()
        spread = torch.cov(runs.flatten(1).T) / len(runs)
        hotelling = (off @ torch.linalg.solve(spread, off)).item()
        return stats.f.sf(hotelling * (200 - 4) / (4 * 199), 4, 196)

    assert chi2(15) > LEVEL
    assert chi2(13) < LEVEL  # two steps fewer are told apart


def test_prop_rank():
    """Samples in the affine span of n < d examples, for every sampler; they are no copies."""
    x = dc.data.load("digits").x[:12]
    denoise = Affine.fit(x)
    sigmas = dc.noise.karras(20)
    noise = dc.sampling.initial_noise(1000, (1, 8, 8), seed=9)
    flat = x.flatten(1).double()
    basis = torch.linalg.qr((flat - flat.mean(0))[1:].T)[0]
    assert denoise.law(sigmas).rank == 11

    def off_plane(samples, directions):
        offset = samples.flatten(1).double() - flat.mean(0)
        return (offset - offset @ directions @ directions.T).norm(dim=1).max().item()

    for samples in (
        dc.sampling.ddim(denoise, noise, sigmas),
        dc.sampling.heun(denoise, noise, sigmas),
        dc.sampling.ancestral(denoise, noise, sigmas, seed=1, churn=3.0),
    ):
        assert off_plane(samples, basis) < 1e-5
        assert off_plane(samples, basis[:, :10]) > 1e-2  # no smaller plane holds them
        assert dc.metrics.copied_fraction(samples, x) == 0
    ridge = Affine.fit(x, ridge=0.1)
    assert off_plane(dc.sampling.ddim(ridge, noise, sigmas), basis) < 1e-5


def mp_cdf(c):
    """The Marčenko–Pastur distribution function, by quadrature from its density."""
    low, high = (1 - math.sqrt(c)) ** 2, (1 + math.sqrt(c)) ** 2
    angle = np.linspace(0, np.pi, 4001)  # λ = middle - half cos: no singular ends
    x = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
    density = np.sqrt(np.clip((high - x) * (x - low), 0, None)) / (2 * np.pi * c * x)
    slope = density * (high - low) / 2 * np.sin(angle)
    cdf = integrate.cumulative_trapezoid(slope, angle, initial=0)
    assert cdf[-1] == pytest.approx(1, abs=1e-5)
    return lambda v: np.interp(v, x, cdf)


def test_thm_marchenko_pastur():
    """The distance shrinks with size, another ratio is told apart, and the trace is exact.

    The theorem is a limit, so the distance at one size has no p-value; the trace has.
    """

    def spectrum(d, n):
        x = torch.randn(n, d, generator=torch.Generator().manual_seed(d))
        return Affine.fit(x).law().eigenvalues.numpy()

    values = {d: spectrum(d, 4 * d) for d in (50, 100, 200, 400)}
    gaps = {d: stats.kstest(v, mp_cdf(0.25)).statistic for d, v in values.items()}
    assert all(d * gap < 6 for d, gap in gaps.items())  # like 1 / d, not like 1 / sqrt(d)
    assert gaps[400] < gaps[50] / 3
    assert stats.kstest(values[400], mp_cdf(0.3)).statistic > 3 * gaps[400]
    assert stats.kstest(values[400], mp_cdf(0.2)).statistic > 3 * gaps[400]
    trace, freedom = 1600 * values[400].sum(), 1599 * 400
    assert 2 * min(stats.chi2.cdf(trace, freedom), stats.chi2.sf(trace, freedom)) > LEVEL


def test_trained_networks_follow_the_recursion():
    """SGD, stopped far too early: the ideal law fails, that of the learnt matrices does not."""
    sigmas = dc.noise.karras(12)
    network = dc.networks.constrained.Affine((8,), sigmas, scale=1.2, gain=0, skip=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.9)
    dc.training.train(network, TRAIN, optimizer=optimizer, steps=60, seed=3)
    samples = dc.sampling.ddim(network.denoise, NOISE, sigmas)
    assert affine_law(network.maps, sigmas, (8,)).agreement(samples, alpha=LEVEL).ok
    assert not FITTED.law(sigmas).agreement(samples, alpha=LEVEL).ok
