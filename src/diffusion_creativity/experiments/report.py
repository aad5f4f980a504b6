"""What the command line prints: the list of experiments, and a result as a table."""

from pathlib import Path
from typing import Any

from .._table import Table
from . import store
from .registry import Experiment, registered
from .results import Result, load


def listing(out: str | Path | None = None) -> str:
    """Return what each experiment does, its rough size, and which results are there."""
    return "\n\n".join(_entry(experiment, out) for experiment in registered().values())


def _entry(experiment: Experiment, out: str | Path | None) -> str:
    lines = [f"{experiment.name}: {experiment.about}"]
    for profile, config in experiment.profiles.items():
        full = ", full" if profile == experiment.full else ""
        size = f"{len(config.variants) * config.seeds} units, {experiment.cost[profile]}"
        lines.append(f"  {profile + full:<12} {size}; {_status(experiment, profile, out)}")
    return "\n".join(lines)


def _status(experiment: Experiment, profile: str, out: str | Path | None) -> str:
    root = store.results_root(out)
    finished = len(list(store.unit_folder(root, experiment, profile).glob("*.safetensors")))
    units = f", {finished} finished units kept" if finished else ""
    try:
        result = load(experiment.name, profile, out)
    except FileNotFoundError:
        return f"no result{units}"
    except (ValueError, KeyError):
        return f"damaged result{units}"
    state = f"stale: {result.reason}" if result.stale else "up to date"
    date = result.record["provenance"]["date"]
    absent = f"{_absent(result)}, " if result.missing else ""
    return f"result of {date}, {absent}{state}{units}"


def origin(result: Result) -> str:
    """Return in words where a result comes from, what it lacks, and whether it is up to date."""
    known = result.record["provenance"]
    hours, minutes = divmod(round(known["wall_s"] / 60), 60)
    took = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    count = known["seeds"] * result.record["config"].get("members", 1)  # trained side by side
    seeds = f"{count} seed{'s' if count > 1 else ''}"
    words = [f"Profile {known['profile']}, {known['date']}, {_words(known['device'])}, {seeds}, "
             f"{took} for all units together."]  # fmt: skip
    if result.missing:
        words.append(f"Incomplete: {_absent(result)}.")
    words.append(f"Stale: {result.reason}." if result.stale else "Up to date with this code.")
    return " ".join(words)


def _absent(result: Result) -> str:
    count = len(result.missing)
    return f"{count} of {count + len(result.record['units'])} units missing"


def table(result: Result) -> Table:
    """Return a result as a table: a row for each variant, a column for each metric."""
    rows = result.record["summary"]
    metrics = list(dict.fromkeys(metric for row in rows.values() for metric in row))
    cells = [[variant, *(_cell(row.get(m)) for m in metrics)] for variant, row in rows.items()]
    return Table(["variant", *metrics], cells)


def text(result: Result) -> str:
    """Return the table with what is known of how it came to be."""
    head = f"{result.record['experiment']} in {result.folder}"
    if result.stale:
        head += f"\nSTALE: {result.reason}"
    if result.missing:
        head += f"\nINCOMPLETE: {_absent(result)}: {', '.join(result.missing)}"
    known = [f"{key}: {_words(value)}" for key, value in result.record["provenance"].items()]
    return "\n".join([head, "", str(table(result)), "", *known])


def _cell(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return ""
    if entry["mean"] is None:
        return "not finite"
    interval = f" [{_number(entry['low'])}, {_number(entry['high'])}]" if "low" in entry else ""
    return _number(entry["mean"]) + interval


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
