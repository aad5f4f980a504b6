"""A training run with samples and losses taken on the way."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .. import _files, sampling
from ..networks.preconditioning import Preconditioned
from ..networks.unet import UNet, UNetConfig
from ..noise import karras
from ..training.trainer import Trainer
from ._unets import loss_by_level


@dataclass(frozen=True)
class Pace:
    """How a network is trained, and when it is looked at; nothing depends on the last moment."""

    moments: tuple[int, ...]  # steps after which samples and losses are taken; the last one ends
    batch: int = 32
    rate: float = 4e-3  # of AdamW, constant after the warm-up
    warmup: int = 100  # steps in which it rises
    ema: float = 0.995  # decay of the average of the weights that is sampled
    save_every: int = 250  # steps between two checkpoints
    samples: int = 128  # always from the same noise
    sampler_steps: int = 10  # of Heun's method, two calls each
    levels: tuple[float, ...] = (0.1, 0.3, 1.0)  # where the losses are measured


class Moment(NamedTuple):
    """What one moment of a run shows."""

    step: int
    samples: Tensor  # (n, *shape)
    seen: Tensor  # loss on training images by level, (levels,)
    held_out: Tensor  # the same on images that it never sees


def course(
    design: UNetConfig,
    x: Tensor,
    held_out: Tensor,
    pace: Pace,
    *,
    seed: int,
    folder: Path,
    progress: Callable[[float], None],
) -> list[Moment]:
    """Train a UNet on x (N, C, H, W) and return its moments; goes on from what `folder` holds.

    Weights at the start, order of the examples and noise follow from `seed`. The unit of length is
    the standard deviation of the held-out images, so losses are comparable between training sets.
    """
    torch.manual_seed(seed)
    network = Preconditioned(UNet(design), sigma_data=float(held_out.std())).to(x.device)
    trainer = Trainer(
        network, x, steps=pace.moments[-1], batch=pace.batch, seed=seed, bar=False,
        optimizer=lambda p: torch.optim.AdamW(p, lr=pace.rate, fused=True),
        schedule=lambda t: min(1.0, (t + 1) / pace.warmup), ema=pace.ema, clip=1.0,
        folder=folder, save_every=pace.save_every, progress=progress,
    )  # fmt: skip
    start = sampling.initial_noise(pace.samples, x.shape[1:], seed=0, device=x.device)
    seen = x.repeat(-(-len(held_out) // len(x)), 1, 1, 1)[: len(held_out)]

    def look() -> None:
        path = folder / f"moment-{trainer.step}.safetensors"
        if trainer.step in pace.moments and not path.exists():
            average = trainer.average
            made = sampling.heun(average.denoise, start, karras(pace.sampler_steps))
            found = {"samples": made}
            for name, y in {"seen": seen, "held_out": held_out}.items():
                found[name] = torch.tensor(loss_by_level(average, y, pace.levels))
            _files.write(path, _files.pack(found, {"step": trainer.step}))

    look()  # a run that was stopped between a checkpoint and its moment
    for _ in trainer:
        look()
    return [_read(folder / f"moment-{step}.safetensors", x.device) for step in pace.moments]


def _read(path: Path, device: torch.device) -> Moment:
    tensors, record = _files.unpack(path)
    return Moment(record["step"], **{name: value.to(device) for name, value in tensors.items()})
