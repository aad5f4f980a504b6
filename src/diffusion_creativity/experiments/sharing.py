"""Work through the units that are left, beside other processes that do the same."""

import platform
import shutil
import time
import traceback
from typing import Protocol

import torch

from . import store
from .ledger import Ledger, Work
from .registry import Config, Experiment, Unit, unit_name

POLL = 1.0  # seconds between two looks at what other processes do


class Listener(Protocol):
    """Who is told how a run goes."""

    def say(self, line: str) -> None:
        """Take a line for the reader."""

    def progress(self, unit: Work, fraction: float) -> None:
        """Take the fraction done of a unit."""


def share(
    experiment: Experiment, config: Config, ledger: Ledger, device: torch.device, listener: Listener
) -> Exception | None:
    """Compute units until all are finished or have failed; return the first error, if any.

    A unit that another process holds is left to it. At the end it is waited for: where that
    process dies, it goes on here, from the checkpoints in its scratch folder.
    """
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    first, awaited = None, []
    while left := [unit for unit in ledger.work if ledger.left(unit)]:
        idle = True
        for unit in left:
            with ledger.claim(unit) as mine:
                if mine and ledger.left(unit):  # another may have finished it by now
                    idle = False
                    error = _attempt(experiment, config, ledger, unit, device, listener)
                    first = first or error
        if idle:
            if left != awaited:
                names = ", ".join(unit_name(*unit) for unit in left)
                listener.say(f"{experiment.name}: waits for other processes with {names}")
                awaited = left
            time.sleep(POLL)
    return first


def _attempt(
    experiment: Experiment,
    config: Config,
    ledger: Ledger,
    work: Work,
    device: torch.device,
    listener: Listener,
) -> Exception | None:
    """Compute and store a unit that this process holds; return the error where it fails."""
    scratch = ledger.scratch(work)
    scratch.mkdir(exist_ok=True)
    unit = Unit(*work, device, scratch, lambda fraction: listener.progress(work, fraction))
    listener.progress(work, 0.0)
    torch.manual_seed(unit.seed)
    start = time.perf_counter()
    try:
        outcome = experiment.compute(config, unit)
    except Exception as error:  # whatever it is: not the reader's, so its traceback matters
        trace = traceback.format_exc()
        ledger.fail(work, trace)
        listener.say(f"unit {unit.name} failed; the others go on\n{trace}")
        return error
    record = {
        "variant": unit.variant,
        "seed": unit.seed,
        "metrics": outcome.metrics,
        "wall_s": round(time.perf_counter() - start, 2),
        "device": _device_name(device),
        "torch": torch.__version__,
        "begun": ledger.begun,
    }
    store.write_unit(ledger.path(work), outcome, record | ledger.stamp)
    shutil.rmtree(scratch)
    listener.progress(work, 1.0)
    return None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    capability = torch.backends.cpu.get_cpu_capability()
    return f"CPU {platform.machine()} {capability}, {torch.get_num_threads()} threads"
