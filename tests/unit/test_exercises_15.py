"""Each self-check of chapter 15 accepts the official solution and rejects plausible wrong ones."""

import torch

from diffusion_creativity import exercises
from diffusion_creativity.metrics import pearson_r

from .exercise_tests import exercise_checks


def unit(images):
    flat = images.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True)


def floor(a, b):
    return unit(a).mean(0) @ unit(b).mean(0)


def matched(a, b):
    n = min(len(a), len(b))
    return pearson_r(a[:n], b[:n]).mean()


def of_mean_images(a, b):
    return pearson_r(a.mean(0, keepdim=True), b.mean(0, keepdim=True))[0]


def not_centred(a, b):
    a, b = (x.flatten(1) / x.flatten(1).norm(dim=1, keepdim=True) for x in (a, b))
    return a.mean(0) @ b.mean(0)


def not_scaled(a, b):
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (a, b))
    return a.mean(0) @ b.mean(0) / (a.norm() * b.norm())


def windows(errors):
    logs = errors.log().flip(1)  # from left to right: ever smaller windows
    best, came_from = logs[0], []
    for row in logs[1:]:
        least, index = best.cummin(0)
        came_from.append(index)
        best = least + row
    chosen = [int(best.argmin())]
    for index in reversed(came_from):
        chosen.append(int(index[chosen[-1]]))
    return [errors.shape[1] - 1 - k for k in reversed(chosen)]


def best_alone(errors):
    return errors.argmin(1).tolist()


def running_least(errors):
    return errors.argmin(1).cummin(0).values.tolist()


def greedy(errors):
    chosen = [int(errors[0].argmin())]
    for row in errors[1:]:
        chosen.append(int(row[: chosen[-1] + 1].argmin()))
    return chosen


def without_logs(errors):
    return windows(errors.exp())


def upside_down(errors):
    return windows(errors.flip(0))[::-1]


def states(denoise, noise, sigmas):
    found = [noise]
    for k in range(len(sigmas) - 1):
        x_hat = denoise(found[-1], k)
        found.append(x_hat + sigmas[k + 1] / sigmas[k] * (found[-1] - x_hat))
    return found


def budget(network, A, b, noise, sigmas, *, at=None, weigh=True, act=True, own=False):
    at = at or states(lambda y, k: network(y, sigmas[k]), noise, sigmas)
    parts = []
    for k in range(len(A)):
        part = network(at[k], sigmas[k]) - at[k] @ A[k].T - b[k]
        if weigh:
            part = (1 - sigmas[k + 1] / sigmas[k]) * part
        for j in range(k + 1 - own, len(A) if act else 0):
            ratio = sigmas[j + 1] / sigmas[j]
            part = ratio * part + (1 - ratio) * part @ A[j].T
        parts.append(part)
    return torch.stack(parts)


def at_the_theory(network, A, b, noise, sigmas):
    theirs = states(lambda y, k: y @ A[k].T + b[k], noise, sigmas)
    return budget(network, A, b, noise, sigmas, at=theirs)


def shared_out(network, A, b, noise, sigmas):
    """The right sum, in equal parts."""
    parts = budget(network, A, b, noise, sigmas)
    return parts.mean(0).expand_as(parts)


def relative(denoise, reference, x, sigma, noise):
    y = x + sigma * noise
    return (denoise(y, sigma) - x).square().mean() / (reference(y, sigma) - x).square().mean()


def mean_of_ratios(denoise, reference, x, sigma, noise):
    y = x + sigma * noise
    errors = [(d(y, sigma) - x).square().flatten(1).mean(1) for d in (denoise, reference)]
    return (errors[0] / errors[1]).mean()


def to_the_noisy(denoise, reference, x, sigma, noise):
    y = x + sigma * noise
    return (denoise(y, sigma) - y).square().mean() / (reference(y, sigma) - y).square().mean()


RIGHT = [
    (exercises.check_floor, floor),
    (exercises.check_monotone_windows, windows),
    (exercises.check_budget, budget),
    (exercises.check_relative_error, relative),
]
WRONG = [
    (exercises.check_floor, matched),
    (exercises.check_floor, of_mean_images),
    (exercises.check_floor, not_centred),
    (exercises.check_floor, not_scaled),
    (exercises.check_monotone_windows, best_alone),
    (exercises.check_monotone_windows, running_least),
    (exercises.check_monotone_windows, greedy),
    (exercises.check_monotone_windows, without_logs),
    (exercises.check_monotone_windows, upside_down),
    (exercises.check_budget, at_the_theory),
    (exercises.check_budget, shared_out),
    (exercises.check_budget, lambda *a: budget(*a, weigh=False)),
    (exercises.check_budget, lambda *a: budget(*a, act=False)),
    (exercises.check_budget, lambda *a: budget(*a, own=True)),
    (exercises.check_relative_error, mean_of_ratios),
    (exercises.check_relative_error, to_the_noisy),
    (exercises.check_relative_error, lambda d, r, x, s, n: 1 / relative(d, r, x, s, n)),
    (exercises.check_relative_error, lambda d, r, x, s, n: relative(d, r, x, s, n).sqrt()),
]

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
