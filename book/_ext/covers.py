"""A chapter's first screen shows a picture: one of its own figures, behind the first paragraph.

Which figure, says the option ``covers`` (page: name of the figure). The picture leads to where the
figure stands, with its caption.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


def find(doctree: nodes.document, name: str) -> tuple[nodes.figure, nodes.image]:
    """Return the figure of that name and the picture in it."""
    for figure in doctree.findall(nodes.figure):
        picture = next(figure.findall(nodes.image), None)
        if name in figure["ids"] and picture is not None:
            return figure, picture
    raise ExtensionError(f"covers: {doctree['source']} has no figure {name!r} with a picture")


def number(app: Sphinx, docname: str, figure: nodes.figure) -> str:
    """Return "Fig. 4.2", as references to the figure say."""
    numbers = app.env.toc_fignumbers.get(docname, {}).get("figure", {})
    found = next(numbers[name] for name in figure["ids"] if name in numbers)
    return app.config.numfig_format["figure"] % ".".join(map(str, found))


def add_cover(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the picture behind the first paragraph of a chapter that has one."""
    name = app.config.covers.get(docname)
    if name is None or app.builder.format != "html":
        return
    figure, picture = find(doctree, name)
    shown = nodes.image("", **picture.attributes)
    shown["ids"] = []
    title = number(app, docname, figure)
    link = nodes.reference("", "", shown, internal=True, refid=name)
    words = nodes.reference("", title, internal=True, refid=name)
    caption = nodes.paragraph("", "Ahead: ", words, classes=["caption"])
    first = next(next(doctree.findall(nodes.section)).findall(nodes.paragraph))
    place = first.parent.index(first) + 1
    first.parent.insert(place, nodes.container("", link, caption, classes=["book-cover"]))


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.add_config_value("covers", {}, "html", [dict])
    app.connect("doctree-resolved", add_cover)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
