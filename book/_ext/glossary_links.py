"""The first use of a glossary term on a page links to its entry, without a mark in the source."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx

# Words that also mean something else in a book with code: they are linked where {term} says so.
AMBIGUOUS = {
    "code", "copy", "escape", "gain", "law", "moment", "overlap", "profile", "skip", "stationary",
    "target", "total variation", "twins",
}  # fmt: skip
# Where a link would be in the way, or is one already.
CLOSED = (
    nodes.title, nodes.caption, nodes.reference, nodes.literal, nodes.literal_block, nodes.math,
    nodes.math_block, nodes.raw, nodes.term, nodes.citation, nodes.label,
)  # fmt: skip


def pattern(terms: list[str]) -> re.Pattern[str]:
    """Match any of the terms as whole words, in the singular or a regular plural."""
    longest_first = sorted(terms, key=len, reverse=True)
    return re.compile(
        rf"(?<![\w-])({'|'.join(map(re.escape, longest_first))})(?:e?s)?(?![\w-])", re.IGNORECASE
    )


def open_texts(node: nodes.Node) -> Iterator[nodes.Text | nodes.reference]:
    """Texts that may get links, and the references among them, in reading order."""
    for child in node.children:
        if isinstance(child, nodes.Text | nodes.reference):
            yield child
        elif not isinstance(child, CLOSED):
            yield from open_texts(child)


def link_first_uses(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Make the first use of each term a reference, where the page has none of its own before."""
    objects = app.env.get_domain("std").objects
    entries = {name: entry for (kind, name), entry in objects.items() if kind == "term"}
    if app.builder.format != "html" or not docname.startswith("notebooks/") or not entries:
        return
    left = {name.lower(): entry for name, entry in entries.items() if name not in AMBIGUOUS}
    anchors = {entry[1]: name for name, entry in left.items()}
    for found in list(open_texts(doctree)):
        if isinstance(found, nodes.reference):
            left.pop(anchors.get(found.get("refuri", "").partition("#")[2], ""), None)
        elif left and isinstance(found, nodes.Text):
            found.parent.replace(found, list(_linked(app, str(found), docname, left)))


def _linked(app: Sphinx, text: str, docname: str, left: dict) -> Iterator[nodes.Node]:
    """Cut a text at the first uses that it holds, and strike those terms off."""
    done = 0
    for match in pattern(list(left)).finditer(text):
        entry = left.pop(match[1].lower(), None)
        if entry is None:  # the second use in this very text
            continue
        page, anchor = entry
        uri = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
        yield nodes.Text(text[done : match.start()])
        yield nodes.reference(
            "", "", nodes.Text(match[0]), internal=True, refuri=uri, classes=["first-use"]
        )
        done = match.end()
    yield nodes.Text(text[done:])


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("doctree-resolved", link_first_uses, priority=900)  # after all other references
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
