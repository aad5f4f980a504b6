"""Checks of what callers pass in: every error names the argument, what it got and what it takes."""

import itertools
import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor


def real(name: str, value: float, *, minimum: float = -math.inf, strict: bool = False) -> float:
    """Return `value` as a finite float that is at least (`strict`: above) `minimum`."""
    if isinstance(value, Tensor) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {value!r}")
    value = float(value)
    if not math.isfinite(value) or value < minimum or (strict and value == minimum):
        bound = f" {'>' if strict else '>='} {minimum:g}" if minimum > -math.inf else ""
        raise ValueError(f"{name} must be a finite number{bound}, got {value!r}")
    return value


def integer(name: str, value: int, *, minimum: int = 0) -> int:
    """Return `value` as an int that is at least `minimum`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, got {value!r}")
    return int(value)


def finite(name: str, value: Tensor) -> Tensor:
    """Return `value` when all its entries are finite."""
    if not torch.isfinite(value).all():
        raise ValueError(
            f"{name} must be finite, got {int(value.isnan().sum())} NaN "
            f"and {int(value.isinf().sum())} infinite entries in shape {tuple(value.shape)}"
        )
    return value


def floating(name: str, value: Tensor | Sequence) -> Tensor:
    """Return `value` as a finite tensor of float32 or better, on the device where it is."""
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} must be an array of numbers, got {type(value).__name__}"
        ) from error
    if tensor.is_complex():
        raise ValueError(f"{name} must be real, got dtype {tensor.dtype}")
    if tensor.layout != torch.strided:
        raise ValueError(f"{name} must be a dense array, got layout {tensor.layout}")
    better = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return finite(name, tensor.detach().to(better))


def dataset(x: Tensor | Sequence, name: str = "x") -> Tensor:
    """Return data of shape (N, *shape), N >= 1, as a finite floating tensor."""
    data = floating(name, x)
    if data.ndim < 2 or data.numel() == 0:
        raise ValueError(
            f"{name} must hold at least one example in shape (N, *shape), got {tuple(data.shape)}"
        )
    return data


def noisy(y: Tensor, shape: torch.Size, device: torch.device, name: str = "y") -> Tensor:
    """Return a batch (n, *shape) on `device` as a finite tensor of float32 or better.

    Unlike `floating` it keeps the gradient: denoisers are differentiated in the book.
    """
    if not isinstance(y, Tensor):
        raise ValueError(f"{name} must be a torch tensor, got {type(y).__name__}")
    if y.is_complex():
        raise ValueError(f"{name} must be real, got dtype {y.dtype}")
    if y.ndim != len(shape) + 1 or y.shape[1:] != shape:
        raise ValueError(f"{name} must have shape (n, {', '.join(map(str, shape))}), "
                         f"as the data, got {tuple(y.shape)}")  # fmt: skip
    if y.device != device:
        raise ValueError(f"{name} is on {y.device} and the denoiser on {device}: move one of them")
    finite(name, y.detach())
    return y if y.dtype == torch.float64 else y.to(torch.float32)


def noise_level(sigma: float | Tensor, n: int, like: Tensor) -> Tensor:
    """Return sigma >= 0 as a tensor of shape (1,) or (n,) with dtype and device of `like`."""
    try:
        level = torch.as_tensor(sigma, dtype=like.dtype, device=like.device).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"sigma must be a number or a tensor of {n}, got {sigma!r}") from error
    if level.numel() not in (1, n) or level.ndim > 1:
        raise ValueError(
            f"sigma must be one number or one per example ({n}), got shape {tuple(level.shape)}"
        )
    level = level.reshape(-1)
    if not torch.isfinite(level).all() or (level < 0).any():
        raise ValueError(f"sigma must be finite and >= 0, got {sigma!r}")
    return level


def schedule(sigmas: Tensor | Sequence[float]) -> list[float]:
    """Return a noise schedule as floats: at least two, strictly decreasing, the last one 0."""
    try:
        levels = torch.as_tensor(sigmas, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"sigmas must be a vector of noise levels, got {sigmas!r}") from error
    if levels.ndim != 1 or len(levels) < 2:
        raise ValueError(f"sigmas must be a vector of 2 or more levels, got {tuple(levels.shape)}")
    finite("sigmas", levels)
    values: list[float] = levels.tolist()
    for j, (high, low) in enumerate(itertools.pairwise(values)):
        if low >= high:
            raise ValueError(
                f"sigmas must decrease, got sigmas[{j}] = {high:g} <= {low:g} after it"
            )
    if values[-1] != 0:
        raise ValueError(f"sigmas must end with 0, got {values[-1]:g}")
    return values
