"""Run an experiment unit by unit, so that it can be stopped and resumed."""

import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from .. import _files, _validate
from . import results, sources, store
from .registry import Config, Experiment, Outcome, Unit, get, unit_name

BAR = "{desc} {percentage:3.0f}% |{bar:24}| {elapsed} gone, {remaining} left{postfix}"


def run(
    name: str,
    profile: str | None = None,
    *,
    seeds: int | None = None,
    resume: bool = False,
    out: str | Path | None = None,
    device: str | torch.device | None = None,
    say: Callable[[str], None] = print,
) -> results.Result:
    """Run an experiment and write ``results/NAME``.

    Parameters
    ----------
    name, profile
        Which experiment; without `profile` its full one. Results of other profiles are written to
        ``results/NAME/PROFILE``.
    seeds
        How many seeds, 0 … seeds - 1; by default what the configuration says.
    resume
        Skip the units that were finished earlier with the same configuration and sources. Without
        it all are computed again, each replaced when its successor is finished.
    out
        The folder in place of ``results``.
    device
        By default a GPU where there is one.
    say
        Takes the lines that tell the reader what happens.
    """
    experiment = get(name)
    profile = experiment.full if profile is None else profile
    config = experiment.config(profile)
    count = _validate.integer("seeds", config.seeds if seeds is None else seeds, minimum=1)
    root = store.results_root(out)
    target = store.result_folder(root, experiment, profile)
    units = store.unit_folder(root, experiment, profile)
    store.prepare(target, units)
    _refuse_to_shrink(target, count)
    _files.write(root / store.UNITS / ".gitignore", b"*\n")
    stamp = {
        "config_hash": sources.config_hash(config),
        "source_hash": results.source_hash(experiment),
    }
    work = [(variant, seed) for variant in config.variants for seed in range(count)]
    done = {unit for unit in work if _usable(units, unit, stamp, say if resume else None)}
    if resume:
        say(f"{name}: {len(done)} of {len(work)} units were finished earlier")
    elif done:
        say(f"{name}: computes {len(done)} finished units again; --resume would have kept them")
        done = set()
    _clear_scratch(units, _tag(stamp) if resume else None)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    left = [unit for unit in work if unit not in done]
    _compute(experiment, config, left, len(done), units, stamp, torch.device(device))
    return results.finish(experiment, profile, config, work, units, target)


def _refuse_to_shrink(target: Path, count: int) -> None:
    there = results.earlier(target).get("provenance", {}).get("seeds", 0)
    if there > count:
        raise ValueError(
            f"seeds must be at least {there}, as in the result in {target}, got {count}: "
            "choose another folder with --out, or remove that result"
        )


def _usable(
    folder: Path, unit: tuple[str, int], stamp: dict[str, str], say: Callable[[str], None] | None
) -> bool:
    """Whether a unit is there, whole and from the same configuration and sources."""
    path = folder / f"{unit_name(*unit)}.safetensors"
    if not path.is_file():
        return False
    stored = store.read_unit(path)
    if stored is None:
        reason = "its file is damaged"
    elif stored.record["source_hash"] != stamp["source_hash"]:
        reason = "the source has changed since"
    elif stored.record["config_hash"] != stamp["config_hash"]:
        reason = "the configuration has changed since"
    else:
        return True
    if say:
        say(f"unit {unit_name(*unit)} is computed again: {reason}")
    return False


def _tag(stamp: dict[str, str]) -> str:
    """What tells the scratch folders of one code and configuration from those of others."""
    return f"{stamp['source_hash'][:8]}{stamp['config_hash'][:8]}"


def _clear_scratch(folder: Path, tag: str | None) -> None:
    """Remove what unfinished units left, except with `tag`: they go on from there."""
    for scratch in folder.iterdir():
        if scratch.is_dir() and (tag is None or not scratch.name.endswith(tag)):
            shutil.rmtree(scratch)


def _compute(
    experiment: Experiment,
    config: Config,
    left: list[tuple[str, int]],
    before: int,
    folder: Path,
    stamp: dict[str, str],
    device: torch.device,
) -> None:
    """Compute and store the units that are left, with a bar for all of them together."""
    patience = 0.2 if sys.stderr.isatty() else 30.0  # seconds between two looks of the bar
    options = {"ascii": True, "bar_format": BAR, "smoothing": 0, "mininterval": patience}
    with tqdm(total=before + len(left), initial=before, desc=experiment.name, **options) as bar:
        for done, (variant, seed) in enumerate(left, start=before):

            def progress(fraction: float, done: int = done) -> None:
                bar.update(done + min(max(fraction, 0.0), 1.0) - bar.n)

            bar.set_postfix_str(f"{variant}, seed {seed}", refresh=False)
            scratch = folder / f"{unit_name(variant, seed)}.{_tag(stamp)}"
            scratch.mkdir(exist_ok=True)
            unit = Unit(variant, seed, device, scratch, progress)
            torch.manual_seed(seed)
            start = time.perf_counter()
            try:
                outcome: Outcome = experiment.compute(config, unit)
            except Exception as error:  # whatever it is: not the reader's, so its traceback matters
                raise RuntimeError(f"unit {unit.name} failed; those before it are kept") from error
            record = {
                "variant": variant,
                "seed": seed,
                "metrics": outcome.metrics,
                "wall_s": round(time.perf_counter() - start, 2),
                "device": _device_name(device),
                "torch": torch.__version__,
            }
            store.write_unit(folder / f"{unit.name}.safetensors", outcome, record | stamp)
            shutil.rmtree(scratch)
            progress(1.0)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    capability = torch.backends.cpu.get_cpu_capability()
    return f"CPU {platform.machine()} {capability}, {torch.get_num_threads()} threads"
