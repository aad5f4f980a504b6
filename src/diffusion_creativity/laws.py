"""Laws: what a denoiser generates, as distributions that can be sampled and tested against.

A law knows its `mean` and `cov`, draws with `sample`, and judges samples with `agreement`, which
returns a `Report`: named statistics, each with its p-value under the law or a stated bound.
"""

import html
import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from . import _validate, metrics
from ._points import slices


class Statistic(NamedTuple):
    """One line of a `Report`."""

    name: str
    value: float
    expected: str  # what the law says, in words or a number
    p_value: float | None  # None: `value` is held against a bound, not a distribution
    ok: bool


class Report(NamedTuple):
    """The outcome of `Law.agreement`: `ok` when every statistic is.

    p-values are held against ``alpha / (number of p-values)``, so that a true law fails with
    probability at most about `alpha`.
    """

    statistics: tuple[Statistic, ...]
    n: int
    alpha: float

    @property
    def ok(self) -> bool:
        """Whether no statistic speaks against the law."""
        return all(s.ok for s in self.statistics)

    def __getitem__(self, name: str | int) -> Statistic:
        """Return a statistic by its name."""
        if isinstance(name, int):
            return self.statistics[name]
        for statistic in self.statistics:
            if statistic.name == name:
                return statistic
        raise KeyError(f"no statistic {name!r}; there are {[s.name for s in self.statistics]}")

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        return [
            (
                s.name,
                f"{s.value:.4g}",
                s.expected,
                _p_text(s.p_value),
                "agrees" if s.ok else "FAILS",
            )
            for s in self.statistics
        ]

    def __str__(self) -> str:
        rows = [("statistic", "value", "under the law", "p", ""), *self._rows()]
        widths = [max(len(row[k]) for row in rows) for k in range(5)]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
        ]
        verdict = "agrees with the law" if self.ok else "does NOT agree with the law"
        return "\n".join([*lines, f"{self.n} samples: {verdict} (level {self.alpha:g})"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(
            f"<th>{c}</th>" for c in ("statistic", "value", "under the law", "p", "verdict")
        )
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>"
            for row in self._rows()
        )
        verdict = (
            "agrees with the law" if self.ok else "does <strong>not</strong> agree with the law"
        )
        return (
            f"<table class='dc-report'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{self.n} samples: {verdict} (level {self.alpha:g}).</p>"
        )


def _p_text(p: float | None) -> str:
    return "–" if p is None else ("< 1e-6" if p < 1e-6 else f"{p:.3g}")


def _report(rows: list[tuple[str, float, str, float | None, bool]], n: int, alpha: float) -> Report:
    """Judge rows (name, value, expected, p, within bound) at level `alpha`, Bonferroni."""
    alpha = _validate.real("alpha", alpha, minimum=0, strict=True)
    level = alpha / max(1, sum(p is not None for _, _, _, p, _ in rows))
    judged = (
        Statistic(name, float(value), expected, p, bool(bound if p is None else p >= level))
        for name, value, expected, p, bound in rows
    )
    return Report(tuple(judged), n, alpha)


class Law(ABC):
    """A distribution on tensors of shape `shape`; ``d`` is their number of entries."""

    mean: Tensor  # (*shape), float64
    shape: torch.Size

    @property
    @abstractmethod
    def cov(self) -> Tensor:
        """The covariance matrix, shape (d, d), float64."""

    @abstractmethod
    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, *shape), float32."""

    @abstractmethod
    def agreement(self, samples: Tensor, *, alpha: float = 0.01) -> Report:
        """Test whether `samples` (n, *shape) could come from this law."""

    def _flat(self, samples: Tensor, minimum: int) -> Tensor:
        """Check samples and flatten them to (n, d) in float64."""
        samples = _validate.floating("samples", samples)
        if samples.shape[1:] != self.shape or len(samples) < minimum:
            raise ValueError(
                f"samples must have shape (n, {', '.join(map(str, self.shape))}) with n >= "
                f"{minimum}, got {tuple(samples.shape)}"
            )
        return samples.flatten(1).to(self.mean.device, torch.float64)


class Gaussian(Law):
    """The normal law N(mean, cov), also rank-deficient.

    Parameters
    ----------
    mean : Tensor, shape (*shape)
    cov : Tensor, shape (d, d)
        Symmetric and positive semi-definite. Directions whose variance is below rounding are
        taken to have none: the law then lives on a plane, and `agreement` tests that too.
    """

    def __init__(self, mean: Tensor, cov: Tensor) -> None:
        mean = _validate.floating("mean", mean).double()
        cov = _validate.floating("cov", cov).double()
        d = mean.numel()
        if d == 0:
            raise ValueError(f"mean must hold at least one entry, got shape {tuple(mean.shape)}")
        if cov.shape != (d, d):
            raise ValueError(f"cov must have shape ({d}, {d}) as mean, got {tuple(cov.shape)}")
        scale = cov.abs().max().item()
        skew = (cov - cov.T).abs().max().item()
        if skew > 1e-6 * scale:
            raise ValueError(f"cov must be symmetric, got entries that differ by {skew:.3g}")
        values, vectors = torch.linalg.eigh((cov + cov.T) / 2)
        if values[0] < -1e-6 * scale:
            raise ValueError(f"cov must be positive semi-definite, got eigenvalue {values[0]:.3g}")
        self._set(mean, values, vectors)

    @classmethod
    def from_spectrum(cls, mean: Tensor, eigenvalues: Tensor, eigenvectors: Tensor) -> "Gaussian":
        """Build from variances (r,) along orthonormal columns (d, r); none elsewhere."""
        law = cls.__new__(cls)
        law._set(mean.double(), eigenvalues.double(), eigenvectors.double())
        return law

    def _set(self, mean: Tensor, values: Tensor, vectors: Tensor) -> None:
        """Keep the directions that vary, largest variance first."""
        order = values.argsort(descending=True)
        top = values.max().item() if len(values) else 0.0
        order = order[values[order] > 1e-13 * top]
        self.mean, self.shape = mean, mean.shape
        self.eigenvalues, self.eigenvectors = values[order], vectors[:, order]

    @property
    def cov(self) -> Tensor:
        """The covariance matrix, shape (d, d), float64."""
        return (self.eigenvectors * self.eigenvalues) @ self.eigenvectors.T

    @property
    def rank(self) -> int:
        """The number of directions with variance."""
        return len(self.eigenvalues)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, *shape), float32."""
        generator = torch.Generator().manual_seed(_validate.integer("seed", seed))
        n = _validate.integer("n", n, minimum=1)
        z = torch.randn(n, self.rank, generator=generator, dtype=torch.float64).to(self.mean)
        x = (z * self.eigenvalues.sqrt()) @ self.eigenvectors.T
        return (x.reshape(n, *self.shape) + self.mean).float()

    def agreement(self, samples: Tensor, *, alpha: float = 0.01, tolerance: float = 1e-3) -> Report:
        """Test mean, variances, correlations and shape of `samples` (n, *shape), n >= 20.

        In whitened coordinates z, independent N(0, 1) under the law: ``n |mean z|²`` is χ² with r
        degrees of freedom, ``sum z²`` along each direction χ² with n (the smallest p of r,
        corrected); the squared correlations are matched to a scaled χ² with their exact mean and
        variance; third and fourth Hermite moments have variance 6 / n and 24 / n. Off the law's
        plane no sample may be further than `tolerance` times the law's standard deviation.
        """
        flat = self._flat(samples, 20)
        centred = flat - self.mean.flatten()
        code = centred @ self.eigenvectors
        rows = [_off_plane(centred - code @ self.eigenvectors.T, self.eigenvalues, tolerance)]
        if self.rank:
            rows += _whitened(code / self.eigenvalues.sqrt())
        return _report(rows, len(flat), alpha)


