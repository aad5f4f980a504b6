"""Groups that move images: shifts on a torus, mirrors and quarter turns."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ._points import slices
from ._shifts import Shifts

NAMES = ("translations", "flips", "quarter_turns")


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
