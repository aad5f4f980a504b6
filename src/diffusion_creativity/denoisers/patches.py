"""Patch machines: the best denoisers that see a window of the image around each pixel.

After Kamb & Ganguli (2412.20292: local and equivariant local scores) and Niedoba et al.
(2411.19339: patch set posterior composites).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .. import _validate
from . import _anywhere, _same_place
from ._bank import Bank
from ._machine import PatchMachine
from ._same_place import Images
from ._windows import Box, Window, Windows, padding_of


class _Windowed(PatchMachine):
    """A machine with a window."""

    def __init__(self, x, labels, **settings) -> None:
        super().__init__(x, labels, **settings)
        self.windows = Windows(settings["window"])
        self.padding = padding_of(settings["padding"]) if "padding" in settings else "inside"

    def _groups(self, sigma: Tensor) -> Iterator[tuple[int, Tensor]]:
        return self.windows.groups(sigma)

    def __repr__(self) -> str:
        name, padding = type(self).__name__, self.padding
        return f"{name}({self.windows}, {padding}, {len(self.x)} points of {tuple(self.shape)})"


class LocalScore(_Windowed):
    r"""The best denoiser that sees, for each pixel, the window around it, and knows where it is.

    .. math:: \hat x_p = \mathbb E[x_p \mid y_{\Omega_p}] = \sum_i w_{pi}\, x_{ip}, \qquad
              w_p = \mathrm{softmax}_i\bigl(-\lVert y_{\Omega_p} - x_{i\Omega_p}\rVert^2
              / 2\sigma^2\bigr),

    with Ω_p the `window`² pixels around p, all channels, exact over all N images. A window of 1 is
    `Pixelwise`, one that covers the image from everywhere is `Bayes`.

    Cost of a call: n·N·d·(2H + 2W) operations, whatever the window: distances are sums of squared
    differences over a band of rows, then of columns. Accuracy in float32: 1e-5 of the data's range.
    """

    @classmethod
    def fit(
        cls,
        x: Tensor | Sequence,
        *,
        window: Window,
        padding: str = "zeros",
        labels: Tensor | Sequence | None = None,
    ) -> LocalScore:
        """Return the denoiser of training data x, shape (N, C, H, W) or (N, C, L).

        Parameters
        ----------
        window
            Odd side of the window in pixels; a function of σ that returns it; or a table {σ: side},
            of which the entry nearest in log σ counts. Along an axis that is shorter, a window sees
            the whole of it. Signals (C, L) have windows of `window` places.
        padding
            "zeros": the window ends at the border. "circular": it goes on at the other side.
        labels
            Whole numbers (N,): ``denoiser.given(label)`` is the denoiser of images that have it.
        """
        self = cls(x, labels, window=window, padding=padding)
        self._data = Images(self.x.flatten(1))
        return self

    def _denoise(self, y: Tensor, sigma: Tensor, side: int) -> Tensor:
        def build() -> Box:
            return Box(self._picture, (side, side), self.padding)

        view = self._keep(side, build)
        return _same_place.expectation(self._data, view, y.flatten(1), sigma).reshape(y.shape)


class PatchPosterior(_Windowed):
    r"""Posterior means of whole windows, averaged where the windows overlap.

    .. math:: \hat x = \Bigl(\sum_p C_p^\top C_p\Bigr)^{-1}
              \sum_p C_p^\top\, \mathbb E[C_p x \mid C_p y],

    where C_p cuts out the window at place p: all windows that fit into the image, as in Niedoba et
    al. `LocalScore` keeps the centre of each of them, this machine all. Exact over all N images,
    in two passes: the weights of a window must be known before windows are averaged.

    Cost of a call: n·N·d·(6H + 6W) operations, whatever the window.
    """

    @classmethod
    def fit(
        cls,
        x: Tensor | Sequence,
        *,
        window: Window,
        labels: Tensor | Sequence | None = None,
    ) -> PatchPosterior:
        """Return the denoiser of training data x; arguments as in `LocalScore.fit`."""
        self = cls(x, labels, window=window)
        self._data = Images(self.x.flatten(1))
        return self

    def _denoise(self, y: Tensor, sigma: Tensor, side: int) -> Tensor:
        def build() -> Box:
            return Box(self._picture, (side, side), "inside")

        flat, view = y.flatten(1), self._keep(side, build)
        x_hat = _same_place.expectation(self._data, view, flat, sigma, overlapping=True)
        return x_hat.reshape(y.shape)


class EquivariantLocalScore(_Windowed):
    r"""The best denoiser that sees the window around a pixel, but not where in the image it is.

    .. math:: \hat x_p = \sum_{i}\sum_{q \in B_p} w_{p,iq}\, x_{iq}, \qquad
              w_p = \mathrm{softmax}_{i,q}\bigl(-\lVert y_{\Omega_p} - x_{i\Omega_q}\rVert^2
              / 2\sigma^2\bigr),

    over windows Ω_q from the places B_p of all N images, exactly. With `borders` (zero padding) B_p
    are the places that have the same overlap with the border as p: a window shows how far the
    border is, as it does to a network that pads with zeros. Without, B_p are all places: what
    sticks out is zeros, and counts as such. With circular padding there is no border, and `borders`
    changes nothing; a window of 1 is then `Pixelwise` with shared weights, and one of the size of
    the image `Equivariant`.

    Cost of a call: n·N·P² pairs of windows for P = H·W places, 2Ck² operations and one exp2 each
    (with `borders` fewer pairs: those of places that have the same overlap). Memory does not depend
    on N: windows are cut from the images in tiles that all queries of a batch share. Where float32
    scores are too coarse (small σ) they only tell, by a proven bound on their error, which windows
    could matter; those are weighed in float64, and by differences at σ → 0, where each pixel
    becomes the centre of the nearest window, the mean of them on a tie. Accuracy in float32: 1e-5
    of the data's range.
    """

    @classmethod
    def fit(
        cls,
        x: Tensor | Sequence,
        *,
        window: Window,
        borders: bool = True,
        padding: str = "zeros",
        labels: Tensor | Sequence | None = None,
    ) -> EquivariantLocalScore:
        """Return the denoiser of training data x; other arguments as in `LocalScore.fit`.

        `borders`: windows are compared with windows that have the same overlap with the border.
        """
        if not isinstance(borders, bool):
            raise ValueError(f"borders must be True or False, got {borders!r}")
        self = cls(x, labels, window=window, borders=borders, padding=padding)
        self.borders = borders and padding == "zeros"
        return self

    def _bank(self, side: int) -> Bank:
        def build() -> Bank:
            images = self.x.reshape(-1, *self._picture)
            return Bank(images, side, self.padding, borders=self.borders)

        return self._keep(side, build)

    def _denoise(self, y: Tensor, sigma: Tensor, side: int) -> Tensor:
        pictures = y.reshape(-1, *self._picture)
        return _anywhere.expectation(self._bank(side), pictures, sigma).reshape(y.shape)

    @torch.no_grad()
    def nearest(self, y: Tensor, sigma: float, *, neighbours: int) -> tuple[Tensor, Tensor]:
        """Approximate the denoiser by the nearest windows alone, and say how much is neglected.

        Returns x_hat, like y, and for each place a proven bound on the weight of all other windows,
        (n, H, W) or (n, L): x_hat is off by at most the bound times the range of the data. Windows
        are found by a k-d tree, built at the first call for a window size: 8·N·P·Ck² bytes for P
        places. Worth it where σ and the window are small: a tree prunes little in many dimensions.
        """
        from ._preselect import preselected

        noisy, level = self._check(y, sigma)
        count = _validate.integer("neighbours", neighbours, minimum=1)
        if len(level.unique()) > 1:
            raise ValueError(f"sigma must be one number here, got {sigma!r}")
        bank = self._bank(self.windows.at(level[0].item() if len(level) else 0.0))
        x_hat, bound = preselected(bank, noisy.reshape(-1, *self._picture), level, count)
        return x_hat.reshape(y.shape), bound.reshape(len(y), *self.shape[1:])
