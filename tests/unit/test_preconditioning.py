"""Preconditioning: four predictions describe the same denoisers."""

import math

import pytest
import torch
from torch import nn

import diffusion_creativity as dc
from diffusion_creativity.networks.preconditioning import PREDICTIONS, Preconditioned

SIGMAS = torch.logspace(-2.5, 2, 7, dtype=torch.float64)
S = 0.6


def draws(n=7, shape=(2, 3, 3)):
    generator = torch.Generator().manual_seed(1)
    x = S * torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    return x, torch.randn(n, *shape, generator=generator, dtype=torch.float64)


def column(values):
    return values.reshape(-1, 1, 1, 1)


class Function(nn.Module):
    """A raw network that is a function, and remembers what it was given."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, noise_label):
        self.given = x, noise_label
        return self.function(x, noise_label)


def ideal_outputs(x, noise, sigma):
    """What each prediction is a prediction of, written out from the definitions."""
    root = (1 + sigma**2).sqrt()
    total = (sigma**2 + S**2).sqrt()
    return {
        "edm": (sigma * x / S - S * noise) / total,
        "clean": x,
        "noise": noise,
        "velocity": (noise - sigma * x) / root,
    }


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_ideal_output_gives_the_clean_image_back(prediction):
    x, noise = draws()
    ideal = ideal_outputs(x, noise, column(SIGMAS))[prediction]
    network = Preconditioned(Function(lambda *_: ideal), sigma_data=S, prediction=prediction)
    found = network(x + column(SIGMAS) * noise, SIGMAS)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-12)
    assert network.loss(x, SIGMAS, noise).max() < 1e-20


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_loss_is_that_of_the_raw_network(prediction):
    """‖F - ideal F‖² / d, whatever F predicts: this fixes the weight of every prediction."""
    x, noise = draws()
    ideal = ideal_outputs(x, noise, column(SIGMAS))[prediction]
    error = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    network = Preconditioned(
        Function(lambda *_: ideal + error), sigma_data=S, prediction=prediction
    )
    expected = error.square().flatten(1).mean(1)
    torch.testing.assert_close(network.loss(x, SIGMAS, noise), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("source", PREDICTIONS)
@pytest.mark.parametrize("target", PREDICTIONS)
def test_an_output_converted_into_another_is_the_same_denoiser(source, target):
    x, noise = draws()
    y = x + column(SIGMAS) * noise
    conv = nn.Conv2d(2, 2, 3, padding=1).double()
    first = Preconditioned(
        Function(lambda z, label: conv(z) * column(label)), sigma_data=S, prediction=source
    )
    a = [column(c) for c in first.scalings(SIGMAS)]
    b = [column(c) for c in PREDICTIONS[target](SIGMAS, S)]

    def converted(z, label):
        torch.testing.assert_close(z, b[2] * y)
        raw = conv(a[2] * y) * column(label)
        return ((a[0] - b[0]) * y + a[1] * raw) / b[1]

    second = Preconditioned(Function(converted), sigma_data=S, prediction=target)
    torch.testing.assert_close(second(y, SIGMAS), first(y, SIGMAS), rtol=1e-9, atol=1e-9)
    ratio = (a[1] / b[1]).flatten() ** 2  # squared errors of F go as 1 / c_out²
    torch.testing.assert_close(
        second.loss(x, SIGMAS, noise), first.loss(x, SIGMAS, noise) * ratio, rtol=1e-8, atol=0
    )


@pytest.mark.parametrize("sigma", [0.05, 0.6, 9.0])
def test_the_best_network_is_the_same_denoiser(sigma):
    """Least squares for F(z) = a z by each prediction's loss: one slope of D, that of the data."""
    x, noise = draws(50)
    y = x + sigma * noise
    best = (x * y).sum() / (y * y).sum()  # least squares for D(y) = slope y
    levels = torch.full((len(x),), sigma, dtype=torch.float64)
    for prediction in PREDICTIONS:
        slope = torch.zeros((), dtype=torch.float64, requires_grad=True)
        network = Preconditioned(
            Function(lambda z, _, a=slope: a * z), sigma_data=S, prediction=prediction
        )
        loss = network.loss(x, levels, noise).mean()
        (gradient,) = torch.autograd.grad(loss, slope, create_graph=True)
        (curvature,) = torch.autograd.grad(gradient, slope)
        with torch.no_grad():
            slope -= gradient / curvature  # the loss is a parabola: Newton's step is exact
        found = network(y, sigma)
        torch.testing.assert_close(found.detach(), best * y, rtol=1e-8, atol=1e-10)


