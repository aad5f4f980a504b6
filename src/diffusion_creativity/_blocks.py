"""Cutting an image into disjoint blocks."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from . import _validate


def sizes(block: int | tuple[int, int], shape: torch.Size) -> tuple[int, ...]:
    """Return the block's size along each axis, or say which sizes divide the image."""
    space = shape[1:] if len(shape) > 1 else shape
    sides = tuple(block) if isinstance(block, Sequence) else (block,) * len(space)
    if len(sides) != len(space):
        raise ValueError(
            f"block must be one integer or {len(space)}, one for each axis of length "
            f"{', '.join(map(str, space))}; got {block!r}"
        )
    sides = tuple(_validate.integer("block", size, minimum=1) for size in sides)
    for size, length in zip(sides, space, strict=True):
        if length % size:
            fitting = ", ".join(str(k) for k in range(1, length + 1) if length % k == 0)
            raise ValueError(
                f"block must divide the image: {size} does not divide {length}, {fitting} do"
            )
    return sides


def cut(shape: torch.Size, block: tuple[int, ...]) -> Tensor:
    """Flat entries (B, p) of each block, channels included."""
    space = shape[1:] if len(shape) > 1 else shape
    split = [n for length, size in zip(space, block, strict=True) for n in (length // size, size)]
    entries = torch.arange(math.prod(shape)).reshape(-1, *split)
    axes = len(block)
    order = [1 + 2 * k for k in range(axes)] + [0] + [2 + 2 * k for k in range(axes)]
    return entries.permute(order).reshape(math.prod(split[::2]), -1)
