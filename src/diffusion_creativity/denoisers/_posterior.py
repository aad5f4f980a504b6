"""Expectations under the posterior of a uniform law on N points, exact and never N² in memory.

p(i|y) = softmax_i(−|y − x_i|²/2σ²). Two routes give the same number:

* `streamed`: an online softmax over tiles of all points, two matrix products each;
* `listed`: where σ is so small that rounding errors of a float32 score would be felt, one product
  finds the few points that matter and float64 differences weigh them.
"""

import math

import torch
from torch import Tensor

from .._matmul import float32_matmul
from .._points import PAIRS, ROWS, Pairs, Points, _slices

FLOOR = -80.0  # logits are clamped here: exp of a float32 that underflows is 10 to 28 times slower
FELT = 4e-3  # a bound on the error of a logit above which it could be felt
LIMIT = 256  # points per query that `listed` takes before it leaves the query to `streamed`


def posterior_mean(points: Points, y: Tensor, sigma: Tensor) -> Tensor:
    """E[x|y] for queries y (n, d) and noise levels sigma (n,)."""
    return _route(points, y, sigma)


def covariance_product(
    points: Points, y: Tensor, sigma: Tensor, direction: Tensor, mean: Tensor
) -> Tensor:
    """Cov(x|y) v for directions v (n, d), given the posterior mean (n, d)."""
    return _route(points, y, sigma, direction, mean)


def _route(points: Points, y: Tensor, sigma: Tensor, *moment: Tensor) -> Tensor:
    out = torch.empty_like(y)
    for part in _slices(len(y), ROWS):
        out[part] = _block(points, y[part], sigma[part].double(), *(m[part] for m in moment))
    return out


def _block(points: Points, y: Tensor, sigma: Tensor, *moment: Tensor) -> Tensor:
    """Send each query down the route that is accurate for it."""
    out = torch.empty_like(y)
    wide = points.rounding(y) <= FELT * sigma**2
    plain, fine = wide.nonzero()[:, 0], (~wide).nonzero()[:, 0]
    if len(fine):
        # Points further than this have, all together, no weight that y's precision could show.
        digits = 40 if y.dtype == torch.float64 else 20
        reach = (math.log(len(points.x)) + digits) * sigma[fine] ** 2
        pairs, crowded = points.near(y[fine], reach, LIMIT)
        out[fine] = listed(points, y[fine], sigma[fine], pairs, *(m[fine] for m in moment)).to(out)
        crowd = fine[crowded]
        if len(crowd):
            moments = (m[crowd] for m in moment)
            out[crowd] = streamed(points, y[crowd], sigma[crowd], torch.float64, *moments).to(out)
    if len(plain):
        moments = (m[plain] for m in moment)
        out[plain] = streamed(points, y[plain], sigma[plain], y.dtype, *moments).to(out)
    return out


def streamed(
    points: Points,
    y: Tensor,
    sigma: Tensor,
    dtype: torch.dtype,
    direction: Tensor | None = None,
    mean: Tensor | None = None,
) -> Tensor:
    """Online softmax: running best score, weights relative to it, sums rescaled as it grows."""
    query = points.centre(y, dtype)
    precision = (sigma**-2.0).clamp(1e-30, 1e30).to(dtype)[:, None]
    best = torch.full_like(precision, torch.finfo(dtype).min)
    total, first = torch.zeros_like(precision), torch.zeros_like(precision)
    summed = torch.zeros_like(query)
    if direction is not None:
        direction, mean = direction.to(dtype), points.centre(mean, dtype)
        offset = -(direction * mean).sum(1, keepdim=True)
    with float32_matmul(y.device):
        for _, x, bias in points.tiles(len(y), dtype):
            scores = torch.addmm(bias, query, x.T)  # (n, t)
            top = torch.maximum(best, scores.amax(1, keepdim=True))
            weights = scores.sub_(top).mul_(precision).clamp_(min=FLOOR).exp_()
            shrink = (best - top).mul_(precision).clamp_(min=FLOOR).exp_()
            best = top
            total.mul_(shrink).add_(weights.sum(1, keepdim=True))
            if direction is not None:  # weigh by v·(x − mean) as well
                weights.mul_(torch.addmm(offset, direction, x.T))
                first.mul_(shrink).add_(weights.sum(1, keepdim=True))
            summed.mul_(shrink).addmm_(weights, x)
    if direction is not None:
        return (summed - first * mean) / total
    return (summed / total).double() + points.mean


def listed(
    points: Points,
    y: Tensor,
    sigma: Tensor,
    pairs: Pairs,
    direction: Tensor | None = None,
    mean: Tensor | None = None,
) -> Tensor:
    """Softmax over the listed pairs only, in float64; sigma = 0 shares among the nearest."""
    rows, columns = pairs
    distances = points.squared_distances(y, pairs)
    nearest = torch.full_like(sigma, torch.inf).scatter_reduce_(0, rows, distances, "amin")
    gap = distances - nearest[rows]
    weights = torch.where(gap == 0, 1.0, torch.exp(-gap / (2 * sigma[rows] ** 2)))
    weights /= torch.zeros_like(sigma).index_add_(0, rows, weights)[rows]
    out = torch.zeros(y.shape, dtype=torch.float64, device=y.device)
    for part in _slices(len(rows), PAIRS // y.shape[1]):
        x, row, weight = points.x[columns[part]].double(), rows[part], weights[part, None]
        if direction is not None:
            x -= mean[row]
            weight = weight * (x * direction[row]).sum(1, keepdim=True)
        out.index_add_(0, row, weight * x)
    return out
