"""What the Python twins share; each function is the twin of one in common.js."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..controls import Control
from ..panel import Panel


@dataclass(frozen=True)
class Formula:
    """A picture in closed form: ``python(state, data)`` is what NAME.js computes."""

    name: str
    title: str
    python: Callable[[dict, dict], dict]
    prepare: Callable[[dict], dict]
    controls: Callable[[dict], list[Control]]
    panels: Callable[[dict], dict[str, Panel]]


def fixed(value: float, digits: int = 2) -> str:
    """A number with a fixed count of digits."""
    return f"{value:.{digits}f}".replace("-", "−")


def karras(steps: int, low: float, high: float, rho: float) -> np.ndarray:
    """Karras levels, largest first, with the final zero: shape (steps + 1,)."""
    if steps == 1:
        return np.array([high, 0.0])
    return np.append(np.linspace(high ** (1 / rho), low ** (1 / rho), steps) ** rho, 0.0)


def generated_variance(eigenvalues, sigmas, ridge: float = 0.0) -> np.ndarray:
    """σ_0² Π_j (g_j + (σ_{j+1}/σ_j)(1 − g_j))² with g_j = λ / (λ + σ_j² + ridge)."""
    lam = np.asarray(eigenvalues, float)[..., None]
    g = lam / (lam + sigmas[:-1] ** 2 + ridge)
    return sigmas[0] ** 2 * np.prod((g + sigmas[1:] / sigmas[:-1] * (1 - g)) ** 2, axis=-1)


def softmax(d2: np.ndarray, sigma: float) -> np.ndarray:
    """Posterior weights from squared distances, over the last axis."""
    w = np.exp((d2.min(axis=-1, keepdims=True) - d2) / (2 * sigma**2))
    return w / w.sum(axis=-1, keepdims=True)


def numbers(data: dict[str, Any], name: str, columns: int | None = None) -> np.ndarray:
    """Entry `name` of a formula's data as finite float64 of shape (n,) or (n, columns)."""
    if name not in data:
        raise ValueError(f"the formula needs data[{name!r}]; given: {sorted(data)}")
    return checked(data[name], f"data[{name!r}]", columns)


def checked(values: Any, what: str, columns: int | None = None) -> np.ndarray:
    """Finite float64 of shape (n,) or (n, columns), or an error that says what came instead."""
    values = values.detach() if hasattr(values, "detach") else values
    array = np.asarray(values, float)
    right = array.ndim == 1 if columns is None else array.ndim == 2 and array.shape[1] == columns
    if not right or not array.size or not np.isfinite(array).all():
        shape = "(n,)" if columns is None else f"(n, {columns})"
        raise ValueError(f"{what} must be finite numbers of shape {shape}, got {array.shape}")
    return array


def square(points: np.ndarray, margin: float = 0.15) -> tuple[float, float]:
    """Limits for both axes that hold all `points` of shape (n, 2)."""
    low, high = float(points.min()), float(points.max())
    room = margin * (high - low) or 1.0
    return low - room, high + room
