"""Networks with exactly one architectural constraint each: stacks of copies, one for each level.

Each is trained against the closed form that is best in its class, a class of `denoisers`:

===================  ===========================================================================
network              best in its class
===================  ===========================================================================
`Affine`             `Affine`
`LinearBottleneck`   `LinearBottleneck` of the same rank
`Convolution`        `Convolutional` of the same kernel and padding
`Polynomial`         `Polynomial` of the same degree in the same basis
`Pixelwise`          `Pixelwise`, own or shared, as far as its width reaches
`Blockwise`          `Blockwise` of the same blocks, as far as its width reaches
`EncoderBottleneck`  `EncoderBottleneck` with the same encoder, as far as its width reaches
`ResNet`             `EquivariantLocalScore` of the same window, or `Equivariant`, as far as its
                     channels reach
`MLP`                `Bayes`, when it is wide enough for the training set
===================  ===========================================================================

The first four contain their closed form exactly; the others approach it, as free functions are
approached by perceptrons.
"""

from .linear import Affine, Convolution, LinearBottleneck
from .perceptron import MLP, Blockwise, EncoderBottleneck, Pixelwise
from .polynomial import Polynomial
from .resnet import ResNet
from .stack import LinearStack, Stack

__all__ = [
    "MLP",
    "Affine",
    "Blockwise",
    "Convolution",
    "EncoderBottleneck",
    "LinearBottleneck",
    "LinearStack",
    "Pixelwise",
    "Polynomial",
    "ResNet",
    "Stack",
]
