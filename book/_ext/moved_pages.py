"""Sphinx extension: a page that has moved leads to where it is now, on any static host.

``moved_pages`` in the settings maps the old name of a page to its present one. At the old address
stands a page of a few lines that leads on by itself, without a script, and names the new one.
"""

from __future__ import annotations

import html
import posixpath
from pathlib import Path

from sphinx.errors import ExtensionError

PAGE = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="0; url={target}">
<link rel="canonical" href="{canonical}">
<title>{title}</title>
</head>
<body>
<main>
<h1>This page has moved</h1>
<p>It is now <a href="{target}">{title}</a>.</p>
</main>
</body>
</html>
"""


def check(app, env) -> None:
    """Stop the build where the table names a page that is not there, or one that still is."""
    for old, new in app.config.moved_pages.items():
        if new not in env.found_docs:
            raise ExtensionError(f"moved_pages: {old} leads to {new}, which is no page")
        if old in env.found_docs:
            raise ExtensionError(f"moved_pages: {old} is a page, so it cannot lead to {new}")


def page(app, old: str, new: str) -> str:
    """The page that stands at an old address."""
    address = app.builder.get_target_uri(new)
    fields = {
        "language": app.config.language or "en",
        "target": posixpath.relpath(address, posixpath.dirname(old) or "."),
        "canonical": posixpath.join(app.config.html_baseurl, address),
        "title": app.env.titles[new].astext(),
    }
    return PAGE.format_map({name: html.escape(text) for name, text in fields.items()})


def write(app, exception) -> None:
    """Write all of them beside the pages of the site."""
    if exception or app.builder.format != "html":
        return
    for old, new in app.config.moved_pages.items():
        path = Path(app.outdir) / app.builder.get_target_uri(old)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(app, old, new), encoding="utf-8")


def setup(app):
    """Register with Sphinx."""
    app.add_config_value("moved_pages", {}, "html", [dict])
    app.connect("env-check-consistency", check)
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
