"""Torch modules, each with exactly one architectural constraint."""

from .affine import AffinePerLevel

__all__ = ["AffinePerLevel"]
