"""A target that a reader drew, as the text that a link carries: twin of ``playground_sketch.js``.

Two kinds of text. Strokes: ``s1``, then strokes parted by ``.``, each a row of corners; a corner is
two of 64 signs, its column from the left and its row from below. Small images: ``p1``, then 11
signs for each image of 8×8 pixels, row by row, six pixels a sign; the last two bits are zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .marks import as_array

SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SIDE, HALF = 64, 1.5  # the sheet: 64 × 64 places for corners over the square [-1.5, 1.5]²
MAX_CORNERS, MAX_IMAGES, PIXELS = 300, 9, 8
POINTS, THICKNESS, DOT = 1000, 0.03, 0.1
_STROKES = re.compile(r"s1(?:(?:[\w-]{2})+(?:\.(?:[\w-]{2})+)*)?", re.ASCII)
_IMAGES = re.compile(r"p1(?:[\w-]{10}[AEIMQUYcgkosw048]){1,9}", re.ASCII)


def from_strokes(strokes: Sequence[Any]) -> str:
    """The text of strokes, each an array (n, 2) of corners in [-1.5, 1.5]²; one corner is a dot.

    Corners move to the nearest of 64 × 64 places, 0.047 apart.
    """
    parts = []
    for stroke in strokes:
        corners = np.asarray(as_array(stroke), float)
        if corners.ndim != 2 or corners.shape[1:] != (2,) or not len(corners):
            raise ValueError(f"strokes: each needs shape (n, 2), n >= 1, got {corners.shape}")
        if not np.isfinite(corners).all() or np.abs(corners).max() > HALF:
            raise ValueError(f"strokes: corners must be finite and in [-{HALF}, {HALF}]")
        places = np.minimum((corners + HALF) * SIDE / (2 * HALF), SIDE - 1).astype(int)
        parts.append("".join(SIGNS[k] for k in places.ravel()))
    if sum(map(len, parts)) > 2 * MAX_CORNERS:
        count = sum(map(len, parts)) // 2
        raise ValueError(f"strokes may have {MAX_CORNERS} corners in all, got {count}")
    return "s1" + ".".join(parts)


def from_images(images: Any) -> str:
    """The text of up to 9 images of 8×8 pixels, shape (n, 8, 8) or (n, 1, 8, 8): above 0 is ink."""
    array = np.asarray(as_array(images))
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 3 or array.shape[1:] != (PIXELS, PIXELS):
        raise ValueError(f"images must have shape (n, 8, 8) or (n, 1, 8, 8), got {array.shape}")
    if not 1 <= len(array) <= MAX_IMAGES:
        raise ValueError(f"images: a sheet holds 1 to {MAX_IMAGES}, got {len(array)}")
    bits = np.pad((array > 0).reshape(len(array), -1).astype(int), ((0, 0), (0, 2)))
    signs = bits.reshape(len(array), 11, 6) @ (1 << np.arange(5, -1, -1))
    return "p1" + "".join(SIGNS[k] for k in signs.ravel())


def target(text: str) -> np.ndarray:
    """The data of a drawing, as the playground computes with it.

    Returns
    -------
    array
        float64; 1,000 points (1000, 2) along the strokes with Gaussian noise of standard deviation
        0.03, the same in every call and in the browser to rounding; or images (n, 1, 8, 8), -1
        where there is paper and 1 where there is ink. A sheet without strokes is a dot at 0.

    Examples
    --------
    >>> target(from_strokes([[[-1, 0], [1, 0]]])).shape
    (1000, 2)
    """
    if kind_of(text) == "pixels":
        signs = np.array([SIGNS.index(c) for c in text[2:]]).reshape(-1, 11)
        bits = (signs[:, :, None] >> np.arange(5, -1, -1)) & 1
        return 2.0 * bits.reshape(len(signs), -1)[:, :64].reshape(-1, 1, PIXELS, PIXELS) - 1
    unit = 2 * HALF / SIDE
    lines = [
        [tuple((SIGNS.index(c) + 0.5) * unit - HALF for c in pair) for pair in re.findall("..", s)]
        for s in filter(None, text[2:].split("."))
    ]
    return _along(lines or [[(0.0, 0.0)]])


def kind_of(text: str) -> str:
    """Whether a text is one of ``"strokes"`` or of ``"pixels"``; ValueError if of neither."""
    if isinstance(text, str):
        if _IMAGES.fullmatch(text):
            return "pixels"
        if _STROKES.fullmatch(text) and len(text[2:].replace(".", "")) <= 2 * MAX_CORNERS:
            return "strokes"
    raise ValueError(
        "drawing must be a text that a link or drawing.from_strokes or drawing.from_images gave, "
        f"such as 's1AAgg' or 'p1' and 11 signs an image; got {str(text)[:40]!r}"
    )


def _along(lines: list[list[tuple[float, float]]]) -> np.ndarray:
    """Points along strokes, by length, in the order of random numbers that JavaScript uses."""
    parts = [p for s in lines for p in (pairwise(s) if len(s) > 1 else [s * 2])]
    start, end = np.array(parts, float).transpose(1, 0, 2)
    long = np.hypot(*(end - start).T)
    long = np.where(long > 0, long, DOT)
    uniform = _uniforms(7)
    draws = np.array([[uniform() for _ in range(3)] for _ in range(POINTS)])
    edges = np.cumsum(long)
    at = draws[:, 0] * edges[-1]
    k = np.minimum(np.searchsorted(edges, at), len(long) - 1)
    share = (at - edges[k] + long[k]) / long[k]
    radius, angle = np.sqrt(-2 * np.log1p(-draws[:, 1])), 2 * np.pi * draws[:, 2]
    noise = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return start[k] + share[:, None] * (end[k] - start[k]) + THICKNESS * noise


def _uniforms(seed: int) -> Callable[[], float]:
    """The browser's random numbers (mulberry32), one at a call."""
    mask = 0xFFFFFFFF
    state = ((seed * 0x9E3779B1) & mask) ^ 0x5BD1E995

    def draw() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) & mask
        t = ((state ^ (state >> 15)) * (1 | state)) & mask
        t = ((t + (((t ^ (t >> 7)) * (61 | t)) & mask)) & mask) ^ t
        return (t ^ (t >> 14)) / 2**32

    return draw
