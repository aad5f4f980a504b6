"""The directive ``{live-figure} name``: an interactive figure of ``book/live.py`` on a prose page.

The figure stands in the page itself, without a widget manager: one script and its data.
"""

from __future__ import annotations

import runpy
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class LiveFigure(SphinxDirective):
    """Put a figure, made now, where the directive stands; formats other than HTML leave it out."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the figure as raw HTML."""
        path, name = Path(self.env.srcdir) / "book" / "live.py", self.arguments[0]
        self.env.note_dependency(str(path))
        make = runpy.run_path(str(path)).get(name)
        if make is None:
            raise self.error(f"book/live.py has no figure {name!r}")
        figure = make()
        return [nodes.raw("", figure.fragment(f"live-{name}"), format="html")]


def setup(app):
    """Register with Sphinx."""
    app.add_directive("live-figure", LiveFigure)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
