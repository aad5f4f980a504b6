"""Self-checks of chapter 19: a refresher."""

from itertools import pairwise

import torch

from ._verdict import mismatch, misshapen, normal, verdict

__all__ = [
    "check_condition",
    "check_euler",
    "check_gaussian_from_noise",
    "check_guess",
    "check_keep",
]


def _covariance(d: int, seed: int) -> torch.Tensor:
    root = torch.eye(d).double() + 0.4 * normal(d, d, seed=seed)
    return root @ root.T


def check_gaussian_from_noise(solution) -> bool:
    """Check ``solution(z, mean, cov)``, draws (n, d) of N(mean, cov) made of normal z."""
    mean, cov = normal(3, seed=0), _covariance(3, 1)
    raw = normal(500, 3, seed=2)
    centred = raw - raw.mean(0)
    root = torch.linalg.cholesky(centred.T @ centred / len(raw))
    z = torch.linalg.solve_triangular(root, centred.T, upper=False).T  # mean 0, covariance I

    def shape() -> str | None:
        return misshapen(solution(z, mean, cov), (500, 3))

    def centre() -> str | None:
        problem = mismatch(solution(z, mean, cov).mean(0), mean)
        return problem and f"{problem} in the mean, for noise whose mean is exactly 0"

    def spread() -> str | None:
        made = solution(z, mean, cov)
        found = (made - made.mean(0)).T @ (made - made.mean(0)) / len(made)
        if problem := mismatch(found, cov):
            if not mismatch(found, cov @ cov):
                return "you multiply by the covariance itself: that squares it"
            return (
                f"{problem} in the covariance, for noise whose covariance is exactly the identity. "
                "Your matrix A must have A Aᵀ = Σ; which of A and Aᵀ does a row of z meet?"
            )
        return None

    def linear() -> str | None:
        if mismatch(solution(z[:7], mean, cov), solution(z, mean, cov)[:7], 1e-9):
            return "a sample must depend on its own noise alone, not on the other rows of z"
        return None

    return verdict("colour the noise", (shape, centre, spread, linear))


def check_condition(solution) -> bool:
    """Check ``solution(mean, cov, value) -> (mean, cov)`` of all entries but the last."""
    mean, cov = normal(4, seed=3), _covariance(4, 4)
    gain = cov[:-1, -1] / cov[-1, -1]

    def pair() -> str | None:
        found = solution(mean, cov, 0.7)
        if not isinstance(found, tuple | list) or len(found) != 2:
            return "return two tensors: the mean and the covariance"
        return misshapen(found[0], (3,)) or misshapen(found[1], (3, 3))

    def nothing_new() -> str | None:
        if mismatch(solution(mean, cov, mean[-1].item())[0], mean[:-1]):
            return "if the last entry is what was expected, the others' means stay as they were"
        return None

    def means() -> str | None:
        if problem := mismatch(
            solution(mean, cov, 0.7)[0], mean[:-1] + gain * (0.7 - mean[-1].item())
        ):
            return (
                f"{problem} in the mean: if the last entry is one above its mean, the others go up "
                "by their covariance with it, in units of its variance"
            )
        return None

    def left() -> str | None:
        found = solution(mean, cov, 0.7)[1]
        if mismatch(found, solution(mean, cov, 5.0)[1], 1e-9):
            return "the covariance that is left must not depend on the value"
        if problem := mismatch(found, cov[:-1, :-1] - gain[:, None] * cov[-1, :-1]):
            return f"{problem} in the covariance: how much of it was due to the last entry?"
        return None

    return verdict("learn one, guess the others", (pair, nothing_new, means, left))


def check_keep(solution) -> bool:
    """Check ``solution(x, k)``, points moved to the best plane of k dimensions."""
    x = normal(60, 5, seed=5) @ torch.diag(torch.tensor([3, 2, 1, 0.5, 0.2]).double()) + 4

    def shape() -> str | None:
        return misshapen(solution(x, 2), (60, 5))

    def plane() -> str | None:
        for k in (1, 2, 4):
            found = solution(x, k)
            rank = int(torch.linalg.matrix_rank(found - found.mean(0), atol=1e-8))
            if rank != k:
                return f"k = {k}: your points lie on a plane of {rank} dimensions"
        return None

    def best() -> str | None:
        centred = x - x.mean(0)
        lam = torch.linalg.eigvalsh(centred.T @ centred)
        for k in (1, 2, 4):
            least = lam[: 5 - k].sum().item()
            found = (solution(x, k) - x).square().sum().item()
            if found > least * (1 + 1e-9) + 1e-9:
                return (
                    f"k = {k}: the squared distances add up to {found:.4g}, and {least:.4g} is "
                    "possible. Does the plane pass through the mean? In which order does eigh sort?"
                )
        return None

    return verdict("keep k numbers", (shape, plane, best))


def check_guess(solution) -> bool:
    """Check ``solution(y, x) -> (A, b)``, least squares with an offset."""
    y = normal(80, 4, seed=6) + 2
    x = y @ normal(4, 3, seed=7) + normal(80, 3, seed=8) - 1

    def pair() -> str | None:
        found = solution(y, x)
        if not isinstance(found, tuple | list) or len(found) != 2:
            return "return A and b"
        return misshapen(found[0], (3, 4)) or misshapen(found[1], (3,))

    def centred() -> str | None:
        A, b = solution(y, x)
        error = (x - y @ A.T - b).mean(0).abs().max().item()
        if error > 1e-8:
            return f"the error has a mean of up to {error:.2g}: a better b would take it away"
        return None

    def uncorrelated() -> str | None:
        A, b = solution(y, x)
        left = ((x - y @ A.T - b).T @ y / len(y)).abs().max().item()
        if left > 1e-8:
            return (
                f"the error still varies with y (up to {left:.2g}), so a part of it could be "
                "guessed: is anything added to your matrix, such as a ridge, or is b chosen first?"
            )
        return None

    return verdict("the best linear guess", (pair, centred, uncorrelated))


def check_euler(solution) -> bool:
    """Check ``solution(slope, y, times)``, Euler's method through all times."""
    start = normal(6, seed=9)

    def walk(slope, times):
        y = start
        for now, after in pairwise(times):
            y = y + (after - now) * slope(y, now)
        return y

    def shape() -> str | None:
        return misshapen(solution(lambda y, t: -y, start, [0.0, 1.0]), (6,))

    def one() -> str | None:
        if mismatch(solution(lambda y, t: 0 * y + 3, start, [1.0, 1.5]), start + 1.5):
            return "slope 3 everywhere, one step from 1 to 1.5: y must grow by 1.5"
        return None

    def back() -> str | None:
        if mismatch(solution(lambda y, t: 0 * y + 3, start, [2.0, 1.0, 0.0]), start - 6):
            return "slope 3 everywhere, back from 2 to 0: y must fall by 6. A step has a sign"
        return None

    def early() -> str | None:
        for times in ([0.0, 1.0, 3.0], [4.0, 2.0, 1.0, 0.5]):
            for slope, what in ((lambda y, t: t + 0 * y, "t"), (lambda y, t: -t * y, "−t y")):
                if problem := mismatch(solution(slope, start, times), walk(slope, times)):
                    return (
                        f"slope {what}, times {times}: {problem}. Ask for the slope at the start "
                        "of each step, at the place where you are then"
                    )
        return None

    return verdict("follow the slope", (shape, one, back, early))
