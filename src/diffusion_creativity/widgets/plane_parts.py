"""What a plane of measures is made of: axes, points with intervals and samples, regions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .marks import Mark, as_array, check, images
from .palette import is_colour

SCALES = ("linear", "log", "symlog")
_MARGIN = 0.07  # of an axis, on both sides of what it shows
Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class Axis:
    """A measure that may stand on an axis.

    Parameters
    ----------
    label : what the reader sees, e.g. ``"novelty"``
    scale : ``"linear"``, ``"log"``, or ``"symlog"``, which is asinh(value / `width`)
    width : about where a symlog axis turns from linear to logarithmic
    limits : both ends; left out, they are taken from the points
    format, unit : format specification of shown values, and a suffix
    note : one sentence, what the measure is
    lines : reference values by their text, e.g. ``{"held-out data": 1.0}``
    """

    label: str
    scale: str = "linear"
    width: float = 1.0
    limits: tuple[float, float] | None = None
    format: str = ".2f"
    unit: str = ""
    note: str = ""
    lines: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.label:
            raise ValueError("an axis needs a label")
        if self.scale not in SCALES:
            raise ValueError(f"axis {self.label!r}: scale {self.scale!r}, use {', '.join(SCALES)}")
        if not (math.isfinite(self.width) and self.width > 0):
            raise ValueError(f"axis {self.label!r}: width must be > 0, got {self.width!r}")
        for text, value in self.lines.items():
            _number(f"axis {self.label!r}, line {text!r}", value, positive=self.scale == "log")
        if self.limits is not None:
            self._check_limits()
        try:
            self.text(0.0)
        except (ValueError, TypeError) as error:
            raise ValueError(f"axis {self.label!r}: format {self.format!r}: {error}") from error

    def _check_limits(self) -> None:
        where = f"axis {self.label!r}, limits {self.limits!r}"
        low, high = (_number(where, v, positive=self.scale == "log") for v in self.limits)
        if low >= high:
            raise ValueError(f"{where}: need finite low < high")
        object.__setattr__(self, "limits", (low, high))

    @property
    def log(self) -> bool | float:
        """The scale as `Panel` takes it: False, True, or the width of a symlog axis."""
        return {"linear": False, "log": True, "symlog": float(self.width)}[self.scale]

    def text(self, value: float) -> str:
        """A value as the reader sees it."""
        return (f"{value:{self.format}}" + self.unit).replace("-", "−")

    def interval(self, value: float, low: float, high: float) -> str:
        """A value and its interval as the reader sees them."""
        if low == value == high:
            return self.text(value)
        return f"{self.text(value)} ({self.text(low)} to {self.text(high)})"

    def fitted(self, values: Sequence[float]) -> tuple[float, float]:
        """Limits that show `values` and the lines, with a margin."""
        if self.limits is not None:
            return self.limits
        shown = np.array([*values, *self.lines.values()], float)
        shown = shown[shown > 0] if self.scale == "log" else shown
        there, back = {
            "linear": (lambda v: v, lambda v: v),
            "log": (np.log10, lambda v: 10.0**v),
            "symlog": (lambda v: np.arcsinh(v / self.width), lambda v: np.sinh(v) * self.width),
        }[self.scale]
        low, high = (float(there(v)) for v in (shown.min(), shown.max()))
        margin = _MARGIN * (high - low) or 0.1 * max(1.0, abs(high))
        return float(back(low - margin)), float(back(high + margin))


@dataclass(frozen=True, eq=False)
class PlanePoint:
    """A named point of the plane.

    Parameters
    ----------
    name : its key, as in ``plane.chosen``
    label : what the reader sees
    measures : by name of the axis, ``(value, low, high)`` or one number for an exact value
    samples : images (n, C, H, W) or (n, H, W) in [-1, 1], or uint8; clipped for showing only
    nearest : images of the same shape, shown under the samples: their nearest training images
    text : one or two sentences, shown when the point is chosen
    group : gives colour and shape
    """

    name: str
    label: str
    measures: Mapping[str, Any]
    samples: Any
    nearest: Any = None
    text: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        where = f"point {self.name!r}"
        if not isinstance(self.name, str) or not self.name or not self.label:
            raise ValueError(f"{where}: a point needs a name and a label")
        measures = {k: _interval(f"{where}, {k}", v) for k, v in self.measures.items()}
        object.__setattr__(self, "measures", measures)
        samples, nearest = self.sheet("samples"), self.sheet("nearest")
        if samples is None:
            raise ValueError(f"{where}: a point needs samples, images (n, C, H, W) or (n, H, W)")
        if nearest and nearest["data"].shape != samples["data"].shape:
            raise ValueError(
                f"{where}: nearest has shape {nearest['data'].shape}, samples "
                f"{samples['data'].shape}: give one image for each sample"
            )

    def sheet(self, which: str = "samples") -> Mark | None:
        """The samples or their nearest images as a mark; None if there are none."""
        given = getattr(self, which)
        if given is None:
            return None
        where = f"point {self.name!r}, {which}"
        try:
            mark = images(as_array(given))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error
        check(mark, where)
        return mark


@dataclass(frozen=True)
class Region:
    """A shaded rectangle with a name, shown while its measures stand on the axes.

    `ranges` gives ``(low, high)`` for one or two measures; None is the end of the axis:
    ``Region("copies", {"novelty": (None, 0.3)})``.
    """

    label: str
    ranges: Mapping[str, Range]
    color: str = "muted"

    def __post_init__(self) -> None:
        where = f"region {self.label!r}"
        if not 1 <= len(self.ranges) <= 2:
            raise ValueError(f"{where}: ranges of one or two measures, got {len(self.ranges)}")
        for name, (low, high) in self.ranges.items():
            ends = [_number(f"{where}, {name}", v) for v in (low, high) if v is not None]
            if len(ends) == 2 and ends[0] >= ends[1]:
                raise ValueError(f"{where}, {name}: need low < high, got {low!r} and {high!r}")
        if not is_colour(self.color):
            raise ValueError(f"{where}: no colour {self.color!r}")

    def corners(self, x: str, y: str, xlim: Range, ylim: Range) -> tuple[Range, Range]:
        """Its ends in x and in y, within the limits of a panel."""
        return tuple(
            tuple(limit if end is None else max(ends[0], min(ends[1], end))
                  for end, limit in zip(self.ranges.get(name, (None, None)), ends, strict=True))
            for name, ends in ((x, xlim), (y, ylim))
        )  # fmt: skip

    def edges(self, name: str) -> list[float]:
        """The finite ends in one measure."""
        return [float(v) for v in self.ranges.get(name, ()) if v is not None]


def _number(where: str, value: Any, positive: bool = False) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: not a number: {value!r}") from error
    if not math.isfinite(number) or (positive and number <= 0):
        kind = "finite and > 0 on a log axis" if positive else "finite"
        raise ValueError(f"{where}: must be {kind}, got {value!r}")
    return number


def _interval(where: str, value: Any) -> tuple[float, float, float]:
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value,) * 3
    if len(parts) != 3:
        raise ValueError(f"{where}: give a number or (value, low, high), got {value!r}")
    middle, low, high = (_number(where, v) for v in parts)
    if not low <= middle <= high:
        raise ValueError(f"{where}: need low <= value <= high, got {middle}, {low} and {high}")
    return middle, low, high
