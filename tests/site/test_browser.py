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
LIVE_PAGES = ["book/preface.html", "book/playground.html"]
# Focus before the first control of a figure; gives the names of those that a reader can see.
ENTER = """figure => {
  figure.tabIndex = -1;
  figure.focus();
  figure.querySelectorAll('*').forEach((e, i) => { e.dataset.number = i; });
  return [...figure.querySelectorAll('input, select, button, textarea, [tabindex="0"]')]
    .filter(e => e.checkVisibility() && !e.disabled).map(e => `${e.tagName} ${e.dataset.number}`);
}"""
FOCUSED = """figure => {
  const e = document.activeElement, style = getComputedStyle(e);
  if (!figure.contains(e) || e === figure) return null;
  const outline = style.outlineStyle !== 'none' || style.boxShadow !== 'none';
  return { html: `${e.tagName} ${e.dataset.number}`, outline };
}"""


@pytest.mark.parametrize("path", PAGES)
def test_page_is_quiet_described_narrow_and_accessible(browser, address, path):
    """No console message, no failed or foreign request, no side scroll; all rules of axe-core."""
    with watch.watched(browser, address + path, width=watch.PHONE) as (page, problems):
        assert watch.objections(page) == []
    assert problems == []


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


def changed(widget, before, patience: int = 300) -> bool:
    """Whether both picture and description become others; tests beside this one may slow it."""
    for _ in range(patience):
        now = widget.evaluate(watch.PICTURES), widget.evaluate(watch.LABELS)
        if now[0] != before[0] and now[1] != before[1]:
            return True
        widget.page.wait_for_timeout(100)
    return False


@pytest.mark.parametrize("path", [f"notebooks/{name}.html" for name in CHAPTERS] + LIVE_PAGES)
def test_keyboard_reaches_every_control_and_leaves_again(browser, address, path):
    """Tab alone: through all controls of a figure, each with a frame, and out of the figure."""
    with watch.watched(browser, address + path) as (page, _):
        for figure in page.locator(".dc-explorer").all():
            controls = figure.evaluate(ENTER)
            reached = set()
            while True:
                page.keyboard.press("Tab")
                at = figure.evaluate(FOCUSED)
                if at is None:
                    break
                assert at["outline"], at["html"]
                assert at["html"] not in reached, "Tab does not go round in the figure"
                reached.add(at["html"])
            assert set(controls) <= reached


def test_a_link_to_a_place_below_leads_there(browser, address):
    """Sections laid out later, formulas set later: the reader's place is kept."""
    path = f"notebooks/{CHAPTERS[6]}.html"
    with watch.watched(browser, address + path) as (page, _):
        place = page.locator("article > section > section > h2").last.locator("..")
        name = place.get_attribute("id")
    with watch.watched(browser, f"{address}{path}#{name}") as (page, problems):
        top = page.locator(f"#{name}").bounding_box()["y"]
        assert -50 < top < 450, "the place is on the screen, or the page ends before it"
    assert problems == []


def test_a_wide_table_says_on_which_sides_it_goes_on(browser, address):
    """It fades out to the right, and once it is moved to its end, to the left."""
    path = "notebooks/15_theory_predicts_a_trained_unet.html"
    with watch.watched(browser, address + path, width=watch.PHONE) as (page, problems):
        wide = page.locator(".pst-scrollable-table-container.goes-on-right").first
        assert "goes-on-left" not in wide.get_attribute("class")
        box = wide.element_handle()
        box.evaluate("box => { box.scrollLeft = box.scrollWidth; }")
        page.wait_for_function("box => box.classList.contains('goes-on-left')", arg=box)
        assert "goes-on-right" not in box.get_attribute("class")
        assert problems == []


def test_search_finds_a_page(browser, address):
    """The search page works without any server's help."""
    with watch.watched(browser, f"{address}search.html?q=denoiser") as (page, problems):
        page.wait_for_selector("#search-results li", timeout=10_000)
    assert problems == []
