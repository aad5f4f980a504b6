"""Copies and novelty: how samples lie to the training set, beside how unseen real data lie to it.

Every function compares with the training set that it is given, so it sees copies up to what the
distance sees: pixels see no copy that is moved or recoloured, features may not see a new image
that looks alike. Intervals draw the samples (and the held-out data) again, not the training set.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import _validate
from .._points import Points
from .intervals import Bootstrap, Interval, share
from .neighbours import k_nearest, nearest, pair, ratios


class CopyRate(NamedTuple):
    """The share of samples that a rule calls copies, beside its share among unseen real data.

    `excess` = (samples − held_out) / (1 − held_out) is the share of copies that explains the
    difference if all other samples are to the training set as unseen data are. It is negative
    where samples are farther from the training set than data, NaN where held_out is 1.
    """

    samples: float | Interval
    held_out: float | Interval
    excess: float | Interval


def copied_fraction(
    samples: Tensor,
    train: Tensor,
    *,
    tolerance: float = 1e-3,
    ratio: float | None = None,
    held_out: Tensor | None = None,
    interval: float | None = None,
    modulo: str | Sequence[str] | None = None,
) -> float | Interval | CopyRate:
    r"""Return the fraction of samples that copy a training point, in [0, 1].

    A copy differs from the nearest training point by at most `tolerance` per entry, root mean
    square: :math:`\lVert s - x\rVert \le \text{tolerance}\cdot\sqrt d`.

    Parameters
    ----------
    ratio
        Another rule instead: a copy is nearer to a training point than `ratio` times its distance
        to the second nearest one that differs from it. 1/3 is usual (Yoon et al. 2023, "Diffusion
        probabilistic models generalize when they fail to memorize"). The rule knows no unit, but
        fails where training points have near duplicates (exact ones count once), and says little
        where they are few: below 50 or so. `held_out` shows it.
    held_out
        Real data outside the training set: how many of them does the rule call copies? The answer
        is then a `CopyRate`.
    interval
        With 0.95, each share comes with Wilson's interval of that confidence. The ends of `excess`
        combine those of the two shares, so it covers more often.
    modulo
        That of `nearest`; not with `ratio`.
    """
    tolerance = _validate.real("tolerance", tolerance, minimum=0)
    if ratio is not None:
        ratio = _validate.real("ratio", ratio, minimum=0, strict=True)
        if modulo is not None:
            raise ValueError(f"modulo must be None where ratio is given, got {modulo!r}")

    def rate(name: str, queries: Tensor) -> float | Interval:
        checked, y = pair(queries, train, (name, "train"))
        if not len(y):
            raise ValueError(f"{name} must hold at least one example, got none")
        if ratio is not None:
            return share(_distinct_ratio(y.flatten(1), checked.flatten(1)) < ratio, interval)
        reach = tolerance * math.sqrt(math.prod(checked.shape[1:]))
        return share(nearest(y, checked, modulo)[0] <= reach, interval)

    found = rate("samples", samples)
    return found if held_out is None else _calibrated(found, rate("held_out", held_out))


def _calibrated(found: float | Interval, base: float | Interval) -> CopyRate:
    def excess(of: float, over: float) -> float:
        return (of - over) / (1 - over) if over < 1 else math.nan

    if not isinstance(found, Interval):
        return CopyRate(found, base, excess(found, base))
    # It grows with the first share and falls with the second.
    ends = excess(found.low, base.high), excess(found.high, base.low)
    return CopyRate(found, base, Interval(excess(found.value, base.value), *ends))


def _distinct_ratio(y: Tensor, train: Tensor) -> Tensor:
    """Nearest over second nearest distance (n,), where equal training points count once."""
    squares, indices = k_nearest(y, Points(train), 2)
    twins = (train[indices[:, 0]] == train[indices[:, 1]]).all(1)
    if twins.any():
        rows = np.ascontiguousarray((train + 0.0).cpu().numpy())  # + 0: minus zero is zero
        bytes_ = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
        once = np.sort(np.unique(bytes_, return_index=True)[1])
        distinct = train[torch.as_tensor(once, device=train.device)]
        if len(distinct) < 2:
            raise ValueError("train must hold at least 2 different examples, got 1")
        squares[twins] = k_nearest(y[twins], Points(distinct), 2)[0]
    return ratios(squares)


def novelty_ratio(
    samples: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    modulo: str | Sequence[str] | None = None,
    interval: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> float | Interval:
    r"""Return how far samples are from the training set, in units of how far unseen data are.

    .. math:: \operatorname{median}_s \min_x \lVert s-x\rVert \,\big/\,
              \operatorname{median}_h \min_x \lVert h-x\rVert

    0 where most samples are copies, 1 for samples as new as real data, above 1 for samples off
    the data; up to infinity. A mean of copies and of noise may be 1 as well, and blurred samples
    are near everything: read it beside a measure of realism. The interval (percentile bootstrap
    of `resamples`) draws samples and held-out data again.
    """
    bootstrap = None if interval is None else Bootstrap(interval, resamples, seed)
    train, samples = _some(samples, train, "samples")
    _, held_out = _some(held_out, train, "held_out")
    own, real = (nearest(queries, train, modulo)[0].double() for queries in (samples, held_out))
    value = _over(own.quantile(0.5), real.quantile(0.5))
    if bootstrap is None:
        return float(value)
    return bootstrap.percentile(float(value), _over(*bootstrap.medians(own, real)))


def _over(own: Tensor, real: Tensor) -> Tensor:
    """Quotient of medians: infinite where only the second is 0, one where both are."""
    return torch.where((own == 0) & (real == 0), 1.0, own / real)


def _some(queries: Tensor, train: Tensor, name: str) -> tuple[Tensor, Tensor]:
    train, queries = pair(queries, train, (name, "train"))
    return train, _validate.dataset(queries, name)


def authenticity(
    samples: Tensor, train: Tensor, *, interval: float | None = None
) -> float | Interval:
    r"""Return the share of samples that are no nearer to a training point than its neighbours are.

    With :math:`t` the training point nearest to s, s is authentic if
    :math:`\lVert s-t\rVert > \min_{x\ne t}\lVert x-t\rVert`, x and t two examples of the training
    set (Alaa et al. 2022, "How faithful is your synthetic data?"). In [0, 1], 0 for copies. Real
    unseen data do not reach 1: in a dense set about half are authentic, so compare with
    `authenticity(held_out, train)`. Noise is authentic, an outlier's new neighbour is not.
    `interval` is Wilson's.
    """
    train, samples = _some(samples, train, "samples")
    if len(train) < 2:
        raise ValueError(f"train must hold at least 2 examples, got {len(train)}")
    points = Points(train.flatten(1))
    squares, indices = k_nearest(samples.flatten(1), points, 1)
    which, back = indices[:, 0].unique(return_inverse=True)
    own, _ = k_nearest(points.x[which], points, 2)  # the first is the point itself, at 0
    return share(squares[:, 0] > own[back, 1], interval)


def c_t(
    samples: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    cells: int = 3,
    minimum: int = 20,
    interval: float | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> float | Interval:
    r"""Return the data-copying statistic C_T: below 0 copying, near 0 neither, above 0 underfit.

    k-means cuts the training set into `cells`. In each, with m samples and n held-out examples,
    the distances to the nearest training point are compared by the Mann-Whitney statistic U, the
    number of pairs in which the sample is farther (a tie counts half):

    .. math:: Z = \frac{U - nm/2}{\sqrt{nm\,(n+m+1)/12}}, \qquad
              C_T = \sum_\pi n_\pi Z_\pi \Big/ \sum_\pi n_\pi

    over cells with at least `minimum` samples (Meehan, Chaudhuri & Dasgupta 2020, "A
    non-parametric test to detect data-copying in generative models"). With one cell C_T is
    nearly N(0, 1) for samples from the law of the data, with more its variance is below 1. Its
    size grows like the square root of n and m: compare at equal numbers. It sees how near samples
    are, not how many modes they miss; copies and noise in one cell may cancel. The interval
    (centred bootstrap) draws samples and held-out data again, and keeps the cells.
    """
    bootstrap = None if interval is None else Bootstrap(interval, resamples, seed)
    cells = _validate.integer("cells", cells, minimum=1)
    minimum = _validate.integer("minimum", minimum, minimum=1)
    seed = _validate.integer("seed", seed)
    train, samples = _some(samples, train, "samples")
    _, held_out = _some(held_out, train, "held_out")
    if cells > len(train):
        raise ValueError(f"cells must be at most {len(train)}, the size of train, got {cells}")
    label = _cells(train, cells, seed)
    sets = [
        (nearest(queries, train)[0].double(), label(queries)) for queries in (samples, held_out)
    ]
    parts = [_Cell(*(_in_cell(*one, cell) for one in sets)) for cell in range(cells)]
    parts = [p for p in parts if len(p.samples[0]) >= minimum and len(p.held_out[0])]
    if not parts:
        raise ValueError(f"no cell holds {minimum} samples and held-out data: "
                         f"got {len(samples)} samples for {cells} cells")  # fmt: skip
    ones = [torch.ones(1, len(queries), dtype=torch.float64) for queries in (samples, held_out)]
    value = float(_weighted_z(parts, *ones))
    if bootstrap is None:
        return value
    sizes, like = [len(samples), len(held_out)], ones[0]
    return bootstrap.centred(
        value, torch.cat([_weighted_z(parts, *counts) for counts in bootstrap.counts(sizes, like)])
    )


class _Cell(NamedTuple):
    """Sorted distances of the queries in one cell, and which queries they are."""

    samples: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]


def _cells(train: Tensor, cells: int, seed: int) -> Callable[[Tensor], Tensor]:
    from sklearn.cluster import KMeans

    means = KMeans(cells, n_init=3, random_state=seed).fit(train.flatten(1).double().cpu().numpy())
    return lambda queries: torch.as_tensor(
        means.predict(queries.flatten(1).double().cpu().numpy())
    ).long()


def _in_cell(distances: Tensor, labels: Tensor, cell: int) -> tuple[Tensor, Tensor]:
    members = (labels == cell).nonzero()[:, 0]
    ordered, order = distances.cpu()[members].sort()
    return ordered, members[order]


def _weighted_z(parts: list[_Cell], own: Tensor, real: Tensor) -> Tensor:
    """C_T (r,) of resamples given by counts (r, m) of samples and (r, n) of held-out data."""
    total = weight = torch.zeros(len(own), dtype=torch.float64)
    for (far, who), (near, base) in parts:
        w, v = own[:, who], real[:, base]
        below = torch.nn.functional.pad(v.cumsum(1), (1, 0))
        ranks = sum(below[:, torch.searchsorted(near, far, right=right)] for right in (False, True))
        m = w.sum(1)
        n = v.sum(1) * (m > 0)  # a cell that a resample leaves empty has no weight
        spread = (n * m * (n + m + 1) / 12).sqrt()
        z = torch.where(spread > 0, ((w * ranks).sum(1) - n * m) / 2 / spread, 0.0)
        total, weight = total + n * z, weight + n
    return total / weight.clamp(min=1)
