"""Image sets by name (`load`) or from the reader's own files (`folder`, `celeba`).

Also targets whose moments are known (`toy`) and lookalikes that share moments (`twins`).
"""

from . import faces, toy, twins
from .images import ImageSet, Skipped, load, names
from .own_celeba import celeba
from .own_folder import folder

__all__ = [
    "ImageSet",
    "Skipped",
    "celeba",
    "faces",
    "folder",
    "load",
    "names",
    "toy",
    "twins",
]
