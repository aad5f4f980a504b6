"""Posteriors over training images, one for each place, from what a mask shows of the noisy image.

The squared distance at place p is ``d²_p = Σ_j M_pj (y_j − x_ij)²`` with M >= 0: a matrix product
of squared differences, in which nothing cancels. An online softmax streams over all images.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .._matmul import float32_matmul
from .._points import slices
from ._windows import Box

TILE = {"cpu": 1 << 18, "cuda": 1 << 25}  # numbers of one tile of differences
ROWS = 8  # queries that meet a tile together
FLOOR = -126.0  # log₂ of weights is clamped here: exp2 of a float32 that underflows is slow
FELT = 1e-4  # error of a logit from which distances are computed in float64


class Mask:
    """A dense M (d, d): each entry of the image has a mask of its own."""

    def __init__(self, masks: Tensor) -> None:
        self.masks, self.places = masks, len(masks)

    def see(self, squares: Tensor) -> Tensor:
        """Return d² for squared differences (…, d)."""
        return squares @ self.masks.to(squares).T


class Images:
    """N training images as rows (N, d), their mean and their deviation from it."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        parts = list(slices(*x.shape))
        self.mean = sum(x[part].sum(0, dtype=torch.float64) for part in parts) / len(x)
        squares = sum((x[part].double() - self.mean).square().sum(0) for part in parts)
        self.variance = squares / len(x)
        self.deviation = self.variance.mean().sqrt()

    def rounding(self, view: Box | Mask, y: Tensor) -> Tensor:
        """Estimate (n,) the error of float32 distances d²/2: a few half units of d²."""
        around = view.see((y.double() - self.mean).square()).amax(1)
        return 2 * 2.0**-24 * (around + view.see(self.variance).amax())


class Tile(NamedTuple):
    """Some images and their distances."""

    images: Tensor  # (t, d)
    squares: Tensor  # (r, t, places): d², up to what all images share


class Posterior:
    """Weights p_p(i|y) over images x (N, d) for a few queries y (r, d) at levels sigma (r,)."""

    def __init__(self, data: Images, view: Box | Mask, y: Tensor, sigma: Tensor) -> None:
        self.x, self.view, dtype = data.x, view, y.dtype
        largest = 1e30 if dtype == torch.float32 else 1e300
        scale = (math.log2(math.e) / 2) * (sigma**-2.0)
        self.scale = scale.clamp(torch.finfo(dtype).tiny, largest).to(dtype)[:, None, None]
        # (x − first)(x − second) is (y − x)² or, less |y − mean|², the same.
        # The second does not drown in noise: where σ is large, (y − x)² hardly depends on x.
        y64, mean, far = y.double(), data.mean, (sigma > data.deviation)[:, None]
        self.first = torch.where(far, mean, y64).to(dtype)[:, None]
        self.second = torch.where(far, 2 * y64 - mean, y64).to(dtype)[:, None]
        self.best = torch.full((len(y), 1, view.places), torch.inf, dtype=dtype, device=y.device)
        self.total = torch.zeros_like(self.best)

    def tiles(self) -> Iterator[Tile]:
        """Yield all images with their distances."""
        width = TILE.get(self.x.device.type, 1 << 20) // self.first.numel()
        for part in slices(len(self.x), 1, max(width, 1)):
            images = self.x[part].to(self.first.dtype)
            squares = (images - self.first).mul_(images - self.second)  # (r, t, d)
            with float32_matmul(self.x.device):
                yield Tile(images, self.view.see(squares))

    def weights(self, squares: Tensor) -> Tensor:
        """exp(−(d² − best)/2σ²), (r, t, places), overwriting squares."""
        return torch.sub(self.best, squares, out=squares).mul_(self.scale).clamp_(min=FLOOR).exp2_()

    def improve(self, squares: Tensor) -> Tensor:
        """Take in distances; return the weight of earlier images relative to the new best."""
        best = torch.minimum(self.best, squares.amin(1, keepdim=True))
        shrink = (best - self.best).mul_(self.scale).clamp_(min=2 * FLOOR).exp2_()
        self.best = best
        self.total *= shrink
        return shrink

    def mean(self) -> Tensor:
        """E_p[x_p|y] of each entry of the image at its own place, (r, d)."""
        channels = self.x.shape[1] // self.view.places
        summed = self.total.new_zeros(len(self.first), channels, self.view.places)
        for images, squares in self.tiles():
            summed *= self.improve(squares)
            weights = self.weights(squares)
            self.total += weights.sum(1, keepdim=True)
            for c, centre in enumerate(images.unflatten(1, (channels, -1)).unbind(1)):
                summed[:, c] += (weights * centre).sum(1)
        return (summed / self.total).flatten(1)

    def overlapping_mean(self) -> Tensor:
        """Whole-window posterior means, averaged where windows overlap, (r, d)."""
        for _, squares in self.tiles():
            self.improve(squares)
            self.total += self.weights(squares).sum(1, keepdim=True)
        x_hat = torch.zeros_like(self.first)[:, 0]
        for images, squares in self.tiles():  # now that the totals are known
            weights = self.view.spread(self.weights(squares).div_(self.total))
            x_hat += weights.mul_(images).sum(1)
        return x_hat


def expectation(
    data: Images, view: Box | Mask, y: Tensor, sigma: Tensor, *, overlapping: bool = False
) -> Tensor:
    """Return the denoised images, like y (n, d), for sigma (n,) in float64."""
    out = torch.empty_like(y)
    felt = data.rounding(view, y) / sigma**2
    fine = ~(felt <= FELT) | (y.dtype == torch.float64)  # at σ = 0, NaN as well
    for chosen, dtype in ((fine, torch.float64), (~fine, torch.float32)):
        for part in slices(int(chosen.sum()), 1, ROWS):
            rows = chosen.nonzero()[part, 0]
            posterior = Posterior(data, view, y[rows].to(dtype), sigma[rows])
            found = posterior.overlapping_mean() if overlapping else posterior.mean()
            out[rows] = found.to(out.dtype)
    return out
