"""Layers for many copies at once: x (s, k, …), weights (s, k, …) or (s, 1, …) for all k alike."""

import itertools
import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS = {"silu": functional.silu, "relu": functional.relu}


def activation_of(name: str) -> Callable[[Tensor], Tensor]:
    """Return an activation by its name."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]


def pad(h: Tensor, window: tuple[int, int], padding: str, blank: Tensor | None = None) -> Tensor:
    """Surround pictures h (s, k, B, C, H, W) by what a kernel of size `window` sees beyond.

    With "zeros" it is `blank` (k, 1, C, 1, 1) where that is given.
    """
    top, left = (n // 2 for n in window)
    sides = (left, window[1] - 1 - left, top, window[0] - 1 - top)
    if padding == "circular":
        return functional.pad(h.flatten(0, 2), sides, mode="circular").unflatten(0, h.shape[:3])
    return functional.pad(h, sides) if blank is None else functional.pad(h - blank, sides) + blank


def convolve(h: Tensor, kernel: Tensor) -> Tensor:
    """Convolve padded pictures h (s, k, B, c, H, W) by kernels (s, k or 1, o, c, kh, kw)."""
    s, k, n = h.shape[:3]
    own = kernel.shape[1] == k
    order = (2, 0, 1) if own else (1, 2, 0)  # one batch for all k that share a kernel
    x = h.permute(*order, 3, 4, 5)
    x = x.flatten(1, 3) if own else x.flatten(0, 1).flatten(1, 2)
    made = functional.conv2d(x, kernel.flatten(0, 2), groups=s * k if own else s)
    if own:
        return made.unflatten(1, (s, k, -1)).permute(1, 2, 0, 3, 4, 5)
    return made.unflatten(1, (s, -1)).unflatten(0, (k, n)).permute(2, 0, 1, 3, 4, 5)


def dense_weights(
    draw: Callable[..., nn.Parameter], sizes: list[int], groups: int = 1, conditioned: bool = False
) -> nn.ParameterList:
    """Start a multilayer perceptron of these layer sizes for each of `groups` parts.

    In turn weight (G, in, out) and bias (G, 1, out) of each layer. `conditioned`: all levels share
    the weights; biases are their own, and so are gains - 1 (G, 1, out) of the hidden layers.
    """
    weights = nn.ParameterList()
    levels = {"levels": 1} if conditioned else {}
    for j, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        last = j + 2 == len(sizes)
        std = math.sqrt((1 if last else 2) / fan_in)
        weights.append(draw(groups, fan_in, fan_out, std=std, **levels))
        weights.append(draw(groups, 1, fan_out, std=0.0 if last else 1 / math.sqrt(fan_in)))
        if conditioned and not last:
            weights.append(draw(groups, 1, fan_out, std=0.0))
    return weights


def dense(
    x: Tensor, weights: list[Tensor], act: Callable[[Tensor], Tensor], conditioned: bool = False
) -> Tensor:
    """Apply it to x (s, k, G, n, in), with the weights in the order of `dense_weights`."""
    step = 3 if conditioned else 2
    for j in range(0, len(weights), step):
        weight, bias, *gain = weights[j : j + step]
        x = x @ weight
        if gain:
            x = x * (1 + gain[0])
        x = x + bias
        if j + step < len(weights):
            x = act(x)
    return x
