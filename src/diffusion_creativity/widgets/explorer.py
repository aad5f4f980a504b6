"""One interactive figure, live in Jupyter and Colab and alive on a page without a kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any

import traitlets

from . import formulas
from .controls import MAX_VALUES, Control
from .figure import MAX_BYTES, Figure, javascript, stylesheet, weigh
from .frames import Frame, fill, frame_of
from .packing import Packer
from .panel import Panel

MAX_STATES = 400


class Explorer(Figure):
    """Controls, one picture of one or more panels, and a caption.

    Make one with `Explorer.precomputed` (Python draws every state beforehand) or
    `Explorer.formula` (the browser computes the picture on each move).

    Examples
    --------
    >>> from diffusion_creativity.widgets import Explorer, Panel, Slider, marks
    >>> def draw(n):
    ...     return {"main": [marks.bars(range(n), range(n))], "alt": f"A stair of {n} steps."}
    >>> stair = Explorer.precomputed(draw, [Slider("n", [2, 4, 8])], Panel(), title="Stairs")
    >>> stair.state
    {'n': 2}
    """

    _esm = javascript("shared_elements", "shared_arrays", "shared_axes", "shared_marks",
                      "shared_pixels", "explorer")  # fmt: skip
    _css = stylesheet()

    scene = traitlets.Dict().tag(sync=True)
    source = traitlets.Unicode("").tag(sync=True)
    position = traitlets.Dict().tag(sync=True)

    @classmethod
    def precomputed(
        cls, draw: Callable[..., dict], controls: Sequence[Control],
        panels: Panel | dict[str, Panel] | None = None, *, title: str, alt: str = "",
        caption: str = "", columns: int | None = None, max_bytes: int = MAX_BYTES,
    ) -> Explorer:  # fmt: skip
        """Call ``draw(**state)`` for every combination of values and keep what it returns.

        `draw` returns ``{panel name: [marks], "alt": text, "caption": text}`` (with one panel the
        list of marks is enough). `alt` and `caption` are templates for states without their own;
        ``{name}`` stands for what the control shows.
        """
        panels = _panels(panels)
        controls = _controls(controls)
        for c in controls:
            if len(c) > MAX_VALUES:
                raise ValueError(
                    f"control {c.name!r} has {len(c)} values, the limit is {MAX_VALUES}: "
                    "take fewer values, or compute in the browser with Explorer.formula"
                )
        count = prod(len(c) for c in controls)
        if count > MAX_STATES:
            sizes = " × ".join(f"{len(c)} {c.name}" for c in controls)
            raise ValueError(
                f"{sizes} = {count} states, the limit is {MAX_STATES}: take fewer values for a "
                "control, drop one, or compute in the browser with Explorer.formula"
            )
        grid = [dict(zip([c.name for c in controls], values, strict=True))
                for values in product(*(c.values for c in controls))]  # fmt: skip
        frames = [frame_of(draw(**state), panels, state) for state in grid]
        panels = {k: p.fitted(m for f in frames for m in f.panels[k]) for k, p in panels.items()}
        packer = Packer()
        states = [
            {"panels": {k: [packer.mark(m, panels[k]) for m in f.panels[k]] for k in panels},
             "alt": f.alt, "caption": f.caption} for f in frames
        ]  # fmt: skip
        extra = {"states": states, "marks": packer.marks}
        pick = {tuple(state.values()): i for i, state in enumerate(grid)}
        return cls._make(lambda **state: frames[pick[tuple(state.values())]], controls, panels,
                         packer, extra, "", title, alt, caption, columns, max_bytes)  # fmt: skip

    @classmethod
    def formula(
        cls, name: str, controls: Sequence[Control] | None = None,
        panels: Panel | dict[str, Panel] | None = None, *, data: dict[str, Any] | None = None,
        python: Callable[[dict, dict], dict] | None = None, title: str = "", alt: str = "",
        caption: str = "", columns: int | None = None, max_bytes: int = MAX_BYTES,
    ) -> Explorer:  # fmt: skip
        """Compute the picture in the browser: ``export default function(state, data)``.

        `name` is a formula of the book (see `formulas.NAMES`; it brings controls, panels and
        texts of its own, all replaceable) or JavaScript source with its twin in `python`:
        ``python(state, data)`` returns what the JavaScript returns, as for `precomputed`.
        """
        known = formulas.get(name)
        if known is None and (python is None or controls is None or panels is None):
            raise ValueError("JavaScript of your own needs python=, controls= and panels= too")
        data = known.prepare(data or {}) if known else dict(data or {})
        python = python or known.python
        controls = _controls(controls if controls is not None else known.controls(data))
        panels = _panels(panels if panels is not None else known.panels(data))
        title = title or (known.title if known else "")

        def frame(**state: Any) -> Frame:
            return frame_of(python(state, data), panels, state)

        corners = [{c.name: c.values[i] for c in controls} for i in (0, -1)]
        corners.append({c.name: c.values[c.start] for c in controls})
        seen = [frame(**state) for state in corners]
        panels = {k: p.fitted(m for f in seen for m in f.panels[k]) for k, p in panels.items()}
        packer = Packer()
        extra = {"data": packer.exact(data)}
        return cls._make(frame, controls, panels, packer, extra, formulas.source(name), title,
                         alt, caption, columns, max_bytes)  # fmt: skip

    @classmethod
    def _make(cls, frame, controls, panels, packer, extra, source, title, alt, caption, columns,
              max_bytes) -> Explorer:  # fmt: skip
        if not title:
            raise ValueError("a figure needs a title: it names the figure to a screen reader")
        shown = ", ".join(f"{c.label}: {{{c.name}}}" for c in controls)
        blob, deflated = packer.blob()
        scene = {
            "title": title, "alt": alt or f"{title}. {shown}.", "caption": caption or shown,
            "columns": columns or min(len(panels), 3), "controls": [c.spec() for c in controls],
            "panels": {k: p.spec() for k, p in panels.items()}, "order": list(panels),
            "arrays": packer.arrays,
            "deflated": deflated, "start": {c.name: c.start for c in controls}, **extra,
        }  # fmt: skip
        size = weigh(title, blob, scene, source, max_bytes)
        widget = cls(scene=scene, blob=blob, source=source, position=dict(scene["start"]))
        widget._frame, widget._controls, widget._panels = frame, controls, panels
        widget.nbytes = size
        widget._replace(title, tuple(c.name for c in controls), tuple(panels))
        return widget

    @property
    def state(self) -> dict[str, Any]:
        """Values of the controls now, as the reader has set them."""
        return {c.name: c.values[self.position.get(c.name, c.start)] for c in self._controls}

    @state.setter
    def state(self, values: dict[str, Any]) -> None:
        by_name = {c.name: c for c in self._controls}
        unknown = set(values) - set(by_name)
        if unknown:
            raise ValueError(f"no control {', '.join(sorted(unknown))}; there is {[*by_name]}")
        moved = {name: by_name[name].index(v) for name, v in values.items()}
        self.position = {**self.position, **moved}

    def frame(self, **state: Any) -> Frame:
        """What is drawn at `state` (default: as it is now), with alt text and caption filled in."""
        chosen = {c.name: c.index({**self.state, **state}[c.name]) for c in self._controls}
        texts = {c.name: c.texts[chosen[c.name]] for c in self._controls}
        found = self._frame(**{c.name: c.values[chosen[c.name]] for c in self._controls})
        return Frame(found.panels, found.alt or fill(self.scene["alt"], texts),
                     found.caption or fill(self.scene["caption"], texts))  # fmt: skip

    def figure(self, **state: Any):
        """The matplotlib figure of one state: what print, GitHub and nbviewer show."""
        from .picture import draw

        return draw(self.frame(**state), self._panels, self.scene["title"], self.scene["columns"])

    def png(self, **state: Any) -> bytes:
        """The picture of one state as PNG."""
        from .picture import as_png

        return as_png(self.figure(**state))

    def _title(self) -> str:
        return self.scene["title"]

    def _still(self) -> dict[str, Any]:
        start = {c.name: c.values[c.start] for c in self._controls}
        return {"image/png": self.png(**start), "text/plain": self.frame(**start).alt}


def _controls(controls: Sequence[Control]) -> list[Control]:
    controls = list(controls)
    names = [c.name for c in controls]
    if not controls or len(set(names)) < len(names):
        raise ValueError(f"a figure needs controls with different names, got {names}")
    return controls


def _panels(panels: Panel | dict[str, Panel] | None) -> dict[str, Panel]:
    if panels is None or isinstance(panels, Panel):
        return {"main": panels or Panel()}
    for name, panel in panels.items():
        if not str(name).isidentifier() or name in ("alt", "caption"):
            raise ValueError(f"panel name {name!r}: use a Python identifier, not alt or caption")
        if not isinstance(panel, Panel):
            raise ValueError(f"panel {name!r} is {type(panel).__name__}, not Panel")
    if not panels:
        raise ValueError("a figure needs at least one panel")
    return dict(panels)
