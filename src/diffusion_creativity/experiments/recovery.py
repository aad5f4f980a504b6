"""Finished units brought back from the result that holds them, where their own files are gone.

A result lies in the repository, the files of its units do not: so a run goes on in another clone.
"""

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .. import _files
from . import store
from .ledger import Ledger, Work
from .registry import Outcome, unit_name
from .results import earlier


def restore(target: Path, ledger: Ledger) -> list[Work]:
    """Write the files of units that the result in `target` holds and the ledger lacks.

    Only where the result is of the ledger's sources and configuration. What comes back is what was
    stored, to the last bit; a unit whose tensors or sheets are gone or damaged is left out.
    """
    result = earlier(target)
    known = result.get("provenance", {})
    if any(known.get(key) != value for key, value in ledger.stamp.items()):
        return []
    units = {(unit["variant"], unit["seed"]): unit for unit in result["units"]}
    held = [work for work in ledger.work if work in units]
    return [work for work in held if _restored(target, ledger, units[work])]


def _restored(target: Path, ledger: Ledger, unit: dict[str, Any]) -> bool:
    """Write the file of one unit, unless it is there or cannot be had; return whether it did."""
    work = unit["variant"], unit["seed"]
    with ledger.claim(work) as mine:
        if not mine or ledger.finished(work) or "sheets" not in unit:
            return False
        try:
            outcome = _outcome(target, unit)
        except (OSError, ValueError, SafetensorError):
            return False
        record = {key: value for key, value in unit.items() if key not in ("sheets", "tensors")}
        store.write_unit(ledger.path(work), outcome, record | {"begun": 0.0} | ledger.stamp)
        written = (target / "metrics.json").stat().st_mtime_ns
        os.utime(ledger.path(work), ns=(written - 1, written - 1))  # it is older than the result
    return True


def _outcome(target: Path, unit: dict[str, Any]) -> Outcome:
    name = unit_name(unit["variant"], unit["seed"])
    sheets = {
        key: _sheet(target / f"{name}-{key}.png", shape) for key, shape in unit["sheets"].items()
    }
    tensors = load_file(target / f"{name}.safetensors") if unit["tensors"] else {}
    return Outcome(unit["metrics"], tensors, sheets)


def _sheet(path: Path, shape: list[int]) -> Tensor:
    """Return images in [-1, 1] that become the same pixels again."""
    n, channels, height, width = shape
    cells = _files.tiles(path, height)[:n]
    if cells.shape != (n, channels, height, width):
        raise ValueError(f"{path} does not hold images of the shape {shape}")
    return cells.to(torch.float64) / 127.5 - 1
