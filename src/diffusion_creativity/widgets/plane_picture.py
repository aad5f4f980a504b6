"""The plane of measures drawn by matplotlib: all points named, some samples of each below."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from . import marks
from .frames import fill
from .labels import BODY, Box, around, place, quietest
from .palette import LIGHT, light, readable
from .panel import Panel
from .picture import draw_panel

if TYPE_CHECKING:
    from .plane import Plane

_SHOWN = 8  # samples of each point
_FONT = {"fontsize": 8.5, "va": "bottom", "ha": "left", "clip_on": False}


def draw(plane: Plane, chosen: str, x: str, y: str) -> Figure:
    """The plane with names at its points, and a strip of samples for each point."""
    points = plane.points
    rows = -(-len(points) // 2)
    pairs = any(p.nearest is not None for p in points)
    strips = (1.1 if pairs else 0.75) * rows
    with rc_context({"font.size": 10, "axes.unicode_minus": True, "svg.fonttype": "path"}):
        figure = Figure((7.4, 5.6 + strips), dpi=120, layout="constrained",
                        facecolor=LIGHT["panel"])  # fmt: skip
        FigureCanvasAgg(figure)
        top, below = figure.subfigures(2, 1, height_ratios=[4.7, strips])
        ax = top.subplots()
        draw_panel(ax, plane.panel(x, y), _marks(plane, x, y))
        if ax.get_legend() is not None:  # above the plane, where no point can be
            ax.legend(fontsize=8.5, frameon=False, loc="lower left", bbox_to_anchor=(-0.01, 1),
                      ncols=4, handletextpad=0.2, columnspacing=1.2)  # fmt: skip
        grid = below.subplots(rows, 2, squeeze=False).ravel()
        for axes, point in zip(grid, points, strict=False):
            _strip(axes, plane, point)
        for axes in grid[len(points) :]:
            axes.set_axis_off()
        said = _caption(plane, plane.words(chosen, x, y), pairs)
        top.suptitle(plane.scene["title"], x=0.01, ha="left", fontweight="bold", color=LIGHT["ink"])
        below.supxlabel(textwrap.fill(said, 105), x=0.01, ha="left", fontsize=9,
                        color=LIGHT["muted"])  # fmt: skip
        figure.draw_without_rendering()
        _names(ax, plane, x, y)
    return figure


def _caption(plane: Plane, words: dict[str, str], pairs: bool) -> str:
    said = f"{words['label']}: {fill(plane.scene['caption'], words)}"
    said += f" Bars: {plane.scene['interval']}." if plane.scene["interval"] else ""
    return said + (" Under each sample: its nearest training image." if pairs else "")


def _marks(plane: Plane, x: str, y: str) -> list[marks.Mark]:
    """Regions, lines, error bars and points."""
    panel = plane.panel(x, y)
    drawn, named = [], set()
    for region in plane.regions_on(x, y):
        (x0, x1), (y0, y1) = region.corners(x, y, panel.xlim, panel.ylim)
        drawn.append(marks.area([x0, x1], y0, [y1, y1], color=region.color, opacity=0.09))
    drawn += [marks.vline(v) for v in plane.axes[x].lines.values()]
    drawn += [marks.hline(v) for v in plane.axes[y].lines.values()]
    for point in plane.points:
        color, shape = plane.groups[point.group]
        (u, *across), (v, *along) = point.measures[x], point.measures[y]
        for xs, ys in ((across, [v, v]), ([u, u], along)):
            drawn.append(marks.line(xs, ys, color=color, opacity=0.5, width=1.8))
        label = None if point.group in named else point.group or None
        named.add(point.group)
        drawn.append(marks.points([u], [v], color=color, shape=shape, size=5, label=label))
    return drawn


def _strip(ax: Axes, plane: Plane, point) -> None:
    """A row of samples, the nearest images under it."""
    color, _ = plane.groups[point.group]
    sheets = [s["data"][:_SHOWN] for s in (point.sheet(), point.sheet("nearest")) if s]
    columns = len(sheets[0])
    both = marks.images(np.concatenate(sheets), columns=columns)
    draw_panel(ax, Panel(kind="images"), [both])
    ax.set_anchor("W")
    ax.set_title(point.label, loc="left", fontsize=8.5, color=_readable(color), pad=2)


def _readable(color: str) -> str:
    return readable(light(color), LIGHT["ink"], LIGHT["panel"])


def _names(ax: Axes, plane: Plane, x: str, y: str) -> None:
    """Put names at points, lines and regions where they cover least."""
    figure = ax.get_figure(root=True)
    frame = _box(ax.get_window_extent(), figure)
    at = [(p.measures[x], p.measures[y]) for p in plane.points]
    spots = [_pixel(ax, u, v) for (u, *_), (v, *_) in at]
    bars = []
    for (u, *across), (v, *along) in at:
        (left, row), (right, _) = (_pixel(ax, end, v) for end in across)
        (column, base), (_, top) = (_pixel(ax, u, end) for end in along)
        bars += [(left, row - 2, right, row + 2), (column - 2, top, column + 2, base)]
    for axis, line in ((plane.axes[x], _upright), (plane.axes[y], _level)):
        bars += [line(ax, value, frame) for value in axis.lines.values()]
    busy = [around(*spot, BODY) for spot in spots] + bars
    blocked: list[Box] = []
    for text, boxes in _fixed(ax, plane, x, y, frame):
        blocked.append(quietest(boxes, [*busy, *blocked]))
        _write(ax, text, blocked[-1], LIGHT["muted"], style="italic")
    names = [p.label for p in plane.points]
    boxes, _ = place(spots, [_size(ax, name) for name in names], blocked, bars, frame)
    for point, spot, box in zip(plane.points, spots, boxes, strict=True):
        color = _readable(plane.groups[point.group][0])
        _write(ax, point.label, box, color)
        near = np.clip(spot, box[:2], box[2:])
        if np.hypot(*(near - spot)) > 15:
            ends = np.array([spot + (near - spot) * 0.35, near])
            ax.plot(ends[:, 0], figure.bbox.height - ends[:, 1], transform=None, linewidth=0.7,
                    color=LIGHT["muted"], clip_on=False)  # fmt: skip


def _upright(ax: Axes, value: float, frame: Box) -> Box:
    at = _pixel(ax, value, ax.get_ylim()[0])[0]
    return at - 1, frame[1], at + 1, frame[3]


def _level(ax: Axes, value: float, frame: Box) -> Box:
    at = _pixel(ax, ax.get_xlim()[0], value)[1]
    return frame[0], at - 1, frame[2], at + 1


def _fixed(ax: Axes, plane: Plane, x: str, y: str, frame: Box):
    """Names of regions and lines, each with the boxes in which it may stand."""
    panel, (left, top, right, base) = plane.panel(x, y), frame
    for region in plane.regions_on(x, y):
        (x0, x1), (y0, y1) = region.corners(x, y, panel.xlim, panel.ylim)
        (a, d), (c, b) = _pixel(ax, x0, y0), _pixel(ax, x1, y1)
        w, h = _size(ax, region.label)
        places = [(u, v) for u in (a + 5, c - w - 5) for v in (d - h - 5, b + 5)]
        yield region.label, [(u, v, u + w, v + h) for u, v in places]
    for name, axis in (("x", plane.axes[x]), ("y", plane.axes[y])):
        for text, value in axis.lines.items():
            w, h = _size(ax, text)
            if name == "x":
                u = _pixel(ax, value, panel.ylim[0])[0]
                places = [(a, b) for b in (top + 3, base - h - 3) for a in (u + 5, u - w - 5)]
            else:
                v = _pixel(ax, panel.xlim[0], value)[1]
                places = [(a, b) for a in (right - w - 3, left + 5) for b in (v - h - 1, v + 2)]
            inside = [p for p in places if left <= p[0] and p[0] + w <= right + 1]
            yield text, [(a, b, a + w, b + h) for a, b in inside or places]


def _pixel(ax: Axes, u: float, v: float) -> tuple[float, float]:
    """A point of the axes in pixels from the top left of the figure, kept near the frame."""
    u, v = (max(low, min(high, t)) for t, (low, high) in ((u, ax.get_xlim()), (v, ax.get_ylim())))
    column, row = ax.transData.transform((u, v))
    return float(column), float(ax.get_figure(root=True).bbox.height - row)


def _box(extent, figure: Figure) -> Box:
    high = figure.bbox.height
    return float(extent.x0), float(high - extent.y1), float(extent.x1), float(high - extent.y0)


def _size(ax: Axes, text: str) -> tuple[float, float]:
    """Width and height of a name in pixels."""
    probe = ax.text(0, 0, text, transform=None, **_FONT)
    extent = probe.get_window_extent()
    probe.remove()
    return float(extent.width) + 3, 16.0


def _write(ax: Axes, text: str, box: Box, color: str, **style) -> None:
    high = ax.get_figure(root=True).bbox.height
    ax.text(box[0] + 1.5, high - box[3] + 2, text, transform=None, color=color, **_FONT, **style)
