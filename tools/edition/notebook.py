"""A chapter's Jupyter edition as a notebook: cells, badge, set-up, metadata."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jupytext
import nbformat
import yaml

from .bibliography import Bibliography
from .inline import Inline
from .numbers import Chapter, Numbering
from .render import Renderer

SETUP = """\
#@title Set-up: installs the book's small package where it is missing (Colab); else does nothing
import importlib.util, subprocess, sys

if importlib.util.find_spec("diffusion_creativity") is None:
    source = "git+{repository}"
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "--no-deps", source])
"""
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{path}/blob/{branch}/notebooks/{chapter}.ipynb)"
)
ON_THE_SITE = "[{words} on the book's site]({site}notebooks/{page}.html)"
PROJECTS_PAGE = "18_project_ideas"  # the chapter that describes the projects
Convert = Callable[[nbformat.NotebookNode, Renderer], list]
FOLDED_TAGS = {"hide-input", "hide-cell", "remove-input"}


@dataclass
class Book:
    """What all chapters share: settings, references, numbers."""

    root: Path
    chapters: list[str]
    projects: list[str] = field(default_factory=list)

    def __post_init__(self):
        settings = yaml.safe_load((self.root / "_config.yml").read_text(encoding="utf-8"))
        self.title = settings["title"]
        self.repository = settings["repository"]["url"]
        self.branch = settings["repository"]["branch"]
        self.site = settings["html"]["baseurl"]
        tex = settings["sphinx"]["config"].get("mathjax3_config", {}).get("tex", {})
        self.macros = tex.get("macros", {})
        self.bibliography = Bibliography(self.root / "book" / "references.bib")
        self.sources = {
            name: jupytext.read(self.root / "notebooks" / f"{name}.py")
            for name in [*self.chapters, *self.projects]
        }
        self.numbering = Numbering()
        for name, notebook in self.sources.items():
            chapter = self.chapter(name)
            for cell in notebook.cells:
                self.numbering.read_cell(chapter, cell)

    def chapter(self, name: str) -> Chapter:
        """A chapter or a project with its number, nothing counted yet."""
        if name in self.projects:
            return Chapter(name, f"P{self.projects.index(name) + 1}")
        return Chapter(name, self.chapters.index(name) + 1)

    def page_link(self, target: str) -> tuple[str, str]:
        """Title and address of a page named in {doc}."""
        page = re.sub(r"\.(md|py|ipynb)$", "", target.split("/")[-1])
        if page in self.sources:
            return title_of(self.sources[page].cells[0].source), f"{page}.ipynb"
        if target.strip("/.").startswith("api"):
            return "the API pages", f"{self.site}api/diffusion_creativity/index.html"
        path = self.root / "book" / f"{page}.md"
        if not path.exists():
            raise ValueError(f"{{doc}} names {target!r}, which is no page of the book")
        return title_of(path.read_text(encoding="utf-8")), f"{self.site}book/{page}.html"


def title_of(markdown: str) -> str:
    """First heading of a page."""
    match = re.search(r"^#\s+(.+?)\s*$", markdown, re.MULTILINE)
    return match[1] if match else "untitled"


def below_title(markdown: str, line: str) -> str:
    """Put a line of its own below the title of a first cell."""
    title, _, rest = markdown.partition("\n")
    return f"{title}\n\n{line}\n{rest}"


def colab_badge(book: Book, name: str) -> str:
    """The button that opens a notebook of the repository in Colab."""
    path = book.repository.split("github.com/")[-1]
    return BADGE.format(path=path, branch=book.branch, chapter=name)


def on_the_site(book: Book, name: str) -> str:
    """The link to the page that a notebook belongs to."""
    page, words = (PROJECTS_PAGE, "all projects") if name in book.projects else (name, "this page")
    return ON_THE_SITE.format(site=book.site, page=page, words=words)


def code_cell(cell):
    """A code cell without outputs, folded where the site hides its input."""
    new = nbformat.v4.new_code_cell(cell.source)
    if tags := cell.metadata.get("tags", []):
        new.metadata["tags"] = list(tags)
    if FOLDED_TAGS.intersection(tags) and "parameters" not in tags:  # readers may change those
        new.metadata["jupyter"] = {"source_hidden": True}
    return new


def convert_cell(cell, renderer: Renderer) -> list:
    """The cells that one source cell becomes."""
    if cell.cell_type == "markdown":
        text = renderer.text(cell.source)
        return [nbformat.v4.new_markdown_cell(text)] if text else []
    new = code_cell(cell)
    if renderer.in_solution:
        new.metadata["jupyter"] = {"source_hidden": True}
    caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption")
    if not caption:
        return [new]
    below = renderer.caption(renderer.inline(" ".join(caption.split())))
    return [new, nbformat.v4.new_markdown_cell(below)]


def name_cells(cells: list) -> None:
    """Give cells names that follow from their content, so that a diff shows what changed."""
    seen: set[str] = set()
    for cell in cells:
        salt = 0
        while not salt or cell["id"] in seen:
            content = f"{cell.cell_type}:{salt}:{cell.source}"
            cell["id"] = hashlib.sha256(content.encode()).hexdigest()[:12]
            salt += 1
        seen.add(cell["id"])


def setup_cell(book: Book):
    """The cell that installs the package where it is missing."""
    setup = nbformat.v4.new_code_cell(SETUP.format(repository=book.repository).rstrip())
    setup.metadata.update(cellView="form", tags=["setup"], jupyter={"source_hidden": True})
    return setup


def inline_of(book: Book, name: str) -> Inline:
    """What renders the lines of a chapter."""
    return Inline(name, book.numbering, book.bibliography, book.macros, book.page_link)


def converted(book: Book, name: str, renderer: Renderer, convert: Convert = convert_cell) -> list:
    """All cells of a chapter or a project, the set-up first."""
    cells = [setup_cell(book)]
    for index, cell in enumerate(book.sources[name].cells):
        try:
            cells += convert(cell, renderer)
        except ValueError as error:
            first = cell.source.strip().splitlines()[0]
            raise ValueError(
                f"notebooks/{name}.py, cell {index + 1} ({first!r}): {error}"
            ) from None
    return cells


def edition(book: Book, name: str) -> str:
    """The Jupyter edition of a chapter or a project, as the text of its .ipynb file."""
    cells = converted(book, name, Renderer(book.chapter(name), inline_of(book, name)))
    line = f"{colab_badge(book, name)} · {on_the_site(book, name)}"
    cells[1].source = below_title(cells[1].source, line)
    return packed(cells)


def packed(cells: list) -> str:
    """The text of a notebook with these cells, as Jupyter and Colab expect it."""
    name_cells(cells)
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = {
        "colab": {"provenance": [], "toc_visible": True},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def settle(texts: dict[Path, str], check: bool) -> int:
    """Write the editions that are out of step, or only name them; 1 if `check` finds any."""
    stale = [
        p for p, text in texts.items() if not p.exists() or p.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"{'out of step' if check else 'written'}: {path}")
        if not check:
            path.write_text(texts[path], encoding="utf-8")
    return 1 if stale and check else 0
