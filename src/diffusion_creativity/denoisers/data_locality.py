"""Locality from the data: the mask of each pixel is its row of the data's Wiener matrix.

After Lukoianov et al. (2509.09672), with an exact softmax over all data instead of an average of
mini-batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .. import _validate
from . import _same_place
from ._machine import PatchMachine
from ._same_place import Images, Mask
from .affine import Affine


class DataLocality(PatchMachine):
    r"""A patch machine whose patches are found in the data: where the best linear denoiser looks.

    .. math:: \hat x_p = \sum_i w_{pi}\, x_{ip}, \qquad w_p = \mathrm{softmax}_i\Bigl(
              -\sum_j M_{pj}(y_j - x_{ij})^2 / 2\sigma^2\Bigr), \qquad
              M_{pj} = |W_{pj}| / \max_k |W_{pk}|,

    with :math:`W = \Sigma(\Sigma + \sigma^2 I)^{-1}` and p, j all entries of an image, channels
    included. Entries of M below `threshold` count as 0; not `soft`, the others count as 1. A row of
    W that is zero (an entry that never varies) sees nothing: its answer is the mean.

    Cost of a call: 2·n·N·d² operations, and 2·d³ for a new level; memory for d² numbers a level.
    """

    @classmethod
    def fit(
        cls,
        x: Tensor | Sequence,
        *,
        threshold: float = 0.02,
        soft: bool = True,
        labels: Tensor | Sequence | None = None,
    ) -> DataLocality:
        r"""Return the denoiser of training data x, shape (N, C, H, W) or (N, C, L).

        Parameters
        ----------
        threshold
            0 to 1, relative to the largest entry of the row. Published: 0.005 (MNIST,
            Fashion-MNIST), 0.02 (CelebA-HQ, AFHQ), 0.05 (CIFAR-10).
        soft
            Whether entries above the threshold keep their size, or all count as 1.
        labels
            Whole numbers (N,): ``denoiser.given(label)`` is the denoiser of images that have it.
        """
        threshold = _validate.real("threshold", threshold, minimum=0)
        if threshold > 1:
            raise ValueError(f"threshold must be at most 1, got {threshold:g}")
        if not isinstance(soft, bool):
            raise ValueError(f"soft must be True or False, got {soft!r}")
        self = cls(x, labels, threshold=threshold, soft=soft)
        self.threshold, self.soft = threshold, soft
        self._data = Images(self.x.flatten(1))
        self._affine = Affine.fit(self.x)
        return self

    def __repr__(self) -> str:
        kind = "soft" if self.soft else "hard"
        return f"DataLocality({kind} masks, {len(self.x)} points of {tuple(self.shape)})"

    def masks(self, sigma: float) -> Tensor:
        """Return M at one level, (d, d): row p is the mask of entry p."""
        rows = self._affine.maps(sigma)[0].abs()
        largest = rows.amax(1, keepdim=True)
        varies = largest > 1e-12 * largest.max().clamp(min=1e-300)  # else it is rounding
        rows = torch.where(varies, rows / largest, 0.0)
        seen = rows >= max(self.threshold, torch.finfo(rows.dtype).tiny)
        return torch.where(seen, rows, 0.0) if self.soft else seen.to(rows)

    def _groups(self, sigma: Tensor) -> Iterator[tuple[float, Tensor]]:
        for level in sigma.unique().tolist():
            yield level, (sigma == level).nonzero()[:, 0]

    def _denoise(self, y: Tensor, sigma: Tensor, level: float) -> Tensor:
        view = self._keep(level, lambda: Mask(self.masks(level)))
        return _same_place.expectation(self._data, view, y.flatten(1), sigma).reshape(y.shape)
