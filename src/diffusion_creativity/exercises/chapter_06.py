"""Self-checks of chapter 6."""

import math

import torch
from torch import Tensor

from ..denoisers import Polynomial
from ._verdict import mismatch, verdict

__all__ = [
    "check_affine_up_to",
    "check_noisy_moments",
    "check_normal_equations",
    "check_square_density",
]


def _moments(points: list[float], weights: list[float], order: int) -> list[float]:
    """E x^0 … E x^order of weighted points."""
    total = sum(weights)
    return [
        sum(w * x**k for w, x in zip(weights, points, strict=True)) / total
        for k in range(order + 1)
    ]


def _tensor(found: object) -> object:
    """A list of numbers as a tensor; anything else as it is."""
    if isinstance(found, list | tuple) or type(found).__module__ == "numpy":
        return torch.as_tensor(found, dtype=torch.float64)
    return found


def _something(*found: object) -> str | None:
    if any(value is None for value in found):
        return "the function returns nothing yet: write it, with a return"
    return None


def _noisy(moments: list[float], sigma: float) -> list[float]:
    """E y^k for y = x + sigma n."""
    noise = [math.prod(range(1, j, 2)) * sigma**j if j % 2 == 0 else 0.0
             for j in range(len(moments))]  # fmt: skip
    return [sum(math.comb(k, j) * moments[k - j] * noise[j] for j in range(k + 1))
            for k in range(len(moments))]  # fmt: skip


def check_noisy_moments(solution) -> bool:
    """Check ``solution(moments, sigma)``: E y^0 … from E x^0 …, for y = x + sigma n."""
    moments = _moments([-1.0, 0.5, 2.0], [0.2, 0.5, 0.3], 6)

    def without() -> str | None:
        found = _tensor(solution(moments, 0.0))
        if problem := mismatch(found, torch.tensor(moments, dtype=torch.float64)):
            return f"without noise y is x, so nothing may change: {problem}"
        return None

    def only_noise() -> str | None:
        still = [1.0] + [0.0] * 6
        found = _tensor(solution(still, 2.0))
        right = torch.tensor(_noisy(still, 2.0), dtype=torch.float64)
        if problem := mismatch(found, right):
            return (
                "for x = 0 these are the moments of 2n: zero for odd orders, and E n⁴ is not "
                f"(E n²)²: {problem}"
            )
        return None

    def both() -> str | None:
        found = _tensor(solution(moments, 0.7))
        right = torch.tensor(_noisy(moments, 0.7), dtype=torch.float64)
        if problem := mismatch(found, right):
            return f"for three atoms and σ = 0.7, mind the binomial coefficients: {problem}"
        return None

    checks = (lambda: _something(solution(moments, 0.0)), without, only_noise, both)
    return verdict("noisy moments", checks)


def check_normal_equations(solution) -> bool:
    """Check ``solution(moments, sigma, degree)``: coefficients c_0 … c_p of the best polynomial."""
    points, weights = [-1.0, 0.5, 2.0], [0.2, 0.5, 0.3]
    moments = _moments(points, weights, 8)

    def value(c: Tensor, y: Tensor) -> Tensor:
        return sum(c[k] * y**k for k in range(len(c)))

    def shape() -> str | None:
        found = _tensor(solution(moments, 0.7, 3))
        if not isinstance(found, Tensor) or tuple(found.shape) != (4,):
            return "return the 4 coefficients c_0 … c_3 for degree 3, lowest first"
        return None

    def linear() -> str | None:
        found = _tensor(solution(moments, 0.7, 1)).double()
        mean, variance = moments[1], moments[2] - moments[1] ** 2
        gain = variance / (variance + 0.49)
        right = torch.tensor([mean * (1 - gain), gain], dtype=torch.float64)
        if problem := mismatch(found, right):
            return f"at degree 1 the answer must be the linear denoiser of chapter 4: {problem}"
        return None

    def cubic() -> str | None:
        y = torch.linspace(-2, 3, 11, dtype=torch.float64)
        for degree, sigma in ((2, 0.4), (3, 0.7), (4, 1.5)):
            best = Polynomial.from_atoms(points, weights, degree=degree)
            right = best(y[:, None], sigma)[:, 0]
            found = value(_tensor(solution(moments, sigma, degree)).double(), y)
            if problem := mismatch(found, right, 1e-4):
                return (
                    f"degree {degree}, σ = {sigma}: {problem}. Are the entries of the matrix "
                    "moments of y, and the right side E[x y^j], not E[x^{j+1}]?"
                )
        return None

    checks = (lambda: _something(solution(moments, 0.7, 3)), shape, linear, cubic)
    return verdict("normal equations", checks)


def check_affine_up_to(solution) -> bool:
    """Check ``solution(moments)``: the highest degree whose best polynomial is affine.

    `moments` are E x^0 … of a target with mean 0 and variance 1; at least 1 is right always.
    """
    root = math.sqrt(3)
    cases = [
        ("two points ±1", _moments([-1.0, 1.0], [1.0, 1.0], 12)),
        ("a skewed target", _moments([-0.5, 2.0], [0.8, 0.2], 12)),
        ("the three atoms of the chapter", _moments([-root, 0.0, root], [1, 4, 1], 12)),
    ]

    def right(moments: list[float]) -> int:
        degree = 1
        for k in range(3, len(moments)):
            normal = 0.0 if k % 2 else float(math.prod(range(1, k, 2)))
            if abs(moments[k] - normal) > 1e-6 * max(1.0, normal):
                break
            degree = k - 1
        return degree

    def answers() -> str | None:
        for name, moments in cases:
            found = int(solution(moments))
            if found != right(moments):
                side = "is not affine any more" if found > right(moments) else "still is, and more"
                return (
                    f"for {name} you say {found}, but the best polynomial there {side}: count "
                    "which moments the equations for an affine answer contain"
                )
        return None

    return verdict("affine up to", (lambda: _something(solution(cases[0][1])), answers))


def check_square_density(solution) -> bool:
    """Check ``solution(x, a)``: density of a·z² at x > 0, for standard normal z and a > 0."""
    x = torch.tensor([0.01, 0.3, 1.0, 4.0], dtype=torch.float64)

    def right(a: float) -> Tensor:
        z = (x / a).sqrt()
        return 2 * torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi) / (2 * a * z)

    def values() -> str | None:
        for a in (1.0, 2.5):
            found = _tensor(solution(x, a))
            if isinstance(found, Tensor) and mismatch(2 * found, right(a)) is None:
                return "exactly half of the density: how many z lead to the same x?"
            if problem := mismatch(found, right(a)):
                return f"a = {a}: {problem}. Divide by the slope of z ↦ a z² at the z you found"
        return None

    return verdict("density of a square", (lambda: _something(solution(x, 1.0)), values))
