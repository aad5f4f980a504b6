"""Lecture decks: how their text is read, what is missing, and what is on the pages."""

from __future__ import annotations

import re
from types import SimpleNamespace

import nbformat
import pytest
from bookbuild.check import Page as Seen
from bookbuild.check import is_foreign
from bookbuild.tree import ROOT
from deck.material import GLUED, STATES, VIEW, Material, named
from deck.page import Page
from deck.source import Item, slides_of
from edition.bibliography import Bibliography
from edition.numbers import Chapter, Numbering

CHAPTER = "03_here"
TEXT = """
```{prf:theorem} It copies
:label: thm-copy
Every path ends, by {eq}`eq-flow`.

$$ a < b $$
```

```{math}
:label: eq-flow
\\norm{y}
```

```{exercise} Two points
:label: ex-two
Do it.
```
"""
WIDGET = {
    "state": {
        "_anywidget_id": "diffusion_creativity.widgets.explorer.Explorer",
        "_esm": "export default { render() { return '</script>'; } };",
        "_css": ".dc-explorer { color: red; }",
        "layout": "IPY_MODEL_1",
        "scene": {"title": "Move it", "panels": {"main": {"drag": ["n"], "title": ""}}},
    },
    "buffers": [{"data": "AAAA", "encoding": "base64", "path": ["blob"]}],
}


def code(data: dict, **metadata):
    """A code cell with one output."""
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata.pop("output", {}))
    return nbformat.v4.new_code_cell("", outputs=[output], metadata=metadata)


@pytest.fixture
def page(tmp_path):
    """A page that can show what one small chapter holds."""
    still = {"figure": {"name": "fig-still", "caption": "A *curve*."}, "image": {"alt": 'A "line"'}}
    glue = {"scrapbook": {"name": "copied", "mime_prefix": "application/papermill.record/"}}
    cells = [
        nbformat.v4.new_markdown_cell(TEXT),
        code({"image/svg+xml": "<svg/>"}, mystnb=still),
        code({"image/png": "AAAA", "text/plain": "Still", VIEW: {"model_id": "m"}}),
        code({GLUED: "'98 %'"}, output=glue),
    ]
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"widgets": {STATES: {"state": {"m": WIDGET}}}}
    )
    numbering = Numbering()
    chapter = Chapter(CHAPTER, 3)
    for cell in cells:
        numbering.read_cell(chapter, cell)
    (tmp_path / "references.bib").write_text("")
    book = SimpleNamespace(
        numbering=numbering, macros={"norm": ["\\lVert #1 \\rVert", 1]}, site="https://site/",
        bibliography=Bibliography(tmp_path / "references.bib"), sources={CHAPTER: None},
        chapter=lambda name: Chapter(name, 3), page_link=lambda name: ("Here", f"{name}.ipynb"),
    )  # fmt: skip
    material = Material()
    material.read(CHAPTER, notebook)
    return Page(book, material)


def made(page: Page, body: str) -> str:
    """The page of a deck with a title and one slide."""
    return page.page(slides_of(f"# Deck\n\n---\n## Slide\n\n{body}\n"))


def test_slides_items_and_notes():
    first, second = slides_of("# Deck\n\n---\n\n## A *title*\nWords\n{figure}fig-a\nNote:\nSay it.")
    assert first.opens
    assert (second.title, second.notes) == ("A *title*", "Say it.")
    assert second.body == ("Words", Item("figure", "fig-a"))


def test_a_slide_without_heading_and_a_deck_without_title_are_errors():
    with pytest.raises(ValueError, match=r"begins with # or ##"):
        slides_of("# Deck\n---\nWords")
    with pytest.raises(ValueError, match="begins with its title"):
        slides_of("## Slide")


def test_roles_on_a_line_of_their_own_are_no_items():
    assert slides_of("# Deck\n{exercise}`ex-two`")[0].body == ("{exercise}`ex-two`",)


