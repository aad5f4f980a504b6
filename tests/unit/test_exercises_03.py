"""Each self-check of chapter 3 accepts the official solution and rejects plausible wrong ones."""

import math

import pytest
import torch

from diffusion_creativity import exercises, noise, sampling


def gaps(y, x):
    return (y[:, None] - x).square().sum(-1)


def softmax_denoiser(y, x, sigma):
    scores = -gaps(y, x) / (2 * sigma**2)
    weights = torch.exp(scores - scores.amax(1, keepdim=True))
    return (weights / weights.sum(1, keepdim=True)) @ x


def naive(y, x, sigma):
    weights = torch.exp(-gaps(y, x) / (2 * sigma**2))
    return (weights / weights.sum(1, keepdim=True)) @ x


def one_shift_for_all(y, x, sigma):
    scores = -gaps(y, x) / (2 * sigma**2)
    weights = torch.exp(scores - scores.max())
    return (weights / weights.sum(1, keepdim=True)) @ x


def epsilon(y, x, sigma):
    weights = torch.exp(-gaps(y, x) / (2 * sigma**2))
    return weights @ x / (weights.sum(1, keepdim=True) + 1e-12)


def winner(y, a, b):
    return ((y - (a + b) / 2) @ (b - a) > 0).long()


def weighted_denoiser(x, prior):
    return lambda y, sigma: torch.softmax(prior.log() - gaps(y, x) / (2 * sigma**2), 1) @ x


def prior_at_the_end(x, prior):
    def denoise(y, sigma):
        weights = torch.softmax(-gaps(y, x) / (2 * sigma**2), 1) * prior
        return weights @ x

    return denoise


def prior_inside_the_temperature(x, prior):
    return lambda y, s: torch.softmax((prior.log() - gaps(y, x)) / (2 * s**2), 1) @ x


def merge(parts):
    answers, evidence = (torch.stack(part) for part in zip(*parts, strict=True))
    return (torch.softmax(evidence, 0)[..., None] * answers).sum(0)


def merge_without_shift(parts):
    weights = torch.stack([evidence.exp() for _, evidence in parts])
    answers = torch.stack([answer for answer, _ in parts])
    return (weights[..., None] * answers).sum(0) / weights.sum(0)[:, None]


def middle_share(tau, asked=None, draws=4000):
    points = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
    quantiles = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    start = 80 * math.sqrt(2) * torch.erfinv(2 * quantiles - 1)[:, None]

    def denoise(y, sigma):
        return torch.softmax(-gaps(y, points) / (2 * ((asked or tau) * sigma) ** 2), 1) @ points

    ends = sampling.heun(denoise, start, noise.log_linear(100, 0.01, 80.0))
    return (ends.abs() < 0.5).double().mean().item()


CASES = {
    "softmax_denoiser": (
        softmax_denoiser,
        [
            naive,
            one_shift_for_all,
            epsilon,
            lambda y, x, s: softmax_denoiser(y, x, s / math.sqrt(2)),
            lambda y, x, s: softmax_denoiser(y, x, s)[:, :1],
        ],
    ),
    "two_points": (
        winner,
        [
            lambda y, a, b: 1 - winner(y, a, b),
            lambda y, a, b: (y @ (b - a) > 0).long(),
            lambda y, a, b: (y.norm(dim=1) > ((a + b) / 2).norm()).long(),
            lambda y, a, b: torch.zeros(len(y)),
        ],
    ),
    "weighted_denoiser": (
        weighted_denoiser,
        [
            prior_at_the_end,
            prior_inside_the_temperature,
            lambda x, prior: weighted_denoiser(x, torch.ones(4) / 4),
            lambda x, prior: weighted_denoiser(x, prior**2),
        ],
    ),
    "merge_batches": (
        merge,
        [
            merge_without_shift,
            lambda parts: torch.stack([answer for answer, _ in parts]).mean(0),
            lambda parts: parts[int(torch.stack([e.sum() for _, e in parts]).argmax())][0],
            lambda parts: torch.stack(
                [answer * evidence[:, None] for answer, evidence in parts]
            ).sum(0),
        ],
    ),
    "temperature": (
        middle_share,
        [
            lambda tau: 1 / 3,
            lambda tau: middle_share(1 / tau),
            lambda tau: 1 - middle_share(tau),
            lambda tau: middle_share(tau, asked=tau**2),
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_official_solution_passes(name, capsys):
    assert getattr(exercises, f"check_{name}")(CASES[name][0])
    assert capsys.readouterr().out.startswith("✓")


@pytest.mark.parametrize(
    ("name", "k"), [(n, k) for n, (_, w) in CASES.items() for k in range(len(w))]
)
def test_a_plausible_wrong_solution_fails_with_a_hint(name, k, capsys):
    assert not getattr(exercises, f"check_{name}")(CASES[name][1][k])
    assert capsys.readouterr().out.startswith("✗")


@pytest.mark.parametrize("name", CASES)
def test_code_that_raises_or_returns_nothing_is_a_failed_check(name):
    assert not getattr(exercises, f"check_{name}")(lambda *inputs: None)
    assert not getattr(exercises, f"check_{name}")(lambda *inputs: inputs[0].nonsense())
