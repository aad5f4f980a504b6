"""Interactive figures, alive with a Python kernel and without one: `Explorer`, `Playground`."""

from . import formulas, marks
from .controls import Choice, Slider
from .explorer import MAX_BYTES, MAX_STATES, Explorer
from .panel import Panel
from .playground import Playground

__all__ = ["MAX_BYTES", "MAX_STATES", "Choice", "Explorer", "Panel", "Playground", "Slider",
           "formulas", "marks"]  # fmt: skip
