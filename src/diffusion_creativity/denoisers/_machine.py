"""What all patch machines share: data, labels, and batches cut into rows of one kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Self

import torch
from torch import Tensor

from .. import _validate
from .._kernels import picture

KEPT = 64  # window sizes or levels whose tables are kept


class PatchMachine:
    """What the machines share: data, labels, and batches cut by what their rows have in common."""

    x: Tensor
    shape: torch.Size
    labels: Tensor | None

    def __init__(self, x: Tensor | Sequence, labels: Tensor | Sequence | None, **settings) -> None:
        self.x = _validate.dataset(x)
        self.shape = self.x.shape[1:]
        self._picture = picture(self.shape)
        self.labels = None if labels is None else _labels(labels, self.x)
        self._settings = settings  # what `fit` was told
        self._kept: dict = {}

    def given(self, label: int) -> Self:
        """Return the denoiser conditioned on a label: the same, of the images that have it."""
        if self.labels is None:
            raise ValueError(f"given({label!r}) needs labels: fit(x, labels=...)")
        chosen = self.labels == label
        if not chosen.any():
            known = ", ".join(map(str, self.labels.unique().tolist()))
            raise ValueError(f"label must be one of {known}, got {label!r}")
        return type(self).fit(self.x[chosen], **self._settings)

    def _groups(self, sigma: Tensor) -> Iterator[tuple[float, Tensor]]:
        """Yield what a group of rows has in common, and the rows."""
        raise NotImplementedError

    def _denoise(self, y: Tensor, sigma: Tensor, common: float) -> Tensor:
        raise NotImplementedError

    def _keep(self, key: float, build: Callable):
        """Build once what belongs to a window size or a level; the last few are kept."""
        if key not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = build()
        return self._kept[key]

    @torch.no_grad()
    def __call__(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        r"""Estimate x from y = x + σn; y is (n, \*shape), sigma >= 0 a number or one per example.

        The answer is detached: no gradient flows back to y.
        """
        dtype = y.dtype if isinstance(y, Tensor) and y.is_floating_point() else torch.float32
        noisy, sigma = self._check(y, sigma)
        out = torch.empty_like(noisy)
        for key, rows in self._groups(sigma):
            out[rows] = self._denoise(noisy[rows], sigma[rows], key)
        return out.to(dtype)

    def _check(self, y: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        noisy = _validate.noisy(y, self.shape, self.x.device)
        like = noisy.new_empty(0, dtype=torch.float64)  # float32 would round 0.1 visibly
        return noisy, _validate.noise_level(sigma, len(noisy), like).expand(len(noisy))


def _labels(labels: Tensor | Sequence, x: Tensor) -> Tensor:
    try:
        tensor = torch.as_tensor(labels, device=x.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"labels must be whole numbers, got {type(labels).__name__}") from error
    if tensor.shape != (len(x),) or tensor.is_floating_point() or tensor.is_complex():
        raise ValueError(
            f"labels must be {len(x)} whole numbers, one for each example, got "
            f"{tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    return tensor
