"""Torch modules, each with exactly one architectural constraint."""

from . import constrained
from .affine import AffinePerLevel

__all__ = ["AffinePerLevel", "constrained"]
