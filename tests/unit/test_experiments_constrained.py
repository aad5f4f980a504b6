"""The experiment that holds constrained networks against their closed forms."""

import importlib

import numpy as np
import pytest
import torch

from diffusion_creativity import denoisers, noise, sampling
from diffusion_creativity.data import load
from diffusion_creativity.experiments.registry import Unit
from diffusion_creativity.networks.constrained import Affine

module = importlib.import_module("diffusion_creativity.experiments.constrained")
DIGITS = load("digits").x[:60]
SIGMAS = noise.karras(6)


def solved(x=DIGITS, shrink=1.0):
    """A stack of two seeds: the best affine maps, and these with their matrix times `shrink`."""
    closed = denoisers.Affine.fit(x)
    network = Affine(x.shape[1:], SIGMAS, seeds=2, gain=0, skip=False, centre=x.mean(0))
    with torch.no_grad():
        for k, sigma in enumerate(network.levels.tolist()):
            A = closed.maps(sigma)[0].float() * (1 + sigma**2) ** 0.5  # inputs are scaled
            network.weight[:, k] = torch.stack([A, shrink * A])
    return network, closed


@pytest.mark.parametrize("name", module.CONSTRAINED)
def test_every_pair_trains_and_is_compared(name, tmp_path):
    config = module.ConstrainedConfig(
        members=2, levels=3, images=300, few=10, steps=4, batch=8, samples=24, tests=30
    )
    unit = Unit(f"digits-{name}", 1, torch.device("cpu"), tmp_path, lambda done: None)
    outcome = module.constrained(config, unit)
    m = outcome.metrics
    excess = torch.tensor(m["excess_by_level"])
    assert excess.shape == (3, 2, 3)
    assert excess.isfinite().all()
    assert (excess[..., 1] <= excess[..., 0]).all()
    assert (excess[..., 0] <= excess[..., 2]).all()
    assert -1 <= m["r_lowest"] <= m["r"] <= 1
    assert len(m["pearson_r_by_seed"]) == len(m["law_p_by_seed"]) == 2
    assert outcome.sheets["same_noise"].shape == (24, 1, 8, 8)


@pytest.mark.parametrize("name", module.CONSTRAINED)
def test_the_closed_form_beats_the_start(name):
    """The best of the class has the smaller loss at high noise, where each class is its own."""
    pair = module.CONSTRAINED[name]
    x = DIGITS[:10] if pair.few else load("digits").x[:300]
    network = pair.network(x, SIGMAS, [0])
    found = module.excess_loss(network, pair.closed(x), x, 100)
    assert found["excess_by_level"][0][0][1] > 0  # the low end of the interval


def test_excess_loss_is_the_distance_from_the_closed_form():
    shrink = 0.8
    network, closed = solved(shrink=shrink)
    found = module.excess_loss(network, closed, DIGITS, 3000)
    for k, sigma in enumerate(network.levels.tolist()):
        (exact, low, high), shrunk = found["excess_by_level"][k]
        assert abs(exact) < 1e-4
        assert low <= exact <= high
        lam = closed.eigenvalues
        expected = ((1 - shrink) ** 2 * lam**2 / (lam + sigma**2)).sum().item() / 64
        value, low, high = shrunk
        assert abs(value - expected) < 1.5 * (high - low)  # six standard errors
        assert high < 2 * expected or sigma > 1  # and that is little
        assert found["best_by_level"][k] == pytest.approx(
            (lam * sigma**2 / (lam + sigma**2)).sum().item() / 64, rel=0.1
        )


def test_samples_of_the_closed_form_itself_agree():
    network, closed = solved(shrink=0.8)
    found, sheet = module.samples(network, closed, SIGMAS, 400, exact=True)
    (same, *_), (other, *_) = found["pearson_r_by_seed"]
    assert same > 0.9999
    assert other < same
    assert found["r_squared_by_seed"][0][0] > 0.999
    assert found["r_mismatched"] < 0.95
    assert found["law_p_by_seed"][0] > 0.01
    assert found["law_p_by_seed"][1] < 0.01
    assert min(found["learnt_law_p"]) > 1e-4  # the shrunk maps too have the law of their recursion
    assert found["law_distance_by_seed"][0] < 2 * found["distance_by_chance"]
    assert found["left_out"] == 0
    torch.testing.assert_close(sheet[:8], sheet[8:16], rtol=0, atol=1e-2)


class SometimesFlat:
    """Stands in for the closed form of `solved`: where the noise says so, an image is constant."""

    def __init__(self, closed):
        self.closed = closed

    def __call__(self, y, sigma):
        grey = y.flatten(1).mean(1) > 0.1 * sigma  # once so it stays so: y moves to 1
        return torch.where(grey[:, None, None, None], 1.0, self.closed(y, sigma))


def test_flat_images_are_left_out_and_counted():
    network, closed = solved()
    start = sampling.initial_noise(400, network.shape, float(SIGMAS[0]), seed=11)
    flat = SometimesFlat(closed)
    same = sampling.ddim(flat, start, SIGMAS)
    constant = same.flatten(1).std(1) == 0
    assert 50 < constant.sum() < 150
    found, _ = module.samples(network, flat, SIGMAS, 400, exact=False)
    assert found["left_out"] == int(constant.sum())
    assert found["left_out_by_seed"] == [found["left_out"]] * 2
    made = sampling.ddim(network.denoiser(0), start, SIGMAS)
    pairs = zip(made[~constant].flatten(1), same[~constant].flatten(1), strict=True)
    expected = np.median([np.corrcoef(a, b)[0, 1] for a, b in pairs])
    assert found["pearson_r_by_seed"][0][0] == pytest.approx(expected, abs=1e-6)


def test_what_escapes_is_kept_finite():
    kept = module._kept(torch.tensor([float("nan"), float("inf"), -1e9, 0.5]))
    assert kept.tolist() == [module.ESCAPED, module.ESCAPED, -module.ESCAPED, 0.5]
