"""Each self-check of chapter 6 accepts the official solution and rejects plausible wrong ones."""

import math

import torch

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def normal(j):
    return math.prod(range(1, j, 2)) if j % 2 == 0 else 0


def noisy_moments(moments, sigma, moment=normal, ways=math.comb):
    return [
        sum(ways(k, j) * moments[k - j] * sigma**j * moment(j) for j in range(k + 1))
        for k in range(len(moments))
    ]


def normal_equations(moments, sigma, degree, stein=True, noisy=True):
    m = noisy_moments(moments, sigma) if noisy else moments
    n = range(degree + 1)
    G = torch.tensor([[m[i + j] for j in n] for i in n], dtype=torch.float64)
    r = [m[j + 1] - (sigma**2 * j * m[j - 1] if j and stein else 0) for j in n]
    return torch.linalg.solve(G, torch.tensor(r, dtype=torch.float64))


def affine_up_to(moments, shift=1):
    for k in range(3, len(moments)):
        if abs(moments[k] - normal(k)) > 1e-6 * max(1, normal(k)):
            return k - shift - 1
    return len(moments) - 2


def square_density(x, a, branches=2):
    z = (x / a).sqrt()
    return branches * torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) / (2 * a * z)


RIGHT = [
    (exercises.check_noisy_moments, noisy_moments),
    (exercises.check_normal_equations, normal_equations),
    (exercises.check_affine_up_to, affine_up_to),
    (exercises.check_square_density, square_density),
]
WRONG = [
    (exercises.check_noisy_moments, lambda m, s: m),
    (exercises.check_noisy_moments, lambda m, s: noisy_moments(m, s, lambda j: int(j % 2 == 0))),
    (exercises.check_noisy_moments, lambda m, s: noisy_moments(m, s, normal, lambda k, j: 1)),
    (exercises.check_noisy_moments, lambda m, s: noisy_moments(m, s)[1:]),
    (exercises.check_normal_equations, lambda m, s, p: normal_equations(m, s, p, stein=False)),
    (exercises.check_normal_equations, lambda m, s, p: normal_equations(m, s, p, noisy=False)),
    (exercises.check_normal_equations, lambda m, s, p: normal_equations(m, s, p).flip(0)),
    (exercises.check_normal_equations, lambda m, s, p: normal_equations(m, s, 1)),
    (exercises.check_affine_up_to, lambda m: affine_up_to(m, 0)),
    (exercises.check_affine_up_to, lambda m: affine_up_to(m, 2)),
    (exercises.check_affine_up_to, lambda m: 3),
    (exercises.check_square_density, lambda x, a: square_density(x, a, 1)),
    (exercises.check_square_density, lambda x, a: square_density(x, 1.0)),
    (exercises.check_square_density, lambda x, a: torch.exp(-x / (2 * a))),
]

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
