"""Expectations under the posterior of a uniform law on N points, exact over all of them.

p(i|y) = softmax_i(−|y − x_i|²/2σ²). Each query takes the cheapest route that is accurate for it:

* `streamed`: an online softmax over tiles of all points, two matrix products in all;
* `mended`: where the rounding of float32 scores begins to be felt, the same stream, whose heaviest
  weights are then replaced by float64 ones;
* `listed`: where σ is smaller still, one product finds the few points that matter, and float64
  differences weigh them. Where those are many after all, the stream runs in float64, and
  where even that could be felt (hundreds of points tie at σ near 0) all points are listed.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .._matmul import float32_matmul
from .._points import Points, Shortlist, slices

ROWS = 512  # queries handled at once
FLOOR = -80.0  # logits are clamped here: exp of a float32 that underflows is 10 to 28 times slower
FELT = 4e-3  # bound on the error of a logit from which it could be felt (see Points.rounding)
SPARSE = 0.7  # below this share of points in sight, gathering them first is faster
LIMIT = 256  # points per query that are weighed in float64
MENDED = 8  # `mended` is tried up to MENDED · FELT
HEAVY = 8.0  # weights above exp(−HEAVY) of the largest are heavy


class Moment(NamedTuple):
    """Ask for Cov(x|y) v, at known posterior mean, instead of E[x|y]."""

    direction: Tensor  # v (n, d)
    mean: Tensor  # (n, d)


def expectation(
    points: Points,
    y: Tensor,
    sigma: Tensor,
    moment: Moment | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """E[values|y] or Cov(x|y) v, (n, v), at noise levels sigma (n,), for y (n, d).

    `dtype` is that of the answer, by default y's: float64 queries may be answered in float32.
    """
    out = y.new_empty(len(y), points.values.shape[1], dtype=dtype or y.dtype)
    for part in slices(len(y), 1, ROWS):
        _block(out[part], points, y[part], sigma[part].double(), _pick(moment, part))
    return out


def _pick(moment: Moment | None, rows: Tensor | slice) -> Moment | None:
    return moment and Moment(moment.direction[rows], moment.mean[rows])


def _block(out: Tensor, points: Points, y: Tensor, sigma: Tensor, moment: Moment | None) -> None:
    """Fill `out`, route by route."""

    def stream(rows: Tensor, dtype: torch.dtype) -> None:
        if len(rows):
            mean = streamed(points, y[rows], sigma[rows], dtype, _pick(moment, rows))
            out[rows] = mean.to(out.dtype)

    felt = points.rounding(y) / sigma**2
    left = torch.arange(len(y), device=y.device)
    plain = felt <= FELT
    stream(left[plain], out.dtype)
    left = left[~plain]
    if out.dtype == torch.float32 and moment is None:
        close = left[felt[left] <= MENDED * FELT]
        if len(close):
            out[close], unmended = mended(points, y[close], sigma[close])
            failed = close[~(unmended * felt[close] <= FELT)]
            left = torch.cat([left[felt[left] > MENDED * FELT], failed])
    if len(left):
        reach = _negligible(points, out.dtype) * sigma[left] ** 2
        near = points.near(y[left], reach, LIMIT)
        pairs = near.rows, near.columns
        out[left] = listed(points, y[left], sigma[left], *pairs, _pick(moment, left)).to(out.dtype)
        left = left[near.crowded]
        fine = felt[left] * 2.0**-29 <= FELT  # float64 has 29 bits more
        stream(left[fine], torch.float64)
        everything = torch.arange(len(points.x), device=y.device)
        for row in left[~fine, None]:  # hundreds of points at the same distance
            pairs = torch.zeros_like(everything), everything
            exact = listed(points, y[row], sigma[row], *pairs, _pick(moment, row))
            out[row] = exact.to(out.dtype)


def _negligible(points: Points, dtype: torch.dtype) -> float:
    """Weights below exp(−this) of the largest are, all together, below the precision of dtype."""
    return math.log(len(points.x)) + (36 if dtype == torch.float64 else 16)


def streamed(
    points: Points, y: Tensor, sigma: Tensor, dtype: torch.dtype, moment: Moment | None = None
) -> Tensor:
    """Expectation by an online softmax over all points."""
    if moment is None:
        total, summed = _online(points, y, sigma, dtype)
        return (summed / total).double() + points.values_mean
    direction = moment.direction.to(dtype)
    mean = points.centre(moment.mean, dtype)
    tilt = direction, -(direction * mean).sum(1, keepdim=True)
    total, first, summed = _online(points, y, sigma, dtype, tilt=tilt)
    return (summed - first * mean) / total


def _online(
    points: Points,
    y: Tensor,
    sigma: Tensor,
    dtype: torch.dtype,
    tilt: tuple[Tensor, Tensor] | None = None,
    watch: Shortlist | None = None,
) -> tuple[Tensor, ...]:
    """Σw (n, 1) and Σw·x (n, v), with weights relative to the largest; values less their mean.

    With `tilt` = (v, c): Σw, Σw·t and Σw·t·x, where t = v·x + c. `watch` sees all scores.
    """
    query = points.centre(y, dtype)
    precision = (sigma**-2.0).clamp(torch.finfo(dtype).tiny, 1e30).to(dtype)[:, None]
    best = torch.full_like(precision, torch.finfo(dtype).min)
    total, first = torch.zeros_like(best), torch.zeros_like(best)
    summed = query.new_zeros(len(query), points.values.shape[1])
    floor = -_negligible(points, dtype)
    with float32_matmul(y.device):
        for start, x, bias, values in points.tiles(len(y), dtype):
            scores = torch.addmm(bias, query, x.T)  # (n, t)
            if watch is not None:
                watch.add(scores, start)
            top = torch.maximum(best, scores.amax(1, keepdim=True))
            logits = scores.sub_(top).mul_(precision)
            seen = (logits.amax(0) > floor).nonzero()[:, 0]
            if len(seen) < SPARSE * len(x):  # most points are out of every query's sight
                logits, values = logits[:, seen], values[seen]
            weights = logits.clamp_(min=FLOOR).exp_()
            shrink = (best - top).mul_(precision).clamp_(min=FLOOR).exp_()
            best = top
            total.mul_(shrink).add_(weights.sum(1, keepdim=True))
            if tilt is not None:
                weights.mul_(torch.addmm(tilt[1], tilt[0], values.T))
                first.mul_(shrink).add_(weights.sum(1, keepdim=True))
            summed.mul_(shrink).addmm_(weights, values)
    return (total, summed) if tilt is None else (total, first, summed)


def listed(
    points: Points,
    y: Tensor,
    sigma: Tensor,
    rows: Tensor,
    columns: Tensor,
    moment: Moment | None = None,
) -> Tensor:
    """Expectation over pairs (query, point), in float64; sigma = 0 shares among the nearest."""
    weights = _weigh(points, y, sigma, rows, columns)
    weights /= torch.zeros_like(sigma).index_add_(0, rows, weights)[rows]
    out = y.new_zeros(len(y), points.values.shape[1], dtype=torch.float64)
    for part in slices(len(weights), out.shape[1]):
        row, x, weight = rows[part], points.values[columns[part]].double(), weights[part, None]
        if moment is not None:
            x -= moment.mean[row]
            weight = weight * (x * moment.direction[row]).sum(1, keepdim=True)
        out.index_add_(0, row, weight * x)
    return out


def mended(points: Points, y: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """E[x|y] by a float32 stream whose heavy weights are replaced by float64 ones.

    Also returns the share (n,) of weight that was not replaced.
    """
    heavy = Shortlist(HEAVY * sigma**2 + 2 * points.rounding(y), LIMIT)
    total, summed = _online(points, y, sigma, torch.float32, watch=heavy)
    rows, columns = heavy.prune().rows, heavy.columns
    weights = _weigh(points, y, sigma, rows, columns)
    rough = torch.exp((heavy.scores - heavy.top[rows, 0]) / sigma[rows] ** 2)
    total, summed = total[:, 0].double(), summed.double()
    total.index_add_(0, rows, weights - rough)
    for part in slices(len(rows), summed.shape[1]):
        change = (weights - rough)[part, None] * points.centred_values[columns[part]]
        summed.index_add_(0, rows[part], change)
    mean = summed / total[:, None] + points.values_mean
    replaced = torch.zeros_like(total).index_add_(0, rows, weights) / total
    return mean.float(), 1 - replaced


def _weigh(points: Points, y: Tensor, sigma: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Float64 weights of pairs, relative to the query's nearest point."""
    distances = points.squared_distances(y, rows, columns)
    nearest = torch.full_like(sigma, torch.inf).scatter_reduce_(0, rows, distances, "amin")
    gap = distances - nearest[rows]
    return torch.where(gap == 0, 1.0, torch.exp(-gap / (2 * sigma[rows] ** 2)))
