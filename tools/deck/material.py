"""What decks may show of the executed chapters, by name: figures, statements, formulas, numbers."""

from __future__ import annotations

import ast
import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from edition.blocks import Directive, Math, parse

VIEW = "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"
GLUED = "application/papermill.record/text/plain"
# The other widgets ask where the pointer is, and on a slide, which is scaled, they would ask wrong.
LIVE = "Explorer"
MANAGED = {"layout", "tabbable", "tooltip"}  # traits of every widget, for the widget manager
T = TypeVar("T")


@dataclass(frozen=True)
class Live:
    """A figure to move: its program, its style, and what it knows."""

    code: str
    style: str
    values: dict
    blob: str  # base64


@dataclass(frozen=True)
class Figure:
    """A figure of a chapter: its picture, what it shows in words, its live form if there is one."""

    name: str
    chapter: str
    caption: str
    alt: str
    suffix: str
    picture: bytes
    live: Live | None = None


@dataclass
class Material:
    """Everything that the chapters offer."""

    figures: dict[str, Figure] = field(default_factory=dict)
    statements: dict[str, tuple[str, Directive]] = field(default_factory=dict)
    equations: dict[str, tuple[str, Math]] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)

    def read(self, chapter: str, notebook) -> None:
        """Add what an executed chapter holds."""
        states = notebook.metadata.get("widgets", {}).get(STATES, {}).get("state", {})
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                self._read_blocks(chapter, parse(cell.source))
                continue
            self.numbers |= dict(glued(cell.outputs))
            for figure in figures_of(chapter, cell, states):
                self.figures.setdefault(figure.name, figure)

    def _read_blocks(self, chapter: str, blocks: list) -> None:
        for block in blocks:
            if isinstance(block, Math) and block.label:
                self.equations[block.label] = chapter, block
            elif isinstance(block, Directive):
                label = block.options.get("label")
                if label and block.name.startswith("prf:"):
                    self.statements[label] = chapter, block
                self._read_blocks(chapter, block.blocks)


def named(table: dict[str, T], name: str, what: str) -> T:
    """An entry of a table; a name that is not there is an error that lists those that are."""
    if name not in table:
        raise ValueError(f"no {what} {name!r}; there are: {', '.join(sorted(table))}")
    return table[name]


def glued(outputs: list) -> Iterator[tuple[str, str]]:
    """Names and values that a cell reported."""
    for output in outputs:
        if GLUED in output.get("data", {}):
            yield output.metadata["scrapbook"]["name"], ast.literal_eval(output.data[GLUED])


def figures_of(chapter: str, cell, states: dict) -> Iterator[Figure]:
    """Figures of a cell; one without a name of its own goes by its title."""
    about = cell.metadata.get("mystnb", {})
    for output in cell.outputs:
        data = output.get("data", {})
        state = states.get(data.get(VIEW, {}).get("model_id"))
        live = live_of(state) if state else None
        name = about.get("figure", {}).get("name") or (live and live.values["scene"]["title"])
        kind = next((k for k in ("image/svg+xml", "image/png") if k in data), None)
        if name and kind:
            picture = data[kind]
            content = picture.encode() if "svg" in kind else base64.b64decode(picture)
            caption = " ".join(about.get("figure", {}).get("caption", "").split())
            alt = about.get("image", {}).get("alt") or data.get("text/plain", "")
            suffix = "svg" if "svg" in kind else "png"
            yield Figure(name, chapter, caption, alt, suffix, content, live)


def live_of(saved: dict) -> Live | None:
    """The live form of a widget from its saved state, if it can live on a slide."""
    state = saved["state"]
    if state.get("_anywidget_id", "").rpartition(".")[2] != LIVE:
        return None
    values = {k: v for k, v in state.items() if k[0] != "_" and k not in MANAGED}
    scene = dict(values["scene"])
    scene["panels"] = {  # dragging asks for the pointer's place, too: sliders do without
        name: {k: v for k, v in panel.items() if k != "drag"}
        for name, panel in scene["panels"].items()
    }
    blob = next((b["data"] for b in saved.get("buffers", []) if b["path"] == ["blob"]), "")
    return Live(state["_esm"], state.get("_css", ""), values | {"scene": scene}, blob)
