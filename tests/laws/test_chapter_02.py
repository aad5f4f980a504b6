"""Certificates of chapter 2: each theorem against simulation or exact arithmetic, and a control.

The data are three Gaussian bumps on a line, written here with scipy and numpy alone.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

import diffusion_creativity as dc

MEANS, WIDTH, TOP = np.array([-1.1, 0.4, 1.0]), 0.1, 80.0


def spread(sigma):
    return math.hypot(WIDTH, sigma)


def density(y, sigma):
    return stats.norm.pdf(np.asarray(y)[..., None], MEANS, spread(sigma)).mean(-1)


def cdf(y, sigma):
    return stats.norm.cdf(np.asarray(y)[..., None], MEANS, spread(sigma)).mean(-1)


def posterior(y, sigma):
    """Weights, means and the variance of the parts of p(x | y)."""
    log_w = stats.norm.logpdf(np.asarray(y)[..., None], MEANS, spread(sigma))
    weight = np.exp(log_w - log_w.max(-1, keepdims=True))
    keep = (WIDTH / spread(sigma)) ** 2
    mean = MEANS + keep * (np.asarray(y)[..., None] - MEANS)
    return weight / weight.sum(-1, keepdims=True), mean, keep * sigma**2


def best(y, sigma):
    weight, mean, _ = posterior(y, sigma)
    return (weight * mean).sum(-1)


def posterior_variance(y, sigma):
    weight, mean, within = posterior(y, sigma)
    return within + (weight * mean**2).sum(-1) - best(y, sigma) ** 2


def denoise(y, sigma):
    return torch.from_numpy(best(y.numpy(), sigma)).to(y)


def draw(n, sigma, rng):
    """Pairs (x, y)."""
    x = rng.choice(MEANS, n) + WIDTH * rng.standard_normal(n)
    return x, x + sigma * rng.standard_normal(n)


def score(y, sigma, h=1e-4):
    """The slope of log p_σ by central differences; nothing about denoising enters."""
    return (np.log(density(y + h, sigma)) - np.log(density(y - h, sigma))) / (2 * h)


def ks(y, sigma):
    return stats.kstest(cdf(y, sigma), "uniform").pvalue


def quantile(u, sigma):
    return optimize.brentq(lambda y: cdf(y, sigma) - u, -12 * spread(sigma) - 2,
                           12 * spread(sigma) + 2, xtol=1e-13)  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(2)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 3.0])
def test_thm_mmse(sigma, rng):
    x, y = draw(60_000, sigma, rng)
    optimum, eps = best(y, sigma), 0.2 * min(sigma, 1)
    for g in (np.ones_like(y), y / spread(sigma), np.sin(3 * y), np.sign(y)):
        excess = (x - optimum - eps * g) ** 2 - (x - optimum) ** 2
        error = excess.std() / math.sqrt(len(x))
        assert abs(excess.mean() - eps**2 * (g**2).mean()) < 4.5 * error
    least = (x - optimum) ** 2 - posterior_variance(y, sigma)
    assert abs(least.mean()) < 4.5 * least.std() / math.sqrt(len(x))
    # Control: the best straight line is beaten by a step towards the posterior mean.
    if sigma > 1:  # there the best line is all but optimal
        return
    line = x.mean() + np.cov(x, y)[0, 1] / y.var() * (y - y.mean())
    change = (x - line - 0.5 * (optimum - line)) ** 2 - (x - line) ** 2
    assert change.mean() < -4.5 * change.std() / math.sqrt(len(x))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 3.0])
def test_thm_tweedie(sigma, rng):
    y = np.linspace(-2.5, 2.5, 301)
    step = sigma**2 * score(y, sigma)
    assert np.abs(best(y, sigma) - y - step).max() < 1e-5
    slope = (best(y + 1e-4, sigma) - best(y - 1e-4, sigma)) / 2e-4
    assert np.allclose(slope, posterior_variance(y, sigma) / sigma**2, rtol=1e-4, atol=1e-6)
    assert np.abs(best(y, sigma) - y - step / sigma).max() > 0.05  # control: wrong power of σ
    # By regression: the mean of x in bins of y.
    x, y = draw(60_000, sigma, rng)
    which = np.digitize(y, np.quantile(y, np.linspace(0, 1, 21)[1:-1]))

    def p_value(guess):
        bins = [(x - guess)[which == k] for k in range(20)]
        return stats.chi2.sf(sum((b.mean() / b.std()) ** 2 * len(b) for b in bins), 20)

    assert p_value(y + sigma**2 * score(y, sigma)) > 1e-5
    assert p_value(y + sigma * score(y, sigma)) < 1e-6


def test_thm_tweedie_jacobian_of_the_package_in_many_dimensions():
    points = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bayes, sigma = dc.denoisers.Bayes.fit(points), 0.8
    y = torch.full((1, 4), 0.2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda u: bayes(u[None], sigma)[0], y[0])
    w = torch.softmax(-(points - y).square().sum(1) / (2 * sigma**2), 0)
    centred = points - w @ points
    assert torch.allclose(jacobian, (centred.T * w) @ centred / sigma**2, atol=1e-10)
    assert torch.linalg.eigvalsh(jacobian)[0] > 0


def test_lem_heat():
    y, h = np.linspace(-2, 2, 201), 1e-4
    for sigma in (0.2, 1.0, 4.0):
        by_sigma = (density(y, sigma + h) - density(y, sigma - h)) / (2 * h)
        laplacian = (density(y + h, sigma) - 2 * density(y, sigma) + density(y - h, sigma)) / h**2
        scale = np.abs(by_sigma).max()
        assert np.abs(by_sigma - sigma * laplacian).max() < 1e-4 * scale
        # Control: without the factor σ (away from σ = 1, where it cannot be seen).
        assert sigma == 1 or np.abs(by_sigma - laplacian).max() > 0.1 * scale


def test_thm_probability_flow(rng):
    sigmas = dc.noise.karras(120, sigma_max=TOP)
    start = torch.from_numpy(draw(4_000, TOP, rng)[1])

    def p_values(denoiser):
        path = dc.sampling.heun(denoiser, start, sigmas, return_trajectory=True)
        return [ks(path[j].numpy(), sigmas[j].item()) for j in (20, 50, 80, 100, 120)]

    assert min(p_values(denoise)) > 1e-5
    # Controls: a velocity 5 % too large; a denoiser of another law.
    assert min(p_values(lambda y, s: y - 1.05 * (y - denoise(y, s)))) < 1e-6
    assert min(p_values(lambda y, s: 1.1 * denoise(y, s))) < 1e-6


@pytest.mark.parametrize("top", [0.5, 2.0, 20.0])
def test_prop_start(top):
    def pure(y):
        return stats.norm.pdf(y, 0, top)

    y = np.linspace(-8 * top - 3, 8 * top + 3, 40_001)
    at_top = 0.5 * integrate.trapezoid(np.abs(density(y, top) - pure(y)), y)
    bound = math.sqrt((MEANS**2).mean() + WIDTH**2) / (2 * top)
    assert 0 < at_top <= bound
    assert at_top > 0.05 * bound  # the bound is of the right order, not empty
    # The flow keeps the distance: push the pure noise along the quantile map to σ = 0.3.
    low = 0.3
    grid = np.linspace(-3.5, 3.5, 1_201)
    back = np.array([quantile(u, top) for u in np.clip(cdf(grid, low), 1e-15, 1 - 1e-15)])
    pushed = pure(back) * density(grid, low) / density(back, top)
    below = 0.5 * integrate.trapezoid(np.abs(density(grid, low) - pushed), grid)
    assert math.isclose(below, at_top, rel_tol=2e-3)


def test_cor_quantile_map():
    start = np.linspace(-200, 200, 31)
    sigmas = dc.noise.karras(1_500, sigma_max=TOP, rho=5)
    path = dc.sampling.heun(denoise, torch.from_numpy(start), sigmas, return_trajectory=True)
    for j in (500, 1_000, 1_500):
        exact = [quantile(u, sigmas[j].item()) for u in cdf(start, TOP)]
        assert np.abs(path[j].numpy() - exact).max() < 1e-3
    linear = start / TOP * spread(0) + MEANS.mean()
    assert np.abs(path[-1].numpy() - linear).max() > 0.1  # control: a map that is too simple


def vp_ddim(eps_model, x_t, alpha_bars, eta=0.0, fresh=None):
    """The update of Song, Meng & Ermon 2021, eqs. 12 and 16, in their units."""
    for k, (now, then) in enumerate(itertools.pairwise(alpha_bars)):
        eps = eps_model(x_t, now)
        s = eta * math.sqrt((1 - then) / (1 - now)) * math.sqrt(1 - now / then)
        x_t = (
            math.sqrt(then) * (x_t - math.sqrt(1 - now) * eps) / math.sqrt(now)
            + math.sqrt(max(1 - then - s**2, 0)) * eps
        )
        x_t = x_t + s * fresh[k] if eta else x_t
    return x_t


def eps_of(denoiser):
    def eps_model(x_t, alpha_bar):
        sigma = math.sqrt((1 - alpha_bar) / alpha_bar)
        y = x_t / math.sqrt(alpha_bar)
        return (y - denoiser(y, sigma)) / sigma

    return eps_model


def denoiser_of(eps_model):
    def denoiser(y, sigma):
        alpha_bar = 1 / (1 + sigma**2)
        return y - sigma * eps_model(y * math.sqrt(alpha_bar), alpha_bar)

    return denoiser


def test_prop_ve_vp(rng):
    for sigma in (0.1, 1.0, 30.0):
        alpha_bar = dc.noise.alpha_bar_from_sigma(sigma).item()
        assert math.isclose(dc.noise.sigma_from_alpha_bar(alpha_bar).item(), sigma, rel_tol=1e-12)
        # 1: the same x and n.
        x, n = torch.from_numpy(rng.standard_normal((2, 5)))
        x_t = math.sqrt(alpha_bar) * x + math.sqrt(1 - alpha_bar) * n
        assert torch.allclose(dc.noise.ve_from_vp(x_t, alpha_bar), x + sigma * n, atol=1e-12)
        assert torch.allclose(dc.noise.vp_from_ve(x + sigma * n, sigma), x_t, atol=1e-12)
        # 3: the score of the VP density, by differences, against the noise estimate.
        at, h = np.linspace(-2, 2, 41), 1e-5
        scale = math.sqrt(alpha_bar)

        def log_vp(u, scale=scale, sigma=sigma):
            parts = stats.norm.pdf(u[:, None], scale * MEANS, scale * spread(sigma))
            return np.log(parts.mean(-1))

        by_differences = (log_vp(at + h) - log_vp(at - h)) / (2 * h)
        eps = eps_of(denoise)(torch.from_numpy(at), alpha_bar).numpy()
        assert np.allclose(by_differences, -eps / math.sqrt(1 - alpha_bar), rtol=1e-4, atol=1e-5)
        assert sigma < 1 or not np.allclose(by_differences, -eps / sigma, rtol=1e-2)  # control


@pytest.mark.parametrize("make", [dc.noise.karras, dc.noise.linear_beta, dc.noise.cosine])
def test_prop_ddim_euler(make):
    images = dc.data.load("digits").x[:150].double()
    sigmas = make(12)
    alpha_bars = dc.noise.alpha_bar_from_sigma(sigmas).tolist()
    noise = dc.sampling.initial_noise(4, (1, 8, 8), sigmas[0].item(), seed=1).double()
    for denoiser in (dc.denoisers.Bayes.fit(images), dc.denoisers.Affine.fit(images)):
        y = noise
        for sigma, sigma_next in itertools.pairwise(sigmas.tolist()):  # rule 1: Euler
            y = y + (sigma_next - sigma) * (y - denoiser(y, sigma)) / sigma
        ours = dc.sampling.ddim(denoiser, noise, sigmas)
        start = noise * math.sqrt(alpha_bars[0])
        theirs = vp_ddim(eps_of(denoiser), start, alpha_bars)

        assert (y - ours).abs().max() < 1e-7
        assert (theirs - ours).abs().max() < 1e-7
        assert (
            dc.sampling.ddim(denoiser_of(eps_of(denoiser)), noise, sigmas) - ours
        ).abs().max() < 1e-7
        wrong = vp_ddim(eps_of(denoiser), noise, alpha_bars)  # control: unit forgotten
        assert (wrong - ours).abs().max() > 0.1


def test_prop_ddim_euler_frozen_denoiser_is_exact_for_a_point():
    y = torch.linspace(-90, 90, 7, dtype=torch.float64)
    path = dc.sampling.ddim(lambda y, s: torch.full_like(y, 0.3), y, torch.tensor([80.0, 1.0, 0.0]),
                            return_trajectory=True)  # fmt: skip
    assert torch.allclose(path[1], 0.3 + (y - 0.3) / 80, atol=1e-12)
    assert torch.allclose(path[2], torch.full_like(y, 0.3))


def kept(sigmas, variance, heun):
    theta = np.arctan(sigmas.numpy() / math.sqrt(variance))
    delta = theta[:-1] - theta[1:]
    factors = np.cos(delta)
    if heun:
        c, s = np.cos(delta[:-1]), np.sin(delta[:-1])
        factors[:-1] = c * (1 + s**2 / 2) + np.tan(theta[:-2]) * s**3 / 2
    return factors.prod()


@pytest.mark.parametrize("steps", [1, 3, 10, 60])
@pytest.mark.parametrize("variance", [0.01, 1.7, 40.0])
@pytest.mark.parametrize("make", [dc.noise.karras, dc.noise.log_linear, dc.noise.linear_beta])
def test_prop_cosines(steps, variance, make):
    sigmas = make(steps)
    unit = dc.denoisers.Affine(torch.zeros(1), torch.tensor([[variance]], dtype=torch.float64))
    noise = sigmas[:1]  # one standard deviation of the start
    exact = sigmas[0].item() * math.sqrt(variance / (variance + sigmas[0].item() ** 2))
    for heun, sample in ((False, dc.sampling.ddim), (True, dc.sampling.heun)):
        found = sample(unit, noise[:, None], sigmas).item() / exact
        assert math.isclose(found, kept(sigmas, variance, heun), rel_tol=1e-9)
        if steps > 1:  # control: the other sampler's formula
            assert not math.isclose(found, kept(sigmas, variance, not heun), rel_tol=1e-4)
    assert kept(sigmas, variance, False) < 1
    theta = math.atan(sigmas[0].item() / math.sqrt(variance))
    assert kept(sigmas, variance, False) <= math.cos(theta / steps) ** steps + 1e-12


def test_prop_cosines_known_answers_and_best_schedule():
    exact = TOP**2 * 1.7 / (1.7 + TOP**2)
    for steps, known in ((5, 0.4593), (10, 0.9800), (18, 1.2698), (50, 1.5361), (200, 1.6577)):
        assert round(exact * kept(dc.noise.karras(steps), 1.7, False) ** 2, 4) == known
    theta, steps = math.atan(TOP), 20
    equal = torch.tan(theta * (1 - torch.arange(steps + 1, dtype=torch.float64) / steps))
    best_possible = kept(equal, 1.0, False)
    assert math.isclose(best_possible, math.cos(theta / steps) ** steps, rel_tol=1e-9)
    assert abs(1 - best_possible - theta**2 / (2 * steps)) < 1 / steps**2 * theta**4
    generator = np.random.default_rng(0)
    for _ in range(200):  # no other schedule keeps more
        inner = np.sort(generator.uniform(0, theta, steps - 1))[::-1]
        other = torch.tensor(np.tan(np.r_[theta, inner, 0.0]))
        assert kept(other, 1.0, False) < best_possible


def test_prop_cosines_orders():
    steps = np.array([64, 128, 256, 512])
    for heun, order in ((False, -1), (True, -2)):
        error = [abs(1 - kept(dc.noise.karras(int(k), sigma_min=1e-4), 1.0, heun)) for k in steps]
        assert abs(np.polyfit(np.log(steps), np.log(error), 1)[0] - order) < 0.1


def posterior_draw(y, sigma, rng):
    weight, mean, within = posterior(y, sigma)
    part = (rng.random(len(y))[:, None] > weight.cumsum(-1)).sum(-1).clip(max=len(MEANS) - 1)
    return mean[np.arange(len(y)), part] + math.sqrt(within) * rng.standard_normal(len(y))


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_prop_ancestral_marginals(eta, rng):
    n, sigma, sigma_next = 40_000, 1.0, 0.4
    _, y = draw(n, sigma, rng)
    up = eta * sigma_next * math.sqrt(1 - sigma_next**2 / sigma**2)
    down = math.sqrt(sigma_next**2 - up**2)
    split = dc.noise.Knobs(eta=eta).split(sigma, sigma_next, 1)
    assert math.isclose(split.up, up)
    assert math.isclose(split.down, down)
    fresh, r = up * rng.standard_normal(n), down / sigma
    guess, exact = best(y, sigma), posterior_draw(y, sigma, rng)
    assert ks(exact + r * (y - exact) + fresh, sigma_next) > 1e-5  # (1)
    mean_step = guess + r * (y - guess) + fresh
    assert ks(mean_step, sigma_next) < 1e-6  # control: the mean is not a draw
    full = MEANS.var() + WIDTH**2 + sigma_next**2  # (2)
    missing = full - (mean_step - MEANS.mean()) ** 2
    predicted = (1 - r) ** 2 * posterior_variance(y, sigma).mean()
    assert abs(missing.mean() - predicted) < 4.5 * missing.std() / math.sqrt(n)
    assert abs(missing.mean()) > 4.5 * missing.std() / math.sqrt(n)
    if eta == 1:  # control: a split that adds up to more than σ'²
        wrong = exact + sigma_next / sigma * (y - exact) + fresh
        assert ks(wrong, sigma_next) < 1e-6
    hat = 1.3 * sigma  # (4)
    churned = y + math.sqrt(hat**2 - sigma**2) * rng.standard_normal(n)
    assert ks(churned, hat) > 1e-5
    assert ks(churned, sigma) < 1e-6


@pytest.mark.parametrize(("eta", "churn"), [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.3, 4.0)])
def test_prop_ancestral_marginals_single_point(eta, churn, rng):
    levels = dc.noise.karras(7, sigma_max=TOP)
    start = torch.from_numpy(0.7 + TOP * rng.standard_normal(20_000))

    def p_value(run):
        z = [((state - 0.7) / level).numpy() for state, level in
             zip(run[1:-1], levels[1:-1].tolist(), strict=True)]  # fmt: skip
        return min(stats.kstest(v, "norm").pvalue for v in z)

    point = dc.sampling.ancestral(lambda y, s: torch.full_like(y, 0.7), start, levels, seed=3,
                                  eta=eta, churn=churn, return_trajectory=True)  # fmt: skip
    assert p_value(point) > 1e-5
    other = dc.sampling.ancestral(lambda y, s: 0.7 + 0.1 * (y - 0.7), start, levels, seed=3,
                                  eta=eta, churn=churn, return_trajectory=True)  # fmt: skip
    assert p_value(other) < 1e-6  # control: another denoiser


def test_prop_ancestral_marginals_eta_one_is_the_way_back(rng):
    """(5): the regression of x + σ' n' on y, given x, has the slope and the residual of η = 1."""
    sigma, sigma_next = 1.0, 0.6
    first = sigma_next * rng.standard_normal(200_000)
    y = first + math.sqrt(sigma**2 - sigma_next**2) * rng.standard_normal(200_000)
    split = dc.noise.Knobs(eta=1.0).split(sigma, sigma_next, 1)
    slope = (first @ y) / (y @ y)
    assert abs(slope - split.down / sigma) < 5 * split.up / math.sqrt(y @ y)
    assert abs((first - slope * y).std() / split.up - 1) < 5 / math.sqrt(2 * len(y))
    half = dc.noise.Knobs(eta=0.5).split(sigma, sigma_next, 1)
    assert abs(slope - half.down / sigma) > 0.05  # control


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_vp_ddim_with_eta_is_the_packages_ancestral_sampler(eta):
    """The same fresh noise in both units gives the same samples."""
    images = dc.data.load("digits").x[:80].double()
    affine, sigmas = dc.denoisers.Affine.fit(images), dc.noise.karras(9)
    noise = dc.sampling.initial_noise(3, (1, 8, 8), 80.0, seed=4).double()
    generator = torch.Generator().manual_seed(5)
    fresh = [torch.randn(noise.shape, generator=generator).double() for _ in range(9)]
    alpha_bars = dc.noise.alpha_bar_from_sigma(sigmas).tolist()
    theirs = vp_ddim(eps_of(affine), noise * math.sqrt(alpha_bars[0]), alpha_bars, eta, fresh)
    ours = dc.sampling.ancestral(affine, noise, sigmas, seed=5, eta=eta)
    assert (theirs - ours).abs().max() < 1e-7