@pytest.mark.parametrize(
    ("item", "what", "known"),
    [
        ("{figure}fig-gone", "no figure 'fig-gone'", "Move it, fig-still"),
        ("{theorem}thm-gone", "no statement 'thm-gone'", "thm-copy"),
        ("{equation}eq-gone", "no equation 'eq-gone'", "eq-flow"),
        ("{glue:text}`gone`", "no number 'gone'", "copied"),
    ],
)
def test_a_missing_name_is_an_error_that_lists_what_there_is(page, item, what, known):
    with pytest.raises(ValueError, match=re.escape(f"slide 'Slide': {what}; there are: {known}")):
        made(page, item)


def test_an_unknown_name_among_none():
    with pytest.raises(ValueError, match=r"no figure 'x'; there are: $"):
        named({}, "x", "figure")


def test_a_theorem_comes_with_number_link_and_formulas(page):
    html = made(page, "{theorem}thm-copy")
    assert '<a href="../notebooks/03_here.html#thm-copy">Theorem 3.1</a>' in html
    assert '<a href="../notebooks/03_here.html">(3.1)</a>' in html  # the formula's number
    assert "\\[a &lt; b\\]" in html
    assert "\\[" not in made(page, "{theorem}thm-copy[:1]")


def test_a_formula_has_the_number_of_its_chapter_and_no_macros(page):
    assert "\\[\\lVert y \\rVert \\tag{3.1}\\]" in made(page, "{equation}eq-flow").replace("\n", "")


def test_a_still_figure_has_alt_text_caption_and_file(page):
    html = made(page, "{figure}fig-still")
    assert '<img src="figures/fig-still.svg" alt="A &quot;line&quot;">' in html
    assert "Fig. 3.1</a> A <em>curve</em>.</figcaption>" in html
    assert page.pictures == {"figures/fig-still.svg": b"<svg/>"}


def test_a_live_figure_brings_data_program_and_style_once(page):
    html = made(page, "{figure}Move it\n\n{figure}Move it")
    assert html.count("export default") == 1
    assert html.count(".dc-explorer { color: red; }") == 1
    assert html.count('class="live"') == 2
    assert "return '</script>'" not in html
    assert "drag" not in html
    assert page.pictures == {}


def test_numbers_exercises_and_lists_point_by_point(page):
    html = made(page, "{glue:text}`copied` <b>\n\n+ {exercise}`ex-two`\n\n- always")
    assert "<strong>98 %" not in html
    assert "98 % &lt;b&gt;" in html
    assert (
        '<li class="fragment"><a href="../notebooks/03_here.html#ex-two">Exercise 3.1</a>' in html
    )
    assert "<li>always" in html


def test_the_page_loads_nothing_from_elsewhere(page, tmp_path):
    (tmp_path / "deck.html").write_text(made(page, "{figure}fig-still\n\n{figure}Move it"))
    seen = Seen(tmp_path / "deck.html")
    assert len(seen.loads) >= 6
    assert not any(map(is_foreign, seen.loads))


def test_no_handlers_in_the_page(page):
    assert not re.search(r"<[^>]*\son\w+=", made(page, "{figure}fig-still"))


def test_the_decks_have_the_colours_of_the_book():
    from diffusion_creativity.style import DARK, LIGHT

    light, dark = (ROOT / "book/decks/deck.css").read_text().split("@media screen")
    for css, palette in ((light, LIGHT), (dark, DARK)):
        used = dict(re.findall(r"--(\w+): (#\w{6});", css))
        assert used.items() <= palette.items()
        assert len(used) == 7


@pytest.mark.parametrize(
    "path", sorted((ROOT / "book/decks").glob("part_*.md")), ids=lambda p: p.stem
)
def test_a_deck_has_a_length_that_can_be_taught(path):
    slides = slides_of(path.read_text(encoding="utf-8"))
    titles = [slide.title for slide in slides]
    assert 12 <= len(slides) <= 25
    assert sum(title.startswith("Predict: ") for title in titles) >= 2
    assert titles[-2:] == ["Summary", "Exercises to set"]
