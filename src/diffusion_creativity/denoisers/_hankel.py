"""From moments on the line to the atoms of Gauss's quadrature, in exact arithmetic."""

from collections.abc import Sequence
from fractions import Fraction
from math import comb
from numbers import Real

import torch
from torch import Tensor

SMALL = Fraction(1, 10**11)  # floats carry rounding: a smaller pivot, relative, is taken as zero


def quadrature_of_moments(
    moments: Sequence[float | int | Fraction], degree: int
) -> tuple[Tensor, Tensor]:
    """Atoms (p + 1,) and weights (p + 1,) that share E x, E x², … up to order 2p.

    Chebyshev's algorithm in fractions. With fewer than p + 1 atoms (a singular moment matrix) the
    others get weight 0.
    """
    exact = [Fraction(1), *_fractions(moments)]
    if len(exact) < 2 * degree + 1:
        raise ValueError(
            f"moments must hold E x, …, E x^{2 * degree} for degree {degree}, got {len(exact) - 1}"
        )
    floats = any(isinstance(m, float) for m in moments)
    mean = exact[1]
    central = _central(exact[: 2 * degree + 1], mean)
    alpha, beta = _recurrence(central, degree, floats)
    k = len(alpha)
    scale = float(central[2]) ** 0.5 or 1.0
    jacobi = torch.diag(torch.tensor([float(a) / scale for a in alpha], dtype=torch.float64))
    if k > 1:
        off = torch.tensor([(float(b) ** 0.5) / scale for b in beta], dtype=torch.float64)
        jacobi = jacobi + torch.diag(off, 1) + torch.diag(off, -1)
    nodes, vectors = torch.linalg.eigh(jacobi)
    atoms = torch.full((degree + 1,), float(mean), dtype=torch.float64)
    weights = torch.zeros_like(atoms)
    atoms[:k], weights[:k] = float(mean) + scale * nodes, vectors[0].square()
    return atoms, weights


def _fractions(moments: Sequence) -> list[Fraction]:
    try:
        values = list(moments)
        if any(isinstance(m, bool) or not isinstance(m, Real) for m in values):
            raise TypeError
        return [Fraction(m) for m in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"moments must be finite numbers, got {moments!r}") from error


def _central(raw: list[Fraction], mean: Fraction) -> list[Fraction]:
    """Moments about the mean."""
    return [
        sum(comb(k, j) * raw[j] * (-mean) ** (k - j) for j in range(k + 1)) for k in range(len(raw))
    ]


def _recurrence(
    m: list[Fraction], degree: int, floats: bool
) -> tuple[list[Fraction], list[Fraction]]:
    """Coefficients α_0 … and β_1 … of the monic orthogonal polynomials.

    The last α needs the moment of order 2p + 1, on which nothing depends: zero is taken.
    """
    before, row = [Fraction(0)] * len(m), list(m)
    alpha, beta = [Fraction(0)], []
    for k in range(1, degree + 1):
        a, b = alpha[-1], (beta[-1] if beta else Fraction(0))
        new = [row[j + 1] - a * row[j] - b * before[j] for j in range(len(row) - 1)]
        # new[j] = <π_k, x^j>; the first k of them vanish
        size = new[k]
        tiny = SMALL * m[2] ** k if floats else Fraction(0)
        if size < -tiny:
            raise ValueError(
                f"moments must be those of some law: the Hankel matrix of order {k} has a negative "
                "determinant (for order 1: a negative variance)"
            )
        if size <= tiny:
            return alpha, beta
        beta.append(size / row[k - 1])
        shift = row[k] / row[k - 1]
        if k < degree:
            alpha.append(new[k + 1] / size - shift)
        else:
            alpha.append(Fraction(0))
        before, row = row, new
    return alpha, beta
