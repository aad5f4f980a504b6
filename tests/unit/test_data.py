"""Data: what is drawn, the digits, and bad arguments."""

import math

import pytest
import torch

from diffusion_creativity import data
from diffusion_creativity.data import toy

TARGETS = [
    toy.gaussian_mixture([[0.0, 1], [2, 3]], [0.2, 0.5], [1, 3]),
    toy.atoms([[0.0, 1], [2, 3], [5, 5]]),
    toy.uniform(-1, 3, d=3),
    toy.spiral(),
    toy.checkerboard(),
    toy.texture(8),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_stated_moments_are_the_population_moments(target):
    """Each moment within 5 standard errors of 200,000 draws."""
    n = 200_000
    x = target.sample(n, seed=4)
    assert x.dtype == torch.float32
    assert x.shape == (n, *target.mean.shape)
    centred = x.flatten(1).double() - target.mean.flatten()
    error = centred.mean(0).abs()
    assert (error <= 5 * (target.cov.diagonal() / n).sqrt() + 1e-7).all()
    products = centred.T @ centred / n
    spread = ((centred**2).T @ centred**2 / n - products**2).clamp(min=0)
    assert ((products - target.cov).abs() <= 5 * (spread / n).sqrt() + 1e-6).all()


def test_draws_depend_on_the_seed_alone():
    a, b, c = (toy.spiral().sample(10, seed) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_texture_has_unit_variance_and_its_spectrum():
    x = toy.texture(8).sample(50_000, seed=2)
    power = torch.fft.fft2(x.double()).abs().square().mean((0, 1)) / 64
    f = torch.fft.fftfreq(8, dtype=torch.float64)
    expected = 1 / (0.02 + torch.hypot(f[:, None], f[None])) ** 2
    torch.testing.assert_close(
        power, expected / expected.mean(), rtol=5 * math.sqrt(2 / 5e4), atol=0
    )


def test_digits():
    digits = data.load("digits")
    assert digits.x.shape == (1797, 1, 8, 8)
    assert (digits.x.min(), digits.x.max()) == (-1, 1)
    assert digits.labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    few = digits.subset(20, seed=1)
    assert len(few) == len(few.x.flatten(1).unique(dim=0)) == 20
    assert (few.name, few.licence, few.classes) == ("digits", "CC BY 4.0", tuple("0123456789"))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: data.load("imagenet"), "name must be one of"),
        (lambda: data.load("digits", "validation"), "split"),
        (lambda: data.load("digits", "test"), "split"),
        (lambda: data.load("digits").subset(0), "n must lie"),
        (lambda: toy.checkerboard(3), "cells"),
        (lambda: toy.uniform(1, 0), "low"),
        (lambda: toy.texture(cutoff=0), "cutoff"),
        (lambda: toy.spiral(noise=-1), "noise"),
        (lambda: toy.gaussian_mixture([[0.0], [1.0]], [0.1, -1]), "scales"),
        (lambda: toy.atoms([]), "means"),
        (lambda: toy.gaussian_mixture(torch.zeros(2, 3, 4)), "means"),
        (lambda: toy.gaussian_mixture([[0.0], [1.0]], [1.0, 2.0, 3.0]), "scales"),
        (lambda: toy.gaussian_mixture([[0.0], [1.0]], [1.0, math.nan]), "scales"),
        (lambda: toy.uniform(d=0), "d must"),
        (lambda: data.load("digits").subset(2.5), "n must"),
        (lambda: data.load("digits").subset(2, seed=-1), "seed"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
