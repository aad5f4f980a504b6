"""Samplers: from noise to images, given a denoiser and a schedule.

Every sampler is the loop `steps` with other knobs. From level sigma to sigma' it goes::

    y_hat  = y + sqrt(sigma_hat² - sigma²) n              (EDM churn: add noise first)
    y'     = x_hat + (sigma_down / sigma_hat)(y_hat - x_hat) + sigma_up n'

with ``x_hat = denoise(y_hat, sigma_hat)`` and ``sigma_down² + sigma_up² = sigma'²``. No churn and
``sigma_up = 0`` is DDIM, the Euler step of the probability-flow ODE
``dy/dsigma = (y - D(y, sigma)) / sigma`` (:prf:ref:`prop-ddim-euler`). `noise.Knobs.split` gives
the levels.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from . import _validate
from .noise import Knobs

Denoiser = Callable[[Tensor, float], Tensor]


class Step(NamedTuple):
    """What a sampler knows after one step: `y` has shape (n, *shape)."""

    index: int  # 0 … steps - 1
    sigma: float  # level before the step
    sigma_next: float  # level of y
    y: Tensor
    x_hat: Tensor  # the denoiser's answer that the step used


def initial_noise(
    n: int,
    shape: tuple[int, ...],
    sigma_max: float = 80.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw (n, *shape) float32 from N(0, sigma_max² I); the same on every device for one seed."""
    n = _validate.integer("n", n, minimum=1)
    sigma_max = _validate.real("sigma_max", sigma_max, minimum=0, strict=True)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    shape = [_validate.integer("shape", size, minimum=1) for size in shape]
    generator = torch.Generator().manual_seed(_validate.integer("seed", seed))
    drawn = torch.randn(n, *shape, generator=generator, dtype=torch.float32, device="cpu")
    return (sigma_max * drawn).to(device)


def steps(
    denoise: Denoiser,
    noise: Tensor,
    sigmas: Tensor,
    *,
    second_order: bool = False,
    knobs: Knobs | None = None,
    seed: int = 0,
) -> Iterator[Step]:
    """Yield one `Step` for each step of the schedule `sigmas` (steps + 1,), from y = `noise`.

    `second_order` corrects each step with the slope at its end (Heun), except the last, where
    sigma' = 0 has no slope.
    """
    levels = _validate.schedule(sigmas)
    knobs = knobs or Knobs()
    if not isinstance(noise, Tensor) or not noise.is_floating_point():
        kind = noise.dtype if isinstance(noise, Tensor) else type(noise).__name__
        raise ValueError(f"noise must be a tensor of a floating dtype, got {kind}")
    y = _validate.finite("noise", noise)
    generator = torch.Generator().manual_seed(_validate.integer("seed", seed))

    def fresh(scale: float) -> Tensor | float:
        if scale == 0:
            return 0.0
        drawn = torch.randn(y.shape, generator=generator, dtype=torch.float32, device="cpu")
        return scale * drawn.to(y.device, y.dtype)

    for j, (sigma, sigma_next) in enumerate(itertools.pairwise(levels)):
        hat, added, down, up = knobs.split(sigma, sigma_next, len(levels) - 1)
        y = y + fresh(added)
        x_hat = denoise(y, hat)
        moved = torch.lerp(x_hat, y, down / hat)  # x_hat + (down / hat)(y - x_hat)
        if second_order and down > 0:
            slope = (y - x_hat) / hat
            slope_end = (moved - denoise(moved, down)) / down
            moved = y + (down - hat) * (slope + slope_end) / 2
        y = moved + fresh(up)
        yield Step(j, sigma, sigma_next, y, x_hat)


def _run(noise: Tensor, iterator: Iterator[Step], return_trajectory: bool) -> Tensor:
    """Return the last state, or all of them with the start first: (steps + 1, n, *shape)."""
    if return_trajectory:
        return torch.stack([noise, *(step.y for step in iterator)])
    for step in iterator:
        last = step
    return last.y


def ddim(
    denoise: Denoiser, noise: Tensor, sigmas: Tensor, *, return_trajectory: bool = False
) -> Tensor:
    """Sample by Euler steps of the probability-flow ODE (DDIM with eta = 0).

    Parameters
    ----------
    denoise : callable
        ``denoise(y, sigma) -> x_hat``, y and x_hat of shape (n, *shape).
    noise : Tensor, shape (n, *shape)
        Draws from N(0, sigmas[0]² I); see `initial_noise`.
    sigmas : Tensor, shape (steps + 1,)
        Decreasing noise levels, the last one 0.
    return_trajectory : bool
        Return every state, shape (steps + 1, n, *shape), instead of the last.
    """
    return _run(noise, steps(denoise, noise, sigmas), return_trajectory)


def heun(
    denoise: Denoiser,
    noise: Tensor,
    sigmas: Tensor,
    *,
    return_trajectory: bool = False,
    seed: int = 0,
    churn: float = 0.0,
    churn_min: float = 0.0,
    churn_max: float = math.inf,
    churn_noise: float = 1.0,
) -> Tensor:
    """Sample by Heun's second-order steps, two denoiser calls each.

    This is algorithm 1 of :cite:t:`karras2022elucidating`.

    With `churn` > 0 it is their stochastic sampler (alg. 2). Other arguments as in `ddim`.
    """
    knobs = Knobs(0.0, churn, churn_min, churn_max, churn_noise)
    iterator = steps(denoise, noise, sigmas, second_order=True, knobs=knobs, seed=seed)
    return _run(noise, iterator, return_trajectory)


def ancestral(
    denoise: Denoiser,
    noise: Tensor,
    sigmas: Tensor,
    *,
    seed: int = 0,
    eta: float = 1.0,
    churn: float = 0.0,
    churn_min: float = 0.0,
    churn_max: float = math.inf,
    churn_noise: float = 1.0,
    return_trajectory: bool = False,
) -> Tensor:
    """Sample with fresh noise in each first-order step; other arguments as in `ddim`.

    `eta` = 1 is DDPM's ancestral sampler, 0 is DDIM, between them DDIM's eta (eq. 16 of
    :cite:t:`song2021denoising`); `churn` adds noise before a step instead (algorithm 2 of
    :cite:t:`karras2022elucidating`). See :prf:ref:`prop-ancestral-marginals`.
    """
    knobs = Knobs(eta, churn, churn_min, churn_max, churn_noise)
    iterator = steps(denoise, noise, sigmas, knobs=knobs, seed=seed)
    return _run(noise, iterator, return_trajectory)
