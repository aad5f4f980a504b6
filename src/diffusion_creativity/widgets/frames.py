"""A frame: the marks of each panel in one state, with its alt text and caption."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .marks import Mark, check
from .panel import Panel


class Frame(NamedTuple):
    """What the reader sees in one state."""

    panels: dict[str, list[Mark]]
    alt: str
    caption: str


def frame_of(drawn: Any, panels: dict[str, Panel], state: dict[str, Any]) -> Frame:
    """Check what a draw function returned; errors name the state, the panel and the mark."""
    where = "state " + ", ".join(f"{k}={v!r}" for k, v in state.items())
    if not isinstance(drawn, dict):
        if len(panels) > 1:
            raise ValueError(f"{where}: draw must return a dictionary with {[*panels]}")
        drawn = {next(iter(panels)): drawn}
    drawn = dict(drawn)
    alt, caption = (str(drawn.pop(k, "") or "") for k in ("alt", "caption"))
    unknown, missing = set(drawn) - set(panels), set(panels) - set(drawn)
    if unknown or missing:
        raise ValueError(
            f"{where}: draw returned panels {sorted(drawn)}, the figure has {sorted(panels)}"
        )
    for name, marks in drawn.items():
        for i, mark in enumerate(marks):
            check(mark, f"{where}, panel {name}, mark number {i + 1}")
            if (mark["mark"] == "images") != (panels[name].kind == "images"):
                raise ValueError(f"{where}: mark {mark['mark']} in a {panels[name].kind} panel")
    return Frame({name: list(marks) for name, marks in drawn.items()}, alt, caption)


def fill(template: str, words: dict[str, str]) -> str:
    """Put words for ``{names}``, as shared_elements.js does; unknown names stay."""
    return re.sub(r"\{(\w+)\}", lambda m: words.get(m[1], m[0]), template)
