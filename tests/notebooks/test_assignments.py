"""Assignments: editions in step, answers only where they belong, notebooks that run and add up."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bookbuild.tree import Tree
from edition import assignments
from edition.notebook import Book

from diffusion_creativity.exercises.assignments import ASSIGNMENTS

ROOT = Tree().root
NAMES = assignments.names(ROOT)
TITLE = re.compile(r"^## (?:Question|Step) \d+ · .+ \((\d+) points.*\)$", re.MULTILINE)


@pytest.fixture(scope="module")
def book():
    """Titles and addresses of the chapters."""
    return Book(ROOT, Tree().chapters())


def test_every_assignment_has_its_notebook():
    assert sorted(ASSIGNMENTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_committed_notebook_is_what_the_tool_writes(book, name):
    path = ROOT / assignments.FOLDER / f"{name}.ipynb"
    message = "run .venv/bin/python tools/assignments.py"
    assert path.read_text(encoding="utf-8") == assignments.student(book, name), message


@pytest.mark.parametrize("name", NAMES)
def test_points_of_the_text_are_those_that_are_given(name):
    """Each question is followed by the stub or the cell for an answer that it gives points for."""
    checked, written = ASSIGNMENTS[name]
    wanted = {answer: points for answer, (_, points) in checked.items()} | written
    found, points = {}, None
    for cell in assignments.source(ROOT, name).cells:
        tags = cell.metadata.get("tags", [])
        if title := TITLE.search(cell.source):
            points = int(title[1])
        if "answer" in tags:
            found[assignments.stub(cell.source)] = points
        if "written" in tags:
            found[tags[1]] = points
    assert found == wanted


@pytest.mark.parametrize("name", NAMES)
def test_students_get_no_answers(book, name):
    """No function of the solutions, no line of one, and nothing of the model answers."""
    text = assignments.student(book, name)
    solutions = ROOT / "tests" / "solutions" / f"{name}.py"
    functions, _ = assignments.taken_apart(solutions.read_text(encoding="utf-8"))
    for body in functions.values():
        lines = [line.strip() for line in body.splitlines()[1:] if len(line.strip()) > 25]
        assert not [line for line in lines if line in text]
    assert "full answer holds" not in text
    assert runpy.run_path(str(solutions))["WRITTEN"]


def run(text: str, name: str, folder: Path) -> nbformat.NotebookNode:
    """Execute an edition as a reader would, at size smoke."""
    source, target = folder / f"{name}.ipynb", folder / f"{name}.out.ipynb"
    source.write_text(text, encoding="utf-8")
    script = ROOT / "tools" / "bookbuild" / "run_notebook.py"
    error = folder / "error.json"
    command = [sys.executable, str(script), str(source), str(target), "--profile", "smoke"]
    done = subprocess.run([*command, "--error", str(error)], capture_output=True, text=True)
    assert done.returncode == 0, error.read_text() if error.exists() else done.stderr
    return nbformat.read(target, as_version=4)


def said(notebook) -> str:
    """Everything that the cells printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    return "".join(output.text for output in outputs if output.output_type == "stream")


@pytest.mark.notebooks
@pytest.mark.parametrize("name", NAMES)
def test_students_notebook_runs_and_gives_no_points_yet(book, name, tmp_path):
    lines = said(run(assignments.student(book, name), name, tmp_path)).splitlines()
    checked, written = ASSIGNMENTS[name]
    assert sum(line.startswith("✗ Exercise") for line in lines) == 2 * len(checked)
    total = 100 - sum(written.values())
    assert lines[-1] == f"0 of {total} points; marked by hand: {100 - total} more"


@pytest.mark.notebooks
@pytest.mark.parametrize("name", NAMES)
def test_instructors_notebook_gives_all_points(book, name, tmp_path):
    text = assignments.instructor(book, name)
    lines = said(run(text, name, tmp_path)).splitlines()
    _, written = ASSIGNMENTS[name]
    assert not [line for line in lines if line.startswith("✗")]
    total = 100 - sum(written.values())
    assert lines[-1] == f"{total} of {total} points; marked by hand: {100 - total} more"
    assert text.count("full answer holds") == len(written)
