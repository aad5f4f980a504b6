"""Windows around places: how large at which noise level, what a border cuts off, who shares it."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .. import _validate
from .._kernels import PADDINGS

Window = int | Mapping[float, int] | Callable[[float], int]


class Windows:
    """The side of the window at each noise level: a number, a function or a table {σ: side}.

    A table answers with its entry nearest in log σ: exact at its own levels.
    """

    def __init__(self, window: Window) -> None:
        self.window, self._table = window, None
        if isinstance(window, Mapping):
            if not window:
                raise ValueError("window must name at least one noise level, got an empty table")
            table = {_validate.real("window", s, minimum=0): _side(k) for s, k in window.items()}
            self._table = sorted(table.items())
        elif not callable(window):
            _side(window)

    def __repr__(self) -> str:
        if self._table:
            sides = sorted({k for _, k in self._table})
            return f"windows {sides[0]} to {sides[-1]}"
        return "windows of σ" if callable(self.window) else f"window {self.window}"

    def at(self, sigma: float) -> int:
        """Return the side at one level."""
        if self._table:
            return min(self._table, key=lambda entry: _apart(entry[0], sigma))[1]
        return _side(self.window(sigma)) if callable(self.window) else self.window

    def groups(self, sigma: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield each side and the rows (m,) of sigma (n,) that have it."""
        levels, which = sigma.unique(return_inverse=True)
        sides = torch.tensor([self.at(level) for level in levels.tolist()], device=sigma.device)
        for side in sides.unique().tolist():
            yield side, (sides[which] == side).nonzero()[:, 0]


def _side(side: int) -> int:
    side = _validate.integer("window", side, minimum=1)
    if side % 2 == 0:
        raise ValueError(f"window must be odd, so that it has a centre, got {side}")
    return side


def _apart(level: float, sigma: float) -> float:
    return abs(math.log(max(level, 1e-300)) - math.log(max(sigma, 1e-300)))


def padding_of(padding: str) -> str:
    """Check the name of a padding that users may choose."""
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
    return padding


def clipped(side: int, length: int, padding: str) -> int:
    """The side along an axis of `length` places: no larger than what shows the axis whole."""
    return min(side, 2 * length - 1 if padding == "zeros" else length)


def band(length: int, side: int, padding: str) -> Tensor:
    """A 0/1 matrix (places, length): which entries of an axis the window at each place holds.

    "zeros": what sticks out is cut off. "inside": only the places whose window fits.
    """
    side = clipped(side, length, padding)
    places, entries = torch.arange(length)[:, None], torch.arange(length)
    if padding == "inside":
        first = torch.arange(length - side + 1)[:, None]
        return ((entries >= first) & (entries < first + side)).double()
    offset = entries - places
    if padding == "circular":
        return ((offset + side // 2) % length < side).double()
    return (offset.abs() <= side // 2).double()


class Box:
    """All windows of one size in images (C, H, W), as sums over 0/1 bands along both axes."""

    def __init__(self, shape: Sequence[int], size: tuple[int, int], padding: str) -> None:
        sides = zip(shape[1:], size, strict=True)
        self.rows, self.columns = (band(length, side, padding) for length, side in sides)
        self.places = len(self.rows) * len(self.columns)
        self.shape = tuple(shape)

    def see(self, squares: Tensor) -> Tensor:
        """Sum squares (…, d) over the window of each place: (…, places)."""
        images = squares.unflatten(-1, self.shape).sum(-3)
        rows, columns = self.rows.to(squares), self.columns.to(squares)
        return (rows @ (images @ columns.T)).flatten(-2)

    def spread(self, weights: Tensor) -> Tensor:
        """Average weights (…, places) over the places whose window holds a pixel: (…, d)."""
        c, h, w = self.shape
        rows, columns = (m / m.sum(0) for m in (self.rows, self.columns))
        grid = weights.unflatten(-1, (len(rows), len(columns)))
        pixels = rows.to(grid).T @ (grid @ columns.to(grid))  # (…, H, W)
        return pixels.unsqueeze(-3).expand(*grid.shape[:-2], c, h, w).flatten(-3)


class Strip(NamedTuple):
    """Neighbouring places along an axis whose windows are cut alike."""

    first: int
    count: int
    before: int  # entries of the window before its centre
    after: int


def strips(length: int, side: int) -> list[Strip]:
    """Cut an axis into strips of places with the same overlap with the border."""
    reach = clipped(side, length, "zeros") // 2
    cuts = [(min(i, reach), min(length - 1 - i, reach)) for i in range(length)]
    found, first = [], 0
    for (before, after), same in itertools.groupby(cuts):
        count = len(list(same))
        found.append(Strip(first, count, before, after))
        first += count
    return found
