"""Interactive figures: `Explorer`, alive with a Python kernel and without one."""

from . import formulas, marks
from .controls import Choice, Slider
from .explorer import MAX_BYTES, MAX_STATES, Explorer
from .panel import Panel

__all__ = ["MAX_BYTES", "MAX_STATES", "Choice", "Explorer", "Panel", "Slider", "formulas", "marks"]
