"""The starting notebooks of the projects: they run, are in step, and the chapter names them all."""

from __future__ import annotations

import re

import jupytext
import nbformat
import pytest
from bookbuild.tree import Tree
from edition.notebook import PROJECTS_PAGE, Book, edition

PROJECTS = Tree().projects()
pytestmark = pytest.mark.notebooks


@pytest.fixture(scope="module")
def ran(tree):
    """Folder of the executed starting notebooks (profile smoke); runs only what is out of date."""
    from bookbuild.execute import ChapterFailed, execute
    from build_book import alone

    try:
        with alone(tree):
            execute(tree, "smoke", names=PROJECTS)
    except ChapterFailed as error:
        pytest.fail(str(error), pytrace=False)
    return tree.executed("smoke")


@pytest.fixture(scope="module")
def book(tree):
    """All chapters and projects, read once."""
    return Book(tree.root, tree.chapters(), PROJECTS)


def cells(tree, project, kind="code"):
    """Cells of a source notebook."""
    return [c for c in jupytext.read(tree.source(project)).cells if c.cell_type == kind]


def test_there_are_six_to_eight():
    assert 6 <= len(PROJECTS) <= 8


@pytest.mark.parametrize("project", PROJECTS)
def test_start_runs_and_says_that_it_is_sound(ran, project):
    """No cell fails or complains, and the self-check was reached."""
    code = [
        c
        for c in nbformat.read(ran / f"{project}.ipynb", as_version=4).cells
        if c.cell_type == "code"
    ]
    streams = [o for c in code for o in c.outputs if o.output_type == "stream"]
    assert [o.text for o in streams if o.name == "stderr"] == []
    assert "The start is sound." in "".join(o.text for o in streams)


@pytest.mark.parametrize("project", PROJECTS)
def test_edition_is_in_step(tree, book, project):
    """After a change of a project: `make edition`."""
    path = tree.root / "notebooks" / f"{project}.ipynb"
    assert path.read_text() == edition(book, project), f"{path.name}: run `make edition`"


@pytest.mark.parametrize("project", PROJECTS)
def test_edition_reads_without_sphinx_and_opens_in_colab(book, project):
    """No MyST is left, links lead up to the chapters, set-up comes first, no outputs."""
    notebook = nbformat.reads(edition(book, project), as_version=4)
    setup, title = notebook.cells[:2]
    assert setup.source.startswith("#@title Set-up")
    assert f"/blob/{book.branch}/notebooks/{project}.ipynb" in title.source
    assert f"{book.site}notebooks/{PROJECTS_PAGE}.html" in title.source
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            continue
        prose = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$", "", cell.source, flags=re.DOTALL)
        assert not re.search(r"\{[a-z][\w:-]*\}`|^:::|^\(\S+\)=", prose, re.MULTILINE)
        for target in re.findall(r"\]\(([^):\s]+\.ipynb)\)", prose):
            source = (book.root / "notebooks" / project).parent / target
            assert source.with_suffix(".py").exists(), target


@pytest.mark.parametrize("project", PROJECTS)
def test_start_ends_with_a_check_and_places_for_the_reader_s_work(tree, project):
    """Parameters first; an assertion before the three places; nothing after them but references."""
    code = [cell.source for cell in cells(tree, project)]
    values: dict = {}
    exec(code[0], values)
    assert (values["profile"], values["seed"]) == ("book", 0)
    checks, places = code[-4], code[-3:]
    assert re.search(r"^ *assert ", checks, re.MULTILINE)
    assert checks.endswith('print("The start is sound.")')
    for number, place in enumerate(places, start=1):
        assert place.startswith(f"# YOUR WORK {number}: ")
        assert place.endswith("\n...")


@pytest.mark.parametrize("project", PROJECTS)
def test_figures_are_described(tree, project):
    """Whatever draws a figure carries alt text, caption and name, as in the chapters."""
    drawn = [cell for cell in cells(tree, project) if "plt.show()" in cell.source]
    assert drawn
    for cell in drawn:
        settings = cell.metadata["mystnb"]
        assert settings["image"]["alt"]
        assert settings["figure"]["caption"]
        assert settings["figure"]["name"].startswith("fig-project-")


def test_chapter_offers_every_start_in_colab_and_as_a_file(tree, book):
    """Each project has its section, with both links; nothing is linked that is not there."""
    text = "\n".join(cell.source for cell in cells(tree, PROJECTS_PAGE, "markdown"))
    path = book.repository.split("github.com/")[-1]
    colab = rf"https://colab\.research\.google\.com/github/{path}/blob/{book.branch}/notebooks/"
    github = rf"{re.escape(book.repository)}/blob/{book.branch}/notebooks/"
    for address in (colab, github):
        assert re.findall(rf"{address}(projects/\w+)\.ipynb", text) == PROJECTS
    titles = re.findall(r"^## Project \d+: (.+)$", text, re.MULTILINE)
    starts = [cells(tree, name, "markdown")[0].source for name in PROJECTS]
    assert titles == [re.search(r"^# (.+)$", start, re.MULTILINE)[1] for start in starts]
