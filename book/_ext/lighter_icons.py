"""Sphinx extension of this book: of the theme's 1,900 icons only those that its pages show.

The theme draws icons with a script that holds all of them, and lays fonts with all of them below.
Brand icons, of which the book shows one, are drawn by the script alone.
"""

from __future__ import annotations

import re
from pathlib import Path

ICON = re.compile(r'"?([\w-]+)"?:\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]*",(?:"[^"]*"|\[[^\]]*\])\],?')
BRANDS = re.compile(r"@font-face\{[^{}]*fa-brands[^{}]*\}")


def named(site: Path, icons: Path) -> set[str]:
    """Names of icons in pages, and in the scripts that add to them."""
    files = [*site.rglob("*.html"), *(p for p in site.rglob("_static/**/*.js") if p != icons)]
    texts = (path.read_text(encoding="utf-8") for path in files)
    return {name for text in texts for name in re.findall(r"\bfa-([a-z0-9-]+)", text)}


def only(names: set[str], script: str) -> str:
    """The script without the drawings of all other icons."""

    def kept(match: re.Match) -> str:
        aliases = re.findall(r'"([\w-]+)"', match[2])
        return match[0] if names.intersection([match[1], *aliases]) else ""

    return ICON.sub(kept, script)


def trim(app, exception):
    """Lighten a site that was written: half a megabyte on the way to each new reader."""
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    icons = site / "_static" / "scripts" / "fontawesome.js"
    styles = site / "_static" / "styles" / "pydata-sphinx-theme.css"
    script, style = (path.read_text(encoding="utf-8") for path in (icons, styles))
    icons.write_text(only(named(site, icons), script), encoding="utf-8")
    styles.write_text(BRANDS.sub("", style), encoding="utf-8")


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", trim)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
