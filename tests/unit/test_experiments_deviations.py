"""The experiments that change one setting of a training run, and that vary capacity."""

import importlib

import pytest
import torch

from diffusion_creativity.data import load
from diffusion_creativity.denoisers import Affine
from diffusion_creativity.denoisers.bayes import Bayes
from diffusion_creativity.experiments.registry import Unit
from diffusion_creativity.noise import karras

deviations = importlib.import_module("diffusion_creativity.experiments.deviations")
capacity = importlib.import_module("diffusion_creativity.experiments.capacity")
DIGITS = load("digits").x[:200]


def unit_of(variant, folder):
    return Unit(variant, 1, torch.device("cpu"), folder, lambda done: None)


@pytest.mark.parametrize(
    "variant",
    ["base", "decay-0.1", "optimizer-AdamW_1", "optimizer-momentum", "precision-bf16_weights"],
)
def test_a_change_is_trained_and_compared(variant, tmp_path):
    config = deviations.DeviationsConfig(members=2, levels=3, images=200, steps=6, samples=20)
    m = deviations.deviations(config, unit_of(variant, tmp_path)).metrics
    assert torch.tensor(m["relative_excess"]).shape == (3, 2)
    assert torch.tensor(m["relative_excess"]).min() > 0
    assert max(map(abs, m["pearson_r"] + m["r_limit"])) <= 1
    assert ("path_r" in m) == (variant.split("-")[0] in ("base", "decay", "precision"))
    if "path_r" in m:
        assert min(m["path_r_squared"]) > max(m["r_squared"])  # six steps are far from the end


def test_bf16_weights_are_rounded(tmp_path):
    change = deviations.CHANGES["precision-bf16_weights"]
    weights = torch.nn.Parameter(torch.ones(5))
    weights.grad = torch.tensor([0.0, 1e-4, -1e-4, 0.3, 0.7])
    deviations.optimizer_of(change, [weights]).step()
    assert torch.equal(weights.data, weights.data.bfloat16().float())
    assert (weights[1:3] == 1).all()  # smaller than a rounding step
    assert weights[3] < 1


def test_excess_is_the_loss_above_the_least():
    """Against losses computed entry by entry from the second moments, also where x is constant."""
    closed, sigma = Affine.fit(DIGITS), 0.6
    x = DIGITS.flatten(1).double()
    generator = torch.Generator().manual_seed(0)
    A = closed.maps(sigma)[0] + 0.05 * torch.randn(64, 64, generator=generator).double()
    b = torch.randn(64, generator=generator).double()

    def loss(A, b):
        clean = x @ (torch.eye(64) - A).T - b  # the noise adds σ² ‖A‖²
        return clean.square().sum(1).mean() + sigma**2 * A.square().sum()

    least = loss(*closed.maps(sigma))
    assert abs(least.item() - deviations.least(closed, sigma)) < 1e-9
    found = deviations.excess(closed, A, b, sigma)
    assert found == pytest.approx(((loss(A, b) - least) / least).item(), rel=1e-9)
    assert abs(deviations.excess(closed, *closed.maps(sigma), sigma)) < 1e-20


def test_capacity_counts_copies(tmp_path):
    config = capacity.CapacityConfig(members=2, levels=3, steps=4, samples=20, held_out=30)
    m = capacity.capacity(config, unit_of("3-5", tmp_path)).metrics
    assert 0 <= m["copies"] <= 1
    assert len(m["copied"]) == len(m["to_train"]) == 2
    assert torch.tensor(m["excess"]).shape == (3, 2)
    assert torch.tensor(m["excess"]).min() > 0  # nothing beats the perfect denoiser on its images


class Perfect:
    """Stands in for a stack whose two seeds have learnt everything."""

    seeds, levels, unit = 2, karras(3)[:-1], torch.ones(3)

    def __init__(self, x):
        self.best = Bayes.fit(x)

    def denoise(self, y, sigma, seed):
        return self.best(y, sigma)


def test_capacity_of_a_perfect_network():
    x = DIGITS[:5]
    found = torch.tensor(capacity.excess(Perfect(x), Bayes.fit(x), x, 20))
    assert (found == 0).all()
    assert capacity.distance(x, x) < 1e-6
    assert capacity.distance(x + 0.25, x) == pytest.approx(0.25, rel=1e-5)
