"""Editions for courses: nothing of a solution for students, all of it for instructors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile

import nbformat
import pytest
from bookbuild import downloads
from bookbuild.tree import ROOT, Tree
from edition import classroom
from edition.notebook import Book

from diffusion_creativity import exercises

CHAPTERS = Tree().chapters()
SOLUTION = re.compile(r"\{solution-start\}.*?\{solution-end\}", re.DOTALL)
CHEAP = "01_first_samples"


@pytest.fixture(scope="module")
def book():
    """All chapters, read once."""
    return Book(ROOT, CHAPTERS, Tree().projects())


@pytest.fixture(scope="module")
def students(book):
    """Texts of the student edition by chapter."""
    return {chapter: classroom.student(book, chapter) for chapter in CHAPTERS}


@pytest.fixture(scope="module")
def instructors(book):
    """Texts of the instructor edition by chapter."""
    notes = classroom.notes_of(ROOT)
    return {chapter: classroom.instructor(book, chapter, notes) for chapter in CHAPTERS}


def lines_of(text: str) -> set[str]:
    """Lines that say something and read the same in source and edition (no roles, no formulas)."""
    lines = {line.removeprefix("# ").strip() for line in text.splitlines()}
    return {line for line in lines if len(line) > 25 and not re.search(r"^:|[{}$`\\]", line)}


def secrets(chapter: str) -> set[str]:
    """Lines that a chapter's source holds in its solutions and nowhere else."""
    text = (ROOT / "notebooks" / f"{chapter}.py").read_text(encoding="utf-8")
    inside = set().union(*map(lines_of, SOLUTION.findall(text)))
    return inside - lines_of(SOLUTION.sub("", text))


def said(text: str) -> str:
    """Everything that the cells of a notebook say, quotation marks of boxes left out."""
    cells = nbformat.reads(text, as_version=4).cells
    return "\n".join(re.sub(r"^> ?", "", cell.source, flags=re.MULTILINE) for cell in cells)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_solutions_are_with_instructors_and_not_with_students(students, instructors, book, chapter):
    student = said(students[chapter])
    instructor = said(instructors[chapter])
    hidden = secrets(chapter)
    assert [line for line in hidden if line in student] == []
    assert [line for line in hidden if line not in instructor] == []
    assert "_solution(" not in student
    assert "End of the solution" not in student
    assert len(hidden) > 5 or "{solution-start}" not in str(book.sources[chapter].cells)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_exercise_leaves_a_place_for_its_answer(students, book, chapter):
    """One prompt for each exercise, in order; a stub that raises where there is code to write."""
    cells = nbformat.reads(students[chapter], as_version=4).cells
    text = "\n".join(cell.source for cell in cells)
    numbers = re.findall(r"^> \*\*Exercise ([\d.]+)\*\*", text, re.MULTILINE)
    prompts = [c.source for c in cells if c.source.startswith("*Your answer")]
    assert prompts == [f"*Your answer to Exercise {n}, in words:*" for n in numbers]
    source = "\n".join(cell.source for cell in book.sources[chapter].cells)
    solved = source.count("{solution-start}")
    stubs = [c.source for c in cells if "raise NotImplementedError" in c.source]
    assert len(stubs) == solved
    assert all(re.search(r"^dc\.exercises\.check_\w+\(", stub, re.MULTILINE) for stub in stubs)
    assert "# dc.exercises.check_" not in text