def _off_plane(residual: Tensor, variances: Tensor, tolerance: float) -> tuple:
    """The largest distance from the law's plane, relative to its standard deviation."""
    scale = math.sqrt(variances.sum().item()) or 1.0
    off = residual.square().sum(1).max().sqrt().item() / scale
    return ("largest distance off the plane", off, f"<= {tolerance:g}", None, off <= tolerance)


def _whitened(z: Tensor) -> list[tuple]:
    """Test z (n, r) against independent N(0, 1); see `Gaussian.agreement`."""
    n, r = z.shape
    location = n * z.mean(0).square().sum().item()
    squares = n * z.square().mean(0).cpu().numpy()  # (r,), each χ² with n degrees of freedom
    tail = 2 * np.minimum(stats.chi2.cdf(squares, n), stats.chi2.sf(squares, n))
    worst = int(tail.argmin())
    total = squares.sum()
    p_total = 2 * min(stats.chi2.cdf(total, n * r), stats.chi2.sf(total, n * r))
    skew = (z**3 - 3 * z).mean(0)
    skewness = n / 6 * skew.square().sum().item()
    fourth = (z**4 - 6 * z**2 + 3).mean().item()
    rows = [
        ("mean, squared distance", location, f"{r} ± {math.sqrt(2 * r):.3g}",
         stats.chi2.sf(location, r), True),
        ("variance, all directions", total / (n * r), "1", min(1.0, p_total), True),
        (f"variance, worst of {r}", squares[worst] / n, "1",
         -math.expm1(r * math.log1p(-min(tail[worst], 1 - 1e-12))), True),
        ("skewness, squared", skewness, f"{r} ± {math.sqrt(2 * r):.3g}",
         stats.chi2.sf(skewness, r), True),
        ("excess kurtosis", fourth, f"0 ± {math.sqrt(24 / (n * r)):.2g}",
         2 * stats.norm.sf(abs(fourth) / math.sqrt(24 / (n * r))), True),
    ]  # fmt: skip
    return rows + ([_correlation(z)] if r > 1 else [])


def _correlation(z: Tensor) -> tuple:
    """Sum of n S_ij² over pairs i < j, matched to a scaled χ² by its exact mean and variance.

    Each term has mean 1 and variance 2 + 6 / n; terms that share an index have covariance 2 / n.
    """
    n, r = z.shape
    moments = z.T @ z / n
    value = n * (moments.square().sum() - moments.diagonal().square().sum()).item() / 2
    pairs = r * (r - 1) / 2
    variance = pairs * (2 + 6 / n + 4 * (r - 2) / n)
    p = stats.chi2.sf(value * 2 * pairs / variance, 2 * pairs**2 / variance)
    return (
        "correlations, squared", value, f"{pairs:.0f} ± {math.sqrt(variance):.3g}", p, True
    )  # fmt: skip


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
        flat = self._flat(samples, 1)
        distances, indices = metrics.nearest(flat, self.atoms.flatten(1).double())
        farthest = distances.max().item() / math.sqrt(flat.shape[1])
        rows = [("largest RMS distance to an atom", farthest, f"<= {tolerance:g}", None,
                 farthest <= tolerance)]  # fmt: skip
        counts = torch.bincount(indices.cpu(), minlength=len(self.atoms)).numpy()
        return _report(
            rows + _count_tests(counts, self.probabilities.cpu().numpy()), len(flat), alpha
        )


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
