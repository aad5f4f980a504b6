"""Sphinx extension of this book: pictures of a page are loaded when a reader comes near them.

A scatter plot is an SVG of thousands of elements, which a slow browser would lay out before the
first figure moves. Each picture tells its size, so that the text does not jump when it comes.
"""

from __future__ import annotations

import re
from pathlib import Path

IMAGE = re.compile(
    r'<img (?=[^>]*?\bsrc="([^"]*_images/[^"]*\.svg)")(?![^>]*?\b(?:loading|width|height)=)'
)
SIZE = re.compile(r'<svg\b[^>]*?\swidth="([\d.]+)pt"[^>]*?\sheight="([\d.]+)pt"')
PIXELS = 4 / 3  # of CSS, in a point


def measured(svg: str) -> tuple[int, int]:
    """Width and height of a drawing in CSS pixels; 0 where it tells none."""
    found = SIZE.search(svg[:5000])
    return tuple(round(PIXELS * float(points)) for points in found.groups()) if found else (0, 0)


def size(svg: str) -> str:
    """Width and height of a drawing as attributes of its image; nothing where it tells none."""
    width, height = measured(svg)
    return f'width="{width}" height="{height}" ' if width else ""


def later(page: str, folder: Path) -> str:
    """The page with sizes, and images that wait; `folder` is where the page lies."""

    def mended(match: re.Match) -> str:
        return f'<img loading="lazy" {size((folder / match[1]).read_text(encoding="utf-8"))}'

    return IMAGE.sub(mended, page)


def load_later(app, exception):
    """Change every page that was written."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        mended = later(page, path.parent)
        if mended != page:
            path.write_text(mended, encoding="utf-8")


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", load_later)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
