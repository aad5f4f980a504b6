"""The copy of the site to take along: unpacked, opened as files, complete."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from bookbuild import downloads
from bookbuild.tree import Tree

from . import watch

CHAPTERS = Tree().chapters()


@pytest.fixture(scope="module")
def copy(site, tmp_path_factory):
    """Folder of the unpacked archive."""
    folder = tmp_path_factory.mktemp("offline")
    with zipfile.ZipFile(site / downloads.FOLDER / downloads.OFFLINE) as archive:
        archive.extractall(folder)
    return folder / downloads.OFFLINE.removesuffix(".zip")


def test_copy_is_the_site_without_its_downloads(site, copy):
    """File by file the same, apart from links to downloads and excerpts under search results."""

    def files(folder):
        found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        return {p for p in found if p.parts[0] != downloads.FOLDER and p.name[0] != "."}

    assert files(copy) == files(site)
    assert not (copy / downloads.FOLDER).exists()
    others = {p for p in files(site) if (copy / p).read_bytes() != (site / p).read_bytes()}
    pages = {p for p in files(site) if p.suffix == ".html" and 'data-file="' in read(site / p)}
    assert others == pages | {Path(downloads.SEARCH)}


def read(path):
    """Text of a page."""
    return path.read_text(encoding="utf-8")


def test_pages_name_the_downloads_and_the_copy_leads_to_the_web(site, copy):
    pages = [p for p in site.glob("book/*.html") if downloads.PLACE.search(p.read_text())]
    assert pages
    for page in pages:
        for _, name, _ in downloads.PLACE.findall(page.read_text()):
            path = site / downloads.FOLDER / name
            link = f'<a href="../downloads/{name}">{name}</a>'
            assert not path.exists() or f"{link} ({downloads.size(path)})" in page.read_text()
        assert 'href="../downloads/' not in (copy / "book" / page.name).read_text()


@pytest.mark.browser
def test_chapter_is_alive_from_a_folder(browser, copy):
    """A figure answers, formulas are set, nothing is asked of anybody."""
    address = (copy / "notebooks" / f"{CHAPTERS[0]}.html").as_uri()
    with watch.watched(browser, address) as (page, found):
        widget = page.locator(".dc-explorer").first
        before = widget.evaluate(watch.PICTURES)
        slider = widget.locator("input[type=range]").first
        slider.focus()
        slider.press("Home")
        slider.press("ArrowRight")
        page.wait_for_function(
            f"before => ({watch.PICTURES})(document.querySelector('.dc-explorer')) !== before",
            arg=before,
        )
        assert page.locator("mjx-container").count() > 20
        assert page.locator("mjx-merror").count() == 0
    assert found == []


@pytest.mark.browser
def test_search_works_from_a_folder(browser, copy):
    with watch.watched(browser, f"{(copy / 'search.html').as_uri()}?q=mosaic") as (page, found):
        page.wait_for_selector("#search-results li")
    assert found == []
