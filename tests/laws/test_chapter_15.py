"""Certificates of chapter 15: what r holds by itself, and where a prediction is lost."""

import itertools

import pytest
import torch

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, Bayes
from diffusion_creativity.metrics import pearson_r

DIGITS = dc.data.load("digits").x.double()


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(images):
    flat = images.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True)


def all_pairs(a, b):
    """Mean of r over every image of a with every one of b, pair by pair."""
    left = a.repeat_interleave(len(b), 0)
    return pearson_r(left, b.repeat(len(a), 1, 1, 1)).mean().item()


def test_prop_theory_floor():
    """Mean r of independent pairs is the product of mean unit images; the rest is a covariance."""
    a, b = DIGITS[:60], DIGITS[100:160].square() - DIGITS[300:360]
    floor = (unit(a).mean(0) @ unit(b).mean(0)).item()
    assert all_pairs(a, b) == pytest.approx(floor, abs=1e-12)
    # pairs that belong together, each as likely as the others
    covariance = ((unit(a) - unit(a).mean(0)) * (unit(b) - unit(b).mean(0))).sum(1).mean().item()
    assert pearson_r(a, b).mean().item() == pytest.approx(floor + covariance, abs=1e-12)
    # never below zero for one law twice, and zero where the mean unit image vanishes
    assert all_pairs(DIGITS[:80], DIGITS[:80]) == pytest.approx(
        unit(DIGITS[:80]).mean(0).square().sum().item(), abs=1e-12
    )
    both = torch.cat([a, -a])
    assert all_pairs(both, b) == pytest.approx(0, abs=1e-12)
    # a control: the correlation of the mean images is another number
    assert abs(pearson_r(a.mean(0, keepdim=True), b.mean(0, keepdim=True)).item() - floor) > 0.05


def walk(denoise, noise, sigmas):
    """States of DDIM, by hand."""
    states = [noise]
    for sigma, following in itertools.pairwise(sigmas):
        x_hat = denoise(states[-1], sigma)
        states.append(x_hat + following / sigma * (states[-1] - x_hat))
    return states


def contributions(network, theory, states, sigmas):
    """What each step adds to the difference of the samples: the gap, and later steps on it."""
    parts = []
    for k, (y, sigma) in enumerate(zip(states[:-1], sigmas[:-1], strict=True)):
        part = (1 - sigmas[k + 1] / sigma) * (network(y, sigma) - theory(y, sigma)).flatten(1)
        for j in range(k + 1, len(sigmas) - 1):
            ratio = sigmas[j + 1] / sigmas[j]
            matrix = theory.maps(sigmas[j])[0]
            part = ratio * part + (1 - ratio) * part @ matrix.T
        parts.append(part)
    return torch.stack(parts)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_prop_theory_budget(power):
    """The parts add up exactly, no step enlarges one, and directions forget at their own pace."""
    sigmas = dc.noise.karras(7, 0.05, 20.0).tolist()
    wiener, bayes = Affine.fit(DIGITS[:300]), Bayes.fit(DIGITS[:40])

    def network(y, sigma):  # between two theories, so nothing is affine
        return power * bayes(y, sigma) + (1 - power) * wiener(y, sigma).tanh()

    noise = sigmas[0] * draw(12, 1, 8, 8, seed=1)
    states, others = (walk(denoise, noise, sigmas) for denoise in (network, wiener))
    parts = contributions(network, wiener, states, sigmas)
    gap = (states[-1] - others[-1]).flatten(1)
    assert torch.allclose(parts.sum(0), gap, atol=1e-8)
    made = dc.sampling.ddim(network, noise, torch.tensor(sigmas, dtype=torch.float64))
    assert torch.allclose(made, states[-1], atol=1e-8)
    # 2: the triangle inequality, with the gaps themselves
    total = torch.zeros(len(noise), dtype=torch.float64)
    for k, y in enumerate(states[:-1]):
        alone = (network(y, sigmas[k]) - wiener(y, sigmas[k])).flatten(1).norm(dim=1)
        total += (1 - sigmas[k + 1] / sigmas[k]) * alone
        assert (parts[k].norm(dim=1) <= (1 - sigmas[k + 1] / sigmas[k]) * alone + 1e-9).all()
    assert (gap.norm(dim=1) <= total + 1e-9).all()
    # 1: along an eigenvector of variance λ a part is multiplied by a product over later levels
    values, vectors = torch.linalg.eigh(torch.cov(DIGITS[:300].flatten(1).T, correction=0))
    first = network(noise, sigmas[0]) - wiener(noise, sigmas[0])
    kept = torch.ones_like(values)
    for sigma, following in itertools.pairwise(sigmas[1:]):
        kept = kept * (values + sigma * following) / (values + sigma**2)
    expected = (1 - sigmas[1] / sigmas[0]) * first.flatten(1) @ vectors * kept
    assert torch.allclose(parts[0] @ vectors, expected, atol=1e-7)
    # a control: gaps at the states of the theory do not add up
    wrong = contributions(network, wiener, others, sigmas).sum(0)
    assert not torch.allclose(wrong, gap, atol=1e-2)
