"""Best polynomials of one variable, for many variables at once.

A polynomial denoiser of degree p sees moments up to 2p, so each variable's law may be replaced by
the p + 1 weighted atoms of its Gauss quadrature. The polynomial is then written in Newton's
basis on these atoms, in which nothing cancels as sigma goes to 0, and its normal equations are
solved with 32 digits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._twofold import Twofold, gauss_hermite, solve

ENTRIES = 4_000_000  # of a block of work
FLOOR = 1e-6  # smallest level that is solved for, in units of the target's standard deviation


def quadrature(values: Tensor, weights: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Replace weighted values (N, P), weights (N,), by `count` weighted atoms per column.

    They share all moments of order < 2·count. Columns with fewer different values keep those; the
    rest of their atoms have weight 0. Returns atoms (P, count) and weights (P, count).
    """
    block = max(1, ENTRIES // (len(values) * (count + 2)))
    parts = [_quadrature(part, weights, count) for part in values.split(block, 1)]
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def _quadrature(values: Tensor, weights: Tensor, count: int) -> tuple[Tensor, Tensor]:
    mean = weights @ values
    centred = values - mean
    spread = (weights @ centred.square()).sqrt()
    scale = torch.where(spread > 0, spread, 1.0)
    z = centred / scale
    alpha, beta = _lanczos(z, weights.sqrt()[:, None].expand_as(z), count)
    jacobi = torch.diag_embed(alpha) + torch.diag_embed(beta, 1) + torch.diag_embed(beta, -1)
    nodes, vectors = torch.linalg.eigh(jacobi)
    nodes, mass = mean[:, None] + scale[:, None] * nodes, vectors[:, 0].square()
    few, few_atoms, few_mass = _distinct(values, weights, count)
    return (
        torch.where(few[:, None], few_atoms, nodes),
        torch.where(few[:, None], few_mass, mass),
    )


def _lanczos(z: Tensor, start: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Three-term recurrence of the orthonormal polynomials, (P, count) and (P, count - 1)."""
    vectors, alpha, beta = [start], [], []
    for k in range(count):
        new = z * vectors[-1]
        alpha.append((new * vectors[-1]).sum(0))
        if k + 1 == count:
            break
        for _ in range(2):  # orthogonal to rounding, whatever was lost before
            for vector in vectors:
                new = new - (new * vector).sum(0) * vector
        norm = new.norm(dim=0)
        beta.append(norm)
        vectors.append(new / torch.where(norm > 0, norm, 1.0))
    empty = alpha[0].new_empty(len(alpha[0]), 0)
    return torch.stack(alpha, 1), torch.stack(beta, 1) if beta else empty


def _distinct(values: Tensor, weights: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The different values of each column where at most `count`: which columns, atoms, weights."""
    ordered, order = values.sort(0)
    reach = (ordered[-1] - ordered[0]).clamp(min=0)
    new = ordered.diff(dim=0) > 1e-13 * reach
    rank = torch.cat([torch.zeros_like(order[:1]), new.long().cumsum(0)])
    few = rank[-1] < count
    slot = rank.clamp(max=count)
    atoms = ordered.new_zeros(count + 1, values.shape[1]).scatter_(0, slot, ordered)
    mass = torch.zeros_like(atoms).scatter_add_(0, slot, weights[order])
    atoms, mass = atoms[:count].T, mass[:count].T
    return few, torch.where(mass > 0, atoms, atoms[:, :1]), mass


class Marginals:
    """Best polynomial of degree p for each of P variables.

    Parameters
    ----------
    atoms, weights : Tensor, shape (P, p + 1)
        Float64; weights of a row sum to 1, and are 0 where a variable has fewer atoms.
    """

    def __init__(self, atoms: Tensor, weights: Tensor) -> None:
        self.atoms, self.weights = atoms, weights / weights.sum(1, keepdim=True)
        self.degree = atoms.shape[1] - 1
        self.mean = (self.weights * atoms).sum(1)
        offset = atoms - self.mean[:, None]
        self.spread = (self.weights * offset.square()).sum(1).sqrt()
        self.centre = self.mean
        self._newton = self._leja()  # (P, p): the atom in each factor of Newton's basis
        self._found: dict[float, tuple[Tensor, Tensor]] = {}

    def only(self, k: int) -> Marginals:
        """The polynomial of variable k alone, with the levels solved so far."""
        one = Marginals(self.atoms[k : k + 1], self.weights[k : k + 1])
        one._found = {s: (q[k : k + 1], c[k : k + 1]) for s, (q, c) in self._found.items()}
        return one

    def _leja(self) -> Tensor:
        """Order the atoms so that each is far from those before, then start again."""
        active = self.weights > 0
        far = (self.atoms - self.mean[:, None]).abs().masked_fill(~active, -1.0)
        order = [far.argmax(1)]
        log = torch.zeros_like(self.atoms)
        for _ in range(self.degree):
            last = self.atoms.gather(1, order[-1][:, None])
            log = log + (self.atoms - last).abs().log()
            order.append(log.masked_fill(~active, -torch.inf).argmax(1))
        order, count = torch.stack(order, 1), active.sum(1)
        turn = torch.arange(self.degree, device=count.device) % count[:, None]
        return order.gather(1, turn)

    def coefficients(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients q (S, P, p + 1) and scales c (S, P) for noise levels (S,)."""
        missing = [v for v in dict.fromkeys(levels.tolist()) if v not in self._found]
        p = len(self.atoms)
        block = max(1, ENTRIES // (p * (self.degree + 1) ** 4))
        for first in range(0, len(missing), block):
            part = missing[first : first + block]
            q, c = self._solve(levels.new_tensor(part))
            self._found.update((v, (q[k], c[k])) for k, v in enumerate(part))
        found = [self._found[v] for v in levels.tolist()]
        return tuple(torch.stack(part) for part in zip(*found, strict=True))

    def _solve(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Normal equations of x - y in Newton's basis, with u = (y - centre) / c."""
        # Too few atoms: at sigma = 0 the equations are singular, and the limit is approached.
        singular = (self.weights > 0).sum(1) <= self.degree
        floor = torch.where(singular, FLOOR * self.spread, 0.0)
        sigma = torch.maximum(levels[:, None], floor)  # (S, P)
        sigma = torch.where(self.spread + sigma > 0, sigma, 1.0)
        size = (self.spread.square() + sigma.square()).sqrt()
        c = torch.exp2(torch.round(torch.log2(size)))  # scaling by it is exact
        nodes, mass = (Twofold(*part) for part in self._hermite())
        tau = Twofold.of((sigma / c)[..., None, None])
        noise = tau.times(nodes)  # (S, P, 1, T)
        newton = self.atoms.gather(1, self._newton)  # (P, p)
        gaps = Twofold.difference(self.atoms[:, :, None], newton[:, None, :])  # (P, R, p)
        gaps = gaps.scaled(1 / c[..., None, None])  # (S, P, R, p)
        weight = Twofold.of(self.weights[..., None]).times(mass)  # (P, R, T)
        shape = (*c.shape, self.weights.shape[1], len(nodes.high))
        column = Twofold.of(torch.ones(shape, dtype=c.dtype, device=c.device))
        columns = [column]
        for k in range(self.degree):
            factor = gaps.at((..., k, None)).plus(noise)
            columns.append(columns[-1].times(factor))
        basis = Twofold(*(torch.stack(part, 2).flatten(3) for part in zip(*columns, strict=True)))
        weight, noise = (
            Twofold(*(part.expand(shape).flatten(2)[:, :, None] for part in number))
            for number in (weight, noise)
        )  # (S, P, 1, R·T)
        norm = (basis.high.square() * weight.high).sum(-1).sqrt()
        unit = torch.exp2(-torch.round(torch.log2(norm)))
        basis = basis.scaled(unit[..., None])
        weighted = basis.times(weight)
        rows, columns = (..., slice(None), None, slice(None)), (..., None, slice(None), slice(None))
        gram = weighted.at(rows).times(basis.at(columns))
        right = weighted.times(noise).sum_last()
        q = -unit * solve(gram.sum_last(), right)
        return q, c

    def _hermite(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        rule = gauss_hermite(self.degree + 1)
        return tuple(tuple(part.to(self.atoms.device) for part in number) for number in rule)

    def __call__(self, y: Tensor, levels: Tensor) -> Tensor:
        """Denoise y (n, P), float64, at levels (1,) or (n,)."""
        q, c = self.coefficients(levels)
        newton = self.atoms.gather(1, self._newton)
        total = q[..., -1]
        for k in reversed(range(self.degree)):
            total = q[..., k] + (y - newton[:, k]) / c * total
        return y + c * total
