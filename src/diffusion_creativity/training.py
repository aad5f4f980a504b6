"""The training loop: a generator that the caller logs, plots and stops."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from . import _validate
from .networks import AffinePerLevel


class Progress(NamedTuple):
    """What is known after an optimiser step."""

    step: int  # 1, 2, …
    loss: Tensor  # (K,): mean squared error a pixel, in units of the network's scale, by level


def train(
    network: AffinePerLevel,
    x: Tensor,
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    batch: int = 64,
    seed: int = 0,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> Iterator[Progress]:
    """Minimise ``E‖x - D(x + σ n, σ)‖²`` at every level of `network`, yielding after each step.

    Each step draws `batch` examples of x (N, *shape) and fresh noise, the same for all levels.
    """
    x = _validate.dataset(x).to(network.weight.dtype)
    if x.shape[1:] != network.shape:
        raise ValueError(f"x must have shape (N, *{network.shape}), got {tuple(x.shape)}")
    steps = _validate.integer("steps", steps, minimum=1)
    batch = _validate.integer("batch", batch, minimum=1)
    generator = torch.Generator(x.device).manual_seed(_validate.integer("seed", seed))
    sigma = network.levels.to(x).reshape(-1, 1, *[1] * (x.ndim - 1))
    for step in range(1, steps + 1):
        chosen = x[torch.randint(len(x), (batch,), generator=generator, device=x.device)]
        noise = torch.randn(chosen.shape, generator=generator, dtype=x.dtype, device=x.device)
        error = (network(chosen + sigma * noise) - chosen) / network.scale
        by_level = error.square().flatten(1).mean(1)
        optimizer.zero_grad()
        by_level.sum().backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        yield Progress(step, by_level.detach())
