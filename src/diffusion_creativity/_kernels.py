"""How large a convolution's kernel may be, on pictures and on signals."""

import math
from collections.abc import Sequence

from . import _validate

PADDINGS = ("circular", "zeros")


def picture(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return (C, H, W) of examples (C, H, W), or of (C, L) with H = 1."""
    if len(shape) not in (2, 3) or math.prod(shape) == 0:
        raise ValueError(
            f"examples must have shape (C, L) or (C, H, W) without a 0, got {tuple(shape)}"
        )
    return (shape[0], *(1,) * (3 - len(shape)), *shape[1:])


def sides(kernel_size: int | None, size: tuple[int, int], padding: str) -> tuple[int, int]:
    """Return the sides of a kernel for places (H, W); None: as large as makes a difference.

    Along a side of length 1 a kernel has length 1.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
    largest = tuple(2 * n - 1 if padding == "zeros" else n for n in size)
    if kernel_size is None:
        return largest
    k = _validate.integer("kernel_size", kernel_size, minimum=1)
    most = min((n for n, length in zip(largest, size, strict=True) if length > 1), default=k)
    most -= 1 - most % 2
    if k % 2 == 0 or k > most:
        raise ValueError(
            f"kernel_size must be odd and at most {most} for {padding!r} padding and "
            f"places {tuple(size)}, got {k}"
        )
    return tuple(k if n > 1 else 1 for n in size)
