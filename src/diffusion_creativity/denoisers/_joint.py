"""The best polynomial of several variables together, by Hermite moments.

With c² = λ + σ², ρ² = λ / c² and u = y / c, noise only shrinks the Hermite moments of the data:
``E He_γ(u) = ρ^γ E He_γ(x / √λ)``. No noise is ever drawn, and at large σ the Gram matrix tends to
the identity.
"""

import math

import torch
from torch import Tensor

from .._hermite import exponents, hermite, norms, products

BLOCK = 4_000_000  # numbers of a block of work
MAX_FEATURES = 1500


class Joint:
    """All monomials of total degree <= p of coordinates z (N, k) that are centred.

    Cost: M = C(k + p, p) features; once N·C(k + 2p, 2p) and the linearisation, O(M²) terms or
    more; for each noise level one Gram matrix (M, M) and its factorisation.
    """

    def __init__(self, z: Tensor, degree: int) -> None:
        self.degree, k = degree, z.shape[1]
        self.variance = z.square().mean(0)
        self.powers = exponents(degree, k).to(z.device)
        self._index = exponents(2 * degree, k)
        self._moments = self._data_moments(z)
        self._terms = tuple(t.to(z.device) for t in linearise(self.powers.cpu(), self._index))
        self._index = self._index.to(z.device)
        order = {tuple(row): i for i, row in enumerate(self.powers.tolist())}
        lower = [[order.get(_down(row, i), 0) for i in range(k)] for row in self.powers.tolist()]
        self._lower = torch.tensor(lower, device=z.device)  # (M, k): index of a - e_i
        self._found: dict[float, tuple[Tensor, Tensor]] = {}

    def _data_moments(self, z: Tensor) -> Tensor:
        """E He_γ(x / √λ) for every γ of total degree <= 2p."""
        total = z.new_zeros(len(self._index))
        index = self._index.to(z.device)
        for part in (z / self.variance.sqrt()).split(max(1, BLOCK // len(self._index))):
            total += products(hermite(part, 2 * self.degree), index).sum(0)
        return total / len(z)

    def gram(self, sigma: float) -> Tensor:
        """E φ_a φ_b for the normalised features φ_a = Π He_{a_i}(u_i) / √(a_i!)."""
        shrink = (self.variance / (self.variance + sigma**2)).sqrt()
        h = self._moments * (shrink**self._index).prod(1)
        pair, which, factor = self._terms
        m = len(self.powers)
        flat = h.new_zeros(m * m).index_add_(0, pair, factor * h[which])
        return flat.reshape(m, m)

    def coefficients(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Coefficients (M, k) of the projected score and scales c (k,)."""
        if sigma not in self._found:
            c = (self.variance + sigma**2).sqrt()
            shrink = (self.variance / (self.variance + sigma**2)).sqrt()
            h = self._moments * (shrink**self._index).prod(1)
            m = len(self.powers)
            low = h[:m][self._lower] / norms(self.powers)[:, None]
            # E ∂_i φ_a = a_i E He_{a - e_i} / (c_i √a!)
            slope = self.powers * low / c
            self._found[sigma] = (-_solve(self.gram(sigma), slope), c)
        return self._found[sigma]

    def __call__(self, y: Tensor, levels: Tensor) -> Tensor:
        """Denoise y (n, k), float64, at levels (1,) or (n,)."""
        x_hat = torch.empty_like(y)
        for sigma in levels.unique().tolist():
            rows = (levels == sigma).expand(len(y)).nonzero()[:, 0]
            q, c = self.coefficients(sigma)
            scale = norms(self.powers)
            for part in rows.split(max(1, BLOCK // len(self.powers))):
                values = products(hermite(y[part] / c, self.degree), self.powers) / scale
                x_hat[part] = y[part] + sigma**2 * (values @ q)
        return x_hat


def _solve(gram: Tensor, right: Tensor) -> Tensor:
    """Solve with the diagonal scaled to one; directions below rounding are left out."""
    scale = gram.diagonal().rsqrt()
    values, vectors = torch.linalg.eigh(scale[:, None] * gram * scale)
    kept = values > 1e-14 * len(values) * values[-1]
    inverse = torch.where(kept, 1 / values, 0.0)
    return scale[:, None] * (vectors @ (inverse[:, None] * (vectors.T @ (scale[:, None] * right))))


def _down(row: list[int], i: int) -> tuple[int, ...]:
    return (*row[:i], row[i] - 1, *row[i + 1 :])


def linearise(powers: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Write each product φ_a φ_b as a sum of He_γ: pair a·M + b, place of γ, factor.

    In one variable ``He_a He_b = Σ_j j! C(a, j) C(b, j) He_{a + b - 2j}``.
    """
    m, k = powers.shape
    a, b = (grid.flatten() for grid in torch.meshgrid(*[torch.arange(m)] * 2, indexing="ij"))
    pair, code = a * m + b, torch.zeros_like(a)
    size = norms(powers)
    factor = 1 / (size[a] * size[b])
    base = int(index.max()) + 1
    top = int(powers.max())
    table = torch.tensor(
        [[[math.comb(s, j) * math.comb(t, j) * math.factorial(j) for j in range(top + 1)]
          for t in range(top + 1)] for s in range(top + 1)], dtype=torch.float64)  # fmt: skip
    for i in range(k):
        s, t = powers[pair // m, i], powers[pair % m, i]
        grown = []
        for j in range(top + 1):
            fits = torch.minimum(s, t) >= j
            grown.append((pair[fits], code[fits] * base + (s + t - 2 * j)[fits],
                          factor[fits] * table[s[fits], t[fits], j]))  # fmt: skip
        pair, code, factor = (torch.cat(part) for part in zip(*grown, strict=True))
    known = torch.zeros(len(index), dtype=torch.long)
    for i in range(k):
        known = known * base + index[:, i]
    ordered, place = known.sort()
    return pair, place[torch.searchsorted(ordered, code)], factor
