"""Image sets by name (`load`) and targets whose moments are known exactly (`toy`)."""

from . import toy
from .images import ImageSet, load, names

__all__ = ["ImageSet", "load", "names", "toy"]
