"""Fully convolutional networks that see a window of chosen size and nothing else."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from ... import _kernels, _validate
from ._layers import convolve, pad
from .stack import Stack


class ResNet(Stack):
    r"""Residual blocks with 3×3 kernels, (w - 1)/2 of them: a pixel sees a window of w×w pixels.

    A block is ``h + conv1×1(silu(conv3×3(h)))``; `pointwise` more blocks have 1×1 in place of 3×3.
    Nothing is normalised. The best function of the window is `denoisers.EquivariantLocalScore` with
    the same `window` and `padding`, and `denoisers.Equivariant` where circular windows cover the
    image. Other arguments are those of `Stack`; centre and scale must be the same at all places.

    Parameters
    ----------
    shape : tuple of int
        (C, L) or (C, H, W).
    window : int
        Odd side w of what a pixel sees.
    channels : int
        Width of the hidden layers.
    pointwise : int
        How many blocks see only the pixel.
    padding : {"circular", "zeros"}
        What lies beyond the border: the other side, or zeros, in every layer.
    conditioned : bool
        All levels share the kernels; each has biases of its own, and a gain for each channel of a
        block. Many times smaller and faster than kernels for each level.
    """

    even = True

    def __init__(
        self,
        shape: Sequence[int],
        sigmas: Tensor | Sequence[float],
        *,
        window: int,
        channels: int = 32,
        pointwise: int = 1,
        padding: str = "circular",
        conditioned: bool = True,
        **stack,
    ) -> None:
        if stack.get("basis") is not None:
            raise ValueError("basis must be None for a convolution")
        picture = _kernels.picture(shape)
        super().__init__(shape, sigmas, **stack)
        if window % 2 == 0:
            raise ValueError(f"window must be odd, so that it has a centre, got {window}")
        self.window, self.padding = _validate.integer("window", window, minimum=1), padding
        self._picture, self.conditioned = picture, bool(conditioned)
        wide = _kernels.sides(min(3, window), self._picture[1:], padding)
        pointwise = _validate.integer("pointwise", pointwise)
        self._blocks = [wide] * (self.window // 2) + [(1, 1)] * pointwise
        self._build(_validate.integer("channels", channels, minimum=1))

    def _build(self, width: int) -> None:
        channels, draw = self._picture[0], self._start()
        shared = {"levels": 1} if self.conditioned else {}
        inner = math.sqrt(1 / max(1, len(self._blocks)))  # the sum of blocks stays of order one

        def kernel(out: int, into: int, sides: tuple[int, int], gain: float = 1.0) -> None:
            std = gain / math.sqrt(into * math.prod(sides))
            self.weights.append(draw(out, into, *sides, std=std, **shared))

        self.weights = nn.ParameterList()
        kernel(width, channels, (1, 1))
        self.weights.append(draw(width, 1, 1, std=1.0))
        for sides in self._blocks:
            kernel(width, width, sides, gain=math.sqrt(2))
            self.weights.append(draw(width, 1, 1, std=0.0))  # bias
            if self.conditioned:
                self.weights.append(draw(width, 1, 1, std=0.0))  # gain - 1
            kernel(width, width, (1, 1), gain=inner)
        kernel(channels, width, (1, 1))
        self.weights.append(draw(channels, 1, 1, std=0.0))

    def _raw(self, z: Tensor, weights: list[Tensor], blank: Tensor) -> Tensor:
        parts = iter(weights)
        h = z.reshape(*z.shape[:3], *self._picture)
        h = convolve(h, next(parts)) + next(parts)[:, :, None]
        for sides in self._blocks:
            seen = convolve(pad(h, sides, self.padding), next(parts))
            bias = next(parts)[:, :, None]
            if self.conditioned:
                seen = seen * (1 + next(parts)[:, :, None])
            h = h + convolve(functional.silu(seen + bias), next(parts))
        return (convolve(h, next(parts)) + next(parts)[:, :, None]).reshape(z.shape)
