"""Self-checks of chapter 3: a stable softmax, two points, weights, merged batches, temperature."""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from .. import noise, sampling
from ._verdict import mismatch, normal, verdict

__all__ = [
    "check_merge_batches",
    "check_softmax_denoiser",
    "check_temperature",
    "check_two_points",
    "check_weighted_denoiser",
]

Problem = str | None
TOLERANCE = 1e-4  # a solution may compute in float32


def _scores(y: Tensor, x: Tensor, sigma: float) -> Tensor:
    """−|y − x|²/2σ² from differences, (n, N), float64."""
    return -(y.double()[:, None] - x.double()).square().sum(-1) / (2 * sigma**2)


def _posterior_mean(y: Tensor, x: Tensor, sigma: float, prior: Tensor | None = None) -> Tensor:
    scores = _scores(y, x, sigma)
    scores = scores if prior is None else scores + prior.double().log()
    return torch.softmax(scores, 1) @ x.double()


def check_softmax_denoiser(solution: Callable[[Tensor, Tensor, float], Tensor]) -> bool:
    """Check ``solution(y, x, sigma)`` → (n, d), for y (n, d) and training points x (N, d)."""
    x = normal(7, 3, seed=0).float()

    def at(y: Tensor, points: Tensor, sigma: float, hint: str) -> Callable[[], Problem]:
        def check() -> Problem:
            problem = mismatch(
                solution(y, points, sigma), _posterior_mean(y, points, sigma), TOLERANCE
            )
            return problem and f"σ = {sigma:g}: {problem}; {hint}"

        return check

    y = x[:5] + 0.5 * normal(5, 3, seed=1).float()
    far = x[:5] + 30 * normal(5, 3, seed=2).float()
    return verdict(
        "a stable softmax",
        [
            at(y, x, 0.5, "the weights are exp(−|y − x|²/2σ²), divided by their sum"),
            at(far, x, 80.0, "at high noise the answer is nearly the mean of the points"),
            at(y, x, 0.02, "every exp may underflow to 0: what may be added to all exponents?"),
            at(far, x, 0.5, "far from the data every exp underflows: subtract per row of y"),
            at(x[:4], x, 0.002, "at a training point the answer is that point"),
        ],
    )


def check_two_points(solution: Callable[[Tensor, Tensor, Tensor], Tensor]) -> bool:
    """Check ``solution(y, a, b)`` → (n,), 0 where the flow from y ends at a and 1 for b."""

    def at(a: Tensor, b: Tensor, sigma: float) -> Callable[[], Problem]:
        def check() -> Problem:
            points = torch.stack([a, b])
            y = points.mean(0) + sigma * normal(400, len(a), seed=3)
            path = noise.log_linear(60, 0.01, sigma)
            ends = sampling.heun(lambda y, s: _posterior_mean(y, points, s), y, path)
            ends = torch.cdist(ends, points).argmin(1)
            found = torch.as_tensor(solution(y, a, b))
            if found.shape != ends.shape:
                return f"the answer has shape {tuple(found.shape)}, expected {tuple(ends.shape)}"
            wrong = int((found.long() != ends).sum())
            return wrong and (
                f"a = {a.tolist()}, b = {b.tolist()}, σ = {sigma:g}: {wrong} of 400 starts end at "
                "the other point; by symmetry, from where can the flow not decide?"
            )

        return check

    def points(*rows: list[float]) -> tuple[Tensor, ...]:
        return tuple(torch.tensor(row, dtype=torch.float64) for row in rows)

    return verdict(
        "two points",
        [
            at(*points([-1.0, 0.0], [1.0, 0.0]), 3.0),
            at(*points([1.0, 2.0], [2.5, -1.0]), 1.0),
            at(*points([0.2, 0.1, -3.0], [-0.5, 4.0, 1.0]), 20.0),
        ],
    )


