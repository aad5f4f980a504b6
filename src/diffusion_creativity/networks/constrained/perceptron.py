"""Free functions of a part: of a pixel, of a block, of a code, of what passes a narrow layer."""

import math
from collections.abc import Sequence

from torch import Tensor

from ... import _blocks, _validate
from ._layers import activation_of, dense, dense_weights
from .stack import Stack


class Perceptrons(Stack):
    """A multilayer perceptron for each part of an example; subclasses say what the parts are.

    Parameters
    ----------
    width, depth : int
        Units of a hidden layer, and how many such layers.
    activation : {"silu", "relu"}
    conditioned : bool
        All levels share the weights; each has biases of its own, and a gain for each hidden unit.
    """

    def __init__(
        self,
        shape: Sequence[int],
        sigmas: Tensor | Sequence[float],
        *,
        width: int = 64,
        depth: int = 2,
        activation: str = "silu",
        conditioned: bool = False,
        **stack,
    ) -> None:
        super().__init__(shape, sigmas, **stack)
        width = _validate.integer("width", width, minimum=1)
        self._hidden = [width] * _validate.integer("depth", depth, minimum=1)
        self._act, self.conditioned = activation_of(activation), bool(conditioned)

    def _build(self, fan_in: int, fan_out: int, groups: int = 1) -> None:
        sizes = [fan_in, *self._hidden, fan_out]
        self.weights = dense_weights(self._start(), sizes, groups, self.conditioned)

    def _apply_to(self, parts: Tensor, weights: list[Tensor]) -> Tensor:
        """Parts (s, k, G, n, in) to (s, k, G, n, out)."""
        return dense(parts, weights, self._act, self.conditioned)


class MLP(Perceptrons):
    """A multilayer perceptron of the whole example: `width` is the constraint. No skip.

    With units enough for the training set the best one is `denoisers.Bayes`; with fewer no closed
    form is known. Other arguments are those of `Perceptrons` and `Stack`.
    """

    def __init__(self, shape, sigmas, **perceptron) -> None:
        super().__init__(shape, sigmas, skip=False, **perceptron)
        d = self.c_in[0].numel()
        self._build(d, d)

    def _raw(self, z: Tensor, weights: list[Tensor], blank: Tensor) -> Tensor:
        return self._apply_to(z.flatten(3)[:, :, None], weights).reshape(z.shape)


class EncoderBottleneck(Perceptrons):
    """A fixed linear encoder W (k, d) with orthonormal rows, and a free decoder. No skip.

    The best one is `denoisers.EncoderBottleneck` with the same encoder, from
    `denoisers.encoder.pooling` or `.pca` say. `scale` is one number; `code_scale`, one number or k,
    the standard deviation of the code. Other arguments are those of `Perceptrons` and `Stack`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        sigmas: Tensor | Sequence[float],
        *,
        encoder: Tensor,
        scale: float = 1.0,
        code_scale: float | Tensor | None = None,
        **perceptron,
    ) -> None:
        scale = _validate.real("scale", scale, minimum=0, strict=True)
        code_scale = scale if code_scale is None else code_scale
        super().__init__(shape, sigmas, basis=encoder, scale=code_scale, skip=False, **perceptron)
        self.scale = scale
        self.c_out, self.unit = self.c_out[..., :1] * 0 + scale, self.unit * 0 + scale
        self._build(len(encoder), math.prod(self.shape))

    def _raw(self, z: Tensor, weights: list[Tensor], blank: Tensor) -> Tensor:
        return self._apply_to(z[:, :, None], weights)[:, :, 0]

    def _outward(self, made: Tensor) -> Tensor:
        return made


class Pixelwise(Perceptrons):
    """A free function of each pixel, of its own or (`shared`, a 1×1 convolution) the same for all.

    The best one is `denoisers.Pixelwise` with the same `shared`. A pixel has all its channels: in
    shape (C, *space) it is C numbers, in shape (d,) one. With `shared`, centre and scale must be
    the same at all places. Other arguments are those of `Perceptrons` and `Stack`.
    """

    def __init__(self, shape, sigmas, *, shared: bool = False, **perceptron) -> None:
        self.even = shared = bool(shared)
        super().__init__(shape, sigmas, **perceptron)
        channels = self.shape[0] if len(self.shape) > 1 else 1
        self.shared, self._channels = shared, channels
        self._build(channels, channels, 1 if shared else math.prod(self.shape) // channels)

    def _raw(self, z: Tensor, weights: list[Tensor], blank: Tensor) -> Tensor:
        parts = z.reshape(*z.shape[:3], self._channels, -1).permute(0, 1, 4, 2, 3)
        pixels = parts.shape[2]
        if self.shared:  # all pixels are examples of one part
            made = self._apply_to(parts.flatten(2, 3)[:, :, None], weights)
            made = made[:, :, 0].unflatten(2, (pixels, -1))
        else:
            made = self._apply_to(parts, weights)
        return made.permute(0, 1, 3, 4, 2).reshape(z.shape)


class Blockwise(Perceptrons):
    """A free function of each block of the image, of its own.

    The best one is `denoisers.Blockwise` with the same `block`. Other arguments are those of
    `Perceptrons` and `Stack`.
    """

    def __init__(self, shape, sigmas, *, block: int | tuple[int, int], **perceptron) -> None:
        super().__init__(shape, sigmas, **perceptron)
        self.block = _blocks.sizes(block, self.shape)
        places = _blocks.cut(self.shape, self.block)  # (G, p)
        self.register_buffer("_places", places, persistent=False)
        self.register_buffer("_back", places.flatten().argsort(), persistent=False)
        self._build(places.shape[1], places.shape[1], len(places))

    def _raw(self, z: Tensor, weights: list[Tensor], blank: Tensor) -> Tensor:
        parts = z.flatten(3)[..., self._places].transpose(2, 3)  # (s, k, G, B, p)
        made = self._apply_to(parts, weights).transpose(2, 3).flatten(3)
        return made[..., self._back].reshape(z.shape)