def bound(tree: ast.Module) -> set[str]:
    """Names that a cell gives a meaning, in functions too."""
    nodes = list(ast.walk(tree))
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    stored |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    stored |= {(n.asname or n.name).split(".")[0] for n in nodes if isinstance(n, ast.alias)}
    return stored | {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_cell_misses_what_a_solution_defined(students, instructors, book, chapter):
    """Names that only solutions give a value are used in no cell that is left."""

    def trees(text):
        cells = nbformat.reads(text, as_version=4).cells
        return [ast.parse(cell.source) for cell in cells if cell.cell_type == "code"]

    left = trees(students[chapter])
    whole = trees(instructors[chapter])
    kept = set().union(*map(bound, left))
    lost = set().union(*map(bound, whole)) - kept
    used = {node.id for tree in left for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used & lost == set()
    assert lost or "{solution-start}" not in str(book.sources[chapter].cells)


def test_numbers_go_on_counting_where_a_solution_was(students, instructors):
    """A formula with a number inside a solution counts, though students do not see it."""
    for chapter in CHAPTERS:
        tags = re.compile(r"\\tag\{([\d.]+)\}|^(?:> )?\*\*(Fig\. [\d.]+)\*\*", re.MULTILINE)
        shown = tags.findall(students[chapter])
        everything = tags.findall(instructors[chapter])
        assert [number for number in everything if number in shown] == shown


@pytest.mark.parametrize(
    ("source", "stub"),
    [
        (
            "def f(a, b): ...  # your code: a number\n\n\n# dc.exercises.check_f(f)",
            "def f(a, b):\n    raise NotImplementedError  # your code: a number\n\n\n"
            "dc.exercises.check_f(f)",
        ),
        (
            'def f(a):\n    """Your code."""\n\n\n# dc.exercises.check_f(f, 3)',
            'def f(a):\n    """Your code."""\n    raise NotImplementedError\n\n\n'
            "dc.exercises.check_f(f, 3)",
        ),
        ("def f(a): ...  # a protocol", "def f(a): ...  # a protocol"),
    ],
)
def test_stub_says_that_it_is_not_written(source, stub):
    assert classroom.as_stub(source) == stub


def test_self_checks_take_a_stub_for_a_wrong_answer(capsys):
    """So a student's notebook runs to its end: each says what is missing and raises nothing."""

    def stub(*args, **kwargs):
        raise NotImplementedError

    names = [name for name in dir(exercises) if name.startswith("check_")]
    assert len(names) > 80
    assert [name for name in names if getattr(exercises, name)(stub) is not False] == []
    printed = capsys.readouterr().out
    assert printed.count("your code raised NotImplementedError") == len(names)


@pytest.mark.notebooks
def test_students_notebook_runs_from_top_to_bottom(students, tmp_path):
    """A cheap chapter, executed at size smoke; every exercise is still to do."""
    source, target = tmp_path / f"{CHEAP}.ipynb", tmp_path / "out.ipynb"
    source.write_text(students[CHEAP], encoding="utf-8")
    script, error = ROOT / "tools/bookbuild/run_notebook.py", tmp_path / "error.json"
    command = [sys.executable, str(script), str(source), str(target), "--profile", "smoke"]
    done = subprocess.run([*command, "--error", str(error)], capture_output=True, text=True)
    assert done.returncode == 0, error.read_text() if error.exists() else done.stderr
    outputs = [o for c in nbformat.read(target, as_version=4).cells for o in c.get("outputs", [])]
    lines = "".join(o.text for o in outputs if o.output_type == "stream").splitlines()
    failed = [line for line in lines if line.startswith("✗ Exercise")]
    assert len(failed) == len(re.findall("raise NotImplementedError", source.read_text()))


def test_instructors_find_their_guide_at_the_top_of_a_chapter(students, instructors):
    notes = classroom.notes_of(ROOT)
    assert set(CHAPTERS) - set(notes) <= {"20_design_of_the_study"}
    for chapter, words in notes.items():
        assert words.startswith("**Misconceptions.**")
        assert not re.search(r"^#|^\(\S+\)=", words, re.MULTILINE)
        cells = nbformat.reads(instructors[chapter], as_version=4).cells
        assert cells[2].source.startswith("> **Notes for the instructor**")
    assert "Misconceptions" not in students[CHEAP]


def test_archives_hold_the_editions_and_are_the_same_every_time(tree, book, tmp_path):
    for name in (downloads.STUDENT, downloads.INSTRUCTOR):
        files = downloads.course_files(tree, book, name)
        downloads.archive(files, tmp_path / name)
        first = (tmp_path / name).read_bytes()
        downloads.archive(dict(reversed(files.items())), tmp_path / name)
        assert (tmp_path / name).read_bytes() == first
        with zipfile.ZipFile(tmp_path / name) as archive:
            folder = name.removesuffix(".zip")
            found = {entry.removeprefix(f"{folder}/") for entry in archive.namelist()}
            assert archive.testzip() is None
        assert found == set(files)
        assert {f"{chapter}.ipynb" for chapter in CHAPTERS} < found
        assert {"README.md", "LICENSE", "LICENSE-text"} < found
    assert not list(tmp_path.glob("*.part"))


def test_page_names_the_downloads_that_are_there(tmp_path):
    (tmp_path / "a.zip").write_bytes(bytes(2_340_000))
    page = '<td><span class="download" data-file="{}"></span></td>'
    there, missing = page.format("a.zip"), page.format("b.pdf")
    filled = downloads.with_links(there + missing, tmp_path, "../downloads/")
    assert '<a href="../downloads/a.zip">a.zip</a> (2.3 MB)' in filled
    assert "b.pdf (not made yet)" in filled
    assert 'href="../downloads/b.pdf"' not in filled
    assert downloads.with_links(filled, tmp_path, "../downloads/") == filled
