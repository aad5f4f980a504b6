"""How to cite a page, at its foot: a line to copy and the same as BibTeX."""

from __future__ import annotations

import html
import re
from pathlib import Path

import yaml
from sphinx.application import Sphinx


def citation(page: str, title: str, base: str, cff: dict) -> tuple[str, str]:
    """Return a reference in words and as BibTeX, from what CITATION.cff says of the book."""
    authors = " and ".join(
        author.get("name") or f"{author['family-names']}, {author['given-names']}"
        for author in cff["authors"]
    )
    year, url = str(cff["date-released"])[:4], f"{base.rstrip('/')}/{page}.html"
    key = re.sub(r"\W", "", page.rpartition("/")[2])
    words = f"{authors}. “{title}.” In {cff['title']}, version {cff['version']}, {year}. {url}"
    fields = {
        "author": f"{{{authors}}}",  # one name, though it has several words
        "title": title,
        "booktitle": cff["title"],
        "year": year,
        "note": f"Version {cff['version']}",
        "url": url,
    }
    lines = [f"  {name:<9} = {{{value}}}," for name, value in fields.items()]
    return words, "\n".join([f"@incollection{{denoisersdream_{key},", *lines, "}"])


def add_citation(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Append it to the body of every page of the book; the API pages are code, not text."""
    path = Path(app.srcdir) / "CITATION.cff"
    if doctree is None or "body" not in context or pagename.startswith("api/"):
        return
    cff = yaml.safe_load(path.read_text(encoding="utf-8"))
    title = html.unescape(re.sub(r"<[^>]+>", "", context["title"]))
    words, bibtex = citation(pagename, title, app.config.html_baseurl, cff)
    context["body"] += (
        '<details class="book-cite"><summary>Cite this page</summary>'
        f'<p>{html.escape(words)}</p><pre tabindex="0">{html.escape(bibtex)}</pre></details>'
    )


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("html-page-context", add_citation, priority=600)  # below how the page was run
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
