"""Files of results: where they go, written whole or not at all, and read with suspicion."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from .. import _files
from .._files import plain, write
from .registry import Experiment, Outcome

UNITS = ".units"  # finished units: kept out of the repository by a .gitignore of their own
SHEET = "sheet:"  # before the names of a unit's sheets among its tensors


class Stored(NamedTuple):
    """A finished unit as it was read back."""

    record: dict[str, Any]
    tensors: dict[str, Tensor]
    sheets: dict[str, Tensor]  # (n, C, H, W), uint8


def results_root(out: str | Path | None = None) -> Path:
    """Return `out`, else ``results`` of the checkout around the current folder, else ./results."""
    if out is not None:
        return Path(out)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "src" / "diffusion_creativity" / "__init__.py").is_file():
            return folder / "results"
    return here / "results"


def result_folder(root: Path, experiment: Experiment, profile: str) -> Path:
    """``root/NAME`` for the full profile, ``root/NAME/PROFILE`` for others.

    So a smaller run never replaces the result that a chapter shows.
    """
    folder = root / experiment.name
    return folder if profile == experiment.full else folder / profile


def unit_folder(root: Path, experiment: Experiment, profile: str) -> Path:
    """Where the finished units of a profile lie."""
    return root / UNITS / experiment.name / profile


def prepare(*folders: Path) -> None:
    """Make the folders and try to write there, before anything is computed.

    The file that tries it has no name, so that several processes may do this at once.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise OSError(
                f"cannot write in {folder} ({error.strerror or error}): "
                "choose another folder with --out"
            ) from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file, ending with a newline."""
    text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    write(path, f"{text}\n".encode())


def write_unit(path: Path, outcome: Outcome, record: Mapping[str, Any]) -> None:
    """Store a finished unit: one safetensors file with its record in the header."""
    sheets = {SHEET + name: _files.pixels(images) for name, images in outcome.sheets.items()}
    write(path, _files.pack({**outcome.tensors, **sheets}, plain(record)))


def read_unit(path: Path) -> Stored | None:
    """Return a stored unit, or None where the file is damaged."""
    found = _files.unpack(path)
    if found is None:
        return None
    tensors, record = found
    sheets = {k.removeprefix(SHEET): tensors.pop(k) for k in list(tensors) if k.startswith(SHEET)}
    return Stored(record, tensors, sheets)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file; an error says which file is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): run the experiment again") from error
