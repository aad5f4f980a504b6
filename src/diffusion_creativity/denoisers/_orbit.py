"""Expectations under the posterior of a uniform law on images and all their circular shifts.

The shifted images are never built. One inverse FFT scores all shifts of an image; the weights of
those shifts, transformed, meet its spectrum in the sum. As in `_posterior`, each query takes the
cheapest route that is accurate for it: a float32 stream; where its rounding could be felt, the
few shifts that matter, weighed by float64 differences; where those are many, a stream in float64.
"""

import math

import torch
from torch import Tensor

from .._groups import Shifts
from .._points import slices

FELT = 4e-3  # bound on the error of a logit from which it could be felt
LIMIT = 64  # shifts per query that are weighed by differences
ROWS = 64  # queries handled at once


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
    """Expectation by an online softmax over all shifts of all images."""
    query, n = shifts.query(y, dtype), len(y)
    precision = (sigma**-2.0).clamp(torch.finfo(dtype).tiny, 1e30).to(dtype)[:, None, None]
    best = torch.full_like(precision, torch.finfo(dtype).min)
    total, first = torch.zeros_like(best), torch.zeros_like(best)
    summed = torch.zeros_like(query)  # (n, C, F…), a spectrum
    floor = -_reach(shifts, dtype)
    if tilt is not None:
        centre = tilt[1].reshape(n, -1, *shifts.space).double() - shifts.mean
        v = tilt[0].reshape_as(centre).double()
        direction = torch.fft.rfftn(v, dim=tuple(range(-len(shifts.space), 0)))
        offset = (v * centre).flatten(1).sum(1)[:, None, None]
    for _, spectrum, bias in shifts.blocks(n, dtype):
        scores = shifts.correlate(query, spectrum).flatten(2).add_(bias[:, None])  # (n, t, size)
        tops = scores.amax(2, keepdim=True)
        top = torch.maximum(best, tops.amax(1, keepdim=True))
        seen = (((tops - top) * precision).amax((0, 2)) > floor).nonzero()[:, 0]
        if len(seen) == 0:
            continue  # an FFT of no images is an error
        if len(seen) < 0.8 * len(spectrum):  # most images are out of every query's sight
            scores, spectrum = scores[:, seen], spectrum[seen]
        mass = scores.sub_(top).mul_(precision).clamp_(min=-80.0).exp_()
        shrink = (best - top).mul_(precision).exp_()
        best = top
        total = total * shrink + mass.sum((1, 2), keepdim=True)
        if tilt is not None:
            mass = mass * (shifts.correlate(direction, spectrum).flatten(2) - offset)
            first = first * shrink + mass.sum((1, 2), keepdim=True)
        mass = mass.unflatten(2, shifts.space)
        back = torch.fft.rfftn(mass, dim=tuple(range(-len(shifts.space), 0)))
        shape = (n, *[1] * (summed.ndim - 1))
        summed = summed * shrink.reshape(shape) + torch.stack(
            [(back * spectrum[None, :, c]).sum(1) for c in range(spectrum.shape[1])], 1
        )
    images = shifts.back(summed.to(torch.complex128))  # (n, C, *space)
    if tilt is not None:
        shape = (n, *[1] * (images.ndim - 1))
        images = images - first.double().reshape(shape) * centre
        return (images / total.double().reshape(shape)).flatten(1)
    images = images / total.double().reshape(n, *[1] * (images.ndim - 1))
    return (images + shifts.mean).flatten(1)


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
