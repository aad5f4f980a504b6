"""How a network is trained, in one place."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from .. import _validate
from .objectives import SigmaDistribution

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `train` takes besides the network and the data."""

    steps: int  # of the optimiser, those before an interruption included
    batch: int = 64  # examples in a step, over all processes
    seed: int = 0  # of the examples and the noise
    sigmas: SigmaDistribution | None = None  # of a `Preconditioned` network; None: `LogNormal()`
    objective: nn.Module | None = None  # in place of that of the network's kind; see `objectives`
    optimizer: torch.optim.Optimizer | OptimizerFactory | None = None  # None: AdamW, rate 1e-3
    schedule: Callable[[int], float] | None = None  # step 0, 1, … -> factor on the learning rate
    ema: float | None = None  # decay of the moving average of the weights; None: no average
    clip: float | None = None  # largest norm of the gradient
    precision: str | None = None  # "float32", "bf16"; None: bf16 for one network on a GPU
    compile: bool | str = False  # by torch.compile; a string is its mode
    device: torch.device | str | None = None  # None: where the network is, or what was launched
    folder: str | Path | None = None  # for checkpoints and metrics; it goes on from what is there
    save_every: int = 1000  # steps between two checkpoints
    log_every: int = 50  # steps between two entries of the history
    sheet_every: int | None = None  # steps between two sheets of samples in `folder`
    bar: bool | None = None  # None: where standard error is a terminal
    progress: Callable[[float], None] | None = None  # is told the fraction done after each step

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "save_every", "log_every"):
            _validate.integer(name, getattr(self, name), minimum=1)
        _validate.integer("seed", self.seed)
        if self.sheet_every is not None:
            _validate.integer("sheet_every", self.sheet_every, minimum=1)
            if self.folder is None:
                raise ValueError("folder must be given where sheet_every is, got None")
        if self.ema is not None and _validate.real("ema", self.ema, minimum=0) >= 1:
            raise ValueError(f"ema must be below 1, got {self.ema:g}")
        if self.clip is not None:
            _validate.real("clip", self.clip, minimum=0, strict=True)
        if self.precision not in (None, "float32", "bf16"):
            raise ValueError(f"precision must be float32, bf16 or None, got {self.precision!r}")

    def half(self, device: torch.device, alone: bool) -> bool:
        """Whether the forward pass runs in bf16."""
        if self.precision is None:
            return alone and device.type == "cuda" and torch.cuda.is_bf16_supported()
        return self.precision == "bf16"

    def optimizer_of(self, network: nn.Module, device: torch.device) -> torch.optim.Optimizer:
        """Return the optimiser; its groups remember the rate that `schedule` multiplies."""
        made = self.optimizer
        if made is None:
            fused = device.type == "cuda"  # one kernel in place of many
            made = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=fused)
        elif not isinstance(made, torch.optim.Optimizer):
            made = made(network.parameters())
        for group in made.param_groups:
            group.setdefault("initial_lr", group["lr"])
        return made


def linear_decay(steps: int) -> Callable[[int], float]:
    """Return the schedule ``1 - t / steps``."""
    steps = _validate.integer("steps", steps, minimum=1)
    return lambda t: max(0.0, 1 - t / steps)


def cosine_decay(steps: int, warmup: int = 0) -> Callable[[int], float]:
    """Return a schedule that rises linearly over `warmup` steps and falls as half a cosine."""
    steps = _validate.integer("steps", steps, minimum=1)
    warmup = _validate.integer("warmup", warmup)
    if warmup >= steps:
        raise ValueError(f"warmup must be below steps = {steps}, got {warmup}")

    def factor(t: int) -> float:
        if t < warmup:
            return (t + 1) / (warmup + 1)
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (t - warmup) / (steps - warmup)))

    return factor
