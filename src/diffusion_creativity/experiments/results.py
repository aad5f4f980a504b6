"""What a finished experiment writes, and how a chapter reads it back."""

import datetime
import inspect
import math
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from torch import Tensor

from .. import __version__, _files
from . import sources, store
from .ledger import Ledger, Work
from .registry import PROFILES, Config, Experiment, get, unit_name


@dataclass(frozen=True)
class Result:
    """A result that was written earlier."""

    folder: Path
    record: dict[str, Any]  # metrics.json
    reason: str  # why it is stale; empty where it is up to date

    @property
    def stale(self) -> bool:
        """Whether the present code or configuration is not the one that computed it."""
        return bool(self.reason)

    @property
    def missing(self) -> list[str]:
        """Names of the units that were not finished when it was written."""
        return self.record.get("missing", [])

    def seeds(self, variant: str = "only") -> list[int]:
        """Return the seeds of a variant, in the order of `values`."""
        return [unit["seed"] for unit in self.record["units"] if unit["variant"] == variant]

    def values(self, metric: str, variant: str = "only") -> list[Any]:
        """Return a metric of a variant, one value for each seed."""
        rows = [u["metrics"] for u in self.record["units"] if u["variant"] == variant]
        if not rows or metric not in rows[0]:
            known = {u["variant"]: ", ".join(u["metrics"]) for u in self.record["units"]}
            raise ValueError(
                f"variant and metric must be among {known}, got {variant!r}, {metric!r}"
            )
        return [row[metric] for row in rows]

    def sheet(self, name: str, variant: str = "only", seed: int = 0, *, size: int) -> Tensor:
        """Return the images of a sheet, (cells, C, size, size), uint8."""
        return _files.tiles(self.folder / f"{unit_name(variant, seed)}-{name}.png", size)


def load(name: str, profile: str | None = None, out: str | Path | None = None) -> Result:
    """Return the result of an experiment, and whether it is stale.

    Without `profile`, that of the full one. It is looked for in `out`, else in ``results`` of the
    checkout around the current folder, of the one that holds this package, or in ``./results``.
    """
    experiment = get(name)
    profile = experiment.full if profile is None else profile
    config = experiment.config(profile)
    roots = [store.results_root(out)]
    if out is None:
        roots.append(sources.PACKAGE.parents[1] / "results")
    folders = [store.result_folder(root, experiment, profile) for root in roots]
    for folder in folders:
        if (folder / "metrics.json").is_file():
            record = store.read_json(folder / "metrics.json")
            return Result(folder, record, why_stale(experiment, config, record["provenance"]))
    raise FileNotFoundError(
        f"there is no result of {name} ({profile}) in {folders[0]}: "
        f"python -m diffusion_creativity run {name} --profile {profile} writes it"
    )


def largest(name: str, out: str | Path | None = None) -> Result | None:
    """Return the result of the largest profile that has one, "smoke" left out; else None."""
    for profile in reversed(PROFILES[1:]):
        if profile in get(name).profiles:
            try:
                return load(name, profile, out)
            except FileNotFoundError:
                continue
    return None


def why_stale(experiment: Experiment, config: Config, provenance: dict[str, Any]) -> str:
    """Say why a result is stale; nothing where it is up to date."""
    present = stamp(experiment, config)
    if provenance["source_hash"] != present["source_hash"]:
        return "the source has changed since"
    if provenance["config_hash"] != present["config_hash"]:
        return "the configuration has changed since"
    return ""


def stamp(experiment: Experiment, config: Config) -> dict[str, str]:
    """Return the hashes of the sources on which an experiment depends, and of its configuration."""
    compute = inspect.unwrap(experiment.compute)
    path = Path(inspect.getfile(compute))
    return {
        "source_hash": sources.source_hash(path, compute.__name__),
        "config_hash": sources.config_hash(config),
    }


def write(
    experiment: Experiment, profile: str, config: Config, ledger: Ledger, target: Path
) -> Result:
    """Write the finished units as the result, and which units are missing.

    Sheets and tensors come first and metrics.json last: it makes the result count. One process
    writes at a time, and the next one only what differs.
    """
    missing = ledger.missing()
    units = {unit: ledger.path(unit) for unit in ledger.work if unit not in missing}
    with FileLock(ledger.folder / "result.lock"):
        _refuse_to_lose(target, config, ledger, units)
        stored = [store.read_unit(path) for path in units.values()]
        result = _result(experiment, profile, config, stored) | {
            "missing": [unit_name(*unit) for unit in missing]
        }
        if not _written(target, result, units.values()):
            _write(target, result, stored)
    record = store.read_json(target / "metrics.json")
    return Result(target, record, why_stale(experiment, config, record["provenance"]))


