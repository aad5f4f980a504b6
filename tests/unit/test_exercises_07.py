"""Each self-check of chapter 7 accepts the official solution and rejects plausible wrong ones."""

import math

import torch
from scipy import stats

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def best_rank(mean, cov, rank, sigma, last=True, gained=True, shift=True):
    lam, U = torch.linalg.eigh(cov)
    lam, U = (lam[-rank:], U[:, -rank:]) if last else (lam[:rank], U[:, :rank])
    gain = lam / (lam + sigma**2) if gained else torch.ones_like(lam)
    A = (U * gain) @ U.T
    return A, mean - A @ mean if shift else mean


def conditional_mean(y, sigma, x, W):
    gaps = ((y @ W.T)[:, None] - x @ W.T).square().sum(2)
    return torch.softmax(-gaps / (2 * sigma**2), dim=1) @ x


def unstable_mean(y, sigma, x, W):
    gaps = ((y @ W.T)[:, None] - x @ W.T).square().sum(2)
    weights = torch.exp(-gaps / (2 * sigma**2))
    return weights @ x / weights.sum(1, keepdim=True)


def coded_atoms(x, W):
    _, group, counts = (x @ W.T).unique(dim=0, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), x.shape[1]).to(x).index_add_(0, group, x)
    return sums / counts[:, None], counts / len(x)


def rare_share(p):
    return stats.norm.cdf(-math.sqrt(2 * math.log((1 - p) / p)))


def orthonormal(V):
    return torch.linalg.qr(V.T)[0].T


def svd_rows(V):
    return torch.linalg.svd(V, full_matrices=False)[2]


CHECKS = [
    exercises.check_best_rank,
    exercises.check_conditional_mean,
    exercises.check_coded_atoms,
    exercises.check_rare_share,
    exercises.check_rescaled_encoder,
]
RIGHT = [
    *zip(CHECKS, [best_rank, conditional_mean, coded_atoms, rare_share, orthonormal], strict=True),
    (exercises.check_rescaled_encoder, svd_rows),
]
WRONG = [
    (CHECKS[0], lambda *a: best_rank(*a, last=False)),
    (CHECKS[0], lambda *a: best_rank(*a, gained=False)),
    (CHECKS[0], lambda *a: best_rank(*a, shift=False)),
    (CHECKS[0], lambda m, c, k, s: best_rank(m, c, len(m), s)),
    (CHECKS[1], unstable_mean),
    (CHECKS[1], lambda y, s, x, W: conditional_mean(y, s, x, torch.eye(5).double())),
    (CHECKS[1], lambda y, s, x, W: conditional_mean(y, s, x, W) @ W.T),
    (CHECKS[1], lambda y, s, x, W: conditional_mean(y, s**2, x, W)),
    (CHECKS[2], lambda x, W: (x, torch.full((len(x),), 1 / len(x)))),
    (CHECKS[2], lambda x, W: (coded_atoms(x, W)[0], torch.full((2,), 0.5))),
    (CHECKS[2], lambda x, W: (coded_atoms(x, W)[0] @ W.T @ W, coded_atoms(x, W)[1])),
    (CHECKS[3], lambda p: p),
    (CHECKS[3], lambda p: 0.5),
    (CHECKS[3], lambda p: stats.norm.cdf(-math.sqrt(math.log((1 - p) / p)))),
    (CHECKS[4], lambda V: V),
    (CHECKS[4], lambda V: V / V.norm(dim=1, keepdim=True)),
    (CHECKS[4], lambda V: torch.eye(5, dtype=V.dtype)[:2]),
]

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
