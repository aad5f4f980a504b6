"""A law given in other coordinates."""

import math

import torch
from torch import Tensor

from .law import Law
from .report import Report, report


class Turned(Law):
    """The law of mean + V c for a code c (k,) with a known law, and orthonormal columns V (d, k).

    Parameters
    ----------
    code : Law
        Of shape (k,).
    mean : Tensor, shape (*shape)
    vectors : Tensor, shape (d, k)
    """

    def __init__(self, code: Law, mean: Tensor, vectors: Tensor) -> None:
        self.code, self.offset, self.vectors = code, mean.double(), vectors.double()
        self.shape = mean.shape
        if code.shape != (vectors.shape[1],) or len(vectors) != mean.numel():
            raise ValueError(
                f"vectors must have shape ({mean.numel()}, {code.mean.numel()}) for this mean and "
                f"code, got {tuple(vectors.shape)}"
            )
        gap = self.vectors.T @ self.vectors - torch.eye(vectors.shape[1]).to(self.vectors)
        if gap.abs().max() > 1e-6:
            raise ValueError(f"vectors must be orthonormal, got products off by {gap.abs().max()}")

    @property
    def mean(self) -> Tensor:
        """The mean, (*shape)."""
        return self._out(self.code.mean[None])[0]

    @property
    def cov(self) -> Tensor:
        """The covariance matrix, shape (d, d), float64."""
        return self.vectors @ self.code.cov.to(self.vectors) @ self.vectors.T

    def _out(self, code: Tensor) -> Tensor:
        flat = self.offset.flatten() + code.to(self.vectors) @ self.vectors.T
        return flat.reshape(-1, *self.shape)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, *shape), float32."""
        return self._out(self.code.sample(n, seed)).float()

    def agreement(self, samples: Tensor, *, alpha: float = 0.01, tolerance: float = 1e-3) -> Report:
        """Test the code of `samples` (n, *shape), and that they lie on the plane.

        No sample may be further from it than `tolerance`, by root mean square over the entries and
        relative to its own size where that is above 1.
        """
        flat = self._flat(samples, 20) - self.offset.flatten()
        code = flat @ self.vectors
        off = (flat - code @ self.vectors.T).norm(dim=1) / math.sqrt(flat.shape[1])
        off = (off / flat.abs().amax(1).clamp(min=1)).max().item()
        inner = self.code.agreement(code, alpha=alpha)
        rows = [("largest RMS distance to the plane", off, f"<= {tolerance:g}", None,
                 off <= tolerance)]  # fmt: skip
        rows += [(s.name, s.value, s.expected, s.p_value, s.ok) for s in inner.statistics]
        return report(rows, len(flat), alpha)
