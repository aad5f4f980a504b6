"""Numbers with their confidence intervals: Wilson's for shares, the bootstrap for the rest."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import _validate

DRAWS = 1 << 22  # numbers drawn at once


class Interval(NamedTuple):
    """A number with its confidence interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return successes / trials with Wilson's score interval."""
    trials = _validate.integer("trials", trials, minimum=1)
    successes = _validate.integer("successes", successes)
    if successes > trials:
        raise ValueError(f"successes must be at most trials = {trials}, got {successes}")
    confidence = _level("confidence", confidence)
    from scipy import stats

    ends = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    # Rounding may leave the ends a hair off the value itself.
    value = successes / trials
    return Interval(value, min(float(ends.low), value), max(float(ends.high), value))


def share(hits: Tensor, interval: float | None) -> float | Interval:
    """Return the mean of a vector of booleans, with Wilson's interval if one is wanted.

    The bootstrap of a share has no width at 0 and at 1; Wilson's interval has.
    """
    count = int(hits.sum())
    return count / len(hits) if interval is None else wilson(count, len(hits), interval)


class Bootstrap:
    """Draws examples again, with replacement, and reads an interval off the replicates.

    A resample is given by how often it holds each example: weights, not copied rows. Every set
    of examples is drawn on its own. Functions of distances to nearest neighbours among the drawn
    ones must not use it: a repeated example has a neighbour at distance 0 (Abadie & Imbens 2008).
    They fix the set of neighbours and draw the queries alone.
    """

    def __init__(self, interval: float, resamples: int, seed: int) -> None:
        self.level = _level("interval", interval)
        self.resamples = _validate.integer("resamples", resamples, minimum=2)
        self.seed = _validate.integer("seed", seed)

    def counts(self, sizes: Sequence[int], like: Tensor) -> Iterator[list[Tensor]]:
        """Yield counts (r, n) for each of `sizes`, `resamples` rows in blocks of r."""
        generator = torch.Generator().manual_seed(self.seed)
        block = max(DRAWS // max(sizes), 1)
        for start in range(0, self.resamples, block):
            r = min(block, self.resamples - start)
            yield [_counts(r, n, generator).to(like) for n in sizes]

    def mean(self, values: Tensor) -> Interval:
        """Return the mean of values (n,) with its percentile interval: one product a block."""
        values = values.double()
        found = [counts @ values for (counts,) in self.counts([len(values)], values)]
        return self.percentile(float(values.mean()), torch.cat(found) / len(values))

    def medians(self, *sets: Tensor) -> list[Tensor]:
        """Return the medians (resamples,) of every set of values (n,)."""
        ordered = [values.double().sort()[0] for values in sets]
        found = []
        for block in self.counts([len(values) for values in ordered], ordered[0]):
            found.append([_medians(*pair) for pair in zip(ordered, block, strict=True)])
        return [torch.cat(parts) for parts in zip(*found, strict=True)]

    def percentile(self, value: float, replicates: Tensor | Sequence[float]) -> Interval:
        """Return the quantiles of the replicates."""
        tail = (1 - self.level) / 2
        low, high = np.quantile(torch.as_tensor(replicates).cpu().numpy(), [tail, 1 - tail])
        return Interval(value, min(float(low), value), max(float(high), value))

    def centred(
        self,
        value: float,
        replicates: Tensor | Sequence[float],
        *,
        minimum: float = -math.inf,
    ) -> Interval:
        """Return the quantiles of the replicates, moved so that their mean is at the value.

        For statistics with a bias that a resample doubles, such as the Fréchet distance: the
        interval is one for the statistic's expectation at these sample sizes.
        """
        replicates = torch.as_tensor(replicates, dtype=torch.float64)
        found = self.percentile(value, replicates - replicates.mean() + value)
        return found._replace(low=max(found.low, minimum))


def _level(name: str, value: float) -> float:
    value = _validate.real(name, value, minimum=0, strict=True)
    if value >= 1:
        raise ValueError(f"{name} must be below 1, got {value:g}")
    return value


def _counts(r: int, n: int, generator: torch.Generator) -> Tensor:
    """How often each of n examples is drawn in n draws: r rows."""
    drawn = torch.randint(n, (r, n), generator=generator)
    drawn += torch.arange(r)[:, None] * n
    return drawn.flatten().bincount(minlength=r * n).reshape(r, n)


def _medians(ordered: Tensor, counts: Tensor) -> Tensor:
    """Medians (r,) of resamples of sorted values (n,), from their counts (r, n)."""
    upto, n = counts.cumsum(1).contiguous(), len(ordered)
    middle = upto.new_tensor([(n - 1) // 2, n // 2]).expand(len(upto), 2).contiguous()
    return ordered[torch.searchsorted(upto, middle, right=True)].mean(1)
