"""Schedules, and the dictionary between the two forms of the forward process."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion_creativity import noise

SCHEDULES = [noise.karras, noise.log_linear, noise.linear_beta, noise.cosine]
levels = st.floats(1e-3, 1e3)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 18, 1000])
def test_schedule_decreases_to_zero(schedule, steps):
    sigmas = schedule(steps)
    assert sigmas.shape == (steps + 1,)
    assert sigmas.dtype == torch.float64
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()


@given(levels, levels, st.integers(2, 60), st.floats(0.5, 20))
def test_karras_and_log_linear_keep_their_ends(a, b, steps, rho):
    low, high = sorted((a, b + 1e-2))
    for sigmas in (noise.karras(steps, low, high, rho), noise.log_linear(steps, low, high)):
        assert sigmas[0].item() == pytest.approx(high, rel=1e-9)
        assert sigmas[-2].item() == pytest.approx(low, rel=1e-9)


def test_karras_against_its_published_formula():
    i = torch.arange(18, dtype=torch.float64)
    root = 1 / 7
    published = (80**root + i / 17 * (0.002**root - 80**root)) ** 7
    torch.testing.assert_close(noise.karras(18)[:-1], published)


def test_karras_tends_to_log_linear():
    torch.testing.assert_close(
        noise.karras(30, rho=1e6)[:-1], noise.log_linear(30)[:-1], rtol=1e-4, atol=0
    )


def test_linear_beta_is_ddpm():
    product = math.prod(1 - (1e-4 + (0.02 - 1e-4) * t / 999) for t in range(1000))
    sigmas = noise.linear_beta(1000)
    assert 1 / (1 + sigmas[0].item() ** 2) == pytest.approx(product, rel=1e-9)
    assert sigmas[-2].item() == pytest.approx(math.sqrt(1e-4 / (1 - 1e-4)), rel=1e-9)


def test_cosine_follows_its_curve():
    sigmas = noise.cosine(1000)
    t = torch.arange(999, 0, -1, dtype=torch.float64) / 1000  # below the capped last beta
    f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    f0 = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(noise.alpha_bar_from_sigma(sigmas[1:-1]), f / f0)


@given(st.floats(0, 1e4))
def test_dictionary_inverts(sigma):
    share = noise.alpha_bar_from_sigma(sigma)
    # sigma² is recovered from 1 - share, so its absolute error is of the order of rounding of 1.
    recovered = noise.sigma_from_alpha_bar(share).item()
    assert recovered**2 == pytest.approx(sigma**2, rel=1e-6, abs=1e-15)


@given(st.lists(levels, min_size=1, max_size=5))
def test_scaling_inverts_for_one_sigma_per_example(sigmas):
    sigma = torch.tensor(sigmas, dtype=torch.float64)
    y = torch.randn(len(sigmas), 2, 3, dtype=torch.float64)
    x_t = noise.vp_from_ve(y, sigma)
    torch.testing.assert_close(noise.ve_from_vp(x_t, noise.alpha_bar_from_sigma(sigma)), y)


def test_dictionary_takes_integers():
    y = torch.full((2, 3), 10)
    torch.testing.assert_close(noise.vp_from_ve(y, 1.0), y * 0.5**0.5)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: noise.karras(0), "steps"),
        (lambda: noise.karras(2.5), "steps"),
        (lambda: noise.karras(sigma_min=-1), "sigma_min"),
        (lambda: noise.karras(sigma_max=math.nan), "sigma_max"),
        (lambda: noise.karras(sigma_min=2, sigma_max=1), "sigma_min"),
        (lambda: noise.karras(sigma_min=80), "sigma_min"),
        (lambda: noise.log_linear(sigma_min=80), "sigma_min"),
        (lambda: noise.karras(rho=0), "rho"),
        (lambda: noise.linear_beta(beta_max=1.5), "beta"),
        (lambda: noise.linear_beta(2000), "train_steps"),
        (lambda: noise.cosine(offset=-1), "offset"),
        (lambda: noise.alpha_bar_from_sigma(-1), "sigma"),
        (lambda: noise.sigma_from_alpha_bar(0), "alpha_bar"),
        (lambda: noise.vp_from_ve(torch.zeros(3, 2), torch.ones(2)), "sigma"),
        (lambda: noise.Knobs(eta=2), "eta"),
        (lambda: noise.Knobs(churn=-1), "churn"),
        (lambda: noise.Knobs(churn_min=2, churn_max=1), "churn_max"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