def test_edm_gives_inputs_and_targets_of_unit_variance():
    c_skip, c_out, c_in = PREDICTIONS["edm"](SIGMAS, S)
    one = torch.ones_like(SIGMAS)
    torch.testing.assert_close(c_in**2 * (S**2 + SIGMAS**2), one)
    target = ((1 - c_skip) ** 2 * S**2 + (c_skip * SIGMAS) ** 2) / c_out**2
    torch.testing.assert_close(target, one)
    worse = ((1 - 0.9 * c_skip) ** 2 * S**2 + (0.9 * c_skip * SIGMAS) ** 2) / c_out**2
    assert (worse > target).all()  # c_skip makes the target smallest


def test_velocity_is_edm_with_another_sign_where_the_data_have_unit_variance():
    velocity, edm = PREDICTIONS["velocity"](SIGMAS, 1.0), PREDICTIONS["edm"](SIGMAS, 1.0)
    torch.testing.assert_close(velocity.c_out, -edm.c_out)
    for name in ("c_skip", "c_in", "weight"):
        torch.testing.assert_close(getattr(velocity, name), getattr(edm, name))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_the_raw_network_is_given(prediction):
    x, _ = draws()
    raw = Function(lambda z, _: z)
    network = Preconditioned(raw, sigma_data=S, prediction=prediction)
    network(x, SIGMAS)
    given, label = raw.given
    torch.testing.assert_close(given, column(network.scalings(SIGMAS).c_in) * x)
    torch.testing.assert_close(label, SIGMAS.log() / 4)
    network(x, 2.0)
    torch.testing.assert_close(raw.given[1], torch.full((7,), math.log(2) / 4).double())


class TestDenoise:
    def network(self, prediction="edm"):
        return Preconditioned(nn.Conv2d(1, 1, 3, padding=1), sigma_data=S, prediction=prediction)

    def zero(self):
        """A denoiser whose raw network answers 0: D = c_skip y."""
        return Preconditioned(Function(lambda z, _: torch.zeros_like(z)), sigma_data=S)

    def test_samples_as_its_formula_says(self):
        sigmas = dc.noise.karras(9, 0.01, 20.0)
        noise = dc.sampling.initial_noise(5, (1, 4, 4), 20.0)
        found = dc.sampling.ddim(self.zero().denoise, noise, sigmas)
        gain = 1.0
        for high, low in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
            gain *= low / high + (1 - low / high) * S**2 / (S**2 + high**2)
        torch.testing.assert_close(found, gain * noise, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
    def test_answers_in_the_dtype_of_y_and_without_gradient(self, dtype):
        raw = Function(lambda z, _: z)
        raw.weight = nn.Parameter(torch.ones(()))
        network = Preconditioned(raw, sigma_data=S).train()
        y = torch.randn(3, 1, 4, 4).to(dtype).requires_grad_()
        found = network.denoise(y, 0.5)
        assert found.dtype == dtype
        assert not found.requires_grad
        assert network.training
        expected = network(y.detach().float(), 0.5)
        torch.testing.assert_close(found.float(), expected, rtol=1e-3, atol=1e-3)

    def test_is_in_evaluation_mode(self):
        raw = Function(lambda z, _: nn.functional.dropout(z, 0.5, training=raw.training))
        network = Preconditioned(raw, sigma_data=S).train()
        y = torch.ones(2, 1, 4, 4)
        assert torch.equal(network.denoise(y, 1.0), network.eval()(y, 1.0))

    @pytest.mark.parametrize("prediction", ["edm", "noise", "velocity"])
    def test_leaves_what_has_no_noise_as_it_is(self, prediction):
        network = Preconditioned(Function(lambda z, _: z), sigma_data=S, prediction=prediction)
        y = torch.randn(3, 1, 4, 4)
        torch.testing.assert_close(network.denoise(y, 0.0), y)

    @pytest.mark.parametrize("sigma", [-1.0, math.nan, [1.0, 2.0], "x"])
    def test_bad_levels(self, sigma):
        with pytest.raises(ValueError, match="sigma"):
            self.zero().denoise(torch.randn(3, 1, 4, 4), sigma)

    def test_bad_images(self):
        with pytest.raises(ValueError, match="y must be finite"):
            self.zero().denoise(torch.full((3, 1, 4, 4), math.nan), 1.0)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="prediction must be one of edm, clean"):
            self.network("score")
        with pytest.raises(ValueError, match="sigma_data"):
            Preconditioned(nn.Identity(), sigma_data=0.0)


def test_under_autocast_the_denoiser_stays_in_float32():
    conv = nn.Conv2d(1, 1, 3, padding=1)
    network = Preconditioned(Function(lambda z, _: conv(z)), sigma_data=S)
    y = torch.randn(3, 1, 4, 4)
    exact = network(y, 0.01)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(y).dtype == torch.bfloat16
        found = network(y, 0.01)
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() < 0.01 * 2**-7 * 4  # c_out times bf16's rounding of F
