"""Posterior means of the centres of windows, over a bank of windows from many places.

A query window q meets a window p of the bank through its score ``q·p − |p|²/2``; weights are
``exp(score/σ²)``, relative to the largest. Each query takes the cheapest route that is accurate:

* `Block`: one matrix product with two columns more yields log₂ of the weights. The reference is the
  largest in the first tile, and is raised when a weight becomes huge, so that one pass of
  exp2 is nearly all the rest of the work. In float32 where its rounding cannot be felt.
* `Sieve`: where σ is small, few windows matter. A float32 product, with a proven bound on its
  error, tells which could; those alone are weighed in float64. Where they turn out to be many, a
  float64 `Block` goes on.

Results are sums over all windows; what the sieve drops weighs less than `NEGLECTED` in all.
"""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

from .._matmul import float32_matmul
from .._points import slices
from . import _same_place
from ._bank import Bank, Region, Tile

PAIRS = {"cpu": 1 << 22, "cuda": 1 << 28}  # bytes of the scores of one tile
QUERIES = {"cpu": 1 << 22, "cuda": 1 << 29}  # bytes of the query windows at hand
FLOOR = -126.0  # logits are clamped here: exp2 of a float32 that underflows is slow
HUGE = 2.0**60  # a weight above this asks for a new reference
FELT = 2e-3  # bound on the error of a logit from which it could be felt
NEGLECTED = 2.0**-52  # bound on the share of weight that a sieve drops
MOST = 0.25  # share of pairs up to which a sieve is worth while,
LOOK = 4  # as seen in so many tiles, after as many others
EVERY = slice(None)
LOG2E = math.log2(math.e)


def expectation(bank: Bank, y: Tensor, sigma: Tensor) -> Tensor:
    """Return the denoised images, like y (n, C, H, W), for sigma (n,) in float64."""
    if bank.alone is None:
        out = torch.empty_like(y)
    else:  # right for places that share their overlap with no other: the rest is overwritten
        out = _same_place.expectation(bank.alone, bank.box, y.flatten(1), sigma).reshape(y.shape)
    felt = bank.rounding(y) / sigma**2
    exact = ~(felt * 2.0**-29 <= FELT)  # float64 has 29 bits more; at σ = 0, NaN as well
    rough = (felt <= FELT) & (y.dtype == torch.float32)
    slack = 2 * bank.proven_rounding(y)
    routes = ((rough, Block, torch.float32), (~rough & ~exact, Sieve, torch.float64),
              (exact, DirectSieve, torch.float64))  # fmt: skip
    routes = [(chosen.nonzero()[:, 0], *rest) for chosen, *rest in routes]
    for region in bank.regions():
        reach = math.log(len(bank.x) * region.count / NEGLECTED)
        numbers = region.count * (bank.numbers + 2)  # of an image's windows
        for chosen, kind, dtype in routes:
            at_once = QUERIES.get(y.device.type, 1 << 22) // (numbers * dtype.itemsize)
            for part in slices(len(chosen), 1, max(at_once, 1)):
                rows = chosen[part]
                windows = bank.queries(y[rows], region, dtype)
                queries = Queries.of(windows, sigma[rows], slack[rows], reach)
                found = _stream(bank, region, queries, kind, y.dtype)
                found = found.unflatten(1, (len(rows), region.rows.count, region.columns.count))
                out[(rows, slice(None), *region.places)] = found.movedim(0, 1).to(out.dtype)
    return out


class Queries(NamedTuple):
    """Query windows, with their levels."""

    windows: Tensor  # (q, Ck²)
    scale: Tensor  # (q, 1): log₂e/σ²
    slack: Tensor  # (q, 1): float64 scores this far below the largest in float32 do not matter

    @classmethod
    def of(cls, windows: Tensor, sigma: Tensor, slack: Tensor, reach: float) -> Self:
        """Give the windows (m·places, Ck²) the levels (m,) of their images."""
        largest = 1e30 if windows.dtype == torch.float32 else 1e300
        scale = (LOG2E * sigma**-2.0).clamp(max=largest).to(windows.dtype)
        levels = (scale, slack + reach * sigma**2)
        count = len(windows) // len(sigma)
        return cls(windows, *(t.repeat_interleave(count)[:, None] for t in levels))

    def split(self, size: int) -> list[Self]:
        """Cut into blocks of `size` queries."""
        return [Queries(*some) for some in zip(*(t.split(size) for t in self), strict=True)]


