"""Each self-check of chapter 18 accepts the official solution and rejects plausible wrong ones."""

import math

import torch

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def samples_to_see(share, miss):
    return math.ceil(math.log(miss) / math.log1p(-share))


def standard_error(share, between, runs, samples):
    within = (share * (1 - share) - between**2) / samples
    return math.sqrt((between**2 + within) / runs)


def samples_per_run(share, between, cost):
    return math.sqrt(cost * (share * (1 - share) - between**2)) / between


def paired_saving(a, b):
    return ((a - b).var() / (a.var() + b.var())).item()


RIGHT = [
    (exercises.check_samples_to_see, samples_to_see),
    (exercises.check_standard_error, standard_error),
    (exercises.check_samples_per_run, samples_per_run),
    (exercises.check_paired_saving, paired_saving),
]
WRONG = [
    (exercises.check_samples_to_see, lambda p, miss: math.log(miss) / math.log1p(-p)),
    (exercises.check_samples_to_see, lambda p, miss: math.floor(math.log(miss) / math.log1p(-p))),
    (exercises.check_samples_to_see, lambda p, miss: math.ceil(-math.log(miss) / p)),
    (exercises.check_samples_to_see, lambda p, miss: math.ceil(1 / p)),
    (exercises.check_samples_to_see, lambda p, miss: math.inf),
    (exercises.check_standard_error, lambda p, b, s, n: math.sqrt(p * (1 - p) / (s * n))),
    (exercises.check_standard_error, lambda p, b, s, n: standard_error(p, b, s, n) ** 2),
    (exercises.check_standard_error, lambda p, b, s, n: standard_error(p, b, s, n) * s**0.5),
    (
        exercises.check_standard_error,
        lambda p, b, s, n: math.sqrt((b**2 + p * (1 - p) / n) / s),
    ),
    (exercises.check_samples_per_run, lambda p, b, c: math.sqrt(c * p * (1 - p)) / b),
    (exercises.check_samples_per_run, lambda p, b, c: c * (p * (1 - p) - b**2) / b**2),
    (exercises.check_samples_per_run, lambda p, b, c: math.sqrt(p * (1 - p) - b**2) / b),
    (exercises.check_samples_per_run, lambda p, b, c: -samples_per_run(p, b, c)),
    (
        exercises.check_paired_saving,
        lambda a, b: 1 - torch.corrcoef(torch.stack([a, b]))[0, 1].item(),
    ),
    (exercises.check_paired_saving, lambda a, b: ((a - b).std() / (a.std() + b.std())).item()),
    (
        exercises.check_paired_saving,
        lambda a, b: ((a - b).square().mean() / (a.var() + b.var())).item(),
    ),
    (exercises.check_paired_saving, lambda a, b: 1 / paired_saving(a, b)),
]

(
    test_checks_accept_the_solution,
    test_checks_reject_and_say_why,
    test_checks_tell_unfinished_code_kindly,
) = exercise_checks(RIGHT, WRONG)
