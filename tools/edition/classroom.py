"""The two editions for a course: students' (stubs, no solutions) and instructors' (with notes).

Both are made from the chapter's source. The student's leaves out what stands between the start and
the end of a solution, and the text that comments on it, up to the next exercise or heading.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat

from . import assignments
from .blocks import Directive, Heading
from .notebook import (
    Book,
    below_title,
    code_cell,
    convert_cell,
    converted,
    edition,
    inline_of,
    on_the_site,
    packed,
)
from .render import Renderer, quoted

CHECK = re.compile(r"^# (dc\.exercises\.check_\w+\(.*\))$", re.MULTILINE)
START = re.compile(r"\{solution(?:-start)?\} (\S+)")
PROMPT = re.compile(r"\n*^(\*Your answer to .+, in words:\*)$\n*", re.MULTILINE)
NOTES = re.compile(
    r"^### \{doc\}`\.\./notebooks/(\w+)`\n(.*?)(?=^#{1,3} |^\(\S+\)=$|\Z)", re.M | re.S
)


class WithoutSolutions(Renderer):
    """Counts solutions as the site does, and leaves an empty place for an answer instead."""

    def __init__(self, chapter, inline, solved: set[str]):
        super().__init__(chapter, inline)
        self.solved, self.answering = solved, False

    def block(self, block) -> str | None:
        """Render one block; None for what belongs to a solution."""
        name = block.name if isinstance(block, Directive) else ""
        if isinstance(block, Heading) or name in ("exercise", "exercise-start"):
            self.answering = False
        text = super().block(block)
        if name in ("solution", "solution-start"):
            self.answering = True
            return self.prompt(block.argument)
        if self.answering:
            return None
        label = block.options.get("label") if name == "exercise" else None
        return f"{text}{self.prompt(label)}" if label and label not in self.solved else text

    def prompt(self, label: str) -> str:
        """The line below which an answer is written."""
        return f"\n*Your answer to {self.inline.reference(label)}, in words:*\n"


def student_cells(cell, renderer: WithoutSolutions) -> list:
    """The cells that students get for one source cell; a prompt is a cell of its own."""
    cells = convert_cell(cell, renderer)  # solutions as well: their figures and formulas count
    if cell.cell_type == "code":
        if renderer.in_solution:
            return []
        cells[0].source = as_stub(cells[0].source)
        return cells
    texts = [text for whole in cells for text in PROMPT.split(whole.source) if text.strip()]
    return [nbformat.v4.new_markdown_cell(text) for text in texts]


def as_stub(source: str) -> str:
    """Let the function that the reader writes say that it is not written, and let the check run."""
    if not CHECK.search(source):
        return source
    function = ast.parse(source).body[0]
    body, lines = function.body[0], source.splitlines()
    row, line = body.end_lineno - 1, lines[body.end_lineno - 1]
    if body.value.value is Ellipsis:
        hint = line[body.end_col_offset :]
        lines[row] = f"{line[: body.col_offset].rstrip()}\n    raise NotImplementedError{hint}"
    else:  # a docstring that says what to write
        lines[row] = f"{line}\n    raise NotImplementedError"
    return CHECK.sub(r"\1", "\n".join(lines))


def student(book: Book, name: str) -> str:
    """The text of a chapter's .ipynb file without any solution."""
    solved = {m[1] for cell in book.sources[name].cells for m in START.finditer(cell.source)}
    renderer = WithoutSolutions(book.chapter(name), inline_of(book, name), solved)
    cells = converted(book, name, renderer, student_cells)
    line = f"Student edition, without solutions · {on_the_site(book, name)}"
    cells[1].source = below_title(cells[1].source, line)
    return packed(cells)


def unfolded(cell, renderer: Renderer) -> list:
    """The cells that instructors get for one source cell: solutions are not folded."""
    cells = convert_cell(cell, renderer)
    if cell.cell_type == "code" and renderer.in_solution:
        cells[0] = code_cell(cell)
        cells[0].metadata.pop("jupyter", None)
    return cells


def instructor(book: Book, name: str, notes: dict[str, str]) -> str:
    """The text of a chapter's .ipynb file with its solutions, and notes where there are any."""
    renderer = Renderer(book.chapter(name), inline_of(book, name))
    cells = converted(book, name, renderer, unfolded)
    line = f"Instructor edition, with solutions · {on_the_site(book, name)}"
    cells[1].source = below_title(cells[1].source, line)
    if name in notes:
        aside = Renderer(book.chapter(name), inline_of(book, name)).text(notes[name])
        head = "**Notes for the instructor**, not in the student edition"
        cells.insert(2, nbformat.v4.new_markdown_cell(quoted(f"{head}\n\n{aside}")))
    return packed(cells)


def notes_of(root: Path) -> dict[str, str]:
    """What the instructor's guide says of each chapter."""
    text = (root / "book" / "instructors_guide.md").read_text(encoding="utf-8")
    return {match[1]: match[2].strip() for match in NOTES.finditer(text)}


def students(book: Book) -> dict[str, str]:
    """Everything that students are given: path in the archive, and text."""
    files = {f"{name}.ipynb": student(book, name) for name in book.chapters}
    files |= {f"{name}.ipynb": edition(book, name) for name in book.projects}
    for name in assignments.names(book.root):
        files[f"assignments/{name}.ipynb"] = assignments.student(book, name)
    return files


def instructors(book: Book) -> dict[str, str]:
    """Everything that instructors teach and mark with: path in the archive, and text."""
    notes = notes_of(book.root)
    files = {f"{name}.ipynb": instructor(book, name, notes) for name in book.chapters}
    files |= {f"{name}.ipynb": edition(book, name) for name in book.projects}
    for name in assignments.names(book.root):
        files[f"assignments/{name}_answers.ipynb"] = assignments.instructor(book, name)
    return files
