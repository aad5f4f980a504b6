"""Self-checks of chapter 21: shallow ReLU networks."""

import math

import torch
from torch import Tensor

from ..denoisers import ShallowReLU
from ._verdict import mismatch, normal, verdict

__all__ = [
    "check_decision_time",
    "check_end_point",
    "check_least_cost",
    "check_line_denoiser",
    "check_share_of_copies",
]


def _nothing(solution, *arguments) -> str | None:
    if solution(*arguments) is None:
        return "the function returns nothing yet: write it, with a return"
    return None


def _points() -> Tensor:
    return torch.tensor([-2.0, -0.5, 0.1, 1.9], dtype=torch.float64)


def check_line_denoiser(solution) -> bool:
    """Check ``solution(y, x, radius)``: the denoiser on a line; y (n,), x (N,) ascending."""
    x, r = _points(), 0.2

    def flat() -> str | None:
        for away in (-r, 0.0, r):
            if problem := mismatch(solution(x + away, x, r), x):
                return f"at distance {abs(away):g} of the points h must give the points: {problem}"
        return None

    def outside() -> str | None:
        y = torch.tensor([-9.0, 7.0], dtype=torch.float64)
        if problem := mismatch(solution(y, x, r), x[[0, -1]]):
            return f"left of the first point and right of the last h is constant: {problem}"
        return None

    def between() -> str | None:
        middle = (x[1:] + x[:-1]) / 2
        if problem := mismatch(solution(middle, x, r), middle):
            return f"half way between two points h leaves y where it is: {problem}"
        y = torch.linspace(-3, 3, 301, dtype=torch.float64)
        expected = ShallowReLU.fit(x[:, None], radius=r)(y[:, None], 1.0)[:, 0]
        if problem := mismatch(solution(y, x, r), expected):
            return f"balls and middles are right, but not the slope in between: {problem}"
        return None

    checks = (lambda: _nothing(solution, x, x, r), flat, outside, between)
    return verdict("on a line", checks)


def check_least_cost(solution) -> bool:
    """Check ``solution(x, radius)``: the least cost of a network that fits x (N,) on a line."""
    x = _points()

    def small() -> str | None:
        found = float(solution(x[:2], 1e-9))
        if math.isclose(found, 1, rel_tol=1e-6):
            return (
                "with r near 0 the slope jumps up once and down once, by 1 each: the cost is 2 for "
                "two points, yours is 1. How many jumps has each gap?"
            )
        if not math.isclose(found, 2, rel_tol=1e-6):
            return f"with r near 0 and two points the cost is 2, yours is {found:.4g}"
        return None

    def all_gaps() -> str | None:
        for r in (0.05, 0.2, 0.29):
            expected = ShallowReLU.fit(x[:, None], radius=r).cost(1.0)
            found = float(solution(x, r))
            if not math.isclose(found, expected, rel_tol=1e-6):
                side = "above" if found > expected else "below"
                return f"for r = {r:g} and four points yours is {side} the least cost"
        return None

    checks = (lambda: _nothing(solution, x, 0.1), small, all_gaps)
    return verdict("least cost", checks)


def check_end_point(solution) -> bool:
    """Check ``solution(y, x)``: where the flow from y (n, d) ends; x (N + 1, d), corner first."""
    turn = torch.linalg.qr(normal(5, 5, seed=1))[0]
    edges = turn[:3] * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)[:, None]
    corner = normal(5, seed=2)

    def ends(y: Tensor, x: Tensor) -> Tensor:
        denoise = ShallowReLU.fit(x)
        along = denoise.coordinates(y)
        chosen = torch.where(along > denoise.sites[:, 1] / 2, denoise.sites[:, 1], 0)
        return denoise.corner + chosen @ denoise.directions.T

    def at_the_origin() -> str | None:
        x = torch.cat([torch.zeros_like(edges[:1]), edges])
        y = 2 * normal(200, 5, seed=3)
        found = solution(y, x)
        if problem := mismatch(found, ends(y, x)):
            nearest = x[torch.cdist(y, x).argmin(1)]
            if mismatch(found, nearest) is None:
                return "the flow can also end on sums of training points; yours never does"
            return f"with the corner at 0: {problem}. Which coordinates decide, and where?"
        return None

    def elsewhere() -> str | None:
        x = torch.cat([corner[None], corner + edges])
        y = 2 * normal(200, 5, seed=4)
        if problem := mismatch(solution(y, x), ends(y, x)):
            return f"right for a corner at 0, but not for one elsewhere: {problem}"
        return None

    x = torch.cat([torch.zeros_like(edges[:1]), edges])
    checks = (lambda: _nothing(solution, edges, x), at_the_origin, elsewhere)
    return verdict("end point", checks)


def check_share_of_copies(solution) -> bool:
    """Check ``solution(N)``: the share of training points among samples, N orthogonal edges."""

    def one() -> str | None:
        if not math.isclose(float(solution(1)), 1):
            return "with one edge both ends are training points: the share is 1"
        return None

    def many() -> str | None:
        for N in (2, 5, 12):
            found, expected = float(solution(N)), (N + 1) / 2**N
            if math.isclose(found, N / 2**N):
                return f"for N = {N} one training point is missing: the corner is one too"
            if not math.isclose(found, expected, rel_tol=1e-9):
                return f"for N = {N} it is not {found:.4g}: count all vertices, then those of x"
        return None

    checks = (lambda: _nothing(solution, 2), one, many)
    return verdict("share of copies", checks)


def check_decision_time(solution) -> bool:
    """Check ``solution(length, radius, offset)``: ln(σ_max/σ_min) that decides a coordinate."""

    def decided() -> str | None:
        if abs(float(solution(2.0, 0.3, 0.7))) > 1e-9:
            return "an offset of ℓ/2 - r is on the border of the flat part: no time is needed"
        return None

    def by_flow() -> str | None:
        for length, r, z in ((2.0, 0.3, 0.1), (1.0, 0.1, 0.01), (5.0, 2.0, 0.2)):
            found = float(solution(length, r, z))
            steps, moved = 20_000, z
            for _ in range(steps):  # dz/dτ = φ(z) - z in small steps
                moved += found / steps * moved * (length / (length - 2 * r) - 1)
            if not math.isclose(moved, length / 2 - r, rel_tol=2e-3):
                return (
                    f"for ℓ = {length:g}, r = {r:g}, offset {z:g}: after your time the flow is at "
                    f"offset {moved:.4g}, and the flat part begins at {length / 2 - r:g}"
                )
        return None

    checks = (lambda: _nothing(solution, 2.0, 0.3, 0.1), decided, by_flow)
    return verdict("decision time", checks)
