"""Noise schedules, and the dictionary between the two ways to write the forward process.

Variance exploding (VE): ``y = x + sigma * n``, the book's own form. Variance preserving (VP):
``x_t = sqrt(alpha_bar) * x + sqrt(1 - alpha_bar) * n``. They are one process in two units:
``y = x_t / sqrt(alpha_bar)`` and ``sigma² = (1 - alpha_bar) / alpha_bar`` (:prf:ref:`prop-ve-vp`).

A schedule is a float64 tensor of shape (steps + 1,): decreasing noise levels, the last one 0.
`Knobs` says how much fresh noise a sampler adds between two of them.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from . import _validate


def _close_with_zero(levels: Tensor) -> Tensor:
    return torch.cat([levels, levels.new_zeros(1)])


def _range(sigma_min: float, sigma_max: float, steps: int) -> tuple[float, float]:
    low = _validate.real("sigma_min", sigma_min, minimum=0, strict=True)
    high = _validate.real("sigma_max", sigma_max, minimum=0, strict=True)
    if low > high or (low == high and steps > 1):
        raise ValueError(f"sigma_min must be below sigma_max, got {low:g} and {high:g}")
    return low, high


def karras(
    steps: int = 40, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Tensor:
    """Levels whose `rho`-th roots are evenly spaced, then 0.

    Equation 5 of :cite:t:`karras2022elucidating`. A large `rho` spends more steps at low noise.
    With ``steps=1`` the one level is `sigma_max`.
    """
    steps = _validate.integer("steps", steps, minimum=1)
    low, high = _range(sigma_min, sigma_max, steps)
    rho = _validate.real("rho", rho, minimum=0, strict=True)
    roots = torch.linspace(high ** (1 / rho), low ** (1 / rho), steps, dtype=torch.float64)
    return _close_with_zero(roots**rho)


def log_linear(steps: int = 40, sigma_min: float = 0.002, sigma_max: float = 80.0) -> Tensor:
    """Levels in a constant ratio (`karras` as rho goes to infinity), then 0."""
    steps = _validate.integer("steps", steps, minimum=1)
    low, high = _range(sigma_min, sigma_max, steps)
    return _close_with_zero(
        torch.linspace(math.log(high), math.log(low), steps, dtype=torch.float64).exp()
    )


def _every(alpha_bar: Tensor, steps: int) -> Tensor:
    """Keep `steps` evenly spaced times of a training schedule, noisiest first, then 0."""
    if steps > len(alpha_bar):
        raise ValueError(f"steps must be <= train_steps = {len(alpha_bar)}, got {steps}")
    times = torch.linspace(len(alpha_bar) - 1, 0, steps, dtype=torch.float64).round().long()
    return _close_with_zero(sigma_from_alpha_bar(alpha_bar[times]))


def linear_beta(
    steps: int = 40, beta_min: float = 1e-4, beta_max: float = 0.02, train_steps: int = 1000
) -> Tensor:
    """The schedule of DDPM: beta grows linearly over `train_steps` times.

    See :cite:t:`ho2020denoising`.
    """
    steps = _validate.integer("steps", steps, minimum=1)
    train_steps = _validate.integer("train_steps", train_steps, minimum=1)
    low = _validate.real("beta_min", beta_min, minimum=0, strict=True)
    high = _validate.real("beta_max", beta_max, minimum=0, strict=True)
    if not low <= high < 1:
        raise ValueError(f"betas must satisfy beta_min <= beta_max < 1, got {low:g} and {high:g}")
    beta = torch.linspace(low, high, train_steps, dtype=torch.float64)
    return _every(torch.cumprod(1 - beta, 0), steps)


def cosine(steps: int = 40, offset: float = 0.008, train_steps: int = 1000) -> Tensor:
    """The cosine schedule, with beta capped at 0.999.

    Equation 17 of :cite:t:`nichol2021improved`.
    """
    steps = _validate.integer("steps", steps, minimum=1)
    train_steps = _validate.integer("train_steps", train_steps, minimum=1)
    offset = _validate.real("offset", offset, minimum=0)
    times = torch.linspace(0, 1, train_steps + 1, dtype=torch.float64)
    f = torch.cos((times + offset) / (1 + offset) * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    return _every(torch.cumprod(1 - beta, 0), steps)


def alpha_bar_from_sigma(sigma: float | Tensor) -> Tensor:
    """The share of signal, ``1 / (1 + sigma²)``, of a noise level sigma >= 0."""
    sigma = torch.as_tensor(sigma, dtype=torch.float64)
    if not (sigma >= 0).all() or not torch.isfinite(sigma).all():
        raise ValueError(f"sigma must be finite and >= 0, got {sigma}")
    return 1 / (1 + sigma**2)


def sigma_from_alpha_bar(alpha_bar: float | Tensor) -> Tensor:
    """The noise level ``sqrt((1 - alpha_bar) / alpha_bar)`` of a share of signal in (0, 1]."""
    alpha_bar = torch.as_tensor(alpha_bar, dtype=torch.float64)
    if not ((alpha_bar > 0) & (alpha_bar <= 1)).all():
        raise ValueError(f"alpha_bar must lie in (0, 1], got {alpha_bar}")
    return ((1 - alpha_bar) / alpha_bar).sqrt()


def _per_example(level: Tensor, batch: Tensor, name: str) -> Tensor:
    """Shape a number or one number per example (n,) so that it multiplies a batch (n, *shape)."""
    if level.ndim > 1 or (level.ndim == 1 and len(level) != len(batch)):
        raise ValueError(
            f"{name} must be one number or one per example ({len(batch)}), "
            f"got shape {tuple(level.shape)}"
        )
    level = level.to(batch) if batch.is_floating_point() else level.to(batch.device).float()
    return level.reshape(-1, *[1] * (batch.ndim - 1)) if level.ndim else level


def vp_from_ve(y: Tensor, sigma: float | Tensor) -> Tensor:
    """Rescale ``y = x + sigma n`` of shape (n, *shape) to ``x_t = y sqrt(alpha_bar)``."""
    return y * _per_example(alpha_bar_from_sigma(sigma).sqrt(), y, "sigma")


def ve_from_vp(x_t: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """Rescale ``x_t`` of shape (n, *shape) to ``y = x_t / sqrt(alpha_bar) = x + sigma n``."""
    sigma_from_alpha_bar(alpha_bar)  # checks the range
    share = torch.as_tensor(alpha_bar, dtype=torch.float64)
    return x_t / _per_example(share.sqrt(), x_t, "alpha_bar")


@dataclass(frozen=True)
class Knobs:
    """How much fresh noise a sampler adds; all zero is the deterministic flow."""

    eta: float = 0.0  # 0: DDIM, 1: DDPM's ancestral step (DDIM's eta)
    churn: float = 0.0  # EDM's S_churn: noise added before each step, relative to 1 / steps
    churn_min: float = 0.0  # EDM's S_min: no churn below this level
    churn_max: float = math.inf  # EDM's S_max: no churn above this level
    churn_noise: float = 1.0  # EDM's S_noise: scale of the added noise

    def __post_init__(self) -> None:
        for name in ("eta", "churn", "churn_min", "churn_noise"):
            _validate.real(name, getattr(self, name), minimum=0)
        if self.eta > 1:
            raise ValueError(f"eta must lie in [0, 1], got {self.eta:g}")
        if not self.churn_max >= self.churn_min:
            raise ValueError(f"churn_max must be >= churn_min, got {self.churn_max!r}")

    def split(self, sigma: float, sigma_next: float, steps: int) -> "Levels":
        """Return the levels of one step from `sigma` to `sigma_next` of a schedule of `steps`."""
        churned = self.churn_min <= sigma <= self.churn_max
        gamma = min(self.churn / steps, math.sqrt(2) - 1) if churned else 0.0
        hat = sigma * (1 + gamma)
        added = self.churn_noise * math.sqrt(hat**2 - sigma**2)
        up = self.eta * sigma_next * math.sqrt(max(1 - (sigma_next / hat) ** 2, 0.0))
        return Levels(hat, added, math.sqrt(max(sigma_next**2 - up**2, 0.0)), up)


class Levels(NamedTuple):
    """The noise levels of one step; see the formulas of `sampling`."""

    hat: float  # level at which the denoiser is asked
    added: float  # standard deviation of the noise added before
    down: float  # level that the deterministic part goes to
    up: float  # standard deviation of the noise added after
