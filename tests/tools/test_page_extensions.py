"""What our Sphinx extensions add to a page, on a small project of their own."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from sphinx.application import Sphinx

EXTENSIONS = Path(__file__).resolve().parents[2] / "book" / "_ext"
sys.path.insert(0, str(EXTENSIONS))

PAGES = {
    "index": "Start\n=====\n\n.. toctree::\n\n   notebooks/first\n   notebooks/second\n   words\n\n"
    "The power spectrum and a denoiser.\n",
    "words": "Words\n=====\n\n.. glossary::\n\n   denoiser\n      Makes a mosaic.\n\n"
    "   power spectrum\n      Variance by frequency.\n\n   spectrum\n      Of light.\n\n"
    "   mosaic\n      Of windows.\n\n   code\n      What an encoder gives.\n",
    "notebooks/first": "Denoisers\n=========\n\nTwo denoisers, and a denoiser; ``mosaic`` in code. "
    "Power spectra are no power spectrum.\nA spectrum; a mosaic-like thing; a mosaic.\n",
    "notebooks/second": "Second\n======\n\nHere :term:`the machine <denoiser>` is no denoiser.\n\n"
    "More.\n\n.. figure:: /dot.svg\n   :name: fig-dot\n   :alt: a dot\n\n   One dot.\n\n"
    ".. figure:: /line.svg\n   :alt: a long line\n\n   A line.\n",
}
CITATION = """
title: "A book: on things"
version: 1.2.0
date-released: "2026-02-03"
authors:
  - family-names: Ås
    given-names: Ida
  - name: "The others"
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """HTML of the pages of a project with these extensions."""
    source = tmp_path_factory.mktemp("project")
    for name, text in PAGES.items():
        path = source / f"{name}.rst"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (source / "CITATION.cff").write_text(CITATION, encoding="utf-8")
    (source / "dot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>', encoding="utf-8")
    line = '<svg xmlns="http://www.w3.org/2000/svg" width="540pt" height="9pt"/>'
    (source / "line.svg").write_text(line, encoding="utf-8")
    settings = {
        "extensions": ["glossary_links", "citation", "covers", "whole_figures"],
        "numfig": True,
        "covers": {"notebooks/second": "fig-dot"},
        "html_baseurl": "https://example.org/book/",
    }
    app = Sphinx(
        source, None, source / "html", source / "trees", "html", settings, status=None,
        warningiserror=True,
    )  # fmt: skip
    app.build()
    return {name: (source / "html" / f"{name}.html").read_text() for name in PAGES}


def first_uses(page):
    return re.findall(r'<a class="first-use[^"]*" href="([^"]+)">([^<]+)</a>', page)


def test_the_first_use_of_each_term_is_a_link(pages):
    assert first_uses(pages["notebooks/first"]) == [
        ("../words.html#term-denoiser", "denoisers"),
        ("../words.html#term-power-spectrum", "power spectrum"),
        ("../words.html#term-spectrum", "spectrum"),
        ("../words.html#term-mosaic", "mosaic"),
    ]


def test_a_term_that_the_page_links_itself_gets_no_second_link(pages):
    assert first_uses(pages["notebooks/second"]) == []
    assert "the machine" in pages["notebooks/second"]


def test_words_of_other_pages_and_words_with_two_meanings_are_left_alone(pages):
    assert first_uses(pages["index"]) == first_uses(pages["words"]) == []
    assert "#term-code" not in pages["notebooks/first"]
    assert 'class="first-use' not in re.search(r"<h1>.*?</h1>", pages["notebooks/first"])[0]


def test_each_page_says_how_to_cite_it(pages):
    page = pages["notebooks/first"]
    assert (
        "Ås, Ida and The others. “Denoisers.” In A book: on things, version 1.2.0, 2026. " in page
    )
    assert "https://example.org/book/notebooks/first.html" in page
    assert "@incollection{denoisersdream_first," in page
    assert page.count("Cite this page") == 1


def test_a_figure_of_the_chapter_stands_behind_its_first_paragraph(pages):
    assert "book-cover" not in pages["notebooks/first"]
    cover = re.search(r'</p>\s*<div class="book-cover[^"]*">(.*?)</div>\s*<p>More', pages[
        "notebooks/second"
    ], re.DOTALL)[1]  # fmt: skip
    assert re.search(r'href="#fig-dot"><img alt="a dot"[^>]* src="../_images/dot.svg"', cover)
    assert re.search(r'Ahead: <a class="[^"]*" href="#fig-dot">Fig. 1</a>', cover)
    assert pages["notebooks/second"].count('id="fig-dot"') == 1


def test_a_cover_that_is_no_figure_of_the_chapter_is_an_error():
    import covers
    from docutils.utils import new_document

    with pytest.raises(Exception, match="has no figure 'fig-other'"):
        covers.find(new_document("page"), "fig-other")


def test_a_figure_that_a_phone_shrinks_leads_to_itself_alone(pages):
    links = re.findall(r'<a class="book-whole[^"]*" href="([^"]*)"><img ([^>]*)>', pages[
        "notebooks/second"
    ])  # fmt: skip
    assert [address for address, _ in links] == ["../_images/line.svg"]
    assert 'alt="a long line"' in links[0][1]


def test_the_table_of_runs_adds_up():
    from run_table import rows

    records = {
        "notebooks/a": {"first_cell_seconds": 3.3, "seconds": 12.4, "peak_bytes": 800_000_000},
        "notebooks/b": {"first_cell_seconds": 4.3, "seconds": 30.4, "peak_bytes": 1_250_000_000},
    }
    assert rows(records)[2:] == [
        "| {doc}`/notebooks/a` | 3 | 12 | 800 |",
        "| {doc}`/notebooks/b` | 4 | 30 | 1,250 |",
        "| sum, and most | 8 | 43 | 1,250 |",
    ]
