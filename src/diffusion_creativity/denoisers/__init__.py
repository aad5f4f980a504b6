"""Closed-form denoisers, each beside the law of what it generates."""

from .affine import Affine, affine_law
from .bayes import Bayes
from .convolutional import Convolutional
from .factorised import Blockwise, Pixelwise
from .polynomial import Polynomial
from .shallow_relu import ShallowReLU

__all__ = [
    "Affine",
    "Bayes",
    "Blockwise",
    "Convolutional",
    "Pixelwise",
    "Polynomial",
    "ShallowReLU",
    "affine_law",
]
