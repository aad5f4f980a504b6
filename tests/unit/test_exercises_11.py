"""Each self-check of chapter 11 accepts the official solution and rejects plausible wrong ones."""

import math

import torch
from scipy import optimize

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def stopping_time(lam, sigma, share):
    return -math.log(1 - share) / (2 * (lam + sigma**2))


def decay_as_ridge(decay, d, scale, sigma):
    return decay * d / 2 * (scale**2 + sigma**2)


def theta(h, rate, batch):
    return rate / batch * (h / (2 - rate * h * (1 + 1 / batch))).sum().item()


def largest_rate(h, batch, excess):
    edge = 2 / (h.max().item() * (1 + 1 / batch))
    share = excess / (1 + excess)
    return optimize.brentq(lambda rate: theta(h, rate, batch) - share, 0, edge * (1 - 1e-9))


def without_feedback(h, batch, excess):
    edge = 2 / (h.max().item() * (1 + 1 / batch))
    return optimize.brentq(lambda rate: theta(h, rate, batch) - excess, 0, edge * (1 - 1e-9))


def small_rate(h, batch, excess):
    return 2 * batch * excess / h.sum().item()


def of_full_batches(h, batch, excess):
    share = excess / (1 + excess)
    edge = 2 / h.max().item() * (1 - 1e-9)

    def miss(rate):
        return rate / batch * (h / (2 - rate * h)).sum().item() - share

    return optimize.brentq(miss, 0, edge)


def damping(lam, sigmas):
    steps = (lam + sigmas[:-1] * sigmas[1:]) / (lam + sigmas[:-1] ** 2)
    return torch.stack([steps[j + 1 :].prod() for j in range(len(steps))])


def own_step_too(lam, sigmas):
    steps = (lam + sigmas[:-1] * sigmas[1:]) / (lam + sigmas[:-1] ** 2)
    return torch.stack([steps[j:].prod() for j in range(len(steps))])


def one_step(lam, sigmas):
    return (lam + sigmas[:-1] * sigmas[1:]) / (lam + sigmas[:-1] ** 2)


def equal_losses(sigma):
    gain = 1 / (1 + sigma**2)
    return torch.diag(torch.tensor([gain, 0.0])), torch.diag(torch.tensor([0.0, gain]))


def turned(sigma):
    gain, c, s = 1 / (1 + sigma**2), math.cos(1.0), math.sin(1.0)
    return gain * torch.outer(*2 * [torch.tensor([c, s])]), torch.diag(torch.tensor([gain, 0.0]))


RIGHT = [
    (exercises.check_stopping_time, stopping_time),
    (exercises.check_decay_as_ridge, decay_as_ridge),
    (exercises.check_largest_rate, largest_rate),
    (exercises.check_damping, damping),
    (exercises.check_equal_losses, equal_losses),
    (exercises.check_equal_losses, turned),
]
WRONG = [
    (exercises.check_stopping_time, lambda lam, s, p: 2 * stopping_time(lam, s, p)),
    (exercises.check_stopping_time, lambda lam, s, p: -math.log(1 - p) / (2 * lam)),
    (exercises.check_stopping_time, lambda lam, s, p: -math.log(p) / (2 * (lam + s**2))),
    (exercises.check_decay_as_ridge, lambda w, d, s, sigma: w * d / 2),
    (exercises.check_decay_as_ridge, lambda w, d, s, sigma: w * (s**2 + sigma**2) / 2),
    (exercises.check_decay_as_ridge, lambda w, d, s, sigma: w * d * (s**2 + sigma**2)),
    (exercises.check_largest_rate, without_feedback),
    (exercises.check_largest_rate, small_rate),
    (exercises.check_largest_rate, of_full_batches),
    (exercises.check_largest_rate, lambda h, b, a: 2 / (h.max() * (1 + 1 / b))),
    (exercises.check_damping, own_step_too),
    (exercises.check_damping, one_step),
    (exercises.check_damping, lambda lam, sigmas: damping(lam, sigmas)[0]),
    (exercises.check_equal_losses, lambda s: 2 * [equal_losses(s)[0]]),
    (exercises.check_equal_losses, lambda s: (torch.eye(2) / (1 + s**2), equal_losses(s)[0])),
    (exercises.check_equal_losses, lambda s: [(1 + s**2) * A for A in equal_losses(s)]),
    (exercises.check_equal_losses, lambda s: (torch.eye(3), torch.eye(3))),
]

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
