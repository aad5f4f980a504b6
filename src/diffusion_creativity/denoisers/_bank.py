"""Banks of windows cut from many images: what places with equal windows share."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .._points import LARGEST, slices
from ._same_place import Images
from ._windows import Box, Strip, clipped, strips

SAMPLE = 1 << 16  # numbers whose most frequent one is the background
WIDTH = {"cpu": 1 << 11, "cuda": 1 << 13}  # windows of one tile


class Region(NamedTuple):
    """A rectangle of places whose windows are cut alike."""

    rows: Strip
    columns: Strip
    padded: bool  # the window is whole: what sticks out has been padded

    @property
    def places(self) -> tuple[slice, slice]:
        """Where in the image they are."""
        return tuple(slice(s.first, s.first + s.count) for s in self[:2])

    @property
    def count(self) -> int:
        """How many they are."""
        return self.rows.count * self.columns.count

    def narrow(self, images: Tensor) -> Tensor:
        """What of images (m, C, H, W) the windows hold: a view."""
        if not self.padded:
            for axis, s in enumerate(self[:2], 2):
                images = images.narrow(axis, s.first - s.before, s.before + s.count + s.after)
        return images

    def pad(self, images: Tensor, mode: str) -> Tensor:
        """Pad images as far as whole windows reach."""
        if not self.padded:
            return images
        rows, columns = self[:2]
        return F.pad(images, (columns.before, columns.after, rows.before, rows.after), mode=mode)

    def cut(self, images: Tensor) -> Tensor:
        """View what `narrow` and `pad` return as windows (m, C, rows, columns, kh, kw)."""
        for axis, strip in enumerate(self[:2], 2):
            images = images.unfold(axis, strip.before + 1 + strip.after, 1)
        return images


class Tile:
    """Some windows of a bank, less the mean; those that are `plain` are equal, and merged.

    `values` (C + 1, t): centres and 1, times the number of windows that a column stands for.
    """

    def __init__(self, windows: Tensor, plain: Tensor, region: Region, out: torch.dtype) -> None:
        self._windows = windows  # (m, C, rows, columns, kh, kw), float64: a view of images
        centres = windows[..., region.rows.before, region.columns.before].movedim(1, 0)
        self.values = centres.new_ones(len(centres) + 1, plain.numel(), dtype=out)
        self.values[:-1] = centres.flatten(1)
        self.count = plain.numel()  # of windows
        self._kept, same = None, plain.flatten().nonzero()[:, 0]
        if 8 * len(same) > self.count:  # fewer are not worth a copy
            others = (~plain.flatten()).nonzero()[:, 0]
            # Some stay single, for a multiple of 64: oneDNN prepares a product for each shape.
            single = -(1 + len(others)) % 64
            self._kept = torch.cat([same[: 1 + single], others])
            self.values = self.values.index_select(1, self._kept)
            self.values[:, 0] *= max(len(same) - single, 1)
        self._columns: dict[torch.dtype, Tensor] = {}

    def columns(self, dtype: torch.dtype) -> Tensor:
        """Return the windows as columns (Ck² + 2, t); the last rows are −|p|²/2 and 1."""
        if dtype not in self._columns:
            windows = self._windows.permute(1, 4, 5, 0, 2, 3)
            numbers = windows[..., 0, 0, 0].numel()
            columns = windows.new_empty(numbers + 2, self.count, dtype=dtype)
            columns[:-2].view(windows.shape).copy_(windows)
            if self._kept is not None:
                columns = columns.index_select(1, self._kept)
            torch.sum(columns[:-2].square(), 0, out=columns[-2]).mul_(-0.5)
            columns[-1] = 1
            self._columns[dtype] = columns
        return self._columns[dtype]


class Bank:
    """All windows of one size in images x (N, C, H, W).

    With `borders` a region is a set of places that have the same overlap with the border, and
    its windows end there; places that share it with no other are `alone`. Without, all places are
    one region; windows wrap around or hold zeros.
    """

    def __init__(self, x: Tensor, side: int, padding: str, *, borders: bool) -> None:
        self.x, self.borders = x, borders
        self.size = tuple(clipped(side, length, padding) for length in x.shape[2:])
        self.mode = "circular" if padding == "circular" else "constant"
        # Zeros beyond the border stay zeros only where the images are not centred.
        centred = borders or padding == "circular"
        mean = x.mean((0, 2, 3), dtype=torch.float64)
        self.mean = (mean if centred else torch.zeros_like(mean))[:, None, None]
        some = x[:: max(x.numel() // SAMPLE, 1)].movedim(1, 0).flatten(1)
        self.background = some.mode(1).values.double()[:, None, None] - self.mean
        self.box = Box(x.shape[1:], self.size, padding)
        norms = (self._norms(x[part]).amax() for part in slices(len(x), x[0].numel()))
        self.radius = max(float(norm) for norm in norms)
        self.alone = Images(x.flatten(1)) if borders and max(self.size) > 1 else None
        self.trees: dict = {}  # of `_preselect`

    def _norms(self, images: Tensor) -> Tensor:
        """The largest norm (m,) of a window of each image."""
        squares = (images.double() - self.mean).square_().flatten(1)
        return self.box.see(squares).amax(1).sqrt()

    def rounding(self, y: Tensor) -> Tensor:
        """Bound (n,) on the error of float32 scores q·p − |p|²/2, as `Points.rounding`."""
        return 2 * self.numbers**0.5 * 2.0**-24 * self._largest(y)

    def proven_rounding(self, y: Tensor) -> Tensor:
        """Bound (n,) on the same error that holds in any order of the sums, and in comparisons.

        With unit roundoff u, a sum of m products errs by at most mu/(1 − mu) times the sum of their
        sizes (Higham 2002, §3.1), here |q||p| + |p|²/2. Rounding q, p and |p|² adds a little to m,
        and less than the other |p|²/2 to the sum. Each product may underflow besides.
        """
        m, u = self.numbers + 8, 2.0**-24
        return m * u / (1 - m * u) * self._largest(y) + m * 2.0**-126

    @property
    def numbers(self) -> int:
        """Numbers of a window."""
        return self.x.shape[1] * math.prod(self.size)

    def _largest(self, y: Tensor) -> Tensor:
        """Bound (n,) on |p|(|q| + |p|)."""
        largest = self.radius * (self._norms(y) + self.radius)
        if not (largest < LARGEST).all():
            raise ValueError(
                "the data, or y and the data, are too far apart for float32 scores: products reach "
                f"{largest.max().item():.1g}, at most {LARGEST:g} is taken; rescale both"
            )
        return largest

    def regions(self) -> Iterator[Region]:
        """Yield the groups of places that share windows, but for those alone."""
        if self.borders:
            for rows in strips(self.x.shape[2], self.size[0]):
                for columns in strips(self.x.shape[3], self.size[1]):
                    if self.alone is None or rows.count * columns.count > 1:
                        yield Region(rows, columns, padded=False)
        else:
            whole = (
                Strip(0, length, side // 2, side - 1 - side // 2)
                for side, length in zip(self.size, self.x.shape[2:], strict=True)
            )
            yield Region(*whole, padded=True)

    def queries(self, y: Tensor, region: Region, dtype: torch.dtype) -> Tensor:
        """Windows (m·rows·columns, Ck²) of noisy images less the mean."""
        windows = region.cut(self._padded(y, region)).permute(0, 2, 3, 1, 4, 5)
        return windows.to(dtype).reshape(len(y) * region.count, -1)

    def tiles(self, region: Region, out: torch.dtype, *, merged: bool = True) -> Iterator[Tile]:
        """Yield the windows of a region over all images, their centres in `out`.

        `merged`: in each tile, windows that show the background alone become one.
        """
        width = WIDTH.get(self.x.device.type, 1 << 10)
        for part in slices(len(self.x), 1, max(width // region.count, 1)):
            images = self._padded(self.x[part], region)
            windows = region.cut(images)
            plain = self._plain(images, windows.shape[-2:]) & merged
            rows = max(width // (len(windows) * region.columns.count), 1)
            for some in zip(windows.split(rows, dim=2), plain.split(rows, dim=1), strict=True):
                yield Tile(*some, region, out)

    def _padded(self, images: Tensor, region: Region) -> Tensor:
        """What the windows hold of images, less the mean, in float64."""
        return region.pad(region.narrow(images).double() - self.mean, self.mode)

    def _plain(self, images: Tensor, size: Sequence[int]) -> Tensor:
        """Which windows (m, rows, columns) of padded images show the background alone."""
        other = (images != self.background).any(1, keepdim=True).float()
        other = F.max_pool2d(F.max_pool2d(other, (size[0], 1), 1), (1, size[1]), 1)
        return other[:, 0] == 0
