"""Linear layers: one matrix, a product of two narrow ones, or one kernel for all places."""

import math
from collections.abc import Sequence

from torch import Tensor

from ... import _kernels, _validate
from ._layers import convolve, pad
from .stack import LinearStack


class Affine(LinearStack):
    r"""A free matrix and a free bias: :math:`F(z) = Wz + b`. The best one is `denoisers.Affine`.

    Arguments are those of `Stack`; `gain` scales the random start, and 0 starts from F = 0. With
    all principal axes as `basis` and their standard deviations as `scale` inputs are white: the
    class is the same and gradient descent finds all directions equally fast. (Leave out `skip`
    then: it is the closed form.)
    """

    def __init__(self, shape, sigmas, *, gain: float = 1.0, **stack) -> None:
        super().__init__(shape, sigmas, **stack)
        d, draw = self.c_in[0].numel(), self._start()
        gain = _validate.real("gain", gain, minimum=0)
        self.weight = draw(d, d, std=gain / math.sqrt(d))
        self.bias = draw(1, d, std=0.0)

    def _raw(self, z: Tensor, weights: list[Tensor], blank: Tensor) -> Tensor:
        weight, bias = weights
        return (z.flatten(3) @ weight.mT + bias).reshape(z.shape)


class LinearBottleneck(LinearStack):
    r"""Two matrices with `rank` numbers between: :math:`F(z) = U(Vz) + b`, without skip.

    The best one is `denoisers.LinearBottleneck`. Other arguments are those of `Stack`.
    """

    def __init__(self, shape, sigmas, *, rank: int, **stack) -> None:
        super().__init__(shape, sigmas, skip=False, **stack)
        d, draw = self.c_in[0].numel(), self._start()
        self.rank = _validate.integer("rank", rank, minimum=1)
        if rank > d:
            raise ValueError(f"rank must be at most the dimension of an example, {d}, got {rank}")
        self.encoder = draw(rank, d, std=1 / math.sqrt(d))
        self.decoder = draw(d, rank, std=1 / math.sqrt(rank))
        self.bias = draw(1, d, std=0.0)

    def _raw(self, z: Tensor, weights: list[Tensor], blank: Tensor) -> Tensor:
        encoder, decoder, bias = weights
        return (z.flatten(3) @ encoder.mT @ decoder.mT + bias).reshape(z.shape)


class Convolution(LinearStack):
    """One kernel for all places, and one bias per channel.

    The best one is `denoisers.Convolutional` with the same `kernel_size` and `padding`; a
    `kernel_size` of 1 is the affine map of a pixel that all pixels share. Other arguments are those
    of `Stack`; centre and scale must be the same at all places.

    Parameters
    ----------
    shape : tuple of int
        (C, L) or (C, H, W).
    kernel_size : int, optional
        Odd side of the kernel; None: as large as there is.
    padding : {"circular", "zeros"}
        What lies beyond the border: the other side, or zeros.
    """

    even = True

    def __init__(
        self,
        shape: Sequence[int],
        sigmas: Tensor | Sequence[float],
        *,
        kernel_size: int | None = None,
        padding: str = "circular",
        **stack,
    ) -> None:
        if stack.get("basis") is not None:
            raise ValueError("basis must be None for a convolution")
        picture = _kernels.picture(shape)
        window = _kernels.sides(kernel_size, picture[1:], padding)
        super().__init__(shape, sigmas, **stack)
        self.padding, self.window, self._picture = padding, window, picture
        channels, draw = picture[0], self._start()
        std = 1 / math.sqrt(channels * math.prod(window))
        self.kernel = draw(channels, channels, *window, std=std)
        self.bias = draw(channels, std=0.0)

    def _raw(self, z: Tensor, weights: list[Tensor], blank: Tensor) -> Tensor:
        kernel, bias = weights
        h = z.reshape(*z.shape[:3], *self._picture)
        blank = blank.reshape(-1, 1, *self._picture)[..., :1, :1]
        made = convolve(pad(h, self.window, self.padding, blank), kernel)
        return (made + bias[:, :, None, :, None, None]).reshape(z.shape)