def _refuse_to_lose(target: Path, config: Config, ledger: Ledger, units: Iterable[Work]) -> None:
    """Raise where a result of the same code and configuration holds units that are not here."""
    there = earlier(target)
    if any(there.get("provenance", {}).get(key) != value for key, value in ledger.stamp.items()):
        return
    held = {(unit["variant"], unit["seed"]) for unit in there["units"]}
    lost = {unit for unit in held - set(units) if unit[0] in config.variants}
    if lost:
        names = ", ".join(unit_name(*unit) for unit in sorted(lost))
        raise ValueError(
            f"the result in {target} holds {names}, which are not among the finished units in "
            f"{ledger.folder}: compute them, choose another folder with --out, or remove that "
            "result"
        )


def _written(target: Path, result: dict[str, Any], units: Iterable[Path]) -> bool:
    """Whether another process has written this result since the units were finished."""
    path = target / "metrics.json"
    there = earlier(target)
    aside = {key: there.get("provenance", {}).get(key) for key in ("date", "package", "python")}
    result = result | {"provenance": result["provenance"] | aside}
    return (
        there == store.plain(result)
        and all(path.stat().st_mtime_ns > unit.stat().st_mtime_ns for unit in units)
        and all((target / name).is_file() for name in result["files"])
    )


def _write(target: Path, result: dict[str, Any], stored: list[store.Stored]) -> None:
    for unit in stored:
        name = unit_name(unit.record["variant"], unit.record["seed"])
        for key, images in unit.sheets.items():
            _files.write(target / f"{name}-{key}.png", _files.sheet(images))
        if unit.tensors:
            _files.write(target / f"{name}.safetensors", _files.pack(unit.tensors))
    for name in set(earlier(target).get("files", [])) - set(result["files"]):
        (target / Path(name).name).unlink(missing_ok=True)  # written earlier, and not by this run
    store.write_json(target / "metrics.json", result)


def _result(
    experiment: Experiment, profile: str, config: Config, stored: list[store.Stored]
) -> dict[str, Any]:
    """Return what metrics.json holds."""
    files = []
    for unit in stored:
        name = unit_name(unit.record["variant"], unit.record["seed"])
        files += [f"{name}-{key}.png" for key in unit.sheets]
        files += [f"{name}.safetensors"] if unit.tensors else []
    records = [unit.record for unit in stored]
    return {
        "experiment": experiment.name,
        "provenance": _provenance(profile, config, records),
        "config": asdict(config),
        "summary": summary(records),
        "units": [_unit(unit) for unit in stored],
        "files": sorted(files),
    }


def _unit(unit: store.Stored) -> dict[str, Any]:
    """Return what metrics.json holds of one unit: all from which its file can be made again."""
    kept = ("variant", "seed", "metrics", "wall_s", "device", "torch")
    return {key: unit.record[key] for key in kept} | {
        "sheets": {key: list(images.shape) for key, images in unit.sheets.items()},
        "tensors": bool(unit.tensors),
    }


def earlier(target: Path) -> dict[str, Any]:
    """Return the record that a folder holds; nothing where there is none, or a damaged one."""
    try:
        return store.read_json(target / "metrics.json")
    except (FileNotFoundError, ValueError):
        return {}


def _provenance(profile: str, config: Config, records: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": sorted({record["device"] for record in records}),
        "profile": profile,
        "units": len(records),
        "seeds": len({record["seed"] for record in records}),
        "wall_s": round(sum(record["wall_s"] for record in records), 1),  # of all units together
        "package": __version__,
        "python": platform.python_version(),
        "torch": sorted({record["torch"] for record in records}),
        "source_hash": records[0]["source_hash"],
        "config_hash": sources.config_hash(config),
    }


def summary(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, dict[str, float | None]]]:
    """For each variant and numeric metric: mean over seeds, with Student's 95 % interval.

    The interval is absent for a single seed, the mean where a seed's value is not finite.
    """
    table: dict[str, dict[str, list[float | None]]] = {}
    for record in records:
        row = table.setdefault(record["variant"], {})
        for metric, value in record["metrics"].items():
            if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
                row.setdefault(metric, []).append(value)
    return {v: {m: _mean(values) for m, values in row.items()} for v, row in table.items()}


def _mean(values: list[float | None]) -> dict[str, float | None]:
    n = len(values)
    if None in values:
        return {"mean": None, "n": n}
    mean = math.fsum(values) / n
    if n == 1:
        return {"mean": mean, "n": n}
    from scipy import stats

    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(stats.t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}
