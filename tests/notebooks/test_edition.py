"""The Jupyter edition: in step with its source, and with the numbers of the site."""

from __future__ import annotations

import html
import re

import nbformat
import pytest
from bookbuild.tree import Tree
from edition.notebook import Book, edition

CHAPTERS = Tree().chapters()
STATEMENT = r"(?:Theorem|Lemma|Proposition|Corollary|Definition|Remark|Observation|Algorithm)"
NUMBER = r"\d+\.\d+"


@pytest.fixture(scope="module")
def book(tree):
    """All chapters, read once."""
    return Book(tree.root, tree.chapters())


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_committed_edition_is_what_the_tool_writes(tree, book, chapter):
    """After a change of a chapter: `make edition`."""
    path = tree.root / "notebooks" / f"{chapter}.ipynb"
    assert path.exists(), f"{path.name} is missing: run `make edition`"
    assert path.read_text() == edition(book, chapter), f"{path.name}: run `make edition`"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_edition_has_no_outputs_and_no_myst(book, chapter):
    """What is committed carries no outputs, no widget state and no Sphinx markup."""
    notebook = nbformat.reads(edition(book, chapter), as_version=4)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        else:
            prose = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$", "", cell.source, flags=re.DOTALL)
            assert not re.search(r"\{[a-z][\w:-]*\}`|^:::|^\(\S+\)=", prose, re.MULTILINE)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_first_cell_installs_without_touching_versions(book, chapter):
    """The Colab cell comes first, takes the package alone, and does nothing where it is there."""
    notebook = nbformat.reads(edition(book, chapter), as_version=4)
    setup, title = notebook.cells[:2]
    assert setup.source.startswith("#@title Set-up")
    assert "--no-deps" in setup.source
    assert f"git+{book.repository}" in setup.source
    assert f"/blob/{book.branch}/notebooks/{chapter}.ipynb" in title.source
    exec(setup.source, {})


def site_numbers(page: str) -> dict[str, list[str]]:
    """Numbers on a page of the site, by kind, in order."""
    plain = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    caption = rf'caption-number">({STATEMENT} {NUMBER}) '
    return {
        "statements": re.findall(caption, plain),
        "exercises": re.findall(rf'caption-number">(Exercise {NUMBER})', plain),
        "figures": re.findall(rf'caption-number">Fig\. ({NUMBER})', plain),
        "equations": re.findall(rf'class="eqno">\(({NUMBER})\)', plain),
        "sections": re.findall(r'<h[1-4]><span class="section-number">([\d.]+)\. </span>', plain),
    }


def edition_numbers(text: str) -> dict[str, list[str]]:
    """Numbers in a Jupyter edition, by kind, in order."""
    cells = nbformat.reads(text, as_version=4).cells
    prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return {
        "statements": re.findall(
            rf"^(?:> \*\*|<summary>)({STATEMENT} {NUMBER})", prose, re.MULTILINE
        ),
        "exercises": re.findall(rf"^> \*\*(Exercise {NUMBER})", prose, re.MULTILINE),
        "figures": re.findall(rf"^\*\*Fig\. ({NUMBER})\*\*", prose, re.MULTILINE),
        "equations": re.findall(rf"\\tag\{{({NUMBER})\}}", prose),
        "sections": re.findall(r"^#{1,4} ([\d.]+)\. ", prose, re.MULTILINE),
    }


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_numbers_are_those_of_the_site(site, book, chapter):
    """Theorem 3.1 is Theorem 3.1 wherever it is read."""
    page = html.unescape((site / "notebooks" / f"{chapter}.html").read_text())
    shown = site_numbers(page)
    assert edition_numbers(edition(book, chapter)) == shown
    assert shown["sections"][0] == str(CHAPTERS.index(chapter) + 1)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_references_on_the_site_carry_the_edition_s_numbers(site, book, chapter):
    """Each link to a numbered place reads as the edition's table of labels says."""
    page = (site / "notebooks" / f"{chapter}.html").read_text()
    links = re.findall(r'href="[^"]*#([\w-]+)"><span class="std std-numref">([^<]+)<', page)
    links += re.findall(r'<a class="reference internal" href="[^"]*#([\w-]+)">([^<]+)</a>', page)
    for label, text in links:
        entry = book.numbering.labels.get(label)
        if entry and entry.kind in ("Theorem", "Lemma", "Corollary", "Proposition"):
            assert html.unescape(text) == entry.name
