"""The law of independent parts."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from .. import _validate
from .discrete import Discrete
from .law import Law
from .report import Report, report

PAIRS = 200  # pairs of factors compared at most
HEAVY = 30.0  # entries of larger kurtosis hardly vary: their correlations say nothing


class Product(Law):
    """Independent factors, each a law of some entries of the example.

    Parameters
    ----------
    factors : sequence of Law
    places : sequence of LongTensor
        Flat entries that each factor fills, in the order of the factor's own entries; together
        every entry once. By default the factors follow one another.
    shape : tuple of int
        Shape of an example; by default (d,).
    together : LongTensor, shape (N, F), optional
        The atoms that each of N training examples shows in the F factors, all `Discrete`. With it
        `agreement` also asks how often two factors show what some training example shows in both.
    """

    def __init__(
        self,
        factors: Sequence[Law],
        places: Sequence[Tensor] | None = None,
        shape: tuple[int, ...] | None = None,
        *,
        together: Tensor | None = None,
    ) -> None:
        self.factors = list(factors)
        if not self.factors:
            raise ValueError("factors must hold at least one law, got none")
        sizes = [factor.mean.numel() for factor in self.factors]
        d = sum(sizes)
        if places is None:
            places = torch.arange(d).split(sizes)
        self.places = [torch.as_tensor(place, dtype=torch.long).flatten().cpu() for place in places]
        self.shape = torch.Size((d,) if shape is None else shape)
        self._check(sizes)
        self.together = None if together is None else self._check_together(together)
        mean = torch.empty(d, dtype=torch.float64, device=self.factors[0].mean.device)
        for factor, place in zip(self.factors, self.places, strict=True):
            mean[place.to(mean.device)] = factor.mean.flatten().double()
        self.mean = mean.reshape(self.shape)

    def _check(self, sizes: list[int]) -> None:
        d = sum(sizes)
        if [len(place) for place in self.places] != sizes:
            raise ValueError(
                f"places must name {sizes} entries for the {len(sizes)} factors, got "
                f"{[len(place) for place in self.places]}"
            )
        if not torch.equal(torch.cat(self.places).sort()[0], torch.arange(d)):
            raise ValueError(f"places must name each of the {d} entries once")
        if math.prod(self.shape) != d:
            raise ValueError(f"shape must hold {d} entries, got {tuple(self.shape)}")

    def _check_together(self, together: Tensor) -> Tensor:
        if not all(isinstance(factor, Discrete) for factor in self.factors):
            raise ValueError("together needs factors that are all Discrete")
        together = torch.as_tensor(together, dtype=torch.long).cpu()
        if together.ndim != 2 or together.shape[1] != len(self.factors):
            raise ValueError(
                f"together must have shape (N, {len(self.factors)}), got {tuple(together.shape)}"
            )
        return together

    @property
    def cov(self) -> Tensor:
        """The covariance matrix, shape (d, d), float64: zero between factors."""
        d = self.mean.numel()
        cov = torch.zeros(d, d, dtype=torch.float64, device=self.mean.device)
        for factor, place in zip(self.factors, self.places, strict=True):
            at = place.to(cov.device)
            cov[at[:, None], at] = factor.cov
        return cov

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, *shape), float32."""
        n = _validate.integer("n", n, minimum=1)
        sequence = np.random.SeedSequence(_validate.integer("seed", seed))
        seeds = sequence.generate_state(len(self.factors)).tolist()
        out = torch.empty(n, self.mean.numel(), device=self.mean.device)
        for factor, place, own in zip(self.factors, self.places, seeds, strict=True):
            out[:, place.to(out.device)] = factor.sample(n, own).flatten(1)
        return out.reshape(n, *self.shape)

    def agreement(self, samples: Tensor, *, alpha: float = 0.01, tolerance: float = 1e-3) -> Report:
        """Test each factor on its entries of `samples` (n, *shape), and their independence.

        Factors: their own statistics, the smallest p of F, corrected; independent factors make the
        correction exact. Independence: the squared correlations between entries of different
        factors, whose mean and variance under permutations are known, matched to a scaled χ²; and,
        where `together` is known, the pair of factors that shows the atoms of one training example
        most often beyond chance, by its binomial law, the smallest p of at most 200 pairs.
        """
        flat = self._flat(samples, 20)
        reports, shown = [], []
        for factor, place in zip(self.factors, self.places, strict=True):
            part = flat[:, place.to(flat.device)].reshape(-1, *factor.shape)
            if isinstance(factor, Discrete):
                distances, indices = factor.nearest(part)
                reports.append(factor.judge(distances, indices, alpha, tolerance, pool=True))
                shown.append(indices.cpu())
            else:
                reports.append(factor.agreement(part, alpha=alpha))
        rows = _worst(reports)
        if len(self.factors) > 1:
            rows += _correlations(flat, self.places)
            if self.together is not None:
                rows.append(self._seen_together(torch.stack(shown, 1)))
        return report(rows, len(flat), alpha)

    def _seen_together(self, shown: Tensor) -> tuple:
        """The pair of factors most often seen as in one training example, beyond chance."""
        pairs = list(itertools.combinations(range(len(self.factors)), 2))
        if len(pairs) > PAIRS:
            chosen = np.random.default_rng(0).choice(len(pairs), PAIRS, replace=False)
            pairs = [pairs[k] for k in chosen]
        n, worst = len(shown), (2.0, 0, 0.0)
        for f, g in pairs:
            width = len(self.factors[g].atoms)
            known = (self.together[:, f] * width + self.together[:, g]).unique()
            chance = self.factors[f].probabilities.cpu()[known // width]
            chance = float((chance * self.factors[g].probabilities.cpu()[known % width]).sum())
            count = int(torch.isin(shown[:, f] * width + shown[:, g], known).sum())
            p = float(stats.binom.sf(count - 1, n, min(chance, 1.0)))
            worst = min(worst, (p, count, n * chance))
        p, count, expected = worst
        name = f"parts of one example, worst of {len(pairs)} pairs"
        return (name, count, f"{expected:.4g}", min(1.0, p * len(pairs)), True)


def _worst(reports: list[Report]) -> list[tuple]:
    """For each statistic the factor that speaks most against the law."""
    named: dict[str, list] = {}
    for one in reports:
        for statistic in one.statistics:
            named.setdefault(statistic.name, []).append(statistic)
    rows = []
    for name, found in named.items():
        label = f"{name}, worst of {len(found)}" if len(found) > 1 else name
        if found[0].p_value is None:
            worst = min(found, key=lambda s: (s.ok, -s.value))
            rows.append((label, worst.value, worst.expected, None, worst.ok))
        else:
            worst = min(found, key=lambda s: s.p_value)
            p = -math.expm1(len(found) * math.log1p(-min(worst.p_value, 1 - 1e-12)))
            rows.append((label, worst.value, worst.expected, p, True))
    return rows


def _correlations(flat: Tensor, places: list[Tensor]) -> list[tuple]:
    """Sum of (n - 1) r² over entries of different factors, against permutations of the factors.

    Under permutations each term has mean 1 and terms of different pairs of factors are
    uncorrelated; the sum over the pair (f, g) has variance 2 |R_f|² |R_g|² (R: correlations within
    a factor) and a part from the kurtoses of the entries, of order 1 / n.
    """
    n = len(flat)
    z = flat - flat.mean(0)
    scale = z.square().mean(0).sqrt()
    z = z / scale.clamp(min=1e-300)
    excess = z.pow(4).mean(0) - 3
    factor = torch.empty(flat.shape[1], dtype=torch.long, device=flat.device)
    for f, place in enumerate(places):
        factor[place.to(flat.device)] = f
    kept = (scale > 1e-9 * scale.max()) & (excess < HEAVY)
    z, excess, factor = z[:, kept], excess[kept], factor[kept]
    r = z.T @ z / n
    within = factor[:, None] == factor
    pairs = float((~within).sum()) / 2
    if pairs == 0:
        return []
    value = float((n - 1) * r.square().masked_fill(within, 0).sum() / 2)
    count = len(places)
    norms = r.new_zeros(count).index_add_(0, factor, r.square().mul(within).sum(1))
    fourth = r.new_zeros(count).index_add_(0, factor, excess)
    variance = 2 * _pair_sum(norms) + _pair_sum(fourth) / n
    p = stats.chi2.sf(value * 2 * pairs / variance, 2 * pairs**2 / variance)
    return [
        ("correlations between factors, squared", value,
         f"{pairs:.0f} ± {math.sqrt(variance):.3g}", float(p), True)
    ]  # fmt: skip


def _pair_sum(v: Tensor) -> float:
    """Sum of v_f v_g over f < g."""
    return float((v.sum() ** 2 - v.square().sum()) / 2)
