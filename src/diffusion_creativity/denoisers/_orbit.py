"""Expectations under the posterior of a uniform law on images and all their circular shifts.

The shifted images are never built. Moduli of spectra, which shifts leave alone, tell which images
can matter to a query; an inverse FFT scores all shifts of two of them, and the weights of those
shifts, transformed, meet their spectrum in the sum. As in `_posterior`, each query takes the
cheapest route that is accurate for it: a float32 stream; where its rounding could be felt, the
few shifts that matter, weighed by float64 differences; where those are many, a stream in float64.
"""

import math

import torch
from torch import Tensor

from .._groups import Shifts
from .._points import slices

FELT = 4e-3  # bound on the error of a logit from which it could be felt
LIMIT = 256  # shifts per query that are weighed by differences
ROWS = 64  # queries handled at once
ROOM = 40.0  # weights up to 2 to this power; float32 holds a million of them, and more
SPARSE = 0.8  # below this share of pairs in sight, gathering them first is faster
FLOOR = -100.0  # logits are clamped here: powers of 2 below float32's normal numbers are slow


def expectation(
    shifts: Shifts, y: Tensor, sigma: Tensor, tilt: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """E[x|y], or Cov(x|y) v for `tilt` = (v, E[x|y]); y, v (n, d), sigma (n,)."""
    out = torch.empty_like(y)
    for part in slices(len(y), 1, ROWS):
        bent = tilt and tuple(t[part] for t in tilt)
        _block(out[part], shifts, y[part], sigma[part].double(), bent)
    return out


def _block(out: Tensor, shifts: Shifts, y: Tensor, sigma: Tensor, tilt) -> None:
    def pick(rows: Tensor):
        return tilt and tuple(t[rows] for t in tilt)

    felt = shifts.rounding(y) / sigma**2
    rough = (felt <= FELT) & (y.dtype == torch.float32) & (tilt is None)
    rows = rough.nonzero()[:, 0]
    if len(rows):
        out[rows] = streamed(shifts, y[rows], sigma[rows], torch.float32).to(out.dtype)
    left = (~rough).nonzero()[:, 0]
    fine = felt * 2.0**-29 <= FELT  # float64 has 29 bits more
    listing = left[(felt[left] > FELT) | ~fine[left]]  # else the shifts that matter are too many
    if len(listing):
        near = shifts.near(y[listing], _reach(shifts, y.dtype) * sigma[listing] ** 2, LIMIT)
        kept = (~near.crowded).nonzero()[:, 0]
        place = torch.full_like(listing, -1)
        place[kept] = torch.arange(len(kept), device=y.device)
        done = listing[kept]
        if len(done):
            pairs = place[near.rows], near.columns
            out[done] = listed(shifts, y[done], sigma[done], *pairs, pick(done)).to(out.dtype)
        left = left[~torch.isin(left, done)]
    rows = left[fine[left]]
    if len(rows):
        out[rows] = streamed(shifts, y[rows], sigma[rows], torch.float64, pick(rows)).to(out.dtype)
    for row in left[~fine[left], None]:  # hundreds of shifts tie at σ near 0
        reach = _reach(shifts, y.dtype) * sigma[row] ** 2
        near = shifts.near(y[row], reach, len(shifts), dtype=torch.float64)
        pairs = near.rows, near.columns
        out[row] = listed(shifts, y[row], sigma[row], *pairs, pick(row)).to(out.dtype)


def _reach(shifts: Shifts, dtype: torch.dtype) -> float:
    """Weights below exp(−this) of the largest are, all together, below the precision of dtype."""
    return math.log(len(shifts)) + (36 if dtype == torch.float64 else 16)


def streamed(shifts: Shifts, y: Tensor, sigma: Tensor, dtype: torch.dtype, tilt=None) -> Tensor:
    """Expectation by an online softmax over all shifts of all images that matter.

    Weights are powers of 2 (three times as fast as those of e), relative to a score that is
    reached; the inverse temperature is part of the query's spectrum, so FFTs give logits.
    """
    centred, reach = shifts.centre(y), _reach(shifts, dtype)
    most = 1e30 / (1 + centred.flatten(1).norm(dim=1))  # beyond only if all images are one
    precision = torch.minimum(sigma**-2.0 / math.log(2), most)[:, None]
    candidates, best = shifts.candidates(y, reach * sigma**2)
    query = shifts.query(centred * _column(precision, centred), dtype)
    reference = best[:, None] * precision
    top = torch.zeros(len(y), dtype=dtype, device=y.device)
    total, first = torch.zeros_like(best), torch.zeros_like(best)
    summed = torch.zeros_like(query)  # a spectrum
    if tilt is not None:
        mean = shifts.centre(tilt[1])
        direction = shifts.query(tilt[0].reshape_as(mean).double(), dtype)
        offset = -(tilt[0] * mean.flatten(1)).sum(1, keepdim=True).expand(-1, 2)
    for tile in shifts.tiles(candidates, dtype):
        bias = shifts.bias[tile.couples] * precision[tile.rows] - reference[tile.rows]
        logits = shifts.correlate(query, tile, bias)  # (k, *space, 2)
        tops = logits.flatten(1).amax(1)
        top = top.scatter_reduce(0, tile.rows, tops, "amax")
        if top.max() > ROOM:  # take a new reference, so that float32 can hold the weights
            rise = torch.where(top > ROOM, top, 0)
            here, shrink = rise[tile.rows], torch.exp2(-rise)
            top, tops, logits = top - rise, tops - here, logits - _column(here, logits)
            reference = reference + rise[:, None]
            total, first = total * shrink, first * shrink
            summed = summed * _column(shrink, summed)
        seen = (tops > top[tile.rows] - reach / math.log(2)).nonzero()[:, 0]
        if len(seen) == 0:
            continue  # an FFT of no images is an error
        if len(seen) < SPARSE * len(tops):
            tile, logits = tile.take(seen), logits[seen]
        weights = logits.clamp_(min=FLOOR).exp2_()
        total.index_add_(0, tile.rows, weights.flatten(1).sum(1).double())
        if tilt is not None:
            weights = weights * shifts.correlate(direction, tile, offset[tile.rows])
            first.index_add_(0, tile.rows, weights.flatten(1).sum(1).double())
        tile.add(summed, torch.fft.fftn(torch.view_as_complex(weights), dim=shifts.axes))
    images = torch.fft.ifftn(summed.to(torch.complex128), dim=shifts.axes).real
    if tilt is not None:
        return ((images - _column(first, mean) * mean) / _column(total, mean)).flatten(1)
    return (images / _column(total, images) + shifts.mean).flatten(1)


def _column(numbers: Tensor, like: Tensor) -> Tensor:
    """One number for each of the rows of `like`."""
    return numbers.reshape(-1, *[1] * (like.ndim - 1))


def listed(shifts, y, sigma, rows: Tensor, columns: Tensor, tilt=None) -> Tensor:
    """Expectation over pairs (query, shift) in float64; sigma = 0 shares among the nearest."""
    squares = shifts.squared_distances(y, rows, columns)
    nearest = torch.full_like(sigma, torch.inf).scatter_reduce_(0, rows, squares, "amin")
    gap = squares - nearest[rows]
    weights = torch.where(gap == 0, 1.0, torch.exp(-gap / (2 * sigma[rows] ** 2)))
    weights = weights / torch.zeros_like(sigma).index_add_(0, rows, weights)[rows]
    out = y.new_zeros(y.shape, dtype=torch.float64)
    for part in slices(len(rows), 4 * y.shape[1]):
        row, x, weight = rows[part], shifts.gather(columns[part]), weights[part, None]
        if tilt is not None:
            x = x - tilt[1][row]
            weight = weight * (x * tilt[0][row]).sum(1, keepdim=True)
        out.index_add_(0, row, weight * x)
    return out


class PosteriorMean(torch.autograd.Function):
    """E[x|y], whose Jacobian in y is the symmetric matrix Cov(x|y)/σ²."""

    @staticmethod
    def forward(ctx, y: Tensor, sigma: Tensor, shifts: Shifts) -> Tensor:
        x_hat = expectation(shifts, y, sigma)
        ctx.save_for_backward(y, sigma, x_hat)
        ctx.shifts = shifts
        return x_hat

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, direction: Tensor) -> tuple[Tensor, None, None]:
        y, sigma, x_hat = ctx.saved_tensors
        product = expectation(ctx.shifts, y.double(), sigma, (direction.double(), x_hat.double()))
        variance = sigma.double()[:, None] ** 2
        slope = torch.where(variance > 0, product / variance, 0.0)
        return slope.to(direction.dtype), None, None
