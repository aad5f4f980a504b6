"""One table: text in a terminal, HTML in a notebook and on a page."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of texts under a head; the first cell of each row names it."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    classes: str = "dc-report"

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.head)]
        if wrong:
            raise ValueError(f"each row must have {len(self.head)} cells, got {wrong[0]!r}")

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{html.escape(c)}</th>" for c in self.head)
        body = "".join(
            f"<tr><th scope='row'>{html.escape(name)}</th>"
            + "".join(f"<td>{_cell(c)}</td>" for c in cells)
            + "</tr>"
            for name, *cells in self.rows
        )
        parts = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        return f"<table class='{self.classes}'>{parts}</table>"


def _cell(text: str) -> str:
    """A cell's HTML: an interval in brackets stays on one line."""
    return re.sub(r"\([^()]*\)", lambda m: m[0].replace(" ", "\u00a0"), html.escape(text))
