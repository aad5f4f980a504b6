"""Hermite polynomials of several variables."""

import itertools

import torch
from torch import Tensor


def exponents(degree: int, k: int) -> Tensor:
    """Exponents (M, k) of all monomials of total degree <= `degree`, lowest first."""
    rows = []
    for total in range(degree + 1):
        for picked in itertools.combinations_with_replacement(range(k), total):
            row = [0] * k
            for i in picked:
                row[i] += 1
            rows.append(row)
    return torch.tensor(rows).reshape(-1, k)


def hermite(u: Tensor, degree: int) -> Tensor:
    """He_0 … He_degree of u (n, k): (degree + 1, n, k)."""
    rows = [torch.ones_like(u), u]
    for j in range(1, degree):
        rows.append(u * rows[-1] - j * rows[-2])
    return torch.stack(rows[: degree + 1])


def products(table: Tensor, index: Tensor) -> Tensor:
    """Π_i table[index[γ, i], :, i], shape (n, len(index))."""
    total = table[index[:, 0], :, 0]
    for i in range(1, index.shape[1]):
        total = total * table[index[:, i], :, i]
    return total.T


def norms(powers: Tensor) -> Tensor:
    """√(a!) for each exponent."""
    return torch.lgamma(powers.double() + 1).sum(1).div(2).exp()
