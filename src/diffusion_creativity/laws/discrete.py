"""The law of finitely many atoms."""

import math

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from .. import _validate, metrics
from .._points import slices
from .law import Law
from .report import Report, report


class Discrete(Law):
    """Finitely many atoms (K, *shape) with `probabilities` (K,), by default all equal."""

    def __init__(self, atoms: Tensor, probabilities: Tensor | None = None) -> None:
        self.atoms = _validate.dataset(atoms, "atoms")
        k = len(self.atoms)
        if probabilities is None:
            probabilities = torch.full((k,), 1 / k, dtype=torch.float64)
        self.probabilities = _validate.floating("probabilities", probabilities).double()
        total = self.probabilities.sum().item()
        if self.probabilities.shape != (k,) or (self.probabilities < 0).any():
            raise ValueError(
                f"probabilities must be {k} numbers >= 0, one for each atom, got shape "
                f"{tuple(self.probabilities.shape)}, least {self.probabilities.min().item():.3g}"
            )
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"probabilities must sum to 1, got {total:.6g}")
        self.probabilities = (self.probabilities / total).to(self.atoms.device)
        self.shape = self.atoms.shape[1:]
        flat = self.atoms.flatten(1).double()
        self.mean = (self.probabilities @ flat).reshape(self.shape)

    @property
    def cov(self) -> Tensor:
        """The covariance matrix, shape (d, d), float64."""
        centred = self.atoms.flatten(1).double() - self.mean.flatten()
        return (centred.T * self.probabilities) @ centred

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, *shape), float32."""
        generator = torch.Generator().manual_seed(_validate.integer("seed", seed))
        n = _validate.integer("n", n, minimum=1)
        drawn = torch.multinomial(self.probabilities.cpu(), n, True, generator=generator)
        return self.atoms[drawn.to(self.atoms.device)].float()

    def agreement(self, samples: Tensor, *, alpha: float = 0.01, tolerance: float = 1e-3) -> Report:
        """Test that `samples` (n, *shape) are the atoms, as often as they should be.

        No sample may be further than `tolerance` from its nearest atom in any entry, by root mean
        square. The counts are tested by Pearson's χ² and the number of atoms never seen; the null
        distribution of both is simulated where the smallest expected count is below 5.
        """
        distances, indices = self.nearest(samples)
        return self.judge(distances, indices, alpha, tolerance)

    def nearest(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return distance (n,) and index (n,) of the atom nearest to each sample."""
        flat, atoms = self._flat(samples, 1), self.atoms.flatten(1).double()
        if flat.shape[1] > 1:
            return metrics.nearest(flat, atoms)
        values, order = atoms[:, 0].sort(stable=True)
        above = torch.searchsorted(values, flat[:, 0]).clamp(max=len(values) - 1)
        below = (above - 1).clamp(min=0)
        gaps = (flat - values[torch.stack([below, above], 1)]).abs()
        gap, side = gaps.min(1)
        return gap, order[torch.where(side == 0, below, above)]

    def judge(
        self,
        distances: Tensor,
        indices: Tensor,
        alpha: float = 0.01,
        tolerance: float = 1e-3,
        *,
        pool: bool = False,
    ) -> Report:
        """Report on what `nearest` found; with `pool`, rare atoms are counted together.

        Pooling makes each cell's expected count 5 or more, so that no null has to be simulated.
        """
        farthest = distances.max().item() / math.sqrt(math.prod(self.shape))
        rows = [("largest RMS distance to an atom", farthest, f"<= {tolerance:g}", None,
                 farthest <= tolerance)]  # fmt: skip
        counts = torch.bincount(indices.cpu(), minlength=len(self.atoms)).numpy()
        probabilities = self.probabilities.cpu().numpy()
        tests = _pooled_test if pool else _count_tests
        return report(rows + tests(counts, probabilities), len(distances), alpha)


def _pooled_test(counts: np.ndarray, probabilities: np.ndarray) -> list[tuple]:
    """Pearson's χ² of counts (K,), atoms taken together until 5 or more are expected."""
    n = counts.sum()
    order = probabilities.argsort(kind="stable")
    filled = np.floor(np.cumsum(n * probabilities[order]) / 10)  # a cell ends within one atom of 10
    cell = np.minimum(np.concatenate([[0], filled[:-1]]), max(filled[-1] - 1, 0)).astype(int)
    observed = np.bincount(cell, counts[order])
    expected = np.bincount(cell, n * probabilities[order])
    observed, expected = observed[expected > 0], expected[expected > 0]
    freedom = len(observed) - 1
    chi2 = float(((observed - expected) ** 2 / expected).sum())
    p = float(stats.chi2.sf(chi2, freedom)) if freedom else 1.0
    return [("counts, χ²", chi2, f"{freedom} ± {math.sqrt(2 * freedom):.3g}", p, True)]


def _count_tests(
    counts: np.ndarray, probabilities: np.ndarray, draws: int = 1999, block: int = 1 << 21
) -> list[tuple]:
    """Pearson's χ² of `counts` (K,), and the number of atoms never seen.

    The null is simulated `block` counts at a time. An atom of probability 0 that is seen all the
    same makes χ² enormous.
    """
    n, k = counts.sum(), len(counts)
    if k == 1:
        return []
    expected = n * probabilities
    possible = expected > 0

    def pearson(c: np.ndarray) -> np.ndarray:
        return ((c - expected) ** 2 / np.where(possible, expected, 1e-300)).sum(-1)

    chi2, unseen = pearson(counts), int((counts[possible] == 0).sum())
    mean_unseen = np.exp(n * np.log1p(-np.minimum(probabilities[possible], 1 - 1e-15))).sum()
    freedom = int(possible.sum()) - 1
    by_table = freedom > 0 and expected[possible].min() >= 5
    rng, as_large, as_many = np.random.default_rng(0), 1, 1
    for part in slices(draws, k, block):
        simulated = rng.multinomial(n, probabilities, size=part.stop - part.start)
        as_many += ((simulated == 0).sum(1) - (k - possible.sum()) >= unseen).sum()
        if not by_table:
            as_large += (pearson(simulated) >= chi2 - 1e-9).sum()
    p_chi2 = stats.chi2.sf(chi2, freedom) if by_table else as_large / (draws + 1)
    p_unseen = as_many / (draws + 1)
    if as_many == 1:  # beyond the simulation; Chernoff's bound holds, as seen atoms compete
        mean = max(mean_unseen, 1e-300)
        p_unseen = min(p_unseen, math.exp(unseen - mean - unseen * math.log(unseen / mean)))
    return [
        ("counts, χ²", chi2, f"{freedom} ± {math.sqrt(2 * freedom):.3g}", p_chi2, True),
        ("atoms never seen", unseen, f"{mean_unseen:.3g}", p_unseen, True),
    ]  # fmt: skip
