"""Distributions of the noise level in training: ``draw(n, generator, device) -> (n,)``, float32."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _validate


@dataclass(frozen=True)
class LogNormal:
    """``ln sigma`` is normal; the default is that of :cite:t:`karras2022elucidating`."""

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        _validate.real("mean", self.mean)
        _validate.real("std", self.std, minimum=0)

    def __call__(self, n: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """Draw n levels."""
        drawn = torch.randn(n, generator=generator, device=device, dtype=torch.float32)
        return (self.mean + self.std * drawn).exp()


@dataclass(frozen=True)
class LogUniform:
    """``ln sigma`` is uniform between the logarithms of two levels."""

    low: float = 0.002
    high: float = 80.0

    def __post_init__(self) -> None:
        _validate.real("low", self.low, minimum=0, strict=True)
        if _validate.real("high", self.high) < self.low:
            raise ValueError(f"high must be at least low = {self.low:g}, got {self.high:g}")

    def __call__(self, n: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """Draw n levels."""
        drawn = torch.rand(n, generator=generator, device=device, dtype=torch.float32)
        return (math.log(self.low) + math.log(self.high / self.low) * drawn).exp()


@dataclass(frozen=True)
class Levels:
    """The levels above 0 of a schedule, each as often as the others."""

    sigmas: Sequence[float]

    def __post_init__(self) -> None:
        levels = tuple(s for s in _validate.schedule(self.sigmas) if s > 0)
        object.__setattr__(self, "sigmas", levels)

    def __call__(self, n: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """Draw n levels."""
        levels = torch.tensor(self.sigmas, device=device, dtype=torch.float32)
        return levels[torch.randint(len(levels), (n,), generator=generator, device=device)]
