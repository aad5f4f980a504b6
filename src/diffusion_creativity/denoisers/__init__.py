"""Closed-form denoisers, each beside the law of what it generates."""

from .affine import Affine, affine_law
from .bayes import Bayes
from .convolutional import Convolutional
from .equivariant import Equivariant
from .factorised import Blockwise, Pixelwise
from .polynomial import Polynomial
from .shallow_relu import ShallowReLU

__all__ = [
    "Affine",
    "Bayes",
    "Blockwise",
    "Convolutional",
    "Equivariant",
    "Pixelwise",
    "Polynomial",
    "ShallowReLU",
    "affine_law",
]
