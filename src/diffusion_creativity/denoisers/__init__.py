"""Closed-form denoisers, each beside the law of what it generates."""

from .affine import Affine, affine_law
from .bayes import Bayes
from .bottleneck import Codebook, LinearBottleneck
from .convolutional import Convolutional
from .data_locality import DataLocality
from .encoder import EncoderBottleneck
from .equivariant import Equivariant
from .factorised import Blockwise, Pixelwise
from .patches import EquivariantLocalScore, LocalScore, PatchPosterior
from .polynomial import Polynomial
from .shallow_relu import ShallowReLU

__all__ = [
    "Affine",
    "Bayes",
    "Blockwise",
    "Codebook",
    "Convolutional",
    "DataLocality",
    "EncoderBottleneck",
    "Equivariant",
    "EquivariantLocalScore",
    "LinearBottleneck",
    "LocalScore",
    "PatchPosterior",
    "Pixelwise",
    "Polynomial",
    "ShallowReLU",
    "affine_law",
]
