"""The bottleneck with a fixed linear encoder and a decoder that may be any function.

Derived in :prf:ref:`thm-bottle-encoder`, :prf:ref:`cor-bottle-copies`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _validate
from ..laws import Law
from ._conditional import Conditional, FiniteSet, Mixture, Normal
from .affine import Affine

TOLERANCE = 1e-5  # on the entries of W Wᵀ - I: float32 encoders pass


def pooling(shape: Sequence[int], factor: int) -> Tensor:
    """Average pooling as an encoder: W (k, d), orthonormal rows, for examples of this shape.

    The last two axes of `shape` are cut into squares of `factor` × `factor`; a code is the average
    over a square times `factor`, which makes the rows of W unit vectors.
    """
    shape = [_validate.integer("shape", size, minimum=1) for size in shape]
    factor = _validate.integer("factor", factor, minimum=1)
    if len(shape) < 2 or shape[-1] % factor or shape[-2] % factor:
        raise ValueError(
            f"factor must divide the last two sizes of shape {tuple(shape)}, got {factor}"
        )
    *front, height, width = shape
    squares = torch.arange(math.prod(shape) // factor**2)
    squares = squares.reshape(*front, height // factor, width // factor)
    of_pixel = squares.repeat_interleave(factor, -1).repeat_interleave(factor, -2).flatten()
    encoder = torch.zeros(squares.numel(), of_pixel.numel(), dtype=torch.float64)
    encoder[of_pixel, torch.arange(of_pixel.numel())] = 1 / factor
    return encoder


def pca(x: Tensor, k: int) -> Tensor:
    """The k leading eigenvectors of the covariance of x (N, *shape), as rows of W (k, d)."""
    k = _validate.integer("k", k, minimum=1)
    vectors = Affine.fit(x).eigenvectors
    if k > vectors.shape[1]:
        raise ValueError(f"k must be at most the rank of x, {vectors.shape[1]}, got {k}")
    return vectors[:, :k].T.contiguous()


class EncoderBottleneck:
    r"""The best denoiser that sees y only through a code W y, of k numbers: E[x | W y].

    W (k, d) is fixed and has orthonormal rows; the decoder may be any function. For N training
    points the posterior is a softmax over their codes, exact over all of them:

    .. math:: D_\sigma(y) = \sum_i w_i x_i, \qquad
              w = \mathrm{softmax}_i\bigl(-\lVert Wy - Wx_i\rVert^2 / 2\sigma^2\bigr).

    Accuracy is that of `Bayes`, whose sums it uses; codes are computed in float64. The answer is
    detached: no gradient flows back to y. Cost of a call: 2·n·d·k for the codes and 2·n·N·(k + d).

    Make one with `fit` (finite data), `from_gaussian` or `from_mixture` (populations).
    """

    def __init__(self, encoder: Tensor, conditional: Conditional, shape: torch.Size) -> None:
        self.encoder, self.shape = encoder, shape
        self._conditional = conditional

    @classmethod
    def fit(cls, x: Tensor | Sequence, *, encoder: Tensor) -> EncoderBottleneck:
        """Return the denoiser of the uniform law on training data x (N, *shape)."""
        x = _validate.dataset(x)
        W = _encoder(encoder, x[0].numel()).to(x.device)
        return cls(W, FiniteSet(x.flatten(1), W), x.shape[1:])

    @classmethod
    def from_gaussian(cls, mean: Tensor, cov: Tensor, *, encoder: Tensor) -> EncoderBottleneck:
        """Return the denoiser of N(mean, cov); W cov Wᵀ must be positive definite."""
        mean, cov = _validate.floating("mean", mean), _validate.floating("cov", cov)
        W = _encoder(encoder, mean.numel()).to(mean.device)
        if cov.shape != (mean.numel(),) * 2:
            raise ValueError(f"cov must have shape {(mean.numel(),) * 2}, got {tuple(cov.shape)}")
        return cls(W, Normal(mean.double().flatten(), cov.double(), W), mean.shape)

    @classmethod
    def from_mixture(
        cls,
        means: Tensor | Sequence,
        scales: float | Sequence[float],
        weights: Sequence[float] | None = None,
        *,
        encoder: Tensor,
    ) -> EncoderBottleneck:
        """Return the denoiser of isotropic Gaussians at `means` (K, *shape), scales > 0, one or K.

        `weights` (K,) are all equal by default. Many narrow components along a curve are a
        quadrature of the curve.
        """
        means = _validate.dataset(means, "means")
        count = len(means)
        scales = _validate.floating("scales", scales).double().to(means.device)
        scales = scales.expand(count) if scales.ndim == 0 else scales
        weights = torch.ones(count) if weights is None else _validate.floating("weights", weights)
        weights = weights.double().to(means.device)
        if scales.shape != (count,) or (scales <= 0).any():
            raise ValueError(f"scales must be one number > 0 or {count} of them, got {scales}")
        if weights.shape != (count,) or (weights < 0).any() or weights.sum() <= 0:
            raise ValueError(f"weights must be {count} numbers >= 0, not all 0, got {weights}")
        W = _encoder(encoder, means[0].numel()).to(means.device)
        parts = means.flatten(1).double(), scales, weights / weights.sum()
        return cls(W, Mixture(*parts, W), means.shape[1:])

    def __repr__(self) -> str:
        k, target = len(self.encoder), self._conditional
        return f"EncoderBottleneck({target}, code of {k}, shape {tuple(self.shape)})"

    @torch.no_grad()
    def __call__(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Estimate x from y = x + sigma n; y (n, *shape), sigma a number or one per example."""
        dtype = y.dtype if isinstance(y, Tensor) and y.is_floating_point() else torch.float32
        y = _validate.noisy(y, self.shape, self.encoder.device)
        levels = _validate.noise_level(sigma, len(y), self.encoder).expand(len(y))
        x_hat = self._conditional(self.encode(y), levels, y.dtype)
        return x_hat.reshape(y.shape).to(dtype)

    def encode(self, y: Tensor) -> Tensor:
        """Return the code W y, (n, k), in float64."""
        return y.flatten(1).double() @ self.encoder.T

    def law(self, sigmas: Tensor | Sequence[float] | None = None) -> Law:
        """The law of E[x | W x] (:prf:ref:`thm-bottle-encoder`).

        * Training data: `Discrete`. Points with equal codes become their mean; with distinct codes
          it is the training set. A schedule does not change it, provided that its last level is far
          below the distance of neighbouring codes; where it is not, neighbours are blended.
        * Gaussian: `Gaussian`, exact for the finite schedule.
        * Mixture: `Empirical`, from independent draws of E[x | W x + σ n] at the last level σ > 0
          of the schedule: what the exact flow down to there and one last step generate.
        """
        levels = None if sigmas is None else _validate.schedule(sigmas)
        return self._conditional.law(levels, self.shape)


def _encoder(encoder: Tensor, d: int) -> Tensor:
    """Check W (k, d) and return it in float64."""
    W = _validate.floating("encoder", encoder).double()
    if W.ndim != 2 or W.shape[1] != d or not 1 <= len(W) <= d:
        raise ValueError(
            f"encoder must have shape (k, {d}) with 1 <= k <= {d}: one row for each number of the "
            f"code, one column for each entry of an example; got {tuple(W.shape)}"
        )
    gap = (W @ W.T - torch.eye(len(W)).to(W)).abs().max().item()
    if gap > TOLERANCE:
        raise ValueError(
            f"encoder must have orthonormal rows: W Wᵀ differs from I by {gap:.3g}, at most "
            f"{TOLERANCE:g} is taken; torch.linalg.qr(W.T)[0].T has the same row space"
        )
    return W
