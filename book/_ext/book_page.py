"""Sphinx extension of this book: how a chapter was run, at its foot; pages that axe-core passes."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

# What the theme and the bibliography write that a screen reader stumbles over, or that a slow
# browser waits for, and what instead.
REPAIRS = [
    # A button that shows the word Search and a shortcut is named by what it shows.
    (r'(<button class="btn search-button-field[^>]*?) aria-label="Search"', r"\1"),
    # The icons inside the colour switch are decoration; the button has a name.
    (r'(<i class="theme-switch [^>]*?)title="[^"]*"', r'\1aria-hidden="true"'),
    (r"<summary>(<span class=\"toctree-toggle\")", r'<summary aria-label="Pages below">\1'),
    # A fold that says "Show code cell source" is named by what it says.
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    # The theme's scripts wait until the first figure can be moved (later.js).
    (
        r'<script defer (src="[^"]*/(?:fontawesome|bootstrap|pydata-sphinx-theme)\.js)',
        r'<script type="text/later" \1',
    ),
    (r'<link rel="preload" as="script"[^>]*>\s*', ""),
    # No script stands in an attribute: later.js listens to the buttons.
    (r'onclick="toggleFullScreen\(\)"', 'data-press="full-screen"'),
    (r'onclick="window\.print\(\)"', 'data-press="print"'),
    # What folds a group of the module index is described.
    (
        r'(<img [^>]*class="toggler"[^>]*?alt=)"-"',
        r'\1"Show or hide the modules below this name"',
    ),
    # Back links are no list items, so their parent is no list.
    (r'<div role="list" class="citation-list">', '<div class="citation-list">'),
    # Nor do they have the role that is now deprecated.
    (r'(<div class="citation"[^>]*?) role="doc-biblioentry"', r"\1"),
    # The title on top of the list of pages is a landmark, as that list is.
    (
        r'<div class="sidebar-primary-item">(?=\s*<a class="navbar-brand logo")',
        '<div class="sidebar-primary-item" role="navigation" aria-label="Title">',
    ),
]


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


def repair(app, exception):
    """Apply the repairs to every page that was written."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        mended = text
        for pattern, replacement in REPAIRS:
            mended = re.sub(pattern, replacement, mended)
        if mended != text:
            path.write_text(mended, encoding="utf-8")


def setup(app):
    """Register with Sphinx."""
    app.setup_extension("live_figure")
    app.setup_extension("moved_pages")
    app.connect("autodoc-process-docstring", plain_signs, priority=100)
    # Jupyter Book always sets this option, with or without the extension that defines it.
    app.add_config_value("comments_config", {}, "html")
    app.connect("html-page-context", add_footer)
    app.connect("build-finished", repair)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
