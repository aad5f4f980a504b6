"""Closed-form denoisers, each beside the law of what it generates."""

from .affine import Affine, affine_law
from .bayes import Bayes
from .convolutional import Convolutional
from .shallow_relu import ShallowReLU

__all__ = ["Affine", "Bayes", "Convolutional", "ShallowReLU", "affine_law"]
