"""One state of an interactive figure drawn by matplotlib, for print, GitHub and nbviewer."""

from __future__ import annotations

import io
import math
import textwrap

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle
from matplotlib.scale import AsinhScale
from matplotlib.ticker import NullLocator

from .frames import Frame
from .marks import Mark, as_array
from .palette import CATEGORICAL, CONTINUOUS, LIGHT, light, mix
from .panel import Panel

_CELL = 4  # pixels between images
_MARKERS = {"dot": "o", "square": "s", "triangle": "^", "diamond": "D"}


def draw(frame: Frame, panels: dict[str, Panel], title: str, columns: int) -> Figure:
    """The figure of a frame, its caption underneath."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    with rc_context({"font.size": 10, "axes.unicode_minus": True, "svg.fonttype": "path"}):
        figure = Figure((7.4, 0.8 + 3.1 * rows * (1.25 if columns == 1 else 1)), dpi=120,
                        layout="constrained", facecolor=LIGHT["panel"])  # fmt: skip
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        for ax, (name, panel) in zip(axes, panels.items(), strict=False):
            draw_panel(ax, panel, frame.panels[name])
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", color=LIGHT["ink"])
        caption = textwrap.fill(frame.caption, 105)
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=9, color=LIGHT["muted"])
        figure.draw_without_rendering()
    return figure


def as_png(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def draw_panel(ax: Axes, panel: Panel, marks: list[Mark]) -> None:
    """One panel with its marks."""
    ax.set_title(panel.title, loc="left", fontsize=10, color=LIGHT["ink"])
    ax.set_axisbelow(True)
    if panel.kind == "images":
        ax.set_axis_off()
        for mark in marks:
            _images(ax, mark)
        return
    ax.set(xlim=panel.xlim, ylim=panel.ylim, xlabel=panel.xlabel, ylabel=panel.ylabel)
    _scale(ax, "x", panel.xlog, panel.xlim)
    _scale(ax, "y", panel.ylog, panel.ylim)
    ax.set_aspect(panel.aspect)
    ax.tick_params(colors=LIGHT["muted"], labelsize=8.5)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom" or not panel.axes)
        spine.set_color(mix(LIGHT["panel"], LIGHT["ink"], 0.25))
    if panel.axes:
        ax.grid(color=mix(LIGHT["panel"], LIGHT["ink"], 0.1), linewidth=0.7)
    else:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    for mark in marks:
        _DRAW[mark["mark"]](ax, mark)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=8, frameon=False, loc="best", labelcolor=LIGHT["ink"])


def _scale(ax: Axes, name: str, log: bool | float, limits: tuple[float, float]) -> None:
    if not log or log is True:
        ax.set(**{f"{name}scale": "log" if log else "linear"})
        return
    ax.set(**{f"{name}scale": AsinhScale(None, linear_width=log)})
    axis = {"x": ax.xaxis, "y": ax.yaxis}[name]
    reach = max(abs(v) for v in limits)
    if reach > 3 * log:  # as shared_axes.js does: 0 and the powers of ten
        powers = 10.0 ** np.arange(math.ceil(math.log10(log) - 1e-9), math.log10(reach) + 1e-9)
        ticks = [v for v in (*-powers[::-1], 0.0, *powers) if limits[0] <= v <= limits[1]]
        axis.set_ticks(ticks, [f"{v:g}".replace("-", "−") for v in ticks])
        axis.set_minor_locator(NullLocator())


def _style(m: Mark, width: float = 2.0) -> dict:
    return {"color": light(m["color"]), "linewidth": 0.8 * m.get("width", width),
            "linestyle": (0, (4, 3)) if m.get("dash") else "-",
            "alpha": m.get("opacity"), "label": m.get("label")}  # fmt: skip


def _points(ax: Axes, m: Mark) -> None:
    size = np.asarray(as_array(m.get("size", 3)), float)
    area = (1.5 * size) ** 2  # radius in CSS pixels → area in points
    common = {"alpha": m.get("opacity"), "label": m.get("label"), "zorder": 3}
    colour = [CATEGORICAL[i] for i in m["colors"]] if "colors" in m else light(m["color"])
    if m.get("shape") == "cross":
        ax.scatter(m["x"], m["y"], area, colour, marker="x", linewidths=1.3, **common)
    elif m.get("shape") == "ring":
        ax.scatter(m["x"], m["y"], area, facecolors="none", edgecolors=colour, **common)
    else:
        marker = _MARKERS[m.get("shape", "dot")]
        ax.scatter(m["x"], m["y"], area, colour, marker=marker, linewidths=0, **common)


def _line(ax: Axes, m: Mark) -> None:
    xs, ys = np.atleast_2d(as_array(m["x"])), np.atleast_2d(as_array(m["y"]))
    for i, y in enumerate(ys):
        style = _style(m) if i == 0 else _style(m) | {"label": None}
        ax.plot(xs[i % len(xs)], y, **style)


def _area(ax: Axes, m: Mark) -> None:
    ax.fill_between(m["x"], m["low"], m["high"], color=light(m["color"]), linewidth=0,
                    alpha=m.get("opacity", 0.25), label=m.get("label"))  # fmt: skip


def _bars(ax: Axes, m: Mark) -> None:
    base = m.get("base", 0)
    ax.bar(m["x"], as_array(m["y"]) - base, m["width"], bottom=base, color=light(m["color"]),
           alpha=m.get("opacity", 0.85), label=m.get("label"))  # fmt: skip


def _ellipse(ax: Axes, m: Mark) -> None:
    place = ((float(m["cx"]), float(m["cy"])), 2 * float(m["rx"]), 2 * float(m["ry"]))
    turn = math.degrees(m.get("angle", 0.0))
    if m.get("fill"):
        ax.add_patch(Ellipse(*place, angle=turn, color=light(m["color"]), alpha=m["fill"]))
    style = _style(m)
    ax.add_patch(Ellipse(*place, angle=turn, fill=False, edgecolor=style.pop("color"), **style))


def _arrows(ax: Axes, m: Mark) -> None:
    ends = [np.atleast_1d(np.asarray(as_array(m[k]), float)) for k in ("x0", "y0", "x1", "y1")]
    style = _style(m, 1.8)
    ax.plot([], [], **style)  # an entry for the legend
    arrow = {
        "arrowstyle": "-" if m.get("head") is False else "->",
        "shrinkA": 0,
        "shrinkB": 0,
        "color": style["color"],
        "linewidth": style["linewidth"],
        "alpha": style["alpha"],
    }
    for x0, y0, x1, y1 in zip(*ends, strict=True):
        ax.annotate("", (x1, y1), (x0, y0), arrowprops=arrow)


def _text(ax: Axes, m: Mark) -> None:
    side = {"start": "left", "middle": "center", "end": "right"}[m.get("anchor", "start")]
    ax.text(m["x"], m["y"], m["text"], ha=side, va="center", color=light(m["color"]), fontsize=9,
            clip_on=True)  # fmt: skip


def _colormap(m: Mark):
    palette = m["palette"]
    if palette == "categorical":
        return ListedColormap(list(CATEGORICAL))
    if isinstance(palette, list):
        return ListedColormap(palette)
    return LinearSegmentedColormap.from_list(palette, CONTINUOUS[palette])


def _heat(ax: Axes, m: Mark) -> None:
    cmap, z = _colormap(m), as_array(m["z"])
    if "vmin" not in m:  # class labels, repeating the palette
        z, limits = z.astype(int) % cmap.N, {"vmin": -0.5, "vmax": cmap.N - 0.5}
    else:
        limits = {"vmin": m["vmin"], "vmax": m["vmax"]}
    ax.imshow(z, origin="lower", extent=m["extent"], cmap=cmap, aspect=ax.get_aspect(),
              interpolation="nearest", alpha=m.get("opacity"), zorder=0, **limits)  # fmt: skip


def _images(ax: Axes, m: Mark) -> None:
    data = as_array(m["data"]).astype(float)
    unit = np.clip((data - m["vmin"]) / (m["vmax"] - m["vmin"]), 0, 1)
    pixels = unit if unit.ndim == 4 else _colormap(m)(unit)[..., :3]
    scale = max(1, round(56 / pixels.shape[2]))
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    count, high, wide, _ = pixels.shape
    columns = min(m["columns"], count)
    below = 18 if m.get("labels") else 0
    pitch = (high + _CELL + below, wide + _CELL)
    sheet = np.ones((math.ceil(count / columns) * pitch[0], columns * pitch[1], 3))
    for k, image in enumerate(pixels):
        row, column = k // columns * pitch[0], k % columns * pitch[1]
        sheet[row : row + high, column : column + wide] = image
        if m.get("labels"):
            ax.text(column + wide / 2, row + high + 2, m["labels"][k], ha="center", va="top",
                    fontsize=7, color=LIGHT["muted"])  # fmt: skip
        if m.get("outline") and m["outline"][k]:
            edge = {"edgecolor": light(m["outline"][k]), "facecolor": "none", "linewidth": 1.6}
            ax.add_patch(Rectangle((column - 1, row - 1), wide + 1, high + 1, **edge))
    ax.imshow(sheet, interpolation="nearest")


_DRAW = {
    "points": _points, "line": _line, "area": _area, "bars": _bars, "ellipse": _ellipse,
    "arrows": _arrows, "text": _text, "heat": _heat,
    "vline": lambda ax, m: ax.axvline(m["x"], **_style(m, 1.5)),
    "hline": lambda ax, m: ax.axhline(m["y"], **_style(m, 1.5)),
}  # fmt: skip
