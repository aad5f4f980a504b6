"""Images on a torus and the groups that move them: shifts by FFT, mirrors and quarter turns."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ._points import LARGEST, Shortlist, slices

NAMES = ("translations", "flips", "quarter_turns")
PAIRS = 1 << 19  # numbers of one block of scores: what stays in cache


class Group(NamedTuple):
    """A group of the names in `NAMES`, acting on the last one or two axes of an example."""

    names: tuple[str, ...]
    space: tuple[int, ...]  # lengths of the axes that are moved

    @property
    def shifts(self) -> int:
        """How many translations it has."""
        return math.prod(self.space) if "translations" in self.names else 1

    @property
    def points(self) -> int:
        """How many of its elements keep the corner where it is."""
        flips = 2 ** len(self.space) if "flips" in self.names else 1
        return 8 if flips == 4 and "quarter_turns" in self.names else (
            4 if "quarter_turns" in self.names else flips
        )  # fmt: skip

    @property
    def order(self) -> int:
        """The number of elements."""
        return self.shifts * self.points

    def move(self, x: Tensor, element: int) -> Tensor:
        """Apply one of the `points` elements that are not translations."""
        axes = (-1,) if len(self.space) == 1 else (-2, -1)
        if "quarter_turns" in self.names:
            x = torch.rot90(x, element % 4, axes)
            return x.flip(-1) if element >= 4 else x
        return x.flip([axis for bit, axis in enumerate(axes) if element >> bit & 1])

    def spread(self, x: Tensor) -> Tensor:
        """All points · N images, those of one example together, translations left out."""
        moved = [self.move(x, element) for element in range(self.points)]
        return moved[0] if len(moved) == 1 else torch.stack(moved, 1).flatten(0, 1)


def parse(group: str | Sequence[str], shape: Sequence[int], name: str = "group") -> Group:
    """Return the group named by one of `NAMES` or several, for examples of `shape`."""
    wanted = (group,) if isinstance(group, str) else group
    try:
        wanted = tuple(wanted)
    except TypeError:
        wanted = ()
    if not wanted or any(one not in NAMES for one in wanted):
        raise ValueError(f"{name} must be one or several of {', '.join(NAMES)}, got {group!r}")
    space = tuple(shape[1:]) if len(shape) > 1 else tuple(shape)
    if len(space) > 2:
        raise ValueError(f"{name} {group!r} takes examples of shape (L,), (C, L) or (C, H, W), "
                         f"got {tuple(shape)}")  # fmt: skip
    if "quarter_turns" in wanted and (len(space) != 2 or space[0] != space[1]):
        raise ValueError(
            f"{name} 'quarter_turns' takes square images (C, H, H), got shape {tuple(shape)}"
        )
    return Group(tuple(one for one in NAMES if one in wanted), space)


class Shifts:
    """M images (M, C, *space) and all their circular shifts, scored by FFT, never built.

    A query y meets the shift of image i by τ through y·(shifted x_i) − |x_i|²/2, everything less
    the mean of each channel: a cross-correlation. Pairs are numbered ``i · |space| + τ``.
    Memory: about 8·M·C·|space| bytes.
    """

    def __init__(self, x: Tensor, space: tuple[int, ...], *, spectra: bool = True) -> None:
        self.x = x.reshape(len(x), -1, *space)
        self.space, self.size = space, math.prod(space)
        if not spectra:  # enough to `gather`
            return
        self.mean = self.x.flatten(2).double().mean((0, 2)).reshape(-1, *[1] * len(space))
        parts = list(slices(len(x), self.x[0].numel()))
        self.spectrum = torch.cat([self._transform(self.x[p]).to(torch.complex64) for p in parts])
        self.bias = torch.cat([self._bias(p) for p in parts])  # (M,) float64
        self.radius = float((-2 * self.bias.min()).sqrt())

    def __len__(self) -> int:
        return len(self.x) * self.size

    def _transform(self, images: Tensor) -> Tensor:
        """Spectra (t, C, F…) in double precision, less the mean."""
        axes = tuple(range(-len(self.space), 0))
        return torch.fft.rfftn(images.double() - self.mean, dim=axes)

    def _bias(self, part: slice) -> Tensor:
        return -0.5 * (self.x[part].double() - self.mean).flatten(1).square().sum(1)

    def query(self, y: Tensor, dtype: torch.dtype) -> Tensor:
        """Spectra of queries (n, C, F…), complex of the precision of dtype."""
        images = y.reshape(len(y), -1, *self.space)
        return self._transform(images).to(_complex(dtype))

    def rounding(self, y: Tensor) -> Tensor:
        """Bound (n,) on the error of float32 scores: 4 log₂|space| half units of |y||x|.

        The errors of an FFT grow like the logarithm of its length, root mean square; those
        seen are below a tenth of the bound.
        """
        centred = y.reshape(len(y), -1, *self.space).double() - self.mean
        largest = self.radius * (centred.flatten(1).norm(dim=1) + self.radius)
        if not (largest < LARGEST).all():
            raise ValueError(
                "the data, or y and the data, are too far apart for float32 scores: products reach "
                f"{largest.max().item():.1g}, at most {LARGEST:g} is taken; rescale both"
            )
        return 4 * (math.log2(self.size) + 2) * 2.0**-24 * largest

    def blocks(self, n: int, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Slices of the images with their spectra and biases, for n queries at once."""
        for part in slices(len(self.x), 1, max(PAIRS // (self.size * max(n, 1)), 1)):
            if dtype == torch.float32:
                yield part, self.spectrum[part], self.bias[part].float()
            else:
                yield part, self._transform(self.x[part]), self.bias[part]

    def correlate(self, query: Tensor, spectrum: Tensor) -> Tensor:
        """Cross-correlations (n, t, *space) of queries with images, summed over channels."""
        product = query[:, None, 0] * spectrum[None, :, 0].conj()
        for c in range(1, query.shape[1]):
            product.addcmul_(query[:, None, c], spectrum[None, :, c].conj())
        return self.back(product)

    def back(self, spectrum: Tensor) -> Tensor:
        """The inverse transform."""
        return torch.fft.irfftn(spectrum, s=self.space, dim=tuple(range(-len(self.space), 0)))

    def near(
        self,
        y: Tensor,
        reach: Tensor,
        limit: int,
        rank: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> Shortlist:
        """List all pairs whose score is within `reach` (n,) of the query's best, and few more."""
        slack = self.rounding(y) * (1 if dtype == torch.float32 else 2.0**-29)
        shortlist = Shortlist(reach + 2 * slack, limit, rank)
        shortlist.slack = shortlist.slack.to(dtype)
        shortlist.top, shortlist.scores = shortlist.top.to(dtype), shortlist.scores.to(dtype)
        query = self.query(y, dtype)
        for part, spectrum, bias in self.blocks(len(y), dtype):
            scores = self.correlate(query, spectrum).flatten(2) + bias[:, None]
            shortlist.add(scores.flatten(1), part.start * self.size)
        return shortlist.prune()

    def gather(self, columns: Tensor) -> Tensor:
        """The shifted images of pairs, (pairs, d), in float64."""
        image, shift = columns // self.size, columns % self.size
        source = torch.zeros_like(columns)[:, None]
        for axis, length in enumerate(self.space):
            step = math.prod(self.space[axis + 1 :])
            place = torch.arange(self.size, device=columns.device) // step % length
            source = source + (place - (shift // step % length)[:, None]) % length * step
        flat = self.x.flatten(2)[image]  # (pairs, C, size)
        return flat.gather(2, source[:, None].expand_as(flat)).flatten(1).double()

    def squared_distances(self, y: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """|y − shifted x|² of pairs, from differences in float64: nothing cancels."""
        out = torch.empty(len(rows), dtype=torch.float64, device=y.device)
        for part in slices(len(rows), 4 * y.shape[1]):
            out[part] = (y[rows[part]].double() - self.gather(columns[part])).square().sum(1)
        return out


def orbit(images: Tensor, space: tuple[int, ...], shifts: int) -> Tensor:
    """All `shifts` (1: none) of images as rows of flat numbers, those of one image together."""
    if shifts == 1:
        return images.flatten(1)
    moves = Shifts(images, space, spectra=False)
    pairs = torch.arange(len(images) * shifts, device=images.device)
    return torch.cat([moves.gather(p).to(images.dtype) for p in pairs.split(1 << 14)])


def nearest(y: Tensor, shifts: Shifts, limit: int = 64, rows: int = 64) -> tuple[Tensor, Tensor]:
    """Distance (n,) and pair (n,) of the nearest shift, for y (n, d); the first pair wins a tie."""
    distances = torch.empty(len(y), dtype=torch.float64, device=y.device)
    chosen = torch.empty(len(y), dtype=torch.long, device=y.device)
    for part in slices(len(y), 1, rows):
        queries = y[part]
        zero = torch.zeros(len(queries), device=y.device)
        near = shifts.near(queries, zero, limit)
        pairs = [(near.rows, near.columns)]
        for row in near.crowded.nonzero()[:, 0]:  # hundreds of shifts at nearly one distance
            close = shifts.near(queries[row, None], zero[:1], len(shifts), dtype=torch.float64)
            pairs.append((row.expand_as(close.rows), close.columns))
        at, columns = (torch.cat(both) for both in zip(*pairs, strict=True))
        squares = shifts.squared_distances(queries, at, columns)
        least = squares.new_full((len(queries),), torch.inf)
        least.scatter_reduce_(0, at, squares, "amin")
        first = columns.masked_fill(squares > least[at], len(shifts))
        best = torch.full_like(near.crowded, len(shifts), dtype=torch.long)
        chosen[part] = best.scatter_reduce_(0, at, first, "amin")
        distances[part] = least.sqrt()
    return distances, chosen


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype == torch.float64 else torch.complex64
