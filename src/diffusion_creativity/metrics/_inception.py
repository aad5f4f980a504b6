"""Inception v3 as the Fréchet Inception distance uses it, with torchvision's names of weights.

Szegedy et al. 2016, arXiv:1512.00567; the weights of Heusel et al. 2017, arXiv:1706.08500, were
trained with average pools that leave the padding out, and with a maximum pool in the last block.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 299
MAXIMUM = "maximum"
AVERAGE = "average"
HALVE = "halve"


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU; `same` size at stride 1, no padding at stride 2."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple, stride: int = 1, same: bool = True
    ) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if same and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        return torch.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, concatenated.

    A branch is a list of steps: a convolution ("branch" + name, outputs, kernel, stride), a pool,
    or at its end a list of convolutions whose results are concatenated.
    """

    def __init__(self, inputs: int, *branches: list) -> None:
        super().__init__()
        self.branches = branches
        for branch in branches:
            channels = inputs
            for step in branch:
                for name, outputs, *options in [] if isinstance(step, str) else _fork(step):
                    self.add_module(f"branch{name}", Convolution(channels, outputs, *options))
                if not isinstance(step, str):
                    channels = _fork(step)[0][1]

    def forward(self, x: Tensor) -> Tensor:
        """Apply every branch."""
        return torch.cat([self._branch(x, branch) for branch in self.branches], 1)

    def _branch(self, x: Tensor, branch: list) -> Tensor:
        for step in branch:
            if isinstance(step, str):
                x = _pool(x, step)
            else:
                x = torch.cat([getattr(self, f"branch{name}")(x) for name, *_ in _fork(step)], 1)
        return x


def _fork(step: tuple | list) -> list:
    return step if isinstance(step, list) else [step]


def _pool(x: Tensor, kind: str) -> Tensor:
    if kind == HALVE:
        return functional.max_pool2d(x, 3, 2)
    if kind == MAXIMUM:
        return functional.max_pool2d(x, 3, 1, 1)
    return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _a(inputs: int, pooled: int) -> Mixed:
    return Mixed(
        inputs,
        [("1x1", 64, 1)],
        [("5x5_1", 48, 1), ("5x5_2", 64, 5)],
        [("3x3dbl_1", 64, 1), ("3x3dbl_2", 96, 3), ("3x3dbl_3", 96, 3)],
        [AVERAGE, ("_pool", pooled, 1)],
    )


def _b() -> Mixed:
    return Mixed(
        288,
        [("3x3", 384, 3, 2)],
        [("3x3dbl_1", 64, 1), ("3x3dbl_2", 96, 3), ("3x3dbl_3", 96, 3, 2)],
        [HALVE],
    )


def _c(c: int) -> Mixed:
    row, column = (1, 7), (7, 1)
    double = [("7x7dbl_1", c, 1), ("7x7dbl_2", c, column), ("7x7dbl_3", c, row)]
    return Mixed(
        768,
        [("1x1", 192, 1)],
        [("7x7_1", c, 1), ("7x7_2", c, row), ("7x7_3", 192, column)],
        [*double, ("7x7dbl_4", c, column), ("7x7dbl_5", 192, row)],
        [AVERAGE, ("_pool", 192, 1)],
    )


def _d() -> Mixed:
    wide = [("7x7x3_1", 192, 1), ("7x7x3_2", 192, (1, 7)), ("7x7x3_3", 192, (7, 1))]
    return Mixed(
        768,
        [("3x3_1", 192, 1), ("3x3_2", 320, 3, 2)],
        [*wide, ("7x7x3_4", 192, 3, 2)],
        [HALVE],
    )


def _e(inputs: int, pool: str) -> Mixed:
    row, column = (1, 3), (3, 1)
    return Mixed(
        inputs,
        [("1x1", 320, 1)],
        [("3x3_1", 384, 1), [("3x3_2a", 384, row), ("3x3_2b", 384, column)]],
        [
            ("3x3dbl_1", 448, 1),
            ("3x3dbl_2", 384, 3),
            [("3x3dbl_3a", 384, row), ("3x3dbl_3b", 384, column)],
        ],
        [pool, ("_pool", 192, 1)],
    )


class Inception(nn.Module):
    """Images (n, 3, 299, 299) in [-1, 1] to the 2,048 means of the last block."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, same=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _a(192, 32), _a(256, 64), _a(288, 64)
        self.Mixed_6a = _b()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = map(_c, (128, 160, 160, 192))
        self.Mixed_7a = _d()
        self.Mixed_7b, self.Mixed_7c = _e(1280, AVERAGE), _e(2048, MAXIMUM)

    def features(self, x: Tensor) -> Tensor:
        """Return (n, 2048)."""
        for name, layer in self.named_children():
            if name in ("Conv2d_3b_1x1", "Mixed_5b"):
                x = _pool(x, HALVE)
            x = layer(x)
        return x.mean((2, 3))
