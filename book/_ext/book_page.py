"""Sphinx extension of this book: how a chapter was run, at its foot; plain signs in docstrings."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path


def footer(record: dict) -> str:
    """Say when, at what size and from which source a page was executed."""
    facts = [
        f"last run {record['date']}",
        f"profile {record['profile']}",
        f"seed {record['seed']}",
        f"{record['seconds']:.0f} s",
        f"source {record['source_hash'][:10]}",
    ]
    text = html.escape(" · ".join(facts))
    return f'<p class="book-provenance"><small>How this page was run: {text}.</small></p>'


def add_footer(app, pagename, templatename, context, doctree):
    """Append the line to the body of every executed page."""
    path = Path(app.srcdir) / "provenance.json"
    record = json.loads(path.read_text())["notebooks"].get(pagename) if path.exists() else None
    if record and "body" in context:
        context["body"] += footer(record)


def plain_signs(app, what, name, obj, options, lines):
    """Let docstrings write shapes as ``(n, *shape)`` and sizes as ``|x|``: reST has other uses."""
    for index, line in enumerate(lines):
        line = re.sub(r"(?<=[\s(\[,])\*(?=\w+[\s)\],])", r"\\*", line)
        lines[index] = re.sub(r"\|(\w+)\|", r"\\|\1\\|", line)


def setup(app):
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", plain_signs, priority=100)
    # Jupyter Book always sets this option, with or without the extension that defines it.
    app.add_config_value("comments_config", {}, "html")
    app.connect("html-page-context", add_footer)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
