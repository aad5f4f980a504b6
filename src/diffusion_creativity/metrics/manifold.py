"""Realism and coverage by balls around examples: precision, recall, density, coverage.

A set of examples is thickened to the union of the balls around each of them that just reach its
k-th nearest neighbour in the set. Matrices of all pairs are met a tile at a time.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .. import _validate
from .._matmul import float32_matmul
from .._points import Points, slices
from .intervals import Bootstrap, Interval, share
from .neighbours import ROWS, k_nearest, pair

TIE = 1e-12  # squares of equal distances differ by rounding: relative


class PrecisionRecall(NamedTuple):
    """Shares of samples that look real, and of real examples that samples look like."""

    precision: float | Interval
    recall: float | Interval


class DensityCoverage(NamedTuple):
    """Real balls around a sample over k, and the share of real balls with a sample inside."""

    density: float | Interval
    coverage: float | Interval


def precision_recall(
    samples: Tensor, reference: Tensor, *, k: int = 3, interval: float | None = None
) -> PrecisionRecall:
    r"""Return precision and recall of Kynkäänniemi et al. 2019, each in [0, 1].

    .. math:: \text{precision} = \frac1n\#\{s: \lVert s-r\rVert\le\operatorname{nn}_k(r)
              \text{ for some } r\}, \qquad \text{recall}: s, r \text{ in each other's place}

    with nn_k(r) the distance of r to its k-th nearest neighbour within its own set. Precision sees
    samples off the data, recall missed data. Copies have precision 1, and recall as far as they
    cover: neither sees copying. One outlier in a set makes a ball that holds nearly anything.
    Fresh real data reach about the same value on both, below 1: report it beside. Both grow
    with k and depend on n and N: compare at equal sizes.

    Parameters
    ----------
    samples, reference
        Features, shapes (n, *shape) and (N, *shape); each set larger than k.
    interval
        Confidence of Wilson's intervals: samples (for recall: the reference) drawn anew, with the
        balls of the other set kept. Drawing these again would put repeats in them, whose balls
        shrink to points.

    Notes
    -----
    Float32 products decide where they can, differences in float64 elsewhere; a tie is inside.
    Cost: 2·(n + N)²·d operations. Memory: copies of both sets and a tile, no n × N matrix.
    """
    samples, reference = _both(samples, reference, k)
    real, made = Points(reference), Points(samples)
    precision = _balls_around(samples, real, _radii(real, k)) > 0
    recall = _balls_around(reference, made, _radii(made, k)) > 0
    return PrecisionRecall(share(precision, interval), share(recall, interval))


def density_coverage(
    samples: Tensor,
    reference: Tensor,
    *,
    k: int = 5,
    interval: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> DensityCoverage:
    r"""Return density and coverage of Naeem et al. 2020.

    .. math:: \text{density} = \frac{1}{kn}\sum_s \#\{r: \lVert s-r\rVert\le
              \operatorname{nn}_k(r)\}, \qquad \text{coverage} = \frac1N
              \#\{r: \lVert s-r\rVert\le\operatorname{nn}_k(r) \text{ for some } s\}

    with balls around real examples alone, so an outlier among samples does no harm. Density in
    [0, N/k] has expectation 1 for fresh real data and is above 1 where samples crowd the middle:
    it says nothing of variety. Coverage in [0, 1] has expectation near 1 − 2⁻ᵏ for n = N fresh
    real data. Neither sees copying. Shapes, ties and cost as in `precision_recall`,
    without the balls of samples.

    The interval of density is a percentile bootstrap over samples, that of coverage Wilson's over
    real examples; the balls are kept.
    """
    bootstrap = None if interval is None else Bootstrap(interval, resamples, seed)
    samples, reference = _both(samples, reference, k)
    real = Points(reference)
    radii = _radii(real, k)
    counts = _balls_around(samples, real, radii).double() / k
    reached = k_nearest(reference, Points(samples), 1)[0][:, 0] <= radii
    density = float(counts.mean()) if bootstrap is None else bootstrap.mean(counts)
    return DensityCoverage(density, share(reached, interval))


def _both(samples: Tensor, reference: Tensor, k: int) -> tuple[Tensor, Tensor]:
    k = _validate.integer("k", k, minimum=1)
    reference, samples = pair(samples, reference, ("samples", "reference"))
    for name, x in (("samples", samples), ("reference", reference)):
        if len(x) <= k:
            raise ValueError(f"{name} must hold more than k = {k} examples, got {len(x)}")
    return samples.flatten(1), reference.flatten(1)


def _radii(points: Points, k: int) -> Tensor:
    """Squared distances (N,) to the k-th nearest other point, a hair more: ties are inside."""
    squares, _ = k_nearest(points.x, points, k + 1)  # one of them is the point itself, at 0
    return squares[:, k] * (1 + TIE)


def _balls_around(y: Tensor, points: Points, radii: Tensor) -> Tensor:
    """Count (n,) the balls of squared `radii` (N,) around points that hold each query (n, d)."""
    counts = torch.zeros(len(y), dtype=torch.long, device=y.device)
    for part in slices(len(y), 1, ROWS):
        counts[part] = _count_block(y[part], points, radii)
    return counts


def _count_block(y: Tensor, points: Points, radii: Tensor) -> Tensor:
    # |y − x|² ≤ radius is score ≥ (|y|² − radius)/2: the radius goes to the bias of its point.
    query = points.centre(y, torch.float64)
    level = query.square().sum(1) / 2
    # Scores are rounded, and so are the three terms once more in float32.
    slack = points.rounding(y) + 2.0**-22 * (level + points.radius**2 + radii.max())
    upper, lower = (level + slack).float()[:, None], (level - slack).float()[:, None]
    query = query.float()
    counts = torch.zeros(len(y), dtype=torch.long, device=y.device)
    with float32_matmul(y.device):
        for start, x, bias, _ in points.tiles(len(y), torch.float32):
            reach = radii[start : start + len(x)]
            scores = torch.addmm((bias + reach / 2).float(), query, x.T)
            inside = scores > upper
            counts += inside.sum(1)
            rows, columns = ((scores >= lower) & ~inside).nonzero(as_tuple=True)
            if len(rows):  # too close to call
                squares = points.squared_distances(y, rows, columns + start)
                rows = rows[squares <= reach[columns]]
                counts += rows.bincount(minlength=len(y))
    return counts
