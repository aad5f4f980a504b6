"""A cloud of points, scored in tiles: what `Bayes` and `metrics.nearest` share."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ._matmul import float32_matmul

SCORES = {"cpu": 1 << 17, "cuda": 1 << 25}  # numbers in one tile of scores
GATHER = 1 << 21  # numbers in one block of float64 copies
LARGEST = 1e37  # scores above this could overflow float32


class Tile(NamedTuple):
    """Points start … start + t, less the mean, and the bias that turns products into scores."""

    start: int
    points: Tensor  # (t, d)
    bias: Tensor  # (t,): −|point|²/2
    values: Tensor  # (t, v): what is averaged, less its mean; the points, unless told otherwise


class Points:
    """N points in d dimensions, kept as given, and once more less their mean in float32.

    A query y meets a point x through its score y·x − |x|²/2, both less the mean of the points:
    |y − x|² = |y|² − 2·score, so one matrix product scores a tile. Memory: 4·N·d bytes.
    Each point carries `values` (N, v) to be averaged, by default its own coordinates.
    """

    def __init__(self, x: Tensor, values: Tensor | None = None) -> None:
        self.x = x  # (N, d)
        parts = list(slices(*x.shape))
        self.mean = sum(x[part].sum(0, dtype=torch.float64) for part in parts) / len(x)
        self.centred = torch.empty_like(x, dtype=torch.float32)
        self.bias = torch.empty(len(x), dtype=torch.float32, device=x.device)
        for part in parts:
            self.centred[part] = x[part].double() - self.mean
            self.bias[part] = -0.5 * self.centred[part].double().square().sum(1)
        self.radius = float((-2 * self.bias.min()).sqrt())
        self.values, self.values_mean, self.centred_values = self.x, self.mean, self.centred
        if values is not None:
            self.values, self.values_mean = values, values.double().mean(0)
            self.centred_values = (values.double() - self.values_mean).float()

    def centre(self, y: Tensor, dtype: torch.dtype) -> Tensor:
        """Return queries (n, d) less the mean of the points."""
        return (y.double() - self.mean).to(dtype)

    def tiles(self, n: int, dtype: torch.dtype) -> Iterator[Tile]:
        """Yield all points, in tiles whose scores with n queries stay in cache."""
        count, d = self.x.shape
        width = max(SCORES.get(self.x.device.type, 1 << 20) // max(n, 1), 256)
        if dtype == torch.float32:
            for part in slices(count, 1, width):
                rows = self.centred[part], self.bias[part], self.centred_values[part]
                yield Tile(part.start, *rows)
        else:
            d = max(d, self.values.shape[1])
            for part in slices(count, d, width * d):
                points = values = self.x[part].double() - self.mean
                if self.values is not self.x:
                    values = self.values[part].double() - self.values_mean
                yield Tile(part.start, points, -0.5 * points.square().sum(1), values)

    def rounding(self, y: Tensor) -> Tensor:
        """Bound (n,) on the error of float32 scores; the errors seen are below an eighth of it.

        Rounding errors of a sum of d products grow like √d · 2⁻²⁴ with overwhelming probability
        (Higham & Mary 2019); the factor 2 leaves room for those of y, x and the bias.
        """
        largest = self.radius * (self.centre(y, torch.float64).norm(dim=1) + self.radius)
        if not (largest < LARGEST).all():  # NaN as well: the squares of x or y overflow
            raise ValueError(
                "the data, or y and the data, are too far apart for float32 scores: products reach "
                f"{largest.max().item():.1g}, at most {LARGEST:g} is taken; rescale both"
            )
        return 2 * self.x.shape[1] ** 0.5 * 2.0**-24 * largest

    def near(self, y: Tensor, reach: Tensor, limit: int, rank: int = 1) -> "Shortlist":
        """List all pairs whose score is within `reach` (n,) of the query's best, and few more.

        With `rank` = k it is the k-th best score that counts.
        """
        query = self.centre(y, torch.float32)
        shortlist = Shortlist(reach + 2 * self.rounding(y), limit, rank)
        with float32_matmul(y.device):
            for start, points, bias, _ in self.tiles(len(y), torch.float32):
                shortlist.add(torch.addmm(bias, query, points.T), start)
        return shortlist.prune()

    def squared_distances(self, y: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """|y − x|² of pairs, from differences in float64: nothing cancels."""
        out = torch.empty(len(rows), dtype=torch.float64, device=y.device)
        for part in slices(len(rows), y.shape[1]):
            out[part] = (y[rows[part]].double() - self.x[columns[part]]).square().sum(1)
        return out


class Shortlist:
    """Pairs (query, point) whose score is within `slack` (n,) of the query's rank-th best so far.

    A query with more than `limit` such points is `crowded`: its pairs are dropped.
    """

    def __init__(
        self, slack: Tensor, limit: int, rank: int = 1, dtype: torch.dtype = torch.float32
    ) -> None:
        self.slack, self.limit = slack.to(dtype)[:, None], limit
        lowest = torch.finfo(torch.float32).min
        self.top = self.slack.new_full((len(slack), rank), lowest)  # descending
        self.crowded = torch.zeros(len(slack), dtype=torch.bool, device=slack.device)
        self.rows = self.columns = torch.empty(0, dtype=torch.long, device=slack.device)
        self.scores = self.slack.new_empty(0)

    def add(self, scores: Tensor, start: int) -> None:
        """Take in the scores (n, t) of points start … start + t."""
        if self.top.shape[1] == 1:
            self.top = torch.maximum(self.top, scores.amax(1, keepdim=True))
        else:
            rank = self.top.shape[1]
            self.top = torch.cat([self.top, scores.topk(min(rank, scores.shape[1]))[0]], 1)
            self.top = self.top.topk(rank)[0]
        rows, columns = (scores >= self._cut()).nonzero(as_tuple=True)
        self._extend(rows, columns + start, scores[rows, columns])

    def add_some(self, rows: Tensor, scores: Tensor, start: Tensor) -> None:
        """Take in scores (k, t) of queries `rows` (k,) with points start (k,) … start + t."""
        tops = scores.amax(1)
        self.top[:, 0].scatter_reduce_(0, rows, tops, "amax")
        some = (tops >= self._cut()[rows, 0]).nonzero()[:, 0]
        rows, scores, start = rows[some], scores[some], start[some]
        pairs, columns = (scores >= self._cut()[rows]).nonzero(as_tuple=True)
        self._extend(rows[pairs], start[pairs] + columns, scores[pairs, columns])

    def _extend(self, rows: Tensor, columns: Tensor, scores: Tensor) -> None:
        self.rows = torch.cat([self.rows, rows])
        self.columns = torch.cat([self.columns, columns])
        self.scores = torch.cat([self.scores, scores])
        if len(self.rows) > self.limit * len(self.top):
            self.prune()

    def _cut(self) -> Tensor:
        return self.top[:, -1:] - self.slack  # (n, 1)

    def prune(self) -> "Shortlist":
        """Drop pairs that a later best has left behind, and queries that have become crowded."""
        keep = self.scores >= self._cut()[self.rows, 0]
        self.crowded |= self.rows[keep].bincount(minlength=len(self.top)) > self.limit
        self.slack[self.crowded] = -torch.inf  # from now on no score is within it
        keep &= ~self.crowded[self.rows]
        self.rows, self.columns = self.rows[keep], self.columns[keep]
        self.scores = self.scores[keep]
        return self


def slices(total: int, size: int, block: int = GATHER) -> Iterator[slice]:
    """Cut range(total) into slices of `block` numbers, at `size` numbers an item."""
    width = max(min(block, GATHER) // size, 1) if size > 1 else max(block, 1)
    for start in range(0, total, width):
        yield slice(start, min(start + width, total))