def check_weighted_denoiser(
    solution: Callable[[Tensor, Tensor], Callable[[Tensor, float], Tensor]],
) -> bool:
    """Check ``solution(x, prior)`` → a denoiser of x (N, d) with probabilities prior (N,)."""
    x = torch.tensor([[-1.5, 0.0], [0.0, 1.0], [1.0, -1.0], [2.0, 1.5]], dtype=torch.float64)
    prior = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)

    def answers() -> Problem:
        for sigma in (80.0, 1.0, 0.3, 0.01):
            y = x + sigma * normal(4, 2, seed=4)
            problem = mismatch(
                solution(x, prior)(y, sigma), _posterior_mean(y, x, sigma, prior), TOLERANCE
            )
            if problem:
                return f"σ = {sigma:g}: {problem}; what does Bayes' rule multiply p(y|x) with?"
        return None

    def duplicate() -> Problem:
        twice, y = torch.cat([x, x[:1]]), x + 0.7 * normal(4, 2, seed=5)
        found = solution(x, torch.tensor([0.4, 0.2, 0.2, 0.2], dtype=torch.float64))(y, 0.7)
        problem = mismatch(found, _posterior_mean(y, twice, 0.7), TOLERANCE)
        return problem and f"a point that occurs twice must have twice the prior: {problem}"

    def shares() -> Problem:
        draws = 80 * normal(2000, 2, seed=6)
        ends = sampling.heun(solution(x, prior), draws, noise.karras(40))
        counts = torch.cdist(ends, x).argmin(1).bincount(minlength=4)
        chi2 = ((counts - 2000 * prior) ** 2 / (2000 * prior)).sum().item()
        return f"the samples' counts are {counts.tolist()} of 2000" if chi2 > 25 else None

    return verdict("a weighted training set", [answers, duplicate, shares])


def check_merge_batches(solution: Callable[[list[tuple[Tensor, Tensor]]], Tensor]) -> bool:
    """Check ``solution(parts)`` → (n, d), for parts (answer (n, d), log evidence (n,)) by batch."""
    x = normal(11, 3, seed=7)

    def at(sizes: list[int], sigma: float) -> Callable[[], Problem]:
        def check() -> Problem:
            # Some y further from the data than σ: every evidence is then tiny.
            y = x[:6] + max(sigma, 0.5) * normal(6, 3, seed=8)
            batches = x[: sum(sizes)].split(sizes)
            parts = [
                (_posterior_mean(y, b, sigma), _scores(y, b, sigma).logsumexp(1)) for b in batches
            ]
            right = _posterior_mean(y, x[: sum(sizes)], sigma)
            problem = mismatch(solution(parts), right, 1e-6)
            return problem and (
                f"batches of {sizes} points, σ = {sigma:g}: {problem}; a batch counts as much as "
                "it explains y, and its evidence comes as a logarithm, perhaps a very negative one"
            )

        return check

    return verdict("merge the batches", [
        at([4, 4], 0.8), at([11], 0.8), at([5, 3, 2, 1], 0.8), at([4, 4], 80.0), at([6, 5], 0.01),
    ])  # fmt: skip


@cache
def _middle(tau: float) -> float:
    """Share of the middle of −1, 0, 1, by bisection for the edge of its basin."""
    points = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
    path = noise.log_linear(300, 0.01, 80.0)
    low, high = 0.0, 400.0
    for _ in range(3):  # sixty starts at once, three times
        y = torch.linspace(low, high, 61, dtype=torch.float64)[:, None]
        ends = sampling.heun(lambda y, s: _posterior_mean(y, points, tau * s), y, path)[:, 0]
        last = int((ends.abs() < 0.5).nonzero().max())
        low, high = y[last].item(), y[min(last + 1, 60)].item()
    return math.erf((low + high) / 2 / 80 / math.sqrt(2))


def check_temperature(solution: Callable[[float], float]) -> bool:
    """Check ``solution(tau)`` → the share of samples that end at 0, for the points −1, 0, 1."""

    def at(tau: float) -> Callable[[], Problem]:
        def check() -> Problem:
            found, right = float(solution(tau)), _middle(tau)
            if abs(found - right) <= 0.02:
                return None
            return (
                f"τ = {tau:g}: the share is off by {found - right:+.3f}; ask the denoiser at τσ, "
                "but let the steps go by σ, from σ = 80, with steps short enough"
            )

        return check

    return verdict("the wrong noise level", map(at, (1.0, 2.0, 0.5)))
