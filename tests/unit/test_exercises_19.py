"""Self-checks of the refresher accept the official solution and reject plausible wrong ones."""

from itertools import pairwise

import torch

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def colour(z, mean, cov):
    return mean + z @ torch.linalg.cholesky(cov).T


def symmetric_root(z, mean, cov):
    lam, U = torch.linalg.eigh(cov)
    return mean + z @ (U * lam.sqrt()) @ U.T


def condition(mean, cov, value):
    gain = cov[:-1, -1] / cov[-1, -1]
    left = cov[:-1, :-1] - gain[:, None] * cov[-1, :-1]
    return mean[:-1] + gain * (value - mean[-1]), left


def no_variance_in_gain(mean, cov, value):
    gain = cov[:-1, -1]
    return mean[:-1] + gain * (value - mean[-1]), cov[:-1, :-1] - gain[:, None] * gain


def prior_covariance(mean, cov, value):
    return condition(mean, cov, value)[0], cov[:-1, :-1]


def not_centred(mean, cov, value):
    return mean[:-1] + cov[:-1, -1] / cov[-1, -1] * value, condition(mean, cov, value)[1]


def keep(x, k, which=slice(-2, None), centre=True):
    mean = x.mean(0) if centre else 0
    U = torch.linalg.eigh((x - mean).T @ (x - mean))[1]
    U = U[:, -k:] if which else U[:, :k]
    return mean + (x - mean) @ U @ U.T


def guess(y, x, offset=True, ridge=0.0):
    inside = y - y.mean(0) if offset else y
    right = x - x.mean(0) if offset else x
    A = torch.linalg.solve(inside.T @ inside + ridge * torch.eye(4).double(), inside.T @ right).T
    return A, x.mean(0) - A @ y.mean(0) if offset else torch.zeros(3).double()


def euler(slope, y, times):
    for now, after in pairwise(times):
        y = y + (after - now) * slope(y, now)
    return y


def late(slope, y, times):
    for now, after in pairwise(times):
        y = y + (after - now) * slope(y, after)
    return y


def unsigned(slope, y, times):
    for now, after in pairwise(times):
        y = y + abs(after - now) * slope(y, now)
    return y


def from_the_start(slope, y, times):
    return y + sum((b - a) * slope(y, a) for a, b in pairwise(times))


RIGHT = [
    (exercises.check_gaussian_from_noise, colour),
    (exercises.check_gaussian_from_noise, symmetric_root),
    (exercises.check_condition, condition),
    (exercises.check_keep, keep),
    (exercises.check_guess, guess),
    (exercises.check_euler, euler),
]
WRONG = [
    (exercises.check_gaussian_from_noise, lambda z, m, C: m + z @ C),
    (exercises.check_gaussian_from_noise, lambda z, m, C: m + z @ torch.linalg.cholesky(C)),
    (exercises.check_gaussian_from_noise, lambda z, m, C: z @ torch.linalg.cholesky(C).T),
    (exercises.check_gaussian_from_noise, lambda z, m, C: m + z * C.diag().sqrt()),
    (exercises.check_condition, no_variance_in_gain),
    (exercises.check_condition, prior_covariance),
    (exercises.check_condition, not_centred),
    (exercises.check_keep, lambda x, k: keep(x, k, which=None)),
    (exercises.check_keep, lambda x, k: keep(x, k, centre=False)),
    (exercises.check_keep, lambda x, k: keep(x, k) - x.mean(0)),
    (exercises.check_keep, lambda x, k: x),
    (exercises.check_guess, lambda y, x: guess(y, x, offset=False)),
    (exercises.check_guess, lambda y, x: guess(y, x, ridge=1.0)),
    (exercises.check_guess, lambda y, x: (guess(y, x, offset=False)[0], x.mean(0))),
    (exercises.check_guess, lambda y, x: (guess(y, x)[0], x.mean(0))),
    (exercises.check_euler, late),
    (exercises.check_euler, unsigned),
    (exercises.check_euler, from_the_start),
]  # fmt: skip

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
