"""Files that are there whole or not at all, and read with suspicion."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


def prepare(folder: Path, hint: str = "choose another folder") -> None:
    """Make a folder and try to write there, before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / ".writable", b"")
        (folder / ".writable").unlink()
    except OSError as error:
        raise OSError(f"cannot write in {folder} ({error.strerror or error}): {hint}") from error


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


def plain(value: Any) -> Any:
    """Return what JSON can hold: tensors as lists, numbers that are not finite as null."""
    if isinstance(value, Tensor | np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def pack(tensors: Mapping[str, Tensor], record: Mapping[str, Any] | None = None) -> bytes:
    """Return a safetensors file of the tensors, with `record`, if any, as JSON in its header."""
    from safetensors.torch import save

    layout = {"memory_format": torch.contiguous_format}
    copies = {name: value.detach().cpu().clone(**layout) for name, value in tensors.items()}
    header = None if record is None else {"record": json.dumps(record, allow_nan=False)}
    return save(copies, metadata=header)


def unpack(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what `pack` wrote, or None where the file is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})["record"])
            return {name: file.get_tensor(name) for name in file.keys()}, record  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError):
        return None


def pixels(images: Tensor) -> Tensor:
    """Return images (n, C, H, W) in [-1, 1], clipped, as uint8."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ValueError(
            f"a sheet must hold images (n, C, H, W) with C = 1 or 3, got {tuple(images.shape)}"
        )
    return ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


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


def tiles(path: Path, size: int, enlarge: int = 2) -> Tensor:
    """Return the images of a contact sheet, (cells, C, size, size), uint8; white where none is."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        page = torch.from_numpy(np.array(picture))[::enlarge, ::enlarge]
    page = page.reshape(*page.shape[:2], -1).permute(2, 0, 1)
    if any((side + 1) % (size + 1) for side in page.shape[1:]):
        raise ValueError(f"size must divide the sheet {path}, got {size}")
    cells = page.unfold(1, size, size + 1).unfold(2, size, size + 1)  # (C, rows, columns, s, s)
    return cells.permute(1, 2, 0, 3, 4).flatten(0, 1)
