"""A panel: one coordinate system (or one grid of images) of an interactive figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .marks import Mark, as_array


@dataclass(frozen=True)
class Panel:
    """Where marks are drawn.

    `kind` is ``"plane"`` (axes; heat maps too) or ``"images"`` (a grid of small images). Limits
    left out are those of all states together. `xlog`, `ylog`: True for a logarithm, a number w
    for one that goes on through 0, asinh(x / w), which is about linear where x is below w.
    `aspect` ``"equal"``: one unit is as long in x as in y. `axes` False draws a bare frame.
    `ratio` is height over width, `height` the largest height in pixels when `aspect` is equal.
    `drag` names the sliders that a click or drag in the panel moves, as (for x, for y); None for
    a direction that moves nothing.
    """

    title: str = ""
    xlabel: str = ""
    ylabel: str = ""
    xlim: tuple[float, float] | None = None
    ylim: tuple[float, float] | None = None
    xlog: bool | float = False
    ylog: bool | float = False
    aspect: str = "auto"
    kind: str = "plane"
    axes: bool = True
    ratio: float = 0.62
    height: int = 380
    drag: tuple[str | None, str | None] | None = None

    def __post_init__(self) -> None:
        if self.kind == "heat":  # a heat map lives in a plane
            object.__setattr__(self, "kind", "plane")
        if self.kind not in ("plane", "images"):
            raise ValueError(f"panel kind {self.kind!r}: use 'plane' or 'images'")
        if self.aspect not in ("auto", "equal"):
            raise ValueError(f"panel aspect {self.aspect!r}: use 'auto' or 'equal'")
        for name, log in (("xlim", self.xlog), ("ylim", self.ylog)):
            if log and log is not True and not 0 < log < np.inf:
                raise ValueError(f"panel {name[0]}log={log!r}: use True, False or a width > 0")
            limits = getattr(self, name)
            if limits is not None:
                low, high = (float(v) for v in limits)
                plain = np.isfinite([low, high]).all() and low < high
                if not plain or (log is True and low <= 0):
                    raise ValueError(f"panel {name}={limits}: need finite low < high, > 0 if log")
                object.__setattr__(self, name, (low, high))

    def fitted(self, marks: Iterable[Mark]) -> Panel:
        """The panel with its missing limits taken from `marks`."""
        if self.kind == "images" or (self.xlim and self.ylim):
            return self
        marks = list(marks)
        xlim = self.xlim or _limits(_values(marks, 0), self.xlog)
        ylim = self.ylim or _limits(_values(marks, 1), self.ylog)
        return replace(self, xlim=xlim, ylim=ylim)

    def spec(self) -> dict[str, Any]:
        """What the browser needs to know."""
        return asdict(self) | {"equal": self.aspect == "equal"}


_HORIZONTAL = ("x", "x0", "x1")
_VERTICAL = ("y", "y0", "y1", "low", "high", "base")


def _values(marks: list[Mark], axis: int) -> np.ndarray:
    parts = [np.empty(0)]
    for mark in marks:
        for name in (_HORIZONTAL, _VERTICAL)[axis]:
            if name in mark:
                parts.append(as_array(mark[name]).astype(float).ravel())
        if mark["mark"] == "heat":
            parts.append(np.asarray(mark["extent"][2 * axis : 2 * axis + 2], float))
        if mark["mark"] == "bars":
            side = mark["width"] / 2 if axis == 0 else 0
            around = as_array(mark["x"]).astype(float) if axis == 0 else np.zeros(1)
            parts += [around - side, around + side]
        if mark["mark"] == "ellipse":
            centre, radius = mark["cx" if axis == 0 else "cy"], max(mark["rx"], mark["ry"])
            parts.append(np.array([centre - radius, centre + radius], float))
    return np.concatenate(parts)


def _limits(values: np.ndarray, log: bool | float) -> tuple[float, float]:
    values = values[values > 0] if log is True else values
    if not values.size:
        return (0.1, 10.0) if log is True else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if log is True:
        stretch = max((high / low) ** 0.04, 1.1)
        return low / stretch, high * stretch
    margin = 0.04 * (high - low) or max(abs(high), 1.0) * 0.1
    return (low if low == 0 else low - margin), high + margin
