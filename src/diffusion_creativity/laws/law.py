"""What every law can do."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .. import _validate
from .report import Report


class Law(ABC):
    """A distribution on tensors of shape `shape`; ``d`` is their number of entries."""

    mean: Tensor  # (*shape), float64
    shape: torch.Size

    @property
    @abstractmethod
    def cov(self) -> Tensor:
        """The covariance matrix, shape (d, d), float64."""

    @abstractmethod
    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, *shape), float32."""

    @abstractmethod
    def agreement(self, samples: Tensor, *, alpha: float = 0.01) -> Report:
        """Test whether `samples` (n, *shape) could come from this law."""

    def _flat(self, samples: Tensor, minimum: int) -> Tensor:
        """Check samples and flatten them to (n, d) in float64."""
        samples = _validate.floating("samples", samples)
        if samples.shape[1:] != self.shape or len(samples) < minimum:
            raise ValueError(
                f"samples must have shape (n, {', '.join(map(str, self.shape))}) with n >= "
                f"{minimum}, got {tuple(samples.shape)}"
            )
        return samples.flatten(1).to(self.mean.device, torch.float64)
