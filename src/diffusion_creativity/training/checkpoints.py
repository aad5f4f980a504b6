"""Checkpoints: one safetensors file with a JSON header each, whole or not there; two are kept."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from .. import _files

KEPT = 2
Tensors = dict[str, Tensor]


class Checkpoint(NamedTuple):
    """What was read back."""

    tensors: Tensors
    record: dict[str, Any]

    def part(self, name: str) -> Tensors:
        """Return the tensors whose names begin with ``name.``, without it."""
        head = name + "."
        return {k.removeprefix(head): v for k, v in self.tensors.items() if k.startswith(head)}


def write(folder: Path, step: int, tensors: Tensors, record: dict[str, Any]) -> None:
    """Add a checkpoint, then remove all but the last two.

    Where it cannot be written, what was there stays, and the error says so.
    """
    path = folder / f"checkpoint-{step:09}.safetensors"
    try:
        _files.write(path, _files.pack(tensors, record))
    except OSError as error:
        last = next(iter(_paths(folder)), None)
        safe = f"the next run goes on from {last.name}" if last else "no checkpoint is there yet"
        raise OSError(
            f"cannot write {path} ({error.strerror or error}): {safe}; the network in memory has "
            f"the weights after step {step}"
        ) from error
    for old in _paths(folder)[KEPT:]:
        old.unlink(missing_ok=True)


def read(folder: Path) -> Checkpoint | None:
    """Return the last checkpoint that is whole; None where there is none."""
    for path in _paths(folder):
        found = _files.unpack(path)
        if found is not None:
            return Checkpoint(*found)
    return None


def refuse_another_run(found: dict[str, Any], run: dict[str, Any], folder: Path) -> None:
    """Raise where a checkpoint is not of the run that wants to go on from it."""
    for name, wanted in run.items():
        if found.get(name) != wanted:
            raise ValueError(
                f"folder {folder} holds checkpoints of another run: its {name} is "
                f"{found.get(name)!r}, not {wanted!r}; choose another folder or remove them"
            )


def _paths(folder: Path) -> list[Path]:
    """All checkpoints, the last one first."""
    return sorted(folder.glob("checkpoint-*.safetensors"), reverse=True)
