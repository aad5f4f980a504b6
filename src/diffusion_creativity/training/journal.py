"""What a run tells on its way: a bar, a line of JSON now and then, sheets of samples."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import _files, sampling
from ..networks import Preconditioned
from ..noise import karras

BAR = "{desc} {percentage:3.0f}% |{bar:20}| {n}/{total}, {elapsed} gone, {remaining} left{postfix}"
SAMPLES, STEPS = 16, 18  # of a sheet


class Logged(NamedTuple):
    """Means over the steps since the entry before."""

    step: int
    loss: float  # mean over all members
    members: Any  # the loss of each as nested lists; a number where there is one network
    images_per_s: float
    seconds: float  # since the run began, interruptions left out


class Journal:
    """Entries of a run, kept in memory and, with a folder, in ``metrics.jsonl``."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / "metrics.jsonl" if folder else None
        self.history: list[Logged] = []
        self.total: Tensor | None = None  # of the losses since the last entry, on the device
        self.count = 0  # how many they are
        self.seconds = 0.0
        self._begun, self._elapsed, self._timed = 0.0, 0.0, 0

    def open(self, step: int) -> None:
        """Drop the entries after `step`, of a run that was cut off, and take over the others."""
        if self.path is not None and self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            entries = map(_entry, lines)
            self.history = [entry for entry in entries if entry and entry.step <= step]
            _files.write(self.path, "".join(map(_line, self.history)).encode())

    def restore(self, total: Tensor | None, count: int, seconds: float) -> None:
        """Take over the losses since the last entry, and the time."""
        self.total, self.count, self.seconds = total, count, seconds

    def start_clock(self) -> None:
        """Time counts from now on."""
        self._begun = time.perf_counter()

    def stop_clock(self) -> None:
        """Time does not count until the clock is started again."""
        elapsed = time.perf_counter() - self._begun
        self._elapsed += elapsed
        self.seconds += elapsed

    def add(self, loss: Tensor) -> None:
        """Take in the losses of a step, without waiting for the device."""
        self.total = loss.clone() if self.total is None else self.total.add_(loss)
        self.count += 1
        self._timed += 1

    def enter(self, step: int, losses: Tensor, images: int, keep: bool) -> Logged:
        """Make an entry of mean losses while the clock stands; `keep`: in the file too."""
        members = losses.tolist()  # waits for the device
        rate = images * self._timed / max(self._elapsed, 1e-9)
        entry = Logged(step, losses.mean().item(), members, rate, self.seconds)
        self.history.append(entry)
        self.total, self.count, self._elapsed, self._timed = None, 0, 0.0, 0
        if self.path is not None and keep:
            self._append(entry)
        return entry

    def _append(self, entry: Logged) -> None:
        with explained(self.path, entry.step), self.path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))


@contextlib.contextmanager
def explained(path: Path, step: int) -> Iterator[None]:
    """Say in an error which file could not be written, and what is not lost."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"cannot write {path} ({error.strerror or error}) after step {step}: checkpoints are "
            "safe, and the next run goes on from the last one"
        ) from error


def _line(entry: Logged) -> str:
    return json.dumps(_files.plain(entry._asdict())) + "\n"


def _entry(line: str) -> Logged | None:
    """Read a line; None where it was cut off."""
    try:
        return Logged(**json.loads(line)) if line.endswith("\n") else None
    except (ValueError, TypeError):
        return None


def progress_bar(total: int, step: int, shown: bool | None) -> tqdm:
    """Return a bar; without `shown`, where standard error is a terminal."""
    terminal = sys.stderr.isatty()
    shown = terminal if shown is None else shown
    return tqdm(total=total, initial=step, desc="training", disable=not shown, ascii=True,
                bar_format=BAR, mininterval=0.2 if terminal else 30.0)  # fmt: skip


def describe(entry: Logged) -> str:
    """Return what stands behind the bar."""
    return f"loss {entry.loss:.4g}, {entry.images_per_s:,.0f} images/s"


def write_sheet(folder: Path, step: int, network: nn.Module, shape: tuple[int, ...]) -> None:
    """Write a PNG of samples, always from the same noise."""
    device = next(network.parameters()).device
    if isinstance(network, Preconditioned):
        sigmas, denoise = karras(STEPS), network.denoise
    else:  # a stack: its first seed, at its own levels
        sigmas = torch.cat([network.levels.cpu(), torch.zeros(1, dtype=torch.float64)])
        denoise = network.denoiser()
    noise = sampling.initial_noise(SAMPLES, shape, float(sigmas[0]), device=device)
    images = _files.pixels(sampling.ddim(denoise, noise, sigmas)).cpu()
    path = folder / f"samples-{step:09}.png"
    with explained(path, step):
        _files.write(path, _files.sheet(images))
