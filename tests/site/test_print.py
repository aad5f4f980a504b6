"""On paper: a page as the browser prints it, and the book as one PDF."""

from __future__ import annotations

import re

import pytest
from bookbuild.tree import Tree
from bs4 import BeautifulSoup

from . import watch

CHAPTER = f"notebooks/{Tree().chapters()[0]}"
HIDDEN = ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .toggle-button, .copybtn"
SHOWN = "e => e.offsetHeight > 0"


@pytest.fixture(scope="module")
def book(tree, site):
    """One chapter, its exercises and a page of prose as the whole book."""
    from pdf import Site

    book = Site(tree, site)
    book.pages = [CHAPTER, "book/notation"]
    return book


@pytest.fixture(scope="module")
def whole(book):
    """The page that is printed."""
    import pdf

    return pdf.whole(book)


@pytest.mark.browser
def test_printed_page_is_text_alone_with_its_solutions_open(browser, address):
    with watch.watched(browser, f"{address}{CHAPTER}.html", width=718) as (page, found):
        page.wait_for_selector(".solution.toggle-hidden", state="attached")
        page.emulate_media(media="print", color_scheme="light")
        assert page.locator(HIDDEN).evaluate_all(f"all => all.filter({SHOWN}).length") == 0
        inside = page.locator(".solution > :not(.admonition-title, button)")
        assert inside.count() >= 4
        assert inside.evaluate_all(f"all => all.every({SHOWN})")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= page.viewport_size["width"]
    assert found == []


def test_whole_book_has_each_place_once_and_every_link_leads_there(book, whole):
    page = BeautifulSoup(whole, "html.parser")
    names = [element["id"] for element in page.find_all(id=True)]
    assert len(names) == len(set(names))
    links = [link["href"] for link in page.find_all("a", href=True)]
    assert {link[1:] for link in links if link.startswith("#")} <= set(names)
    assert [link for link in links if not re.match(r"#|https?://|mailto:", link)] == []
    assert f"{book.address}notebooks/{Tree().chapters()[1]}.html" in links  # not in this "book"


def test_whole_book_shows_stills_and_solutions_and_no_folded_code(whole):
    page = BeautifulSoup(whole, "html.parser")
    text = page.select_one("main")
    stills = text.select('img[src^="data:image/png"]')
    assert len(stills) > 0
    assert all(still["alt"] for still in stills)
    assert text.find_all("script") == []
    assert text.select("details:not([open])") == []
    assert len(text.select(".solution pre")) >= 4
    assert "import matplotlib" not in text.get_text()


@pytest.mark.browser
def test_chromium_prints_with_bookmarks(whole, browser, tmp_path):
    """Formulas are set before it prints."""
    from pdf import print_pages

    page = BeautifulSoup(whole, "html.parser")
    page.find(id=re.compile("^notebooks.*--$")).decompose()  # the page of prose is enough
    (tmp_path / "book.html").write_text(str(page), encoding="utf-8")
    print_pages(browser, tmp_path / "book.html", tmp_path / "book.pdf")
    content = (tmp_path / "book.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/Outlines" in content
    assert b"MathJax_Math" in content  # the font of formulas
