"""What the experiments that train UNets share: the training, samples, and losses by level."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from .. import sampling
from ..networks.preconditioning import Preconditioned
from ..networks.unet import UNet, UNetConfig
from ..noise import karras
from ..training.settings import cosine_decay
from ..training.trainer import Trainer, train

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # where the loss is measured
ESCAPED = 1e4  # far beyond any noise
TOGETHER = 500  # images that pass the network at once when it samples


def fit(
    design: UNetConfig,
    x: Tensor,
    *,
    steps: int,
    batch: int,
    rate: float,
    ema: float,
    seed: int,
    folder: Path | None = None,
    save_every: int = 500,
    progress: Callable[[float], None] | None = None,
) -> Trainer:
    """Train a UNet of that design on x (N, C, H, W): AdamW, the rate falling as half a cosine.

    Channels and side are those of x. The weights at the start follow from `seed` too. With
    `folder` it goes on from the checkpoint that lies there.
    """
    torch.manual_seed(seed)
    design = replace(design, channels=x.shape[1], side=x.shape[2])
    network = Preconditioned(UNet(design), sigma_data=float(x.std())).to(x.device)
    return train(
        network, x, steps=steps, batch=batch, seed=seed, bar=False,
        optimizer=lambda p: torch.optim.AdamW(p, lr=rate, fused=x.device.type == "cuda"),
        schedule=cosine_decay(steps, warmup=steps // 50), ema=ema, clip=1.0,
        folder=folder, save_every=save_every, progress=progress,
    )  # fmt: skip


def samples(
    network: Preconditioned, shape: tuple[int, ...], n: int, steps: int, seed: int = 0
) -> Tensor:
    """Draw n samples by Heun's method, (n, *shape); the noise depends on `seed` alone.

    What leaves ±`ESCAPED` on the way is held there, what is not a number is set to 0: a network
    that diverges spoils its samples, not the experiment.
    """
    device = next(network.parameters()).device
    parts = sampling.initial_noise(n, shape, seed=seed, device=device).split(TOGETHER)

    def denoise(y: Tensor, sigma: float) -> Tensor:
        return network.denoise(_held(y), sigma)

    return _held(torch.cat([sampling.heun(denoise, part, karras(steps)) for part in parts]))


def _held(y: Tensor) -> Tensor:
    return y.nan_to_num(0, ESCAPED, -ESCAPED).clamp(-ESCAPED, ESCAPED)


def loss_by_level(
    network: Preconditioned, x: Tensor, levels: tuple[float, ...] = LEVELS
) -> list[float]:
    """Return the training loss of x (N, *shape) at each level, with the same noise each time."""
    generator = torch.Generator().manual_seed(2**31 - 1)
    noise = torch.randn(x.shape, generator=generator).to(x)

    def loss(sigma: float) -> float:
        weight = network.scalings(torch.tensor(sigma, dtype=torch.float64)).weight
        pairs = zip(x.split(TOGETHER), noise.split(TOGETHER), strict=True)
        errors = [(network.denoise(a + sigma * n, sigma) - a).square() for a, n in pairs]
        return float(weight * torch.cat(errors).double().mean().cpu())

    return [loss(sigma) for sigma in levels]
