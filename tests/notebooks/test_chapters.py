"""Every chapter runs from top to bottom at size smoke, quietly."""

from __future__ import annotations

import nbformat
import pytest
from bookbuild.tree import Tree

CHAPTERS = Tree().chapters()
pytestmark = pytest.mark.notebooks


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_runs_without_error_or_complaint(executed, chapter):
    """No cell fails (the executor stops there), none writes to standard error."""
    notebook = nbformat.read(executed / f"{chapter}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.execution_count for cell in code if cell.source.strip())
    complaints = [
        output.text
        for cell in code
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert complaints == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_declares_its_parameters_first(tree, chapter):
    """One cell tagged "parameters", before any other code: papermill's values go after it."""
    import jupytext

    code = [cell for cell in jupytext.read(tree.source(chapter)).cells if cell.cell_type == "code"]
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == code[:1]
    values: dict = {}
    exec(tagged[0].source, values)
    assert (values["profile"], values["seed"]) == ("book", 0)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_figures_are_described_numbered_and_named(tree, chapter):
    """Whatever draws a figure on the page carries alt text, caption and name."""
    import jupytext

    for cell in jupytext.read(tree.source(chapter)).cells:
        settings = cell.metadata.get("mystnb", {})
        if settings or "plt.show()" in cell.source:
            where = cell.source.strip().splitlines()[0]
            assert settings.get("image", {}).get("alt"), where
            assert settings.get("figure", {}).get("caption"), where
            assert settings["figure"].get("name", "").startswith("fig-"), where
