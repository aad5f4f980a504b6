"""Self-checks of chapter 11: does training find the closed form?"""

import itertools
import math

import torch

from ..noise import karras
from ._verdict import mismatch, misshapen, verdict

__all__ = [
    "check_damping",
    "check_decay_as_ridge",
    "check_equal_losses",
    "check_largest_rate",
    "check_stopping_time",
]


def check_stopping_time(solution) -> bool:
    """Check ``solution(lam, sigma, share)``, the time at which a share of the gain is learnt."""

    def exact() -> str | None:
        for lam, sigma, share in itertools.product((0.01, 2.0), (0.002, 1.0, 80.0), (0.5, 0.99)):
            right = -math.log(1 - share) / (2 * (lam + sigma**2))
            found = solution(lam, sigma, share)
            if found is None:
                return "the function returns nothing yet: write it, with a return"
            if abs(found / right - 2) < 1e-6:
                return "your time is twice too long: the gradient of a square carries a factor 2"
            if abs(found / right - 1) > 1e-6:
                return (
                    f"for λ = {lam:g}, σ = {sigma:g} and a share of {share:g} your time is "
                    f"{float(found):.4g}: at which τ is 1 - exp(-2τ(λ + σ²)) that share?"
                )
        return None

    return verdict("stopping time", (exact,))


def check_decay_as_ridge(solution) -> bool:
    """Check ``solution(decay, d, scale, sigma)``, the ridge on A that weight decay amounts to."""

    def exact() -> str | None:
        for decay, d, scale, sigma in ((0.01, 64, 0.5, 2.0), (0.1, 3, 1.5, 0.0), (1.0, 10, 2, 80)):
            right = decay * d / 2 * (scale**2 + sigma**2)
            found = solution(decay, d, scale, sigma)
            if found is None:
                return "the function returns nothing yet: write it, with a return"
            if abs(found - decay * d / 2) < 1e-9 * right:
                return (
                    "that is the ridge on W, whose input is y divided by the square root of "
                    "s² + σ²: what is it for a map of y itself?"
                )
            if abs(found / right - 1) > 1e-6:
                return (
                    f"for decay {decay:g}, d = {d}, s = {scale:g}, σ = {sigma:g} yours is "
                    f"{float(found):.4g}: set the gradient of the loss with weight decay to zero, "
                    "and mind that the loss is a mean over d entries"
                )
        return None

    return verdict("decay as a ridge", (exact,))


def check_largest_rate(solution) -> bool:
    """Check ``solution(h, batch, excess)``, the largest rate at which SGD hovers that low."""
    h = torch.tensor([2.0, 1.0, 0.5, 0.25], dtype=torch.float64)

    def hovers_there() -> str | None:
        for batch, excess in ((1, 0.05), (8, 0.05), (1, 1.0), (64, 10.0)):
            case = f"for h = {h.tolist()}, batch {batch} and excess {excess:g}"
            rate = solution(h, batch, excess)
            if rate is None:
                return "the function returns nothing yet: write it, with a return"
            if abs(float(rate) * h.sum().item() / (2 * batch * excess) - 1) < 1e-6:
                return f"{case} yours is right for small rates only: what is the exact excess?"
            if rate <= 0 or rate * h.max() * (1 + 1 / batch) >= 2:
                return f"{case} SGD does not settle at your rate, {float(rate):.4g}"
            theta = rate / batch * (h / (2 - rate * h * (1 + 1 / batch))).sum().item()
            if abs(theta / excess - 1) < 1e-6:
                return f"{case} you set θ to the excess: but the excess is θ/(1 - θ)"
            if abs(theta * (1 + excess) / excess - 1) > 1e-4:
                hovers = f"at {theta / (1 - theta):.4g}" if theta < 1 else "nowhere: θ is over 1"
                return f"{case} your rate is {float(rate):.4g}, and there SGD hovers {hovers}"
        return None

    return verdict("largest rate", (hovers_there,))


def check_damping(solution) -> bool:
    """Check ``solution(lam, sigmas)``, what is left of each step's error at the end: (K,)."""
    sigmas = karras(6)

    def exact() -> str | None:
        for lam in (0.0, 0.3, 20.0):
            levels = sigmas.tolist()
            steps = [(lam + a * b) / (lam + a * a) for a, b in itertools.pairwise(levels)]
            right = torch.tensor([math.prod(steps[j + 1 :]) for j in range(len(steps))]).double()
            found = solution(lam, sigmas)
            if problem := misshapen(found, (len(steps),)):
                return problem
            if not mismatch(found, torch.tensor([math.prod(steps[j:]) for j in range(len(steps))])):
                return "a step's error is damped by the steps *after* it, not by its own factor"
            if problem := mismatch(found, right):
                return f"λ = {lam:g}: {problem}. The last error passes in full: its factor is 1"
        return None

    return verdict("damping", (exact,))


def check_equal_losses(solution) -> bool:
    """Check ``solution(sigma)``: two rank-one maps of the least loss for Σ = I, far apart."""

    def found(sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(torch.as_tensor(A, dtype=torch.float64) for A in solution(sigma))

    def loss(A: torch.Tensor, sigma: float) -> float:
        return float((torch.eye(2) - A).square().sum() + sigma**2 * A.square().sum())

    def shapes() -> str | None:
        for A in found(1.0):
            if problem := misshapen(A, (2, 2)):
                return problem
        return None

    def rank_one() -> str | None:
        for sigma in (0.1, 1.0, 5.0):
            if any(abs(torch.linalg.det(A)) > 1e-5 for A in found(sigma)):
                return f"at σ = {sigma:g} one of your maps has rank 2"
        return None

    def least() -> str | None:
        for sigma in (0.1, 1.0, 5.0):
            right = 2 - 1 / (1 + sigma**2)
            for A in found(sigma):
                if loss(A, sigma) > right + 1e-5:
                    return (
                        f"at σ = {sigma:g} one of your maps loses {loss(A, sigma):.4g}, and "
                        f"{right:.4g} is possible: keep one direction, with the gain of Wiener"
                    )
        return None

    def apart() -> str | None:
        for sigma in (0.1, 1.0, 5.0):
            one, two = found(sigma)
            if (one - two).norm() < 0.9 / (1 + sigma**2):
                return f"at σ = {sigma:g} your two maps are nearly the same: turn one further"
        return None

    return verdict("equal losses", (shapes, rank_one, least, apart))
