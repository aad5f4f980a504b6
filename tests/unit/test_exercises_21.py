"""Each self-check of chapter 21 accepts the official solution and rejects plausible wrong ones."""

import math
import re

import pytest
import torch

from diffusion_creativity import exercises


def line_denoiser(y, x, radius):
    knots = torch.stack([x - radius, x + radius], 1).flatten()
    values = torch.stack([x, x], 1).flatten()
    k = torch.searchsorted(knots, y).clamp(1, len(knots) - 1)
    share = (y - knots[k - 1]) / (knots[k] - knots[k - 1])
    return values[k - 1] + share.clamp(0, 1) * (values[k] - values[k - 1])


def nearest_point(y, x, radius):
    return x[(y[:, None] - x).abs().argmin(1)]


def no_flat_ends(y, x, radius):
    found = line_denoiser(y, x, radius)
    return torch.where(y > x[-1] + radius, y - radius, found)


def steep(y, x, radius):
    near = (y[:, None] - x).abs().min(1).values <= radius + 1e-9
    inside = (y > x[0]) & (y < x[-1])
    return torch.where(near | ~inside, nearest_point(y, x, radius), y)


def least_cost(x, radius):
    gaps = x.diff()
    return (2 * gaps / (gaps - 2 * radius)).sum()


def end_point(y, x):
    edges = x[1:] - x[0]
    along = (y - x[0]) @ edges.T / edges.square().sum(1)
    return x[0] + (along > 0.5).to(x) @ edges


def end_point_at_zero(y, x):
    edges = x[1:]
    return (y @ edges.T / edges.square().sum(1) > 0.5).to(x) @ edges


def nearest_training_point(y, x):
    return x[torch.cdist(y, x).argmin(1)]


def sign_only(y, x):
    return x[0] + ((y - x[0]) @ (x[1:] - x[0]).T > 0).to(x) @ (x[1:] - x[0])


def decision_time(length, radius, offset):
    return (length - 2 * radius) / (2 * radius) * math.log((length / 2 - radius) / offset)


def nothing(*arguments): ...


def broken(*arguments):
    raise RuntimeError("oops")


RIGHT = [
    (exercises.check_line_denoiser, line_denoiser),
    (exercises.check_least_cost, least_cost),
    (exercises.check_end_point, end_point),
    (exercises.check_share_of_copies, lambda N: (N + 1) / 2**N),
    (exercises.check_decision_time, decision_time),
]
WRONG = [
    (exercises.check_line_denoiser, nearest_point, "half way"),
    (exercises.check_line_denoiser, no_flat_ends, "constant"),
    (exercises.check_line_denoiser, steep, "slope"),
    (exercises.check_line_denoiser, lambda y, x, r: y, "points"),
    (exercises.check_least_cost, lambda x, r: least_cost(x, r) / 2, "How many jumps"),
    (exercises.check_least_cost, lambda x, r: 2.0 * (len(x) - 1), "below"),
    (exercises.check_least_cost, lambda x, r: least_cost(x, 1.01 * r), "above"),
    (exercises.check_end_point, nearest_training_point, "sums"),
    (exercises.check_end_point, end_point_at_zero, "elsewhere"),
    (exercises.check_end_point, sign_only, "which coordinates|Which coordinates"),
    (exercises.check_share_of_copies, lambda N: N / 2**N, "both ends"),
    (exercises.check_share_of_copies, lambda N: 1.0, "N = 2"),
    (exercises.check_share_of_copies, lambda N: 1.0 if N == 1 else N / 2**N, "corner"),
    (exercises.check_decision_time, lambda ell, r, z: 1.0, "border"),
    (exercises.check_decision_time, lambda ell, r, z: math.log((ell / 2 - r) / z), "offset"),
    (exercises.check_decision_time, lambda ell, r, z: 2 * decision_time(ell, r, z), "offset"),
]


@pytest.mark.parametrize(("check", "solution"), RIGHT)
def test_accepts_the_solution(check, solution, capsys):
    assert check(solution)
    assert "passed" in capsys.readouterr().out


@pytest.mark.parametrize(("check", "solution", "hint"), WRONG)
def test_rejects(check, solution, hint, capsys):
    assert not check(solution)
    assert re.search(hint, capsys.readouterr().out)


@pytest.mark.parametrize("check", [check for check, _ in RIGHT])
@pytest.mark.parametrize("solution", [nothing, broken])
def test_unfinished(check, solution):
    assert not check(solution)
