"""Each constrained network with the closed form that is best in its class."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..denoisers.affine import Affine
from ..denoisers.bayes import Bayes
from ..denoisers.bottleneck import LinearBottleneck
from ..denoisers.convolutional import Convolutional
from ..denoisers.encoder import EncoderBottleneck, pooling
from ..denoisers.factorised import Blockwise, Pixelwise
from ..denoisers.patches import EquivariantLocalScore
from ..denoisers.polynomial import Polynomial
from ..networks import constrained as networks

Denoiser = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class Pair:
    """A network, and the closed form that is best in its class."""

    network: Callable[[Tensor, Tensor, Sequence[int]], networks.Stack]  # of x, sigmas, seeds
    closed: Callable[[Tensor], Denoiser]  # of x
    rate: float = 0.01  # the highest learning rate of Adam
    few: bool = False  # on few images, and longer: the best one knows each of them
    part: int = 1  # the batch is divided by it, where an image is many examples
    exact: bool = False  # closed.law(sigmas) is the law on that schedule, no limit of it


def units_of(x: Tensor) -> dict:
    """Centre and scale for a network that may know places."""
    centre = x.mean(0)
    return {"centre": centre, "scale": _size(x - centre)}


def units_by_entry(x: Tensor) -> dict:
    """The same with a scale for each entry, for a network that keeps entries apart."""
    centre = x.mean(0)
    return {"centre": centre, "scale": (x - centre).square().mean(0).sqrt()}


def even_units(x: Tensor) -> dict:
    """The same for a network that treats all places alike."""
    centre = x.mean((0, *range(2, x.ndim)), keepdim=True)[0]
    return {"centre": centre, "scale": _size(x - centre)}


def _size(centred: Tensor) -> float:
    return float(centred.square().mean().sqrt())


def _stack(kind: type, units: Callable[[Tensor], dict], **options) -> Callable:
    return lambda x, sigmas, seeds: kind(x.shape[1:], sigmas, seeds=seeds, **units(x), **options)


def _polynomial(degree: int, basis: str, components: int) -> Pair:
    """A polynomial on principal axes, which the network is given."""
    options = {"degree": degree, "basis": basis, "components": components}

    def build(x: Tensor, sigmas: Tensor, seeds: Sequence[int]) -> networks.Polynomial:
        best = Polynomial.fit(x, **options)
        code = (x.double() - best.mean).flatten(1) @ best.vectors
        return networks.Polynomial(
            x.shape[1:], sigmas, seeds=seeds, degree=degree, joint=basis == "joint",
            basis=best.vectors.T, scale=code.square().mean(0).sqrt(), centre=best.mean,
        )  # fmt: skip

    return Pair(build, lambda x: Polynomial.fit(x, **options))


def _convolution(kernel_size: int | None, padding: str = "circular") -> Pair:
    options = {"kernel_size": kernel_size, "padding": padding}
    return Pair(
        _stack(networks.Convolution, even_units, **options),
        lambda x: Convolutional.fit(x, **options),
        exact=True,
    )


def _pooled(x: Tensor, sigmas: Tensor, seeds: Sequence[int]) -> networks.EncoderBottleneck:
    encoder, units = pooling(x.shape[1:], 2), units_of(x)
    code = (x - units["centre"]).flatten(1).double() @ encoder.T
    units |= {"encoder": encoder, "code_scale": _size(code)}
    return networks.EncoderBottleneck(x.shape[1:], sigmas, seeds=seeds, width=128, **units)


CONSTRAINED = {
    "affine": Pair(_stack(networks.Affine, units_of), Affine.fit, exact=True),
    "conv3": _convolution(3),
    "conv_full": _convolution(None),
    "conv3_zeros": _convolution(3, "zeros"),
    "pixel_affine": _convolution(1),
    "rank8": Pair(
        _stack(networks.LinearBottleneck, units_of, rank=8),
        lambda x: LinearBottleneck.fit(x, rank=8),
        exact=True,
    ),
    "quadratic": Pair(
        _stack(networks.Polynomial, units_by_entry, degree=2),
        lambda x: Polynomial.fit(x, degree=2),
    ),
    "cubic": Pair(
        _stack(networks.Polynomial, units_by_entry, degree=3),
        lambda x: Polynomial.fit(x, degree=3),
    ),
    "cubic_pca": _polynomial(3, "pca", 20),
    "quadratic_joint": _polynomial(2, "joint", 8),
    "pixelwise": Pair(
        _stack(networks.Pixelwise, units_by_entry, width=16), Pixelwise.fit, rate=0.005
    ),
    "pixelwise_shared": Pair(
        _stack(networks.Pixelwise, even_units, width=32, shared=True),
        lambda x: Pixelwise.fit(x, shared=True),
        rate=0.005,
    ),
    "blocks2": Pair(
        _stack(networks.Blockwise, units_of, block=2, width=32),
        lambda x: Blockwise.fit(x, block=2),
        rate=0.005,
    ),
    "blocks4": Pair(
        _stack(networks.Blockwise, units_of, block=4, width=64, skip=False),
        lambda x: Blockwise.fit(x, block=4),
        few=True,
    ),
    "pooled": Pair(
        _pooled, lambda x: EncoderBottleneck.fit(x, encoder=pooling(x.shape[1:], 2)),
        rate=0.005, few=True,
    ),
    "resnet3": Pair(
        _stack(
            networks.ResNet, even_units, window=3, channels=32, conditioned=False, skip=False
        ),
        lambda x: EquivariantLocalScore.fit(x, window=3, padding="circular"),
        rate=0.005, few=True, part=4,
    ),
    "mlp": Pair(
        _stack(networks.MLP, units_of, width=256), Bayes.fit, rate=0.003, few=True
    ),
}  # fmt: skip
