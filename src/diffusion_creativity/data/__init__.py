"""Image sets by name (`load`), targets of known moments (`toy`), and lookalikes (`twins`)."""

from . import toy, twins
from .images import ImageSet, load, names

__all__ = ["ImageSet", "load", "names", "toy", "twins"]
