"""Each self-check of chapter 4 accepts the official solution and rejects plausible wrong ones."""

import itertools

import torch

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def step_factor(lam, sigma, sigma_next):
    return (lam + sigma * sigma_next) / (lam + sigma**2)


def finite_law(mean, cov, sigmas, factor=step_factor, shift=True, power=2):
    lam, U = torch.linalg.eigh(cov)
    g = torch.ones_like(lam)
    for sigma, sigma_next in itertools.pairwise(sigmas):
        g = g * factor(lam, sigma, sigma_next)
    centre = mean - U @ (g * (U.T @ mean)) if shift else mean
    return centre, (U * (sigmas[0] * g) ** power) @ U.T


def twin(x):
    return 2 * x.mean(0) - x


def whitened_twin(x):
    mean, cov = x.mean(0), torch.cov(x.T, correction=0)
    values, vectors = torch.linalg.eigh(cov)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    white = (x - mean) @ vectors / values.sqrt()
    return (white @ turn * values.sqrt()) @ vectors.T + mean


def biasless_law(x):
    return torch.zeros_like(x[0]), x.T @ x / len(x)


def ridge_variance(lam, ridge, sigma_min):
    a = lam + ridge
    return sigma_min ** (2 * ridge / a) * (a + sigma_min**2) ** (lam / a)


def flow_factor(lam, sigma, sigma_next):
    return ((lam + sigma_next**2) / (lam + sigma**2)) ** 0.5


RIGHT = [
    (exercises.check_step_factor, step_factor),
    (exercises.check_finite_law, finite_law),
    (exercises.check_twin, twin),
    (exercises.check_twin, whitened_twin),
    (exercises.check_biasless_law, biasless_law),
    (exercises.check_ridge_variance, ridge_variance),
]
WRONG = [
    (exercises.check_step_factor, lambda lam, s, t: lam / (lam + s**2)),
    (exercises.check_step_factor, lambda lam, s, t: t / s),
    (exercises.check_step_factor, flow_factor),
    (exercises.check_step_factor, lambda lam, s, t: (lam + t**2) / (lam + s**2)),
    (exercises.check_step_factor, lambda lam, s, t: (lam + t**2 * s**2) / (lam + s**2)),
    (exercises.check_finite_law, lambda m, c, s: (m, c)),
    (exercises.check_finite_law, lambda m, c, s: finite_law(m, c, s, factor=flow_factor)),
    (exercises.check_finite_law, lambda m, c, s: finite_law(m, c, s, shift=False)),
    (exercises.check_finite_law, lambda m, c, s: finite_law(m, c, s, power=1)),
    (exercises.check_finite_law, lambda m, c, s: finite_law(m, c, s[:-1])),
    (exercises.check_finite_law, lambda m, c, s: finite_law(m, c, s)[1]),
    (exercises.check_twin, lambda x: x),
    (exercises.check_twin, lambda x: x.flip(0)),
    (exercises.check_twin, lambda x: -x),
    (exercises.check_twin, lambda x: x.mean(0) + torch.randn(x.shape) * x.std(0)),
    (exercises.check_twin, lambda x: x + 1e-3),
    (exercises.check_twin, lambda x: x[:, :2]),
    (exercises.check_biasless_law, lambda x: (x.mean(0), torch.cov(x.T, correction=0))),
    (exercises.check_biasless_law, lambda x: (0 * x[0], torch.cov(x.T, correction=0))),
    (exercises.check_biasless_law, lambda x: (x.mean(0), x.T @ x / len(x))),
    (exercises.check_biasless_law, lambda x: (0 * x[0], x.T @ x / (len(x) - 1))),
    (exercises.check_biasless_law, lambda x: (0 * x[0], x.T @ x)),
    (exercises.check_biasless_law, lambda x: x.T @ x / len(x)),
    (exercises.check_ridge_variance, lambda lam, g, s: lam + s**2),
    (exercises.check_ridge_variance, lambda lam, g, s: lam + g + s**2),
    (exercises.check_ridge_variance, lambda lam, g, s: ridge_variance(lam, g, s) ** 0.5),
    (exercises.check_ridge_variance,
     lambda lam, g, s: s ** (2 * g / (lam + g)) * (lam + s**2) ** (lam / (lam + g))),
]  # fmt: skip

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