def _stream(bank: Bank, region: Region, queries: Queries, kind, out: torch.dtype) -> Tensor:
    """Return means (C, q) over the windows of one region, weights computed in `out`."""
    blocks: list[Block | Sieve] = []
    with float32_matmul(bank.x.device):
        for tile in bank.tiles(region, out):
            if not blocks:
                score = queries.windows.itemsize
                size = max(PAIRS.get(bank.x.device.type, 1 << 22) // (tile.count * score), 1)
                blocks = [kind(some, tile) for some in queries.split(size)]
            blocks = [block.absorb(tile) for block in blocks]
    sums = torch.cat([block.sums for block in blocks], 1)  # (C + 1, q)
    return sums[:-1] / sums[-1] + bank.mean[:, :, 0]


class Block:
    """Query windows (q, Ck²) that meet tiles together, and Σw·centre, Σw (C + 1, q) so far."""

    def __init__(self, queries: Queries, first: Tile) -> None:
        windows, scale, _ = queries
        self.query = torch.cat([windows * scale, scale, torch.zeros_like(scale)], 1)
        self.sums = windows.new_zeros(len(first.values), len(windows), dtype=torch.float64)
        self.fresh = True

    def absorb(self, tile: Tile) -> Self:
        """Take in some windows; return what is to take the next."""
        self.add(tile.columns(self.query.dtype), tile.values)
        return self

    def add(self, windows: Tensor, values: Tensor, rows: Tensor | slice = EVERY) -> None:
        """Let the queries `rows` meet windows, columns of a tile."""
        query = self.query[rows]
        scores = query @ windows
        if self.fresh:
            self._refer(scores, rows)
        sums = _weigh(scores, values)
        if not sums[-1].max() < HUGE:
            if scores.dtype == values.dtype:  # then they have been overwritten
                torch.mm(query, windows, out=scores)
            self._refer(scores, rows)
            sums = _weigh(scores, values)
        self.sums[:, rows] += sums

    def _refer(self, scores: Tensor, rows: Tensor | slice) -> None:
        """Make the largest score so far the reference of `scores` and of the sums."""
        top = scores.amax(1, keepdim=True)
        if not self.fresh:
            top.clamp_(min=0)
            self.sums[:, rows] *= torch.exp2(-top.double()).T
        self.fresh = False
        self.query[rows, -1:] -= top
        scores -= top


def _weigh(scores: Tensor, values: Tensor) -> Tensor:
    """Σ exp2(score) · value, (C + 1, q); overwrites scores that have the dtype of values."""
    weights = scores.to(values.dtype).clamp_(min=FLOOR).exp2_()
    # Not in float32 behind a sieve: oneDNN would prepare, and keep, a product for each shape.
    return values.to(scores.dtype) @ weights.to(scores.dtype).T


class DirectBlock(Block):
    """The same from distances by differences: exact at σ = 0, where the nearest windows share."""

    def __init__(self, queries: Queries, first: Tile) -> None:
        super().__init__(queries, first)
        self.queries = queries
        self.reference = torch.full_like(queries.scale, -torch.inf)

    def add(self, windows: Tensor, values: Tensor, rows: Tensor | slice = EVERY) -> None:
        """Let the queries `rows` meet windows, columns of a tile."""
        query, scale = self.queries.windows[rows], self.queries.scale[rows]
        mode = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(query, windows[:-2].T.contiguous(), compute_mode=mode)
        scores = distances.square_().mul_(-0.5)
        before = self.reference[rows]
        reference = torch.maximum(before, scores.amax(1, keepdim=True))
        self.sums[:, rows] *= ((before - reference) * scale).exp2_().T
        self.reference[rows] = reference
        self.sums[:, rows] += _weigh(scores.sub_(reference).mul_(scale), values)


class Sieve:
    """A float32 product in front of a float64 block: it meets the windows that could matter.

    With ε the bound on the error of float32 scores, a window that scores more than
    2ε + σ² ln(windows/NEGLECTED) below the best so far cannot.
    """

    kind = Block

    def __init__(self, queries: Queries, first: Tile) -> None:
        self.block = self.kind(queries, first)
        ones = torch.ones_like(queries.scale)
        self.query = torch.cat([queries.windows, ones, 0 * ones], 1).float()
        self.slack = queries.slack.float()
        self.top = torch.full_like(self.slack, -torch.inf)
        self.shares: list[float] = []  # of pairs that passed, tile by tile

    @property
    def sums(self) -> Tensor:
        """Those of the block."""
        return self.block.sums

    def absorb(self, tile: Tile) -> "Sieve | Block":
        """Take in some windows; return what is to take the next."""
        rows, columns = self._sift(tile.columns(torch.float32))
        if len(rows):
            found = (tile.columns(torch.float64), tile.values)
            self.block.add(*(numbers.index_select(1, columns) for numbers in found), rows)
        self.shares.append(len(rows) * len(columns) / (len(self.query) * tile.values.shape[1]))
        # The first tiles tell little: each query finds its best window so far in some of them.
        many = len(self.shares) == 2 * LOOK and sum(self.shares[LOOK:]) > MOST * LOOK
        return self.block if many else self

    def _sift(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the queries and the windows that could matter to one another."""
        scores = self.query @ windows
        tops = scores.amax(1, keepdim=True)
        self.top = torch.maximum(self.top, tops)
        least = self.top - self.slack
        rows = (tops >= least)[:, 0].nonzero()[:, 0]
        if len(rows) == 0:
            return rows, rows
        above = scores.index_select(0, rows).sub_(least[rows]).amax(0)
        return rows, (above >= 0).nonzero()[:, 0]


class DirectSieve(Sieve):
    """The same in front of differences."""

    kind = DirectBlock
