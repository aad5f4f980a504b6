"""E[x | W x + σ n] for the targets of `EncoderBottleneck`, and the law of it at σ → 0."""

from typing import Protocol

import torch
from torch import Tensor

from .._points import Points, slices
from ..laws import Discrete, Empirical, Gaussian, Law
from ._posterior import expectation
from .affine import affine_law

EQUAL = 1e-9  # codes this close, relative to their spread, are one code
DRAWS = 20_000  # draws that stand for the law of a mixture's conditional mean


class Conditional(Protocol):
    """A target in d dimensions, seen through a code."""

    def __call__(self, code: Tensor, sigma: Tensor, dtype: torch.dtype) -> Tensor:
        """Return E[x | W x + σ n = code], (n, d), for float64 codes (n, k) and sigma (n,)."""

    def law(self, levels: list[float] | None, shape: torch.Size) -> Law:
        """Return what is generated."""


class FiniteSet:
    """N equally likely points x (N, d)."""

    def __init__(self, x: Tensor, W: Tensor) -> None:
        self.x = x
        self.points = Points(x.double() @ W.T, values=x)

    def __repr__(self) -> str:
        return f"{len(self.x)} points"

    def __call__(self, code: Tensor, sigma: Tensor, dtype: torch.dtype) -> Tensor:
        return expectation(self.points, code, sigma, dtype=dtype)

    def law(self, levels: list[float] | None, shape: torch.Size) -> Discrete:
        codes = self.points.x
        grain = max(EQUAL * self.points.radius, 1e-300)
        rounded = torch.round((codes - self.points.mean) / grain)
        _, group, counts = rounded.unique(dim=0, return_inverse=True, return_counts=True)
        index = torch.arange(len(codes), device=codes.device)
        first = torch.full_like(counts, len(codes)).scatter_reduce_(0, group, index, "amin")
        order = first.argsort()  # atoms in the order of the data
        x = self.x.double()
        means = torch.zeros(len(counts), x.shape[1]).to(x).index_add_(0, group, x)
        means = (means / counts[:, None])[order].to(self.x.dtype)
        return Discrete(means.reshape(-1, *shape), counts[order].double() / len(codes))


class Normal:
    """N(mean, cov), mean (d,)."""

    def __init__(self, mean: Tensor, cov: Tensor, W: Tensor) -> None:
        self.mean, self.W = mean, W
        self.cross = cov @ W.T  # (d, k)
        values, self.vectors = torch.linalg.eigh(W @ self.cross)
        if values[0] <= 1e-12 * values[-1].clamp(min=1e-300):
            raise ValueError(
                "W cov Wᵀ must be positive definite, its least eigenvalue is "
                f"{values[0].item():.3g}: take encoder rows in the span of cov"
            )
        self.values = values

    def __repr__(self) -> str:
        return "Gaussian"

    def __call__(self, code: Tensor, sigma: Tensor, dtype: torch.dtype) -> Tensor:
        turned = (code - self.W @ self.mean) @ self.vectors
        turned = turned / (self.values + sigma[:, None] ** 2)
        return (turned @ (self.cross @ self.vectors).T + self.mean).to(dtype)

    def maps(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Return A (d, d), b (d,) of the denoiser y ↦ A y + b."""
        back = (self.cross @ self.vectors) / (self.values + sigma**2)
        A = back @ self.vectors.T @ self.W
        return A, self.mean - A @ self.mean

    def law(self, levels: list[float] | None, shape: torch.Size) -> Gaussian:
        if levels is not None:
            return affine_law(self.maps, torch.tensor(levels, dtype=torch.float64), shape)
        root = (self.cross @ self.vectors) / self.values.sqrt()  # (d, k)
        return Gaussian(self.mean.reshape(shape), root @ root.T)


class Mixture:
    """Isotropic Gaussians at means (K, d), with scales (K,) and weights (K,) that sum to 1."""

    def __init__(self, means: Tensor, scales: Tensor, weights: Tensor, W: Tensor) -> None:
        self.means, self.variances, self.weights, self.W = means, scales**2, weights, W
        self.codes = means @ W.T  # (K, k)

    def __repr__(self) -> str:
        return f"mixture of {len(self.means)}"

    def __call__(self, code: Tensor, sigma: Tensor, dtype: torch.dtype) -> Tensor:
        blocks = slices(len(code), len(self.means))
        return torch.cat([self._mean(code[part], sigma[part]) for part in blocks]).to(dtype)

    def _mean(self, code: Tensor, sigma: Tensor) -> Tensor:
        """Posterior weights times ``m_i + s_i² / (s_i² + σ²) Wᵀ(code - W m_i)``."""
        total = self.variances + sigma[:, None] ** 2  # (n, K)
        squares = torch.cdist(
            code, self.codes, compute_mode="donot_use_mm_for_euclid_dist"
        ).square()
        logits = self.weights.log() - squares / (2 * total) - self.W.shape[0] / 2 * total.log()
        share = logits.softmax(1)
        pulled = share * (self.variances / total)
        off = pulled.sum(1, keepdim=True) * code - pulled @ self.codes
        return share @ self.means + off @ self.W

    def law(self, levels: list[float] | None, shape: torch.Size) -> Empirical:
        last = 0.0 if levels is None else levels[-2]
        generator = torch.Generator().manual_seed(2**31)
        which = torch.multinomial(self.weights.cpu(), DRAWS, True, generator=generator)
        normal = torch.randn(DRAWS, len(self.W), generator=generator, dtype=torch.float64)
        which, normal = which.to(self.means.device), normal.to(self.means.device)
        code = self.codes[which] + (self.variances[which, None] + last**2).sqrt() * normal
        sigma = torch.full((DRAWS,), last).to(code)
        return Empirical(self(code, sigma, torch.float64).reshape(-1, *shape))
