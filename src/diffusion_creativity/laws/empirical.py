"""A law that is known only by draws from it."""

import math

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from .. import _validate, metrics
from .law import Law
from .report import Report, report

ENERGY_SIZE = 1000  # draws on each side of the energy test
PERMUTATIONS = 999
DIRECTIONS = 16


class Empirical(Law):
    """The law of a simulation: m independent draws stand for it, with their sampling error.

    Parameters
    ----------
    draws : Tensor, shape (m, *shape)
        Independent draws, at least 20.
    """

    def __init__(self, draws: Tensor) -> None:
        self.draws = _validate.dataset(draws, "draws")
        if len(self.draws) < 20:
            raise ValueError(f"draws must hold at least 20 examples, got {len(self.draws)}")
        self.shape = self.draws.shape[1:]
        flat = self.draws.flatten(1).double()
        self.mean = flat.mean(0).reshape(self.shape)
        self._centred = flat - flat.mean(0)

    @property
    def cov(self) -> Tensor:
        """The covariance matrix of the draws, shape (d, d), float64, normalised by m."""
        return self._centred.T @ self._centred / len(self.draws)

    @property
    def mean_error(self) -> Tensor:
        """Standard error of `mean`, shape (*shape)."""
        m = len(self.draws)
        return (self._centred.square().mean(0) / m).sqrt().reshape(self.shape)

    @property
    def cov_error(self) -> Tensor:
        """Standard error of `cov`, shape (d, d)."""
        squares = self._centred.square()
        variance = squares.T @ squares / len(self.draws) - self.cov.square()
        return (variance.clamp(min=0) / len(self.draws)).sqrt()

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, *shape), float32, from the m draws with replacement."""
        generator = torch.Generator().manual_seed(_validate.integer("seed", seed))
        n = _validate.integer("n", n, minimum=1)
        drawn = torch.randint(len(self.draws), (n,), generator=generator)
        return self.draws[drawn.to(self.draws.device)].float()

    def agreement(self, samples: Tensor, *, alpha: float = 0.01) -> Report:
        """Compare `samples` (n, *shape), n >= 20, with the draws by two-sample tests.

        The samples must be independent of the draws (not taken from `sample`). The energy test by
        permutations (exact, on at most 1,000 of each side), and along the first
        principal directions of both together, at most 16: Kolmogorov-Smirnov, and the ratio
        of variances by its standard error (fourth moments, delta method). The smallest p of r
        directions is corrected by Bonferroni.
        """
        flat, draws = self._flat(samples, 20), self.draws.flatten(1).double()
        energy = metrics.energy_test(
            flat[:ENERGY_SIZE], draws[:ENERGY_SIZE], permutations=PERMUTATIONS
        )
        a, b = (part - self.mean.flatten() for part in (flat, draws))
        # Directions that the draws alone choose would fit the draws better than the samples.
        directions = _principal(torch.cat([a, b]))
        a, b = ((part @ directions).cpu().numpy() for part in (a, b))
        r = a.shape[1]
        shapes = [stats.ks_2samp(a[:, k], b[:, k]) for k in range(r)]
        shape = min(shapes, key=lambda test: test.pvalue)
        ratios = [_variance_ratio(a[:, k], b[:, k]) for k in range(r)]
        ratio, p = min(ratios, key=lambda pair: pair[1])
        rows = [
            ("energy distance", energy.statistic, "small", energy.p_value, True),
            (f"Kolmogorov-Smirnov, worst of {r}", float(shape.statistic), "small",
             min(1.0, r * float(shape.pvalue)), True),
            (f"variance ratio, worst of {r}", ratio, "1", min(1.0, r * p), True),
        ]  # fmt: skip
        return report(rows, len(flat), alpha)


def _principal(points: Tensor) -> Tensor:
    """The first principal directions (d, r) of points (n, d), along which they vary."""
    centred = points - points.mean(0)
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(points))
    kept = int((variances > 1e-12 * variances.max().clamp(min=1e-300)).sum())
    return vectors[:, -max(1, min(kept, DIRECTIONS)) :].flip(1)


def _variance_ratio(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Variance of a over that of b, and the p-value of their being equal."""
    logs, error = [], 0.0
    for part in (a, b):
        centred = part - part.mean()
        variance = (centred**2).mean()
        if variance == 0:
            return (0.0, 0.0) if (a.var() > 0) != (b.var() > 0) else (1.0, 1.0)
        error += ((centred**4).mean() / variance**2 - 1) / len(part)
        logs.append(math.log(variance))
    gap = logs[0] - logs[1]
    return math.exp(gap), float(2 * stats.norm.sf(abs(gap) / math.sqrt(max(error, 1e-300))))
