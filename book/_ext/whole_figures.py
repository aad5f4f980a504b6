"""Sphinx extension of this book: a figure that a phone has to shrink leads to itself alone.

There the reader can zoom in on it, and letters that were too small to read grow with it.
"""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from later_images import measured
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

PHONE = 360  # CSS pixels of a narrow phone's column


def is_shrunk(path: Path) -> bool:
    """Whether a drawing is wider than the column of a phone."""
    return path.suffix == ".svg" and measured(path.read_text(encoding="utf-8"))[0] > PHONE


def link_figures(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Make links of the pictures of wide figures, those that are links already left as they are."""
    if app.builder.format != "html":
        return
    page = app.builder.get_target_uri(docname)
    for figure in doctree.findall(nodes.figure):
        for picture in list(figure.findall(nodes.image)):
            _, name = app.env.images.get(picture["uri"], (None, None))
            if isinstance(picture.parent, nodes.reference) or name is None:
                continue
            if is_shrunk(Path(app.srcdir) / picture["uri"]):
                address = relative_uri(page, f"{app.builder.imagedir}/{name}")
                link = nodes.reference("", "", refuri=address, classes=["book-whole"])
                picture.replace_self(link)
                link += picture


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("doctree-resolved", link_figures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
