"""Marks, the words in which a figure is described: each function returns a plain dictionary.

The same dictionaries are drawn by shared_marks.js in the browser and by picture.py in print. Arrays
may be numpy arrays, lists or torch tensors on the CPU. Colours are names of the book's palette
(``data``, ``denoiser``, ``generated``, ``law``, ``noise``, ``warning``, ``ink``, ``muted``),
``cat0`` … ``cat11``, or ``#rrggbb``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .palette import CATEGORICAL, CONTINUOUS, is_colour

Mark = dict[str, Any]

# Fields that hold numbers (arrays or scalars), by mark. The first group must share a length.
ARRAYS = {
    "points": ("x", "y"), "line": ("x", "y"), "area": ("x", "high"), "bars": ("x", "y"),
    "ellipse": ("cx", "cy", "rx", "ry"), "arrows": ("x0", "y0", "x1", "y1"), "text": ("x", "y"),
    "vline": ("x",), "hline": ("y",), "heat": ("z",), "images": ("data",),
}  # fmt: skip
OPTIONAL = ("low", "size", "colors", "angle")
SHAPES = ("dot", "ring", "cross", "square", "triangle", "diamond")


def _mark(kind: str, **fields: Any) -> Mark:
    return {"mark": kind} | {k: v for k, v in fields.items() if v is not None}


def points(x, y, *, color="data", size=3.0, opacity=None, shape="dot", colors=None, label=None):
    """Dots; `shape` is one of `SHAPES`; `size` (radius in pixels) may be an array.

    `colors` (integers) colours the dots by class. `label` makes a legend entry.
    """
    return _mark("points", x=x, y=y, color=color, size=size, opacity=opacity, shape=shape,
                 colors=colors, label=label)  # fmt: skip


def line(x, y, *, color="ink", width=None, dash=None, opacity=None, label=None, label_at=None):
    """A curve, labelled directly at the share `label_at` (0 … 1, default the end) of its length.

    Two-dimensional `x`, `y` of shape (curves, steps) draw many curves, with a legend entry.
    """
    return _mark("line", x=x, y=y, color=color, width=width, dash=dash, opacity=opacity,
                 label=label, label_at=label_at)  # fmt: skip


def area(x, low, high, *, color="data", opacity=None, label=None):
    """The band between `low` (an array or one number) and `high`."""
    return _mark("area", x=x, low=low, high=high, color=color, opacity=opacity, label=label)


def bars(x, y, *, width=0.8, base=None, color="data", opacity=None, label=None):
    """Bars of height `y` around `x`; `width` is in units of x."""
    return _mark("bars", x=x, y=y, width=width, base=base, color=color, opacity=opacity,
                 label=label)  # fmt: skip


def ellipse(cx, cy, rx, ry, angle=0.0, *, color="law", width=None, dash=None, fill=None,
            opacity=None, label=None):  # fmt: skip
    """An ellipse with half axes `rx`, `ry` turned by `angle` (radians); `fill` is an opacity."""
    return _mark("ellipse", cx=cx, cy=cy, rx=rx, ry=ry, angle=angle, color=color, width=width,
                 dash=dash, fill=fill, opacity=opacity, label=label)  # fmt: skip


def arrows(x0, y0, x1, y1, *, color="denoiser", head=None, width=None, opacity=None, label=None):
    """Arrows (``head=False``: segments) from (x0, y0) to (x1, y1); numbers or arrays."""
    return _mark("arrows", x0=x0, y0=y0, x1=x1, y1=y1, color=color, head=head, width=width,
                 opacity=opacity, label=label)  # fmt: skip


def text(x, y, text, *, color="ink", anchor="start"):
    """A word at a place; `anchor` is start, middle or end."""
    return _mark("text", x=x, y=y, text=str(text), color=color, anchor=anchor)


def vline(x, *, color="muted", dash=True, width=None, label=None):
    """A vertical line across the panel."""
    return _mark("vline", x=x, color=color, dash=dash, width=width, label=label)


def hline(y, *, color="muted", dash=True, width=None, label=None):
    """A horizontal line across the panel."""
    return _mark("hline", y=y, color=color, dash=dash, width=width, label=label)


def heat(z, extent, *, palette=None, vmin=None, vmax=None, opacity=None):
    """A map of shape (rows, columns) over ``extent = (x0, x1, y0, y1)``, lowest row first.

    Integers are class labels (palette ``categorical`` or a list of ``#rrggbb``); floats are a
    scale from `vmin` to `vmax` (``sequential``, ``diverging``, ``gray``).
    """
    z = as_array(z)
    if z.dtype.kind in "bui":
        palette = palette or "categorical"
        return _mark("heat", z=z, extent=list(extent), palette=palette, opacity=opacity)
    vmin, vmax = (float(v) for v in _range(z, vmin, vmax))
    return _mark("heat", z=z, extent=list(extent), palette=palette or "sequential", vmin=vmin,
                 vmax=vmax, opacity=opacity)  # fmt: skip


def images(data, *, vmin=-1.0, vmax=1.0, columns=None, palette="gray", labels=None, outline=None,
           cell=72):  # fmt: skip
    """A grid of small images (n, h, w), (n, 1, h, w), (n, 3, h, w) or (n, h, w, 3).

    uint8 means 0 … 255, floats mean `vmin` … `vmax`. `labels`: a word under each; `outline`: a
    colour name (or None) for each; `cell`: largest width of one image in pixels.
    """
    data = as_array(data)
    if data.ndim == 4 and data.shape[1] in (1, 3) and data.shape[-1] not in (1, 3):
        data = np.moveaxis(data, 1, -1)
    if data.ndim == 4 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim < 3 or data.ndim > 4 or (data.ndim == 4 and data.shape[-1] != 3) or not data.size:
        raise ValueError(f"images: need (n, h, w), (n, 1|3, h, w) or (n, h, w, 3): {data.shape}")
    if data.dtype == np.uint8:
        vmin, vmax = 0, 255
    columns = columns or int(np.ceil(np.sqrt(1.6 * len(data))))
    for name, words in (("labels", labels), ("outline", outline)):
        if words is not None and len(words) != len(data):
            raise ValueError(f"images: {len(words)} {name} for {len(data)} images")
    return _mark("images", data=data, vmin=vmin, vmax=vmax, columns=columns, palette=palette,
                 labels=labels and [str(w) for w in labels], outline=outline and list(outline),
                 cell=cell)  # fmt: skip


def as_array(value: Any) -> np.ndarray:
    """A numpy array of numbers from an array, a list or a CPU tensor."""
    value = value.detach() if hasattr(value, "detach") else value
    return np.asarray(value)


def _range(z, vmin, vmax):
    low = z.min() if vmin is None else vmin
    high = z.max() if vmax is None else vmax
    return low, high if high > low else low + 1


def check(mark: Any, where: str) -> None:
    """Refuse a mark that could not be drawn; the message says in which state it stands."""
    kind = mark.get("mark") if isinstance(mark, dict) else None
    if kind not in ARRAYS:
        raise ValueError(f"{where}: {mark!r:.80} is not a mark; marks are {', '.join(ARRAYS)}")
    missing = [f for f in ARRAYS[kind] if f not in mark]
    if missing:
        raise ValueError(f"{where}, mark {kind}: missing {', '.join(missing)}")
    for field in (*ARRAYS[kind], *OPTIONAL):
        if field in mark:
            _check_numbers(mark[field], f"{where}, mark {kind}, field {field}")
    lengths = {as_array(mark[f]).shape[-1:] for f in ARRAYS[kind]}
    if kind not in ("images", "heat") and len(lengths) > 1:
        sizes = ", ".join(f"{f} {as_array(mark[f]).shape}" for f in ARRAYS[kind])
        raise ValueError(f"{where}, mark {kind}: lengths differ: {sizes}")
    if kind == "heat" and as_array(mark["z"]).ndim != 2:
        raise ValueError(f"{where}, mark heat: z must have 2 axes, has {as_array(mark['z']).shape}")
    if kind == "heat" and "vmin" not in mark and np.min(mark["z"], initial=0) < 0:
        raise ValueError(f"{where}, mark heat: class labels must be >= 0")
    if not is_colour(mark.get("color", "ink")):
        raise ValueError(f"{where}, mark {kind}: no colour {mark['color']!r}")
    for colour in mark.get("outline") or ():
        if colour is not None and not is_colour(colour):
            raise ValueError(f"{where}, mark {kind}: no colour {colour!r}")
    if mark.get("shape", "dot") not in SHAPES:
        raise ValueError(f"{where}, mark {kind}: no shape {mark['shape']!r}")
    if mark.get("anchor", "start") not in ("start", "middle", "end"):
        raise ValueError(f"{where}, mark {kind}: no anchor {mark['anchor']!r}")
    palette = mark.get("palette", "gray")
    if isinstance(palette, list):
        if not palette or not all(is_colour(c) and str(c).startswith("#") for c in palette):
            raise ValueError(f"{where}, mark {kind}: a palette is a list of #rrggbb")
    elif palette not in (*CONTINUOUS, "categorical"):
        raise ValueError(f"{where}, mark {kind}: no palette {palette!r}")
    if "colors" in mark and not len(CATEGORICAL) > np.max(mark["colors"], initial=0) >= 0:
        raise ValueError(f"{where}, mark {kind}: colors are integers 0 … {len(CATEGORICAL) - 1}")


def _check_numbers(value: Any, where: str) -> None:
    array = as_array(value)
    if array.dtype.kind not in "buif":
        raise ValueError(f"{where}: not numbers ({array.dtype})")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ValueError(f"{where}: {bad} of {array.size} values are NaN or infinite")
