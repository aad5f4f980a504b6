"""A small experiment that several processes share, and a command line that knows it.

Each unit trains a network. What happens is noted in the folder of the environment variable NOTES;
files there let a unit fail, or stand still in the middle until its process is killed.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from diffusion_creativity import __main__ as command_line
from diffusion_creativity import training
from diffusion_creativity.experiments.registry import Config, Outcome, Unit, experiment
from diffusion_creativity.networks import Preconditioned

STEPS, SAVE_EVERY = 12, 4


@dataclass(frozen=True)
class LearnConfig(Config):
    variants: tuple[str, ...] = ("narrow", "wide")
    seeds: int = 2


def notes(name: str) -> list[str]:
    """What the units of all processes have noted under a name."""
    path = Path(os.environ["NOTES"]) / name
    return path.read_text().splitlines() if path.exists() else []


def note(name: str, line: str) -> None:
    """Add a line; processes may do this at once."""
    with (Path(os.environ["NOTES"]) / name).open("a") as file:
        file.write(f"{line}\n")


def stand_still(unit: Unit, fraction: float) -> None:
    """Wait to be killed, where a test wants it; the next process gets through."""
    try:
        (Path(os.environ["NOTES"]) / f"stop {unit.name}").unlink()
    except FileNotFoundError:
        return
    note("still", str(os.getpid()))
    unit.progress(fraction)
    time.sleep(500)
    sys.exit("nobody killed this process")


class Net(nn.Module):
    """One hidden layer, with dropout: its weights depend on the generator's state."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Dropout(0.1), nn.Conv2d(width, 1, 1)
        )

    def forward(self, x, noise_label):
        """Map x (B, 1, H, W)."""
        return self.layers(x + noise_label[:, None, None, None])


@experiment("train", profiles={"smoke": LearnConfig()}, cost={"smoke": "1 s"}, full="smoke")
def learn(config, unit):
    """Train, and leave the weights."""
    note("begun", unit.name)
    if (Path(os.environ["NOTES"]) / f"fail {unit.name}").exists():
        raise ArithmeticError(f"no luck with {unit.name}")
    x = torch.randint(3, (50, 1, 6, 6), generator=torch.Generator().manual_seed(5)).float() - 1
    network = Preconditioned(Net(4 if unit.variant == "narrow" else 8), sigma_data=0.8)
    seen = []

    def progress(fraction):
        seen.append(fraction)
        unit.progress(fraction)
        if len(seen) == STEPS // 2 + 1:
            stand_still(unit, fraction)

    trainer = training.train(
        network, x, steps=STEPS, batch=8, seed=unit.seed, bar=False, ema=0.9, progress=progress,
        folder=unit.scratch, save_every=SAVE_EVERY,
    )  # fmt: skip
    note("from", f"{unit.name} {round(seen[0] * STEPS) - 1}")
    metrics = {"loss": trainer.history[-1].loss, "processes": trainer.accelerator.num_processes}
    return Outcome(metrics, tensors=trainer.average.state_dict())


if __name__ == "__main__":
    sys.exit(command_line.main())
