"""The denoiser of least mean squared error on a finite training set: perfect, so it copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import _validate
from .._points import Points
from ._posterior import Moment, expectation

if TYPE_CHECKING:
    from ..laws import Discrete


class Bayes:
    r"""Posterior mean of a uniform law on N training points, exact over all of them.

    .. math:: D_\sigma(y) = \sum_i w_i x_i, \qquad
              w = \mathrm{softmax}_i\bigl(-\lVert y - x_i\rVert^2 / 2\sigma^2\bigr).

    """

    def __init__(self, x: Tensor) -> None:
        self.shape = x.shape[1:]
        self._points = Points(x.reshape(len(x), -1))

    @classmethod
    def fit(cls, x: Tensor | Sequence) -> Bayes:
        """Return the denoiser of training data x of shape (N, \\*shape), of any dtype."""
        return cls(_validate.dataset(x))

    @property
    def x(self) -> Tensor:
        """The training points, (N, \\*shape)."""
        return self._points.x.reshape(-1, *self.shape)

    def __call__(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return E[x|y] for noisy y (n, \\*shape) and sigma >= 0, a number or one per example."""
        noisy, sigma = self._check(y, sigma)
        x_hat = _PosteriorMean.apply(noisy.flatten(1), sigma, self._points).reshape(y.shape)
        return x_hat.to(y.dtype) if y.is_floating_point() else x_hat

    def posterior(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the weights p(i|y), shape (n, N), like y: O(n·N·d) time and n·N numbers."""
        noisy, sigma = self._check(y, sigma)
        distances = torch.cdist(
            noisy.detach().flatten(1).double(),
            self._points.x.double(),
            compute_mode="donot_use_mm_for_euclid_dist",
        ).square()
        gap = distances - distances.amin(1, keepdim=True)
        weights = torch.where(gap == 0, 1.0, torch.exp(-gap / (2 * sigma.double()[:, None] ** 2)))
        return (weights / weights.sum(1, keepdim=True)).to(noisy.dtype)

    def law(self, sigmas: Tensor | Sequence[float] | None = None) -> Discrete:
        r"""Return the law of the samples: each training point with probability 1/N."""
        from ..laws import Discrete

        if sigmas is not None:
            _validate.schedule(sigmas)
        atoms, counts = self._points.x.unique(dim=0, return_counts=True)
        return Discrete(atoms.reshape(-1, *self.shape), counts.double() / len(self._points.x))

    def _check(self, y: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        noisy = _validate.noisy(y, self.shape, self._points.x.device)
        return noisy, _validate.noise_level(sigma, len(noisy), like=noisy).expand(len(noisy))


class _PosteriorMean(torch.autograd.Function):
    """E[x|y], whose Jacobian in y is the symmetric matrix Cov(x|y)/σ²."""

    @staticmethod
    def forward(ctx, y: Tensor, sigma: Tensor, points: Points) -> Tensor:
        x_hat = expectation(points, y, sigma)
        ctx.save_for_backward(y, sigma, x_hat)
        ctx.points = points
        return x_hat

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, direction: Tensor) -> tuple[Tensor, None, None]:
        y, sigma, x_hat = ctx.saved_tensors
        product = expectation(ctx.points, y, sigma, Moment(direction, x_hat))
        slope = product / sigma[:, None] ** 2
        return torch.where(sigma[:, None] > 0, slope, 0.0), None, None
