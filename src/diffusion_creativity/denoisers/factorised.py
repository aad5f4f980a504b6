"""Denoisers that look at one part of the image at a time, and generate the parts independently.

Derived in :prf:ref:`thm-product`, :prf:ref:`thm-pixelwise` and :prf:ref:`thm-chimeras`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _blocks, _validate
from ..laws import Discrete, Product
from ._grouped import Factors, PosteriorMean


class _Factorised:
    """What both share: y is cut into parts (G, n, p), and each part has a posterior mean."""

    shape: torch.Size
    places: Tensor  # (B, p): the flat entries of each part
    _factors: Factors

    def __call__(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        r"""Return E[part | the same part of y] for each part, like y; y is (n, \*shape)."""
        dtype = y.dtype if isinstance(y, Tensor) and y.is_floating_point() else torch.float32
        noisy = _validate.noisy(y, self.shape, self.places.device)
        like = noisy.new_empty(0, dtype=torch.float64)  # float32 would round 0.1 visibly
        sigma = _validate.noise_level(sigma, len(noisy), like).expand(len(noisy))
        parts = noisy.flatten(1)[:, self.places].movedim(0, 1)  # (B, n, p)
        x_hat = self._denoise(parts, sigma).movedim(0, 1).flatten(1)
        return x_hat[:, self._back].reshape(y.shape).to(dtype)

    def _denoise(self, parts: Tensor, sigma: Tensor) -> Tensor:
        return PosteriorMean.apply(parts, sigma, self._factors)

    def _set(self, shape: torch.Size, places: Tensor, factors: Factors) -> None:
        self.shape, self.places, self._factors = shape, places, factors
        self._back = places.flatten().argsort()


class Pixelwise(_Factorised):
    r"""The best denoiser that sees, for each pixel, nothing but that pixel.

    .. math:: \hat x_p = \mathbb E[x_p \mid y_p]
              = \sum_v \pi_p(v)\, e^{-\lVert y_p - v\rVert^2/2\sigma^2} v \Big/
                \sum_v \pi_p(v)\, e^{-\lVert y_p - v\rVert^2/2\sigma^2},

    with :math:`\pi_p` the histogram of the training set at pixel p (own weights for each pixel), or
    the pooled histogram of all pixels (`shared`: a 1×1 convolution). As a 1×1 convolution does, a
    pixel sees all its channels: in shape (C, \*space) its value v is a vector of C numbers; in
    shape (d,) each entry is a pixel. Cost of a call: n · pixels · values a pixel takes.
    """

    @classmethod
    def fit(cls, x: Tensor | Sequence, *, shared: bool = False) -> Pixelwise:
        r"""Return the denoiser of training data x, shape (N, \*shape)."""
        x = _validate.dataset(x)
        if not isinstance(shared, bool):
            raise ValueError(f"shared must be True or False, got {shared!r}")
        self = cls()
        self.shared, shape = shared, x.shape[1:]
        channels = shape[0] if len(shape) > 1 else 1
        pixels = math.prod(shape) // channels
        places = torch.arange(channels * pixels, device=x.device).reshape(channels, pixels).T
        values, level = _distinct(x.reshape(-1, channels, pixels).movedim(1, 2).flatten(0, 1))
        level = level.reshape(-1, pixels)  # (N, P)
        if shared:
            counts = level.flatten().bincount(minlength=len(values))[None]
            atoms = values[None]
        else:
            atoms, counts, self._shown = _by_pixel(values, level)
        self._set(shape, places, Factors(atoms, counts))
        return self

    def __repr__(self) -> str:
        kind = "shared" if self.shared else "own"
        return f"Pixelwise({len(self.places)} pixels, {kind} histograms, shape {tuple(self.shape)})"

    def _denoise(self, parts: Tensor, sigma: Tensor) -> Tensor:
        if not self.shared:
            return super()._denoise(parts, sigma)
        pixels, n, channels = parts.shape  # all pixels are queries to one histogram
        queries = parts.reshape(1, pixels * n, channels)
        return super()._denoise(queries, sigma.repeat(pixels)).reshape(parts.shape)

    def law(self, sigmas: Tensor | Sequence[float] | None = None) -> Product:
        """The law of the samples: independent pixels with the histograms of the training set.

        This is the limit of the exact flow as σ_max → ∞. On a schedule `sigmas` pixels of one
        channel have probabilities of their own (:prf:ref:`prop-pixel-steps`): a step of DDIM is an
        increasing function, so each value collects an interval of starts, found by bisection.
        For several channels the answer is that of the limit.
        """
        f = self._factors
        weights = f.weights
        if sigmas is not None:
            levels = _validate.schedule(sigmas)
            if f.atoms.shape[2] == 1 and f.atoms.shape[1] > 1:
                weights = _collected(f, levels)
        factors = [_discrete(a[c > 0], w[c > 0]) for a, w, c in
                   zip(f.atoms, weights, f.weights, strict=True)]  # fmt: skip
        if self.shared:
            return Product(factors * len(self.places), list(self.places), self.shape)
        together = self._shown if len(factors) > 1 else None
        return Product(factors, list(self.places), self.shape, together=together)


def _collected(factors: Factors, levels: list[float], halvings: int = 50) -> Tensor:
    """Probability (G, K) that DDIM, from N(0, levels[0]²), ends nearest to each scalar atom."""
    values = factors.atoms[..., 0].double().masked_fill(factors.weights == 0, torch.inf)
    middle = (values[:, 1:] + values[:, :-1]) / 2  # ascending; infinite after a factor's last
    low = torch.full_like(middle, -9 * levels[0])  # beyond 9 deviations lies less than 1e-18
    high = -low
    sigma = values.new_empty(middle.shape[1])
    for _ in range(halvings):
        start = y = (low + high) / 2
        for level, after in itertools.pairwise(levels):
            x_hat = factors.expectation(y[..., None], sigma.fill_(level))[..., 0]
            y = x_hat + after / level * (y - x_hat)
        low, high = torch.where(y < middle, start, low), torch.where(y < middle, high, start)
    below = torch.special.ndtr(high / levels[0]).masked_fill(middle.isinf(), 1.0)
    edge = torch.ones_like(below[:, :1])
    return torch.cat([0 * edge, below, edge], 1).diff()


class Blockwise(_Factorised):
    r"""The best denoiser that sees, for each block of the image, nothing but that block.

    .. math:: \hat x_b = \sum_i w_{bi}\, x_{ib}, \qquad
              w_b = \mathrm{softmax}_i\bigl(-\lVert y_b - x_{ib}\rVert^2/2\sigma^2\bigr):

    Bayes on each of B disjoint blocks, with weights of its own, so that the flow picks each block's
    training image by itself: :math:`N^B` chimeras. Cost of a call: 4·n·N·d operations, in batched
    matrix products over all blocks. Accuracy in float32, σ = 0.002 … 80: 1e-5 of the data's range.
    """

    @classmethod
    def fit(cls, x: Tensor | Sequence, *, block: int | tuple[int, int]) -> Blockwise:
        r"""Return the denoiser of x (N, \*shape), cut into blocks.

        A block has `block` pixels along each axis, an integer or one number per axis, and all
        channels: the axes are those of `shape` but for the first, in shape (d,) the only one.
        """
        x = _validate.dataset(x)
        self = cls()
        self.block, self.x = _blocks.sizes(block, x.shape[1:]), x
        places = _blocks.cut(x.shape[1:], self.block).to(x.device)
        atoms = x.flatten(1)[:, places].movedim(0, 1).contiguous()  # (B, N, p)
        weights = torch.ones(atoms.shape[:2], device=x.device, dtype=torch.float64)
        self._set(x.shape[1:], places, Factors(atoms, weights))
        return self

    def __repr__(self) -> str:
        size = "×".join(map(str, self.block))
        return f"Blockwise({len(self.x)} points, {len(self.places)} blocks of {size})"

    def law(self, sigmas: Tensor | Sequence[float] | None = None) -> Product:
        """The law of the samples: each block from a training image of its own, uniformly.

        As for `Bayes`, this is the limit of the exact flow as σ_max → ∞ and `sigmas` does not
        change it; few steps shift probabilities. Equal blocks of several images are one atom.
        """
        if sigmas is not None:
            _validate.schedule(sigmas)
        factors, shown = [], []
        for atoms in self._factors.atoms:
            values, index, counts = atoms.unique(dim=0, return_inverse=True, return_counts=True)
            factors.append(_discrete(values, counts))
            shown.append(index)
        together = torch.stack(shown, 1) if len(factors) > 1 else None
        return Product(factors, list(self.places), self.shape, together=together)


def _discrete(atoms: Tensor, weights: Tensor) -> Discrete:
    return Discrete(atoms, weights.double() / weights.sum())


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows (L, C) in order, and which one each row is."""
    rows = rows + 0.0  # -0 and 0 are one value
    if rows.shape[1] == 1:  # several times as fast as rows are
        values, index = rows[:, 0].unique(return_inverse=True)
        return values[:, None], index
    return rows.unique(dim=0, return_inverse=True)


def _by_pixel(values: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Atoms (P, K, C), counts (P, K), padded to the pixel with most, and which one shows (N, P)."""
    pixels, count = level.shape[1], len(values)
    at = torch.arange(pixels, device=level.device)
    keys, shown, counts = (level + at * count).unique(return_inverse=True, return_counts=True)
    pixel = keys // count
    sizes = pixel.bincount(minlength=pixels)
    starts = sizes.cumsum(0) - sizes
    rank = torch.arange(len(keys), device=level.device) - starts[pixel]
    atoms = values.new_zeros(pixels, int(sizes.max()), values.shape[1])
    padded = counts.new_zeros(atoms.shape[:2])
    atoms[pixel, rank], padded[pixel, rank] = values[keys % count], counts
    return atoms, padded, shown - starts
