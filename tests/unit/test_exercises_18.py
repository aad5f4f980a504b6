"""Each self-check of chapter 18 accepts the official solution and rejects plausible wrong ones."""

import math

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def samples_to_see(share, miss):
    return math.ceil(math.log(miss) / math.log1p(-share))


def standard_error(share, between, runs, samples):
    within = (share * (1 - share) - between**2) / samples
    return math.sqrt((between**2 + within) / runs)


RIGHT = [
    (exercises.check_samples_to_see, samples_to_see),
    (exercises.check_standard_error, standard_error),
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
]

(
    test_checks_accept_the_solution,
    test_checks_reject_and_say_why,
    test_checks_tell_unfinished_code_kindly,
) = exercise_checks(RIGHT, WRONG)
