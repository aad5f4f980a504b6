"""Interactive figures, alive with a kernel and without: `Explorer`, `Plane`, `Playground`."""

from . import drawing, formulas, marks
from .controls import Choice, Slider
from .explorer import MAX_STATES, Explorer
from .figure import MAX_BYTES
from .panel import Panel
from .plane import Plane
from .plane_parts import Axis, PlanePoint, Region
from .playground import Playground

__all__ = ["MAX_BYTES", "MAX_STATES", "Axis", "Choice", "Explorer", "Panel", "Plane", "PlanePoint",
           "Playground", "Region", "Slider", "drawing", "formulas", "marks"]  # fmt: skip
