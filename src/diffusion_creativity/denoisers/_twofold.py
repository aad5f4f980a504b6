"""Numbers of twice the precision: an unevaluated sum of two float64 tensors, 32 digits together.

The exact sums and products are those of Dekker (1971) and Knuth.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from math import factorial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Twofold(NamedTuple):
    """The number high + low, with \\|low\\| at most half a unit in the last place of high."""

    high: Tensor
    low: Tensor

    @classmethod
    def of(cls, high: Tensor) -> Twofold:
        """Take float64 numbers as exact."""
        return cls(high, torch.zeros_like(high))

    @classmethod
    def difference(cls, a: Tensor, b: Tensor) -> Twofold:
        """The exact difference of two float64 tensors."""
        return cls(*_two_sum(a, -b))

    def at(self, index: object) -> Twofold:
        """Index both parts alike."""
        return Twofold(self.high[index], self.low[index])

    def plus(self, other: Twofold) -> Twofold:
        """The sum."""
        high, low = _two_sum(self.high, other.high)
        return Twofold(*_fast_two_sum(high, low + (self.low + other.low)))

    def minus(self, other: Twofold) -> Twofold:
        """The difference."""
        return self.plus(Twofold(-other.high, -other.low))

    def times(self, other: Twofold) -> Twofold:
        """The product."""
        high, low = _two_product(self.high, other.high)
        return Twofold(*_fast_two_sum(high, low + (self.high * other.low + self.low * other.high)))

    def over(self, other: Twofold) -> Twofold:
        """The quotient, by long division."""
        first = self.high / other.high
        rest = self.minus(other.times(Twofold.of(first)))
        second = rest.high / other.high
        rest = rest.minus(other.times(Twofold.of(second)))
        third = rest.high / other.high
        high, low = _fast_two_sum(first, second)
        return Twofold(*_fast_two_sum(high, low + third))

    def scaled(self, power_of_two: Tensor) -> Twofold:
        """The product with a power of two, which is exact."""
        return Twofold(self.high * power_of_two, self.low * power_of_two)

    def sum_last(self) -> Twofold:
        """The sum over the last axis, in pairs."""
        total = self
        while (n := total.high.shape[-1]) > 1:
            half = n // 2
            pairs = total.at((..., slice(half))).plus(total.at((..., slice(half, 2 * half))))
            if n % 2:
                rest = total.at((..., slice(n - 1, n)))
                pairs = Twofold(*(torch.cat(part, -1) for part in zip(pairs, rest, strict=True)))
            total = pairs
        return total.at((..., 0))


def solve(matrix: Twofold, right: Twofold) -> Tensor:
    """Solve symmetric positive definite systems (B, k, k), right (B, k); float64 result (B, k).

    Elimination without pivots: Gram-Schmidt on the functions whose inner products these are.
    """
    k = matrix.high.shape[-1]
    high, low = matrix.high.clone(), matrix.low.clone()
    rhs_high, rhs_low = right.high.clone(), right.low.clone()
    for j in range(k - 1):
        m, r = Twofold(high, low), Twofold(rhs_high, rhs_low)
        below = slice(j + 1, k)
        factor = m.at((..., below, j)).over(m.at((..., slice(j, j + 1), j)))
        product = factor.at((..., None)).times(m.at((..., slice(j, j + 1), below)))
        left = m.at((..., below, below)).minus(product)
        rest = r.at((..., below)).minus(factor.times(r.at((..., slice(j, j + 1)))))
        high[..., below, below], low[..., below, below] = left
        rhs_high[..., below], rhs_low[..., below] = rest
    m, found = Twofold(high, low), Twofold(rhs_high, rhs_low)
    for j in reversed(range(k)):
        value = found.at((..., j))
        if j + 1 < k:
            known = m.at((..., j, slice(j + 1, k))).times(found.at((..., slice(j + 1, k))))
            value = value.minus(known.sum_last())
        rhs_high[..., j], rhs_low[..., j] = value.over(m.at((..., j, j)))
    return rhs_high


@lru_cache
def gauss_hermite(n: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Nodes and weights, to 32 digits: exact on N(0, 1) for polynomials of degree < 2n."""
    starts = np.polynomial.hermite_e.hermegauss(n)[0]
    nodes, weights = [], []
    with localcontext() as context:
        context.prec = 50
        for start in starts.tolist():
            t = Decimal(start) if abs(start) > 1e-8 else Decimal(0)
            for _ in range(4):
                before, value = _hermite(n, t)
                t -= value / (n * before)
            before, _ = _hermite(n, t)
            nodes.append(t)
            weights.append(Decimal(factorial(n - 1)) / (n * before * before))
        return _split(nodes), _split(weights)


def _hermite(n: int, t: Decimal) -> tuple[Decimal, Decimal]:
    """He_{n-1}(t) and He_n(t)."""
    before, value = Decimal(0), Decimal(1)
    for k in range(n):
        before, value = value, t * value - k * before
    return before, value


def _split(numbers: list[Decimal]) -> tuple[Tensor, Tensor]:
    high = [float(v) for v in numbers]
    low = [float(v - Decimal(h)) for v, h in zip(numbers, high, strict=True)]
    return tuple(torch.tensor(part, dtype=torch.float64) for part in (high, low))


def _two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The rounded sum and its rounding error."""
    total = a + b
    second = total - a
    return total, (a - (total - second)) + (b - second)


def _fast_two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The same where abs(a) >= abs(b)."""
    total = a + b
    return total, b - (total - a)


def _halves(a: Tensor) -> tuple[Tensor, Tensor]:
    shifted = 134217729.0 * a  # 2²⁷ + 1
    high = shifted - (shifted - a)
    return high, a - high


def _two_product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The rounded product and its rounding error."""
    product = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2
