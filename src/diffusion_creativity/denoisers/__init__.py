"""Closed-form denoisers, each beside the law of what it generates."""

from .affine import Affine, affine_law
from .bayes import Bayes

__all__ = ["Affine", "Bayes", "affine_law"]
