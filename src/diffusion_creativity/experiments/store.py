"""Files of results: where they go, written whole or not at all, and read with suspicion."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

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
    """Make the folders and try to write there, before anything is computed."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / ".writable", b"")
            (folder / ".writable").unlink()
        except OSError as error:
            raise OSError(
                f"cannot write in {folder} ({error.strerror or error}): "
                "choose another folder with --out"
            ) from error


def write(path: Path, content: bytes) -> None:
    """Write to a temporary name beside, then rename: the file is there whole or as it was."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file, ending with a newline."""
    text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    write(path, f"{text}\n".encode())


def plain(value: Any) -> Any:
    """Return what JSON can hold: tensors as lists, numbers that are not finite as null."""
    if isinstance(value, Tensor | np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_unit(path: Path, outcome: Outcome, record: Mapping[str, Any]) -> None:
    """Store a finished unit: one safetensors file with its record in the header."""
    sheets = {SHEET + name: _bytes(images) for name, images in outcome.sheets.items()}
    layout = {"memory_format": torch.contiguous_format}
    tensors = {
        k: v.detach().cpu().clone(**layout) for k, v in {**outcome.tensors, **sheets}.items()
    }
    write(path, save(tensors, metadata={"record": json.dumps(plain(record), allow_nan=False)}))


def read_unit(path: Path) -> Stored | None:
    """Return a stored unit, or None where the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})["record"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError):
        return None
    sheets = {k.removeprefix(SHEET): tensors.pop(k) for k in list(tensors) if k.startswith(SHEET)}
    return Stored(record, tensors, sheets)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file; an error says which file is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): run the experiment again") from error


def sheet(images: Tensor, columns: int | None = None, enlarge: int = 2) -> bytes:
    """Return a contact sheet of uint8 images (n, C, H, W), C = 1 or 3, as PNG."""
    from io import BytesIO

    from PIL import Image

    n, channels, height, width = images.shape
    columns = columns or min(n, math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    cells = torch.full((rows * columns, channels, height + 1, width + 1), 255, dtype=torch.uint8)
    cells[:n, :, :height, :width] = images
    page = cells.reshape(rows, columns, channels, height + 1, width + 1)
    page = page.permute(0, 3, 1, 4, 2).reshape(rows * (height + 1), -1, channels)[:-1, :-1]
    picture = Image.fromarray(page.squeeze(-1).numpy())
    size = (picture.width * enlarge, picture.height * enlarge)
    buffer = BytesIO()
    picture.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _bytes(images: Tensor) -> Tensor:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ValueError(
            f"a sheet must hold images (n, C, H, W) with C = 1 or 3, got {tuple(images.shape)}"
        )
    return ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
