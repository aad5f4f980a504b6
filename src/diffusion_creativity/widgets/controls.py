"""Controls of an interactive figure: sliders and choices over a finite list of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

MAX_VALUES = 50  # values of one control of a precomputed figure
MAX_TICKS = 1001  # positions of a slider whose picture is computed in the browser


class Control:
    """What a slider and a choice share: a name, a label, values and their texts."""

    kind = "slider"

    def __init__(self, name: str, values: Sequence[Any], texts: list[str], label: str, start: Any):
        if not str(name).isidentifier() or name in ("alt", "caption"):
            raise ValueError(f"control name {name!r}: use a Python identifier, not alt or caption")
        if not values:
            raise ValueError(f"control {name!r} has no values")
        self.name, self.values, self.texts, self.label = name, list(values), texts, label or name
        self.play, self.interval = False, 400
        self.start = self.index(start) if start is not None else 0

    def __len__(self) -> int:
        return len(self.values)

    def index(self, value: Any) -> int:
        """Position of `value` (for numbers: of the nearest value)."""
        if value in self.values:
            return self.values.index(value)
        if all(isinstance(v, (int, float)) for v in [*self.values, value]):
            return min(range(len(self.values)), key=lambda i: abs(self.values[i] - value))
        raise ValueError(f"control {self.name!r} has no value {value!r}; it has {self.values}")

    def spec(self) -> dict[str, Any]:
        """What the browser needs to know."""
        return {
            "name": self.name, "kind": self.kind, "label": self.label, "values": self.values,
            "texts": self.texts, "play": self.play, "interval": self.interval,
        }  # fmt: skip


class Slider(Control):
    """A slider over a list of numbers, or over a fine grid from `min` to `max`.

    Parameters
    ----------
    name : the argument of ``draw`` or the key of the formula's state
    values : the list of values (precomputed figures: at most 50)
    label : what the reader sees, e.g. ``"noise level σ"``
    format, unit : format specification of the shown value, and a suffix
    start : first value shown (nearest one is taken); default the first
    min, max, step, log : instead of `values`; ``log=True`` spaces `points` values evenly in the
        logarithm, rounded to 4 digits
    play : add a play button, `interval` milliseconds for each value
    """

    def __init__(
        self, name: str, values: Sequence[float] | None = None, label: str = "", *,
        format: str = "g", unit: str = "", start: float | None = None,
        min: float | None = None, max: float | None = None, step: float | None = None,
        log: bool = False, points: int = 201, play: bool = False, interval: int = 400,
    ):  # fmt: skip
        if (values is None) == (min is None or max is None):
            raise ValueError(f"slider {name!r}: give either values or both min and max")
        grid = _grid(name, min, max, step, log, points) if values is None else values
        numbers = [_plain(v) for v in grid]
        texts = [(f"{v:{format}}" + unit).replace("-", "−") for v in numbers]
        super().__init__(name, numbers, texts, label, start)
        self.play, self.interval = bool(play), int(interval)


class Choice(Control):
    """A menu: `options` is a list of values, or a dict from shown text to value."""

    kind = "choice"

    def __init__(self, name: str, options: Sequence[str] | dict, label: str = "", *, start=None):
        items = options if isinstance(options, dict) else {str(o): o for o in options}
        super().__init__(name, list(items.values()), list(items), label, start)


def _grid(name, low, high, step, log, points) -> list[float]:
    if not (math.isfinite(low) and math.isfinite(high) and low < high and (low > 0 or not log)):
        raise ValueError(f"slider {name!r}: need min < max (min > 0 if log), got {low} and {high}")
    if not 2 <= points <= MAX_TICKS:
        raise ValueError(f"slider {name!r}: points must lie in 2 … {MAX_TICKS}, got {points}")
    if log:
        ratio = math.log(high / low)
        return [float(f"{low * math.exp(ratio * i / (points - 1)):.4g}") for i in range(points)]
    step = step or (high - low) / (points - 1)
    count = round((high - low) / step) + 1
    if not 2 <= count <= MAX_TICKS:
        raise ValueError(
            f"slider {name!r} has {count} positions from {low} to {high} by {step}; the limit is "
            f"2 to {MAX_TICKS}: change step"
        )
    return [float(f"{low + i * step:.9g}") for i in range(count)]


def _plain(value: Any) -> int | float:
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise ValueError(f"a slider needs numbers, got {value!r}; use Choice for words")
    if not math.isfinite(number):
        raise ValueError(f"a slider needs finite numbers, got {value!r}")
    return int(number) if float(number).is_integer() and abs(number) < 2**53 else float(number)
