"""Samplers against independent implementations of the published algorithms."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_creativity import noise, sampling


def denoise(y, sigma):
    """A smooth non-linear denoiser: exact for the two atoms ±1 in each entry."""
    return torch.tanh(y / sigma**2)


@pytest.fixture
def start():
    return sampling.initial_noise(5, (2, 3), sigma_max=10.0, seed=1).double()


SIGMAS = noise.karras(12, 0.05, 10.0)


def ddim_vp(y, sigmas):
    """DDIM with eta = 0 in the variance-preserving form [Song et al. 2021, eq. 12]."""
    share = 1 / (1 + sigmas**2)
    x_t = y * share[0].sqrt()
    for a, b in itertools.pairwise(share):
        x0 = denoise(x_t / a.sqrt(), ((1 - a) / a).sqrt())
        eps = (x_t - a.sqrt() * x0) / (1 - a).sqrt()
        x_t = b.sqrt() * x0 + (1 - b).sqrt() * eps
    return x_t


def heun_edm(y, sigmas):
    """Algorithm 1 of Karras et al. 2022."""
    for a, b in itertools.pairwise(sigmas):
        d = (y - denoise(y, a)) / a
        moved = y + (b - a) * d
        if b > 0:
            d = (d + (moved - denoise(moved, b)) / b) / 2
            moved = y + (b - a) * d
        y = moved
    return y


def test_ddim_equals_its_vp_form(start):
    torch.testing.assert_close(sampling.ddim(denoise, start, SIGMAS), ddim_vp(start, SIGMAS))


def test_heun_equals_the_published_algorithm(start):
    torch.testing.assert_close(sampling.heun(denoise, start, SIGMAS), heun_edm(start, SIGMAS))


@pytest.mark.parametrize(("sampler", "order"), [(sampling.ddim, 1), (sampling.heun, 2)])
def test_order_of_convergence(start, sampler, order):
    """Halving the step divides the error by 2^order (on a range without the last step to 0)."""

    def run(steps):
        sigmas = torch.cat([noise.log_linear(steps, 0.5, 10.0)[:-1], torch.zeros(1)])
        levels = sampling.steps(denoise, start, sigmas, second_order=order == 2)
        return [step.y for step in levels][-2]

    truth = run(4000)
    errors = [(run(k) - truth).abs().max().item() for k in (41, 81)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


def test_ancestral_step_has_the_moments_of_ddpm():
    """One eta = 1 step draws from q(x_{t-1} | x_t, x_0) [Ho et al. 2020, eqs. 6-7]."""
    sigma, sigma_next, n = 2.0, 1.0, 200_000
    a, b = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
    x0, x_t, beta = 0.7, 0.4, 1 - a / b
    mean = math.sqrt(b) * beta / (1 - a) * x0 + math.sqrt(a / b) * (1 - b) / (1 - a) * x_t
    variance = (1 - b) / (1 - a) * beta
    y = torch.full((n, 1), x_t / math.sqrt(a))
    sigmas = torch.tensor([sigma, sigma_next, 0.0])
    step = next(
        sampling.steps(lambda y, s: x0 + 0 * y, y, sigmas, knobs=noise.Knobs(eta=1.0), seed=3)
    )
    x_next = step.y * math.sqrt(b)
    assert x_next.mean().item() == pytest.approx(mean, abs=5 * math.sqrt(variance / n))
    assert x_next.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / n))


def test_churn_raises_the_level_as_in_edm():
    hat, added, down, up = noise.Knobs(churn=5.0, churn_noise=1.1).split(2.0, 1.0, steps=20)
    assert hat == pytest.approx(2.0 * 1.25)
    assert added == pytest.approx(1.1 * math.sqrt(hat**2 - 4))
    assert (down, up) == (1.0, 0.0)
    assert noise.Knobs(churn=1e9).split(2.0, 1.0, 20).hat == pytest.approx(2 * math.sqrt(2))
    assert noise.Knobs(churn=5.0, churn_max=1.0).split(2.0, 1.0, 20).hat == 2.0


@settings(max_examples=30)
@given(st.floats(0, 1), st.floats(0, 50), st.floats(0.01, 10), st.floats(1.001, 20))
def test_levels_split_the_variance(eta, churn, low, ratio):
    levels = noise.Knobs(eta=eta, churn=churn).split(low * ratio, low, steps=10)
    assert levels.down**2 + levels.up**2 == pytest.approx(low**2)
    assert levels.hat >= low * ratio


def test_no_noise_is_ddim(start):
    expected = sampling.ddim(denoise, start, SIGMAS)
    torch.testing.assert_close(sampling.ancestral(denoise, start, SIGMAS, eta=0.0), expected)


def test_trajectory_starts_with_the_noise_and_ends_with_the_sample(start):
    for sampler in (sampling.ddim, sampling.heun, sampling.ancestral):
        path = sampler(denoise, start, SIGMAS, return_trajectory=True)
        assert path.shape == (len(SIGMAS), *start.shape)
        torch.testing.assert_close(path[0], start)
        torch.testing.assert_close(path[-1], sampler(denoise, start, SIGMAS))


def test_seed_decides_the_fresh_noise(start):
    runs = [sampling.ancestral(denoise, start, SIGMAS, seed=s) for s in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_last_step_is_the_denoiser_and_start_is_untouched(start):
    kept = start.clone()
    *_, last = sampling.steps(denoise, start, SIGMAS)
    assert torch.equal(last.y, last.x_hat)
    assert torch.equal(start, kept)


@pytest.mark.parametrize("shape", [(4,), (1, 8, 8), (3, 5, 2)])
def test_initial_noise(shape):
    drawn = sampling.initial_noise(2000, shape, sigma_max=80.0, seed=2)
    assert drawn.shape == (2000, *shape)
    assert drawn.dtype == torch.float32
    n = drawn.numel()
    assert drawn.var().item() == pytest.approx(6400, rel=5 * math.sqrt(2 / n))
    assert torch.equal(drawn, sampling.initial_noise(2000, shape, seed=2))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: sampling.ddim(denoise, torch.full((1, 2), math.nan), SIGMAS), "noise"),
        (lambda: sampling.ddim(denoise, torch.zeros(1, 2, dtype=torch.int64), SIGMAS), "noise"),
        (lambda: sampling.ddim(denoise, torch.zeros(1, 2), SIGMAS.flip(0)), "sigmas must decrease"),
        (lambda: sampling.ddim(denoise, torch.zeros(1, 2), SIGMAS[:-1]), "end with 0"),
        (lambda: sampling.ddim(denoise, torch.zeros(1, 2), torch.tensor([1.0])), "sigmas"),
        (lambda: sampling.ddim(denoise, [[0.0, 0.0]], SIGMAS), "noise must be a tensor"),
        (lambda: sampling.initial_noise(1, (-2,)), "shape"),
        (lambda: sampling.initial_noise(1, (2.5,)), "shape"),
        (lambda: sampling.initial_noise(0, (2,)), "n must"),
        (lambda: sampling.initial_noise(1, (2,), sigma_max=-1), "sigma_max"),
        (lambda: sampling.initial_noise(1, (2,), seed=-1), "seed"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
