"""Points with error bars on two measures; choosing one shows its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from .figure import MAX_BYTES, Figure, javascript, stylesheet, weigh
from .frames import fill
from .marks import SHAPES
from .packing import Packer
from .palette import is_colour
from .panel import Panel
from .plane_parts import Axis, PlanePoint, Region

# Colour and shape of the groups that are given none, in the order in which they appear.
LOOKS = (("denoiser", "dot"), ("generated", "square"), ("law", "triangle"), ("warning", "diamond"),
         ("noise", "square"), ("ink", "dot"))  # fmt: skip
_ALT = " Horizontal: {x}. Vertical: {y}. Chosen: {label}, {x} {xvalue}, {y} {yvalue}."


class Plane(Figure):
    """A scatter of named points with error bars; a chosen point shows its samples and numbers.

    It is alive without a kernel. A point is chosen by mouse, finger or menu, and further menus
    choose which measure stands on which axis. With a kernel, `chosen`, `x` and `y` follow the
    reader, and move the figure when they are set.

    Parameters
    ----------
    points : the points, all with the same measures
    axes : the measures by name
    x, y : a name: this measure is shown first and the menu offers all others; several names: the
        menu offers these, the first one is shown (one name alone in a list: no menu)
    title : names the figure, to a screen reader too
    alt : one sentence, what the plane shows; axes and chosen point are added to it
    caption : template of the sentence under the numbers; ``{label}``, ``{text}``, ``{group}``,
        ``{x}``, ``{y}``, ``{xvalue}`` and ``{yvalue}`` stand for those of the chosen point
    chosen : name of the point chosen first; default the first point
    groups : ``(colour, shape)`` by group; shapes are dot, square, triangle, diamond
    regions : shaded rectangles
    what : what a point is, the label of the menu
    interval : what the intervals are, e.g. ``"95 % bootstrap interval"``
    max_bytes : a figure that weighs more is refused

    Examples
    --------
    >>> import torch
    >>> from diffusion_creativity.widgets import Axis, Plane, PlanePoint
    >>> axes = {"novelty": Axis("novelty"), "realism": Axis("realism")}
    >>> images = torch.zeros(4, 1, 8, 8)
    >>> copy = PlanePoint("bayes", "Perfect", {"novelty": 0, "realism": (0.9, 0.8, 1)}, images)
    >>> Plane([copy], axes, x="novelty", y="realism", title="Who creates?").chosen
    'bayes'
    """

    _esm = javascript("shared_elements", "shared_arrays", "shared_axes", "shared_marks",
                      "shared_pixels", "shared_labels", "plane")  # fmt: skip
    _css = stylesheet("plane")

    scene = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)
    x = traitlets.Unicode().tag(sync=True)
    y = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, points: Sequence[PlanePoint], axes: Mapping[str, Axis], *,
        x: str | Sequence[str], y: str | Sequence[str], title: str, alt: str = "",
        caption: str = "", chosen: str | None = None,
        groups: Mapping[str, tuple[str, str]] | None = None, regions: Sequence[Region] = (),
        what: str = "Denoiser", interval: str = "", max_bytes: int = MAX_BYTES,
    ) -> None:  # fmt: skip
        if not title:
            raise ValueError("a figure needs a title: it names the figure to a screen reader")
        self._points, self.axes = _points(points, axes), dict(axes)
        self.regions, self.groups = list(regions), _groups(points, groups or {})
        for region in self.regions:
            _known(f"region {region.label!r}: measure", region.ranges, axes)
        offered = {"x": _offered("x", x, axes), "y": _offered("y", y, axes)}
        if offered["x"][0] == offered["y"][0]:
            raise ValueError(f"x and y both start with {offered['x'][0]!r}: name two measures")
        packer = Packer()
        stop = "" if title[-1] in ".?!" else "."
        scene = {
            "title": title, "alt": (alt or title + stop) + _ALT, "what": what,
            "caption": caption or "{text}", "interval": interval, "offered": offered,
            "points": [self._point(p, packer) for p in self.points],
            "axes": [self._axis(name) for name in axes],
            "groups": [[g, *look] for g, look in self.groups.items()],
            "regions": [[r.label, r.color, [[k, *v] for k, v in r.ranges.items()]]
                        for r in self.regions],
        }  # fmt: skip
        blob, deflated = packer.blob()
        scene |= {"marks": packer.marks, "arrays": packer.arrays, "deflated": deflated}
        self.nbytes = weigh(title, blob, scene, "", max_bytes)
        start = {"chosen": chosen or next(iter(self._points)), "x": offered["x"][0],
                 "y": offered["y"][0]}  # fmt: skip
        super().__init__(scene=scene, blob=blob, **start)
        self._start = start
        self._replace(title)

    def _point(self, point: PlanePoint, packer: Packer) -> dict[str, Any]:
        sheets = [point.sheet(which) for which in ("samples", "nearest")]
        return {
            "name": point.name, "label": point.label, "text": point.text, "group": point.group,
            "values": [point.measures[k] for k in self.axes],
            "texts": [a.interval(*point.measures[k]) for k, a in self.axes.items()],
            "sheets": [packer.mark(s, None) for s in sheets if s is not None],
        }  # fmt: skip

    def _axis(self, name: str) -> dict[str, Any]:
        axis = self.axes[name]
        shown = [v for p in self.points for v in p.measures[name]]
        edges = [v for r in self.regions for v in r.edges(name)]
        return {
            "name": name, "label": axis.label, "note": axis.note, "log": axis.log,
            "limits": axis.fitted([*shown, *edges]), "lines": [[*i] for i in axis.lines.items()],
        }  # fmt: skip

    @traitlets.validate("chosen", "x", "y")
    def _check(self, proposal: dict[str, Any]) -> str:
        what = proposal["trait"].name
        known = self._points if what == "chosen" else self.scene["offered"][what]
        _known(what, [proposal["value"]], known)
        return proposal["value"]

    def panel(self, x: str, y: str) -> Panel:
        """The coordinate system with these measures on its axes."""
        of = {a["name"]: a for a in self.scene["axes"]}
        return Panel(xlabel=of[x]["label"], ylabel=of[y]["label"], xlim=of[x]["limits"],
                     ylim=of[y]["limits"], xlog=of[x]["log"], ylog=of[y]["log"])  # fmt: skip

    def regions_on(self, x: str, y: str) -> list[Region]:
        """The regions whose measures stand on these axes."""
        return [r for r in self.regions if set(r.ranges) <= {x, y}]

    @property
    def points(self) -> list[PlanePoint]:
        """The points in their order."""
        return list(self._points.values())

    def words(self, chosen: str, x: str, y: str) -> dict[str, str]:
        """What the templates of `alt` and `caption` may name."""
        point, pair = self._points[chosen], {"x": self.axes[x], "y": self.axes[y]}
        values = {"x": point.measures[x], "y": point.measures[y]}
        return {
            "label": point.label, "text": point.text, "group": point.group,
            "x": pair["x"].label, "y": pair["y"].label,
            "xvalue": pair["x"].interval(*values["x"]), "yvalue": pair["y"].interval(*values["y"]),
        }  # fmt: skip

    def figure(self, chosen: str | None = None, x: str | None = None, y: str | None = None):
        """The matplotlib figure, with some samples of each point: what print and GitHub show."""
        from .plane_picture import draw

        return draw(self, chosen or self.chosen, x or self.x, y or self.y)

    def png(self, chosen: str | None = None, x: str | None = None, y: str | None = None) -> bytes:
        """The picture as PNG."""
        from .picture import as_png

        return as_png(self.figure(chosen, x, y))

    def _title(self) -> str:
        return self.scene["title"]

    def _still(self) -> dict[str, Any]:
        text = fill(self.scene["alt"], self.words(**self._start))
        return {"image/png": self.png(**self._start), "text/plain": text}


def _points(points: Sequence[PlanePoint], axes: Mapping[str, Axis]) -> dict[str, PlanePoint]:
    if not points or not axes:
        raise ValueError("a plane needs at least one point and one axis")
    named = {p.name: p for p in points}
    if len(named) < len(points):
        raise ValueError(f"points need different names, got {[p.name for p in points]}")
    for point in points:
        missing = set(axes) - set(point.measures)
        if missing:
            raise ValueError(f"point {point.name!r} has no measure {', '.join(sorted(missing))}")
        for name, axis in axes.items():
            if axis.scale == "log" and point.measures[name][0] <= 0:
                raise ValueError(
                    f"point {point.name!r}: {name} is {point.measures[name][0]:g}, a log axis "
                    "needs values > 0: use scale='symlog'"
                )
    return named


def _groups(points, groups: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    seen = list(dict.fromkeys(p.group for p in points))
    _known("groups: group", groups, seen)
    for name, (colour, shape) in groups.items():
        if not is_colour(colour) or shape not in SHAPES:
            raise ValueError(f"group {name!r}: no colour {colour!r} or no shape {shape!r}")
    spare = (look for look in LOOKS * len(seen) if look not in groups.values())
    return {name: groups.get(name) or next(spare, LOOKS[0]) for name in seen}


def _offered(what: str, names: str | Sequence[str], axes: Mapping[str, Axis]) -> list[str]:
    first = [names] if isinstance(names, str) else list(names)
    if not first:
        raise ValueError(f"{what} names no measure; there is {', '.join(axes)}")
    _known(what, first, axes)
    return [*first, *(n for n in axes if n not in first)] if isinstance(names, str) else first


def _known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{what} {name!r} is not known; there is {', '.join(known)}")
