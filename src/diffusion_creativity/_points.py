"""A cloud of points, searched and summed in tiles: what `Bayes` and `metrics.nearest` share."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ._matmul import float32_matmul

ROWS = 512  # examples handled at once
SCORES = {"cpu": 1 << 17, "cuda": 1 << 25}  # numbers in one tile of scores
PAIRS = 1 << 21  # numbers gathered at once when pairs are computed exactly


class Tile(NamedTuple):
    """Points start … start + len(points), less the mean, and the bias that makes them scores."""

    start: int
    points: Tensor  # (t, d)
    bias: Tensor  # (t,): -|point|²/2


class Pairs(NamedTuple):
    """Query `rows[k]` beside point `columns[k]`."""

    rows: Tensor
    columns: Tensor


class Points:
    """N points in d dimensions, kept as given and as a centred float32 copy.

    Queries y meet points x through the score y·x − |x|²/2 (both less the mean of the points), so
    that |y − x|² = |y|² − 2·score: one matrix product scores a tile.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x  # (N, d)
        self.mean = x.mean(0, dtype=torch.float64)
        self.centred = torch.empty_like(x, dtype=torch.float32)
        for part in _slices(len(x), PAIRS // x.shape[1]):
            self.centred[part] = (x[part] - self.mean).float()
        self.bias = -0.5 * torch.linalg.vector_norm(self.centred, dim=1, dtype=torch.float64) ** 2
        self.radius = float((-2 * self.bias.min()).sqrt())

    def centre(self, y: Tensor, dtype: torch.dtype) -> Tensor:
        """Return queries (n, d) less the mean of the points."""
        return (y.double() - self.mean).to(dtype)

    def tiles(self, n: int, dtype: torch.dtype) -> Iterator[Tile]:
        """Yield the points tile by tile, sized so that the scores of n queries stay in cache."""
        width = max(SCORES.get(self.x.device.type, 1 << 20) // max(n, 1), 256)
        for part in _slices(len(self.x), width):
            if dtype == torch.float32:
                yield Tile(part.start, self.centred[part], self.bias[part].float())
            else:
                points = self.x[part] - self.mean
                yield Tile(part.start, points, -0.5 * points.square().sum(1))

    def rounding(self, y: Tensor) -> Tensor:
        """Bound (n,) on the error of a float32 score; the usual error is about a tenth of it.

        Rounding errors of a sum of d products grow like √d · 2⁻²⁴ with overwhelming probability
        (Higham & Mary 2019); the factor 2 leaves room for those of y, x and the bias.
        """
        scale = self.centre(y, torch.float64).norm(dim=1) + self.radius
        return 2 * self.x.shape[1] ** 0.5 * 2.0**-24 * self.radius * scale

    def near(self, y: Tensor, reach: Tensor, limit: int) -> tuple[Pairs, Tensor]:
        """All pairs whose score is within `reach` (n,) of the best one, and perhaps a few more.

        Also returns a mask (n,) of queries left out because more than `limit` points came near.
        """
        query = self.centre(y, torch.float32)
        slack = (reach + 2 * self.rounding(y)).float()[:, None]
        best = torch.full_like(slack, torch.finfo(torch.float32).min)
        crowded = torch.zeros(len(y), dtype=torch.bool, device=y.device)
        found = torch.empty(2, 0, dtype=torch.long, device=y.device)
        scores_found = torch.empty(0, device=y.device)
        with float32_matmul(y.device):
            for start, points, bias in self.tiles(len(y), torch.float32):
                scores = torch.addmm(bias, query, points.T)  # (n, t)
                best = torch.maximum(best, scores.amax(1, keepdim=True))
                rows, columns = (scores >= best - slack).nonzero(as_tuple=True)
                found = torch.cat([found, torch.stack([rows, columns + start])], 1)
                scores_found = torch.cat([scores_found, scores[rows, columns]])
                if found.shape[1] > limit * len(y) or start + len(points) == len(self.x):
                    keep = scores_found >= (best - slack)[found[0], 0]
                    counts = found[0, keep].bincount(minlength=len(y))
                    crowded |= counts > limit
                    slack[crowded] = -torch.inf  # no score passes from now on
                    keep &= ~crowded[found[0]]
                    found, scores_found = found[:, keep], scores_found[keep]
        return Pairs(*found), crowded

    def squared_distances(self, y: Tensor, pairs: Pairs) -> Tensor:
        """|y − x|² of each pair, from differences in float64: no cancellation."""
        out = torch.empty(len(pairs.rows), dtype=torch.float64, device=y.device)
        for part in _slices(len(out), PAIRS // y.shape[1]):
            gap = y[pairs.rows[part]].double() - self.x[pairs.columns[part]]
            out[part] = gap.square().sum(1)
        return out


def _slices(total: int, width: int) -> Iterator[slice]:
    width = max(width, 1)
    for start in range(0, total, width):
        yield slice(start, min(start + width, total))
