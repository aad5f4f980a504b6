"""Arrays as one block of bytes: each distinct array once, no more precise than a screen is."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from .marks import Mark, as_array

_CODES = {np.dtype(np.uint8): "u1", np.dtype(np.uint16): "u2",
          np.dtype(np.float32): "f4", np.dtype(np.float64): "f8"}  # fmt: skip


class Packer:
    """Collects arrays and marks; ``arrays`` and ``marks`` are the tables the browser reads."""

    def __init__(self) -> None:
        self.arrays: list[list[Any]] = []
        self.marks: list[Any] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._seen: dict[Any, int] = {}

    def array(self, values: np.ndarray, low: float = 0.0, step: float | None = None) -> dict:
        """Store an array (value = low + step · stored) and return the reference to it."""
        values = np.ascontiguousarray(values)
        raw = values.tobytes()
        key = (raw, values.dtype, values.shape, low, step)
        if key not in self._seen:
            pad = -self._size % 8
            self._chunks.append(b"\0" * pad + raw)
            entry = [self._size + pad, _CODES[values.dtype], list(values.shape), low, step]
            self._size += pad + len(raw)
            self._seen[key] = len(self.arrays)
            self.arrays.append(entry)
        return {"$": self._seen[key]}

    def mark(self, mark: Mark, panel: Any) -> int:
        """Store a mark and return its number; equal marks are stored once."""
        packed = {k: self._field(k, v, mark, panel) for k, v in mark.items()}
        key = json.dumps(packed, sort_keys=True)
        if key not in self._seen:
            self._seen[key] = len(self.marks)
            self.marks.append(packed)
        return self._seen[key]

    def exact(self, value: Any) -> Any:
        """A formula's data: arrays in full precision, nested dictionaries kept."""
        if isinstance(value, dict):
            return {str(k): self.exact(v) for k, v in value.items()}
        if isinstance(value, (str, bool, int, float)) or value is None:
            return value
        array = as_array(value)
        if array.dtype.kind not in "buif":
            return [self.exact(v) for v in value]
        return self.array(_integers(array) if array.dtype.kind in "bui" else array.astype("<f8"))

    def blob(self) -> tuple[bytes, bool]:
        """All arrays as bytes, and whether these are compressed (if that saves a tenth)."""
        raw = b"".join(self._chunks)
        small = zlib.compress(raw, 9)
        return (small, True) if len(small) < 0.9 * len(raw) else (raw, False)

    def _field(self, name: str, value: Any, mark: Mark, panel: Any) -> Any:
        if isinstance(value, (str, bool, int, float)):
            return value
        if name in ("extent", "labels", "outline", "palette"):
            return [v if isinstance(v, str) or v is None else float(v) for v in value]
        array = as_array(value)
        if array.ndim == 0:
            return array.item()
        if array.dtype.kind in "bui":
            return self.array(_integers(array))
        if "vmin" in mark and name in ("z", "data"):
            return self._quantised(array, mark["vmin"], mark["vmax"], np.uint8)
        log, limits = _axis(name, panel)
        if array.size >= 24 and not log:
            low, high = float(array.min()), float(array.max())
            if low < high < low + 20 * abs(limits[1] - limits[0]):
                return self._quantised(array, low, high, np.uint16)
        return self.array(array.astype("<f4"))

    def _quantised(self, array: np.ndarray, low: float, high: float, kind: type) -> dict:
        levels = np.iinfo(kind).max
        stored = np.rint((np.clip(array, low, high) - low) / (high - low) * levels).astype(kind)
        return self.array(stored, float(low), float((high - low) / levels))


def _axis(field: str, panel: Any) -> tuple[bool, tuple[float, float]]:
    if field in ("size", "angle"):
        return True, (0.0, 1.0)
    horizontal = field in ("x", "x0", "x1", "cx", "rx")
    return (panel.xlog, panel.xlim) if horizontal else (panel.ylog, panel.ylim)


def _integers(array: np.ndarray) -> np.ndarray:
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in (np.uint8, np.uint16):
        if low >= 0 and high <= np.iinfo(kind).max:
            return array.astype(kind)
    return array.astype("<f8")
