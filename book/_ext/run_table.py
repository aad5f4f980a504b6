"""The directive ``{run-table}``: what every chapter took when this site was made."""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

KEYS = ("first_cell_seconds", "seconds", "peak_bytes")


def rows(records: dict[str, dict]) -> list[str]:
    """Return the table in Markdown, a row for each chapter, with the sum of the times."""
    lines = ["| chapter | first cell, s | all, s | memory, MB |", "|---|---|---|---|"]
    for name, record in records.items():
        lines.append(_row(f"{{doc}}`/{name}`", **{key: record[key] for key in KEYS}))
    sums = {key: sum(record[key] for record in records.values()) for key in KEYS[:2]}
    most = max(record["peak_bytes"] for record in records.values())
    return [*lines, _row("sum, and most", **sums, peak_bytes=most)]


def _row(name: str, first_cell_seconds: float, seconds: float, peak_bytes: int) -> str:
    return f"| {name} | {first_cell_seconds:.0f} | {seconds:.0f} | {round(peak_bytes / 1e6):,} |"


class RunTable(SphinxDirective):
    """Write the table from the record of the runs."""

    def run(self) -> list[nodes.Node]:
        """Return it with a line that tells size and machine."""
        path = Path(self.env.srcdir) / "provenance.json"
        self.env.note_dependency(str(path))
        records = json.loads(path.read_text(encoding="utf-8"))["notebooks"]
        one = next(iter(records.values()))
        facts = f"Profile `{one['profile']}`, {one['machine']}, torch {one['versions']['torch']}."
        lines = [facts, "", *rows(records)]
        box = nodes.container()
        self.state.nested_parse(StringList(lines, source=str(path)), self.content_offset, box)
        return box.children


def setup(app):
    """Register with Sphinx."""
    app.add_directive("run-table", RunTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
