"""The directive ``{run-table}``: what every chapter took when this site was made."""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


def rows(records: dict[str, dict]) -> list[str]:
    """Return the table in Markdown, a row for each chapter, with the sum of the times."""
    lines = ["| chapter | seconds | memory, MB |", "|---|---|---|"]
    for name, record in records.items():
        megabytes = round(record["peak_bytes"] / 1e6)
        lines.append(f"| {{doc}}`/{name}` | {record['seconds']:.0f} | {megabytes:,} |")
    total = sum(record["seconds"] for record in records.values())
    most = max(record["peak_bytes"] for record in records.values())
    return [*lines, f"| sum, and most | {total:.0f} | {round(most / 1e6):,} |"]


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
