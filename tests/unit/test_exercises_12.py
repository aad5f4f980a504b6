"""Each self-check of chapter 12 accepts the official solution and rejects plausible wrong ones."""

import torch
from scipy import stats

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def cloud(train, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    flat = train.flatten(1).double()
    drawn = torch.randn(n, flat.shape[1], generator=generator, dtype=torch.float64)
    return flat, drawn - drawn.mean(0)


def fool_frechet(train, n):
    flat, drawn = cloud(train, n)
    left, _, right = torch.linalg.svd(drawn, full_matrices=False)
    values, vectors = torch.linalg.eigh((flat - flat.mean(0)).T @ (flat - flat.mean(0)) / len(flat))
    root = vectors @ values.clamp(min=0).sqrt().diag() @ vectors.T
    return (flat.mean(0) + n**0.5 * left @ right @ root).reshape(n, *train.shape[1:])


def not_corrected(train, n):
    flat, drawn = cloud(train, n)
    return (
        flat.mean(0) + drawn @ torch.linalg.cholesky(flat.T.cov() + 1e-9 * torch.eye(64)).T
    ).reshape(n, *train.shape[1:])


def mean_only(train, n):
    flat, drawn = cloud(train, n)
    return (flat.mean(0) + 0.5 * drawn).reshape(n, *train.shape[1:])


def authentic(samples, train):
    gaps = torch.cdist(samples, train)
    own = torch.cdist(train, train).fill_diagonal_(torch.inf).min(1).values
    return gaps.min(1).values > own[gaps.argmin(1)]


def counts_itself(samples, train):
    gaps = torch.cdist(samples, train)
    return gaps.min(1).values > torch.cdist(train, train).min(1).values[gaps.argmin(1)] + 1e-9


def to_the_sample(samples, train):
    first, second = torch.cdist(samples, train).topk(2, largest=False).values.T
    return first > second / 3


def line(sizes, distances):
    design = torch.stack([torch.ones_like(sizes), 1 / sizes], 1)
    return torch.linalg.lstsq(design, distances[:, None]).solution[0].item()


def in_n(sizes, distances):
    design = torch.stack([torch.ones_like(sizes), sizes], 1)
    return torch.linalg.lstsq(design, distances[:, None]).solution[0].item()


def two_values(sizes, distances):
    (a, b), (x, y) = distances[-2:], 1 / sizes[-2:]
    return (a - x * (b - a) / (y - x)).item()


def p_value(copies, n, size, valid):
    return stats.binom.sf(copies - 1, n, size / valid)


RIGHT = [
    (exercises.check_fool_frechet, fool_frechet),
    (exercises.check_fool_third_rule, lambda train: train.roll(1, -1)),
    (exercises.check_fool_third_rule, lambda train: train.flip(-1).roll(1, -2)),
    (exercises.check_authentic, authentic),
    (exercises.check_extrapolate, line),
    (exercises.check_base_rate, p_value),
]
WRONG = [
    (exercises.check_fool_frechet, not_corrected),
    (exercises.check_fool_frechet, mean_only),
    (exercises.check_fool_frechet, lambda train, n: train[torch.arange(n) % len(train)]),
    (exercises.check_fool_frechet, lambda train, n: train),
    (exercises.check_fool_third_rule, lambda train: train),
    (exercises.check_fool_third_rule, lambda train: train + 0.01),
    (exercises.check_fool_third_rule, lambda train: train.flip(0).roll(1, -1)),
    (exercises.check_fool_third_rule, lambda train: torch.randn(train.shape)),
    (exercises.check_authentic, counts_itself),
    (exercises.check_authentic, to_the_sample),
    (exercises.check_authentic, lambda s, t: ~authentic(s, t)),
    (exercises.check_authentic, lambda s, t: authentic(s, t).double()),
    (exercises.check_extrapolate, in_n),
    (exercises.check_extrapolate, two_values),
    (exercises.check_extrapolate, lambda n, f: f[-1].item()),
    (exercises.check_base_rate, lambda c, n, a, b: stats.binom.sf(c, n, a / b)),
    (exercises.check_base_rate, lambda c, n, a, b: c / n - a / b),
    (exercises.check_base_rate, lambda c, n, a, b: stats.binom.pmf(c, n, a / b)),
]  # fmt: skip

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
