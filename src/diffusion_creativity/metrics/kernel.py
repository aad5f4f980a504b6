"""The kernel distance between two samples: an exact U-statistic, in tiles."""

from collections.abc import Iterator

import torch
from torch import Tensor

from .distances import two_samples
from .intervals import Bootstrap, Interval

TILE = 1024  # rows and columns of the kernel matrix at once


def kernel_distance(
    a: Tensor,
    b: Tensor,
    *,
    interval: float | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> float | Interval:
    r"""Return the unbiased squared maximum mean discrepancy of a cubic kernel.

    .. math:: \frac{1}{n(n-1)}\sum_{i\ne j}k(a_i,a_j) + \frac{1}{m(m-1)}\sum_{i\ne j}k(b_i,b_j)
              - \frac{2}{nm}\sum_{i,j}k(a_i,b_j), \qquad k(x,y) = (x\cdot y/d+1)^3

    "KID" on Inception features (Bińkowski et al. 2018), there a mean over subsets, here over all
    pairs. Its expectation is 0 for samples of one law at any n and m, so it may be below 0. It
    sees the first three moments of the features and nothing else. n and m are at least 2. In
    float64; cost (n + m)²·d operations, memory a tile.

    The interval (percentile bootstrap of `resamples`, both samples) weighs pairs of different
    examples only. Where the laws agree the statistic is degenerate, and the interval is wider
    than need be.
    """
    bootstrap = None if interval is None else Bootstrap(interval, resamples, seed)
    a, b = two_samples(a, b)
    for name, x in (("a", a), ("b", b)):
        if len(x) < 2:
            raise ValueError(f"{name} must hold at least 2 examples, got {len(x)}")
    weights = [torch.ones(1, len(x), dtype=a.dtype, device=a.device) for x in (a, b)]
    if bootstrap is not None:  # the first row is the sample itself
        drawn = zip(*bootstrap.counts([len(a), len(b)], a), strict=True)
        weights = [torch.cat([one, *rows]) for one, rows in zip(weights, drawn, strict=True)]
    found = _discrepancy(a, b, *weights)
    return (
        float(found[0]) if bootstrap is None else bootstrap.percentile(float(found[0]), found[1:])
    )


def _discrepancy(a: Tensor, b: Tensor, w: Tensor, v: Tensor) -> Tensor:
    """The statistic (r,) of examples taken as often as weights (r, n) and (r, m) say."""
    across = sum(
        ((w[:, i] @ kernel) * v[:, j]).sum(1)
        for i in _tiles(a)
        for j in _tiles(b)
        for kernel in [_kernel(a[i], b[j])]
    )
    return _within(a, w) + _within(b, v) - 2 * across / (w.sum(1) * v.sum(1))


def _within(x: Tensor, w: Tensor) -> Tensor:
    """Weighted mean (r,) of the kernel over pairs of different examples."""
    total = torch.zeros(len(w), dtype=x.dtype, device=x.device)
    for i in _tiles(x):
        for j in _tiles(x):
            if j.start < i.start:  # the kernel is symmetric
                continue
            kernel = _kernel(x[i], x[j])
            if i == j:
                kernel.fill_diagonal_(0)
            total += ((w[:, i] @ kernel) * w[:, j]).sum(1) * (1 if i == j else 2)
    return total / (w.sum(1).square() - w.square().sum(1))


def _tiles(x: Tensor) -> Iterator[slice]:
    return (slice(start, start + TILE) for start in range(0, len(x), TILE))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)
