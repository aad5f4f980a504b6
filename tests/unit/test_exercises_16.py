"""Each self-check on generalising accepts the official solution and rejects wrong ones."""

import math

import pytest
import torch

from diffusion_creativity import exercises
from diffusion_creativity.experiments.onsets import exponent as of_package
from diffusion_creativity.experiments.onsets import onset as onset_of_package

from .exercise_tests import exercise_checks


def root(A):
    values, vectors = torch.linalg.eigh(A)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def linear_gap(mean_a, cov_a, mean_b, cov_b):
    return (root(cov_a) - root(cov_b)).square().sum() + (mean_a - mean_b).square().sum()


def frechet(mean_a, cov_a, mean_b, cov_b):
    cross = root(root(cov_a) @ cov_b @ root(cov_a)).trace()
    return (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross


def unshuffle(denoise, order):
    def plain(y, sigma):
        found = denoise(y.flatten(1)[:, order].reshape(y.shape), sigma)
        return found.flatten(1)[:, order.argsort()].reshape(y.shape)

    return plain


def never_put_back(denoise, order):
    return lambda y, sigma: denoise(y.flatten(1)[:, order].reshape(y.shape), sigma)


def twice_in(denoise, order):
    def plain(y, sigma):
        found = denoise(y.flatten(1)[:, order].reshape(y.shape), sigma)
        return found.flatten(1)[:, order].reshape(y.shape)

    return plain


def onset(steps, values, threshold):
    before = None
    for step, value in zip(steps, values, strict=True):
        if value >= threshold:
            if before is None:
                return float(step)
            share = (threshold - before[1]) / (value - before[1])
            return before[0] * (step / before[0]) ** share
        before = step, value
    return math.nan


def linear_onset(steps, values, threshold):
    before = None
    for step, value in zip(steps, values, strict=True):
        if value >= threshold:
            return before[0] + (threshold - before[1]) / (value - before[1]) * (step - before[0])
        before = step, value
    return math.nan


def last_onset(steps, values, threshold):
    found = math.nan
    for i in range(1, len(steps)):
        if values[i - 1] < threshold <= values[i]:
            found = onset(steps[i - 1 : i + 1], values[i - 1 : i + 1], threshold)
    return found


def next_moment(steps, values, threshold):
    return float(next((s for s, v in zip(steps, values, strict=True) if v >= threshold), math.nan))


def last_if_never(steps, values, threshold):
    found = onset(steps, values, threshold)
    return float(steps[-1]) if math.isnan(found) else found


def logs(sizes, times):
    return (torch.tensor(s, dtype=torch.float64).log() for s in (sizes, times))


def exponent(sizes, times):
    u, v = logs(sizes, times)
    u = u - u.mean()
    return float(u @ v / (u @ u))


def through_origin(sizes, times):
    u, v = logs(sizes, times)
    return float(u @ v / (u @ u))


def turned(sizes, times):
    v, u = logs(sizes, times)
    u = u - u.mean()
    return float(u @ v / max(u @ u, 1e-9))


def first_to_last(sizes, times):
    return math.log(times[-1] / times[0]) / math.log(sizes[-1] / sizes[0])


def remembered(copies, valid, n, total):
    return (copies / valid - n / total) / (1 - n / total)


RIGHT = [
    (exercises.check_linear_gap, linear_gap),
    (exercises.check_unshuffle, unshuffle),
    (exercises.check_onset, onset),
    (exercises.check_onset, onset_of_package),
    (exercises.check_exponent, exponent),
    (exercises.check_exponent, lambda sizes, times: of_package(sizes, times).value),
    (exercises.check_remembered, remembered),
]
WRONG = [
    (exercises.check_linear_gap, frechet),
    (exercises.check_linear_gap, lambda *a: linear_gap(*a).sqrt()),
    (exercises.check_linear_gap, lambda m, A, k, B: (root(A) - root(B)).square().sum()),
    (exercises.check_linear_gap, lambda m, A, k, B: (A - B).square().sum() + (m - k) @ (m - k)),
    (exercises.check_linear_gap, lambda m, A, k, B: A.trace() + B.trace() + (m - k) @ (m - k)),
    (exercises.check_unshuffle, lambda denoise, order: denoise),
    (exercises.check_unshuffle, never_put_back),
    (exercises.check_unshuffle, twice_in),
    (exercises.check_unshuffle, lambda denoise, order: unshuffle(denoise, order.argsort())),
    (exercises.check_onset, linear_onset),
    (exercises.check_onset, last_onset),
    (exercises.check_onset, next_moment),
    (exercises.check_onset, last_if_never),
    (exercises.check_exponent, through_origin),
    (exercises.check_exponent, turned),
    (exercises.check_exponent, first_to_last),
    (exercises.check_exponent, lambda sizes, times: times[1] / times[0] / 2),
    (exercises.check_remembered, lambda c, v, n, t: c / v),
    (exercises.check_remembered, lambda c, v, n, t: c / v - n / t),
    (exercises.check_remembered, lambda c, v, n, t: (c / v) / (n / t)),
    (exercises.check_remembered, lambda c, v, n, t: (c - n / t) / (v - n / t)),
]  # fmt: skip

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)


@pytest.mark.parametrize(
    ("check", "solution", "said"),
    [
        (exercises.check_linear_gap, frechet, "Fréchet"),
        (exercises.check_unshuffle, twice_in, "inverse order"),
        (exercises.check_onset, linear_onset, "logarithm"),
        (exercises.check_exponent, first_to_last, "all of them"),
        (exercises.check_remembered, lambda c, v, n, t: c / v - n / t, "solve for m"),
    ],
)
def test_a_likely_slip_is_named(check, solution, said, capsys):
    assert not check(solution)
    assert said in capsys.readouterr().out
