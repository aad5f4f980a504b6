"""Posterior means of the centres of windows, over a bank of windows from many places.

A query window q meets a window p of the bank through ``log₂e · (q·p − |p|²/2)/σ² − reference``, one
matrix product with two columns more. The reference is the largest of a query's scores in the first
tile, and is raised when a weight becomes huge, so that one pass of exp2 is nearly all the rest of
the work. Results are exact sums over all windows.
"""

import math

import torch
from torch import Tensor

from .._matmul import float32_matmul
from .._points import slices
from . import _same_place
from ._bank import Bank, Region, Tile

PAIRS = {"cpu": 1 << 20, "cuda": 1 << 26}  # scores of one tile
QUERIES = {"cpu": 1 << 20, "cuda": 1 << 27}  # numbers of the query windows at hand
FLOOR = -126.0  # logits are clamped here: exp2 of a float32 that underflows is slow
HUGE = 2.0**60  # a weight above this asks for a new reference
FELT = 2e-3  # bound on the error of a logit from which it could be felt
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
    routes = ((rough, Block, torch.float32), (~rough & ~exact, Block, torch.float64),
              (exact, DirectBlock, torch.float64))  # fmt: skip
    routes = [(chosen.nonzero()[:, 0], *rest) for chosen, *rest in routes]
    for region in bank.regions():
        numbers = region.count * (math.prod(bank.size) * y.shape[1] + 2)
        at_once = max(QUERIES.get(y.device.type, 1 << 20) // numbers, 1)
        for chosen, kind, dtype in routes:
            for part in slices(len(chosen), 1, at_once):
                rows = chosen[part]
                found = _stream(bank, region, y[rows], sigma[rows], kind, dtype)
                out[(rows, slice(None), *region.places)] = found.to(out.dtype)
    return out


def _stream(
    bank: Bank, region: Region, y: Tensor, sigma: Tensor, kind: type, dtype: torch.dtype
) -> Tensor:
    """Return (m, C, rows, columns) for one region, scores in `dtype`, weights in y's."""
    windows = bank.windows(y, region, dtype).permute(0, 2, 3, 1, 4, 5)
    scale = (LOG2E * sigma**-2.0).clamp(max=1e30 if dtype == torch.float32 else 1e300)
    scale = scale.to(dtype).repeat_interleave(region.count)[:, None]
    queries = windows.reshape(len(scale), -1)
    blocks: list[Block] = []
    with float32_matmul(y.device):
        for tile in bank.tiles(region, dtype, y.dtype):
            if not blocks:
                size = max(PAIRS.get(y.device.type, 1 << 20) // tile.values.shape[1], 1)
                pairs = zip(queries.split(size), scale.split(size), strict=True)
                blocks = [kind(q, s, tile) for q, s in pairs]
            for block in blocks:
                block.absorb(tile)
    sums = torch.cat([block.sums for block in blocks], 1)  # (C + 1, queries)
    mean = (sums[:-1] / sums[-1]).unflatten(1, (len(y), region.rows.count, region.columns.count))
    return mean.movedim(0, 1) + bank.mean


class Block:
    """Query windows (q, Ck²) that meet tiles together, and Σw·centre, Σw (C + 1, q) so far."""

    def __init__(self, queries: Tensor, scale: Tensor, first: Tile) -> None:
        reference = torch.zeros_like(scale)
        self.query = torch.cat([queries * scale, scale, reference], 1)
        self.sums = queries.new_zeros(len(first.values), len(queries), dtype=torch.float64)
        self.fresh = True

    def absorb(self, tile: Tile) -> None:
        """Take in some windows."""
        scores = self.query @ tile.windows
        if self.fresh:
            self._refer(scores)
        sums = self._weigh(scores, tile.values)
        if not sums[-1].max() < HUGE:
            if scores.dtype == tile.values.dtype:  # then they have been overwritten
                torch.mm(self.query, tile.windows, out=scores)
            self._refer(scores)
            sums = self._weigh(scores, tile.values)
        self.sums += sums

    def _refer(self, scores: Tensor) -> None:
        """Make the largest score so far the reference of `scores` and of the sums."""
        top = scores.amax(1, keepdim=True)
        if not self.fresh:
            top.clamp_(min=0)
            self.sums *= torch.exp2(-top.double()).T
        self.fresh = False
        self.query[:, -1:] -= top
        scores -= top

    @staticmethod
    def _weigh(scores: Tensor, values: Tensor) -> Tensor:
        """Σ exp2(score) · value, (C + 1, q); overwrites scores that have the dtype of values."""
        weights = scores.to(values.dtype).clamp_(min=FLOOR).exp2_()
        return values @ weights.T


class DirectBlock(Block):
    """The same from distances by differences: exact at σ = 0, where the nearest windows share."""

    def __init__(self, queries: Tensor, scale: Tensor, first: Tile) -> None:
        super().__init__(queries, scale, first)
        self.queries, self.scale = queries, scale
        self.reference = torch.full_like(scale, -torch.inf)

    def absorb(self, tile: Tile) -> None:
        """Take in some windows."""
        windows = tile.windows[:-2].T.contiguous()
        distances = torch.cdist(self.queries, windows, compute_mode="donot_use_mm_for_euclid_dist")
        scores = distances.square_().mul_(-0.5)
        reference = torch.maximum(self.reference, scores.amax(1, keepdim=True))
        self.sums *= ((self.reference - reference) * self.scale).exp2_().T
        self.reference = reference
        self.sums += self._weigh((scores - reference).mul_(self.scale), tile.values)
