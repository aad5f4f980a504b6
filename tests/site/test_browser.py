"""Every page in headless Chromium: quiet console, no other host, widgets alive, accessible."""

from __future__ import annotations

import pytest
import yaml
from bookbuild.tree import ROOT, Tree, toc_pages

from . import watch

CHAPTERS = Tree().chapters()
PAGES = [f"{page}.html" for page in toc_pages(yaml.safe_load((ROOT / "_toc.yml").read_text()))]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
MOVED = {
    f"{old}.html": f"{new}.html" for old, new in CONFIG["sphinx"]["config"]["moved_pages"].items()
}
pytestmark = pytest.mark.browser
PHONE = 390
NO_ALT = "images => images.filter(i => !(i.getAttribute('alt') || '').trim()).map(i => i.outerHTML)"
TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll('main *')]
    .filter(e => e.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(e => e.outerHTML.slice(0, 150));
}"""


@pytest.mark.parametrize("path", PAGES)
def test_page_is_quiet_described_and_narrow(browser, address, path):
    """On a phone: no console message, no failed or foreign request, alt texts, no side scroll."""
    with watch.watched(browser, address + path, width=PHONE) as (page, problems):
        assert page.locator("img").evaluate_all(NO_ALT) == []
        assert page.evaluate(TOO_WIDE) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert problems == []


def test_every_other_page_is_quiet_described_and_narrow(browser, address, site):
    """The pages nobody wrote: API, search, indices, not found; the same demands."""
    found = {}
    for file in sorted(site.rglob("*.html")):
        path = file.relative_to(site).as_posix()
        if path in [*PAGES, *MOVED, "index.html"] or path.startswith("_static"):
            continue
        with watch.watched(browser, address + path, width=PHONE) as (page, problems):
            seen = page.locator("img").evaluate_all(NO_ALT) + page.evaluate(TOO_WIDE)
        if problems + seen:
            found[path] = problems + seen
    assert found == {}


def test_front_door_leads_to_the_preface(browser, address):
    """The bare address of the site."""
    page = browser.new_page()
    page.goto(address)
    page.wait_for_url(f"{address}{PAGES[0]}")
    page.close()


@pytest.mark.parametrize("old", MOVED)
def test_old_address_leads_to_the_new_page_without_scripts(browser, address, old):
    """A page that has moved, as a reader's bookmark knows it."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + old)
    page.wait_for_url(address + MOVED[old])
    context.close()


@pytest.mark.parametrize("path", [f"notebooks/{name}.html" for name in CHAPTERS] + PAGES[:1])
def test_page_works_from_a_folder(browser, site, path):
    """Opened as a file, without any server."""
    with watch.watched(browser, (site / path).as_uri()) as (page, problems):
        move_everything(page)
    assert problems == []


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(browser, address, path):
    """Accessibility rules, in both colour schemes."""
    with watch.watched(browser, address + path) as (page, _):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.wait_for_selector(f"html[data-theme={scheme}]")
            page.wait_for_timeout(300)  # colours fade into each other
            assert (scheme, watch.serious_findings(page)) == (scheme, [])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_control_changes_picture_and_description(browser, address, chapter):
    """Sliders by keyboard, menus by choice; no kernel anywhere."""
    with watch.watched(browser, f"{address}notebooks/{chapter}.html") as (page, problems):
        widgets = page.locator(".dc-explorer")
        assert widgets.count() == page.locator(watch.WIDGETS).count()
        moves = widgets.count() > 0 or chapter.startswith("20_")  # a protocol: tables alone
        assert moves, "each chapter has something to move"
        move_everything(page)
    assert problems == []


def move_everything(page) -> None:
    """Move every control of every widget of a page and back again."""
    for widget in page.locator(".dc-explorer").all():
        widget.scroll_into_view_if_needed()
        assert widget.locator("[aria-live]").count() > 0
        for slider in widget.locator("input[type=range]").all():
            move(widget, slider)
        for menu in widget.locator("select").all():
            choose(widget, menu)


def move(widget, slider) -> None:
    """One slider one step by keyboard; away from the end it stands at."""
    before = widget.evaluate(watch.PICTURES), widget.evaluate(watch.LABELS)
    at_end = slider.evaluate("s => Number(s.value) + Number(s.step || 1) > Number(s.max)")
    slider.focus()
    slider.press("ArrowLeft" if at_end else "ArrowRight")
    assert changed(widget, before), f"slider {slider.evaluate('s => s.outerHTML')} changed nothing"
    slider.press("ArrowRight" if at_end else "ArrowLeft")


def choose(widget, menu) -> None:
    """One menu to its next choice."""
    before = widget.evaluate(watch.PICTURES), widget.evaluate(watch.LABELS)
    count = menu.evaluate("m => m.options.length")
    now = menu.evaluate("m => m.selectedIndex")
    menu.select_option(index=(now + 1) % count)
    assert changed(widget, before), f"menu {menu.evaluate('m => m.outerHTML')} changed nothing"
    menu.select_option(index=now)


def changed(widget, before, patience: int = 20) -> bool:
    """Whether both picture and description become others within two seconds."""
    for _ in range(patience):
        now = widget.evaluate(watch.PICTURES), widget.evaluate(watch.LABELS)
        if now[0] != before[0] and now[1] != before[1]:
            return True
        widget.page.wait_for_timeout(100)
    return False


def test_search_finds_a_page(browser, address):
    """The search page works without any server's help."""
    with watch.watched(browser, f"{address}search.html?q=denoiser") as (page, problems):
        page.wait_for_selector("#search-results li", timeout=10_000)
    assert problems == []
