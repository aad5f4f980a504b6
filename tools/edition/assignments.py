"""Assignments in two editions: students' (no answers) and instructors' (official ones put in).

The source ``notebooks/assignments/NAME.py`` is the student's text. What the instructor's edition
adds comes from ``tests/solutions/NAME.py``, which the tests use as well: functions take the place
of the stubs of the same name, and ``WRITTEN`` says what a full written answer holds.
"""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import jupytext
import nbformat

from .blocks import Heading
from .inline import Inline
from .notebook import Book, below_title, code_cell, colab_badge, packed, setup_cell
from .numbers import Chapter
from .render import Renderer

FOLDER = "notebooks/assignments"


class Plain(Renderer):
    """Text without numbers: an assignment is no chapter."""

    def block(self, block):
        """Render one block, headings as they are."""
        if isinstance(block, Heading):
            return f"\n{'#' * block.level} {self.inline(block.title)}\n"
        return super().block(block)


def names(root: Path) -> list[str]:
    """Names of the assignments."""
    return sorted(path.stem for path in (root / FOLDER).glob("*.py"))


def source(root: Path, name: str):
    """The notebook that students are given, as its author wrote it."""
    return jupytext.read(root / FOLDER / f"{name}.py")


def renderer(book: Book, name: str) -> Plain:
    """What turns the author's Markdown into everybody's; links lead to the site."""

    def page(target: str) -> tuple[str, str]:
        title, address = book.page_link(target)
        if address.endswith(".ipynb"):
            address = f"{book.site}notebooks/{address.removesuffix('.ipynb')}.html"
        return title, address

    inline = Inline(name, book.numbering, book.bibliography, book.macros, page)
    return Plain(Chapter(name, 0), inline)


def student(book: Book, name: str) -> str:
    """Return the text of the student's .ipynb file."""
    return written(book, name, [])


def instructor(book: Book, name: str) -> str:
    """Return the text of the instructor's .ipynb file: answers instead of stubs."""
    path = book.root / "tests" / "solutions" / f"{name}.py"
    functions, shared = taken_apart(path.read_text(encoding="utf-8"))
    answers = runpy.run_path(str(path))["WRITTEN"]
    preparation = nbformat.v4.new_code_cell(shared)
    preparation.metadata["tags"] = ["solution"]
    return written(book, name, [preparation], functions, answers)


def taken_apart(text: str) -> tuple[dict[str, str], str]:
    """Functions of a module of solutions by name, and what they need besides."""
    functions, shared = {}, []
    for node in ast.parse(text).body:
        lines = ast.get_source_segment(text, node)
        if isinstance(node, ast.FunctionDef):
            functions[node.name] = lines
        elif isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Assign) and node.targets[0].id != "WRITTEN"
        ):
            shared.append(lines)
    return functions, "\n".join(shared)


def written(book, name, preparation, functions=None, answers=None) -> str:
    """Put an edition together; with `functions` and `answers` it is the instructor's."""
    plain, cells = renderer(book, name), [setup_cell(book)]
    for cell in source(book.root, name).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            text = plain.text(cell.source)
            if answers and "written" in tags:
                text = plain.text(answers[tags[1]])
            cells.append(nbformat.v4.new_markdown_cell(text))
        else:
            new = code_cell(cell)
            if functions and "answer" in tags:
                new.source = functions[stub(cell.source)]
            cells.append(new)
        if "import diffusion_creativity" in cell.source:
            cells += preparation
    cells[1].source = below_title(cells[1].source, colab_badge(book, f"assignments/{name}"))
    return packed(cells)


def stub(text: str) -> str:
    """Name of the function that a cell leaves to the student."""
    return ast.parse(text).body[0].name
