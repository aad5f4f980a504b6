"""Run an experiment unit by unit, so that it can be stopped, resumed and shared."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from .. import _files, _validate
from . import launch, recovery, results, store
from .ledger import Ledger, Work
from .registry import Config, Experiment, get, unit_name
from .sharing import share
from .workers import work_together

BAR = "{desc} {percentage:3.0f}% |{bar:24}| {elapsed} gone, {remaining} left{postfix}"


def run(
    name: str,
    profile: str | None = None,
    *,
    seeds: int | None = None,
    resume: bool = False,
    workers: int = 1,
    out: str | Path | None = None,
    device: str | torch.device | None = None,
    rank: int = 0,
    bar: bool = True,
    say: Callable[[str], None] = print,
) -> results.Result:
    """Run an experiment and write ``results/NAME``.

    Processes that run the same experiment in the same folder, on one machine or several, share its
    units: each is computed by one of them. A process that is killed loses its last steps only: the
    others, or the next run, go on from the unit's checkpoints. When a unit fails the others are
    computed all the same, and the error is raised at the end.

    Parameters
    ----------
    name, profile
        Which experiment; without `profile` its full one. Results of other profiles are written to
        ``results/NAME/PROFILE``.
    seeds
        How many seeds, 0 … seeds - 1; by default what the configuration says.
    resume
        Skip the units that were finished earlier with the same configuration and sources, also
        those that only the result itself holds, as in a fresh clone. Without it all are computed
        again, each replaced when its successor is finished. Needed to join a run that another
        process has begun.
    workers
        How many processes to start; they share the units, the cores and the GPUs of this machine.
    out
        The folder in place of ``results``.
    device
        By default a GPU where there is one.
    rank
        Number of this process among those that a launcher started; the first one clears up.
    bar
        Whether to show how far the run is, on standard error.
    say
        Takes the lines that tell the reader what happens.
    """
    experiment = get(name)
    profile = experiment.full if profile is None else profile
    config = experiment.config(profile)
    count = _validate.integer("seeds", config.seeds if seeds is None else seeds, minimum=1)
    workers = _validate.integer("workers", workers, minimum=1)
    target, folder = _folders(experiment, profile, out)
    store.prepare(target, folder)
    _refuse_to_shrink(target, count)
    _files.write(folder.parents[1] / ".gitignore", b"*\n")
    ledger = Ledger(folder, _units(config, count), results.stamp(experiment, config), time.time())
    if rank == 0:
        if resume:
            recovery.restore(target, ledger)
        _begin(ledger, name, resume, say)
    devices = [launch.default_device(i) if device is None else torch.device(device)
               for i in range(workers)]  # fmt: skip
    error = None
    with _Bar(ledger, name, say, shown=bar and rank == 0) as listener:
        if workers == 1:
            error = share(experiment, config, ledger, devices[0], listener)
        else:
            work_together(experiment, profile, ledger, devices, listener)
    if missing := ledger.missing():
        raise RuntimeError(_why_missing(ledger, missing)) from error
    return results.write(experiment, profile, config, ledger, target)


def collect(
    name: str,
    profile: str | None = None,
    *,
    seeds: int | None = None,
    out: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> results.Result:
    """Write ``results/NAME`` from the units that are finished, and compute nothing.

    Only units of the present sources and configuration count, those of the result that is there
    among them. The result says which are missing. It replaces the one that is there, except where
    that would lose units of the same sources.

    Parameters
    ----------
    seeds
        How many seeds there are to be; by default what the configuration says, or as many as a
        finished unit shows.
    name, profile, out, say
        As for `run`.
    """
    experiment = get(name)
    profile = experiment.full if profile is None else profile
    config = experiment.config(profile)
    target, folder = _folders(experiment, profile, out)
    kept = [path.stem.rpartition("-") for path in folder.glob("*.safetensors")]
    found = sorted((v, int(seed)) for v, _, seed in kept if v in config.variants)
    ledger = Ledger(folder, found, results.stamp(experiment, config))
    _say_why_not(ledger, "does not count", say)
    ledger.work = found = sorted({*found, *_held(target, config)})
    recovery.restore(target, ledger)
    finished = [seed for _, seed in set(found) - set(ledger.missing())]
    if not finished:
        raise ValueError(f"{folder} holds no finished unit of the present sources of {name}")
    if seeds is None:
        seeds = max(config.seeds, 1 + max(finished))
    count = _validate.integer("seeds", seeds, minimum=1)
    ledger.work = _units(config, count)
    store.prepare(target)
    return results.write(experiment, profile, config, ledger, target)


def _folders(experiment: Experiment, profile: str, out: str | Path | None) -> tuple[Path, Path]:
    """Where the result goes, and where the finished units lie."""
    root = store.results_root(out)
    result = store.result_folder(root, experiment, profile)
    return result, store.unit_folder(root, experiment, profile)


def _held(target: Path, config: Config) -> list[Work]:
    """The units that the result in a folder holds, as far as the configuration has them still."""
    units = [(u["variant"], u["seed"]) for u in results.earlier(target).get("units", [])]
    return [unit for unit in units if unit[0] in config.variants]


def _units(config: Config, seeds: int) -> list[Work]:
    """All units, the first seed of all variants before the second: half a run compares them all."""
    return [(variant, seed) for seed in range(seeds) for variant in config.variants]


def _refuse_to_shrink(target: Path, count: int) -> None:
    there = 1 + max((unit["seed"] for unit in results.earlier(target).get("units", [])), default=-1)
    if there > count:
        raise ValueError(
            f"seeds must be at least {there}, as in the result in {target}, got {count}: "
            "choose another folder with --out, or remove that result"
        )


def _begin(ledger: Ledger, name: str, resume: bool, say: Callable[[str], None]) -> None:
    """Decide which finished units count, and clear up what earlier runs left."""
    done = [unit for unit in ledger.work if ledger.finished(unit)]
    if resume:
        _say_why_not(ledger, "is computed again", say)
        say(f"{name}: {len(done)} of {len(ledger.work)} units were finished earlier")
    elif done:
        say(f"{name}: computes {len(done)} finished units again; --resume would have kept them")
        ledger.replaced = {unit: ledger.signature(unit) for unit in done}
    ledger.clear(resume=resume)


def _say_why_not(ledger: Ledger, consequence: str, say: Callable[[str], None]) -> None:
    for unit in ledger.work:
        if reason := ledger.verdict(unit):
            say(f"unit {unit_name(*unit)} {consequence}: {reason}")


def _why_missing(ledger: Ledger, missing: list[Work]) -> str:
    failed = [unit_name(*unit) for unit in missing if ledger.failure(unit)]
    if not failed:
        return f"all processes ended before {len(missing)} units; the others are kept"
    return f"unit {', '.join(failed)} failed; the others are kept"


class _Bar:
    """A bar for all units together, whoever computes them."""

    def __init__(
        self, ledger: Ledger, name: str, say: Callable[[str], None], *, shown: bool
    ) -> None:
        patience = 0.2 if sys.stderr.isatty() else 30.0  # seconds between two looks of the bar
        self.ledger, self._print = ledger, say
        self.fractions: dict[Work, float] = {}  # of the units that this run computes
        self.others = self._finished()
        self.bar = tqdm(
            total=len(ledger.work), initial=self.others, desc=name, ascii=True, bar_format=BAR,
            smoothing=0, mininterval=patience, disable=not shown,
        )  # fmt: skip

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, error: type[BaseException] | None, *_) -> None:
        if error is None:
            self.others = self._finished()
            self._show()
        self.bar.close()

    def _finished(self) -> int:
        """How many units other processes have finished."""
        return sum(map(self.ledger.finished, set(self.ledger.work) - set(self.fractions)))

    def progress(self, unit: Work, fraction: float) -> None:
        """Take the fraction done of a unit."""
        if unit not in self.fractions:
            self.fractions[unit] = 0.0
            self.others = self._finished()
        self.fractions[unit] = min(max(fraction, 0.0), 1.0)
        self._show()

    def _show(self) -> None:
        running = [f"{v}, seed {seed}" for (v, seed), f in self.fractions.items() if f < 1]
        self.bar.set_postfix_str("; ".join(running), refresh=False)
        self.bar.update(self.others + sum(self.fractions.values()) - self.bar.n)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        with tqdm.external_write_mode():
            self._print(line)
