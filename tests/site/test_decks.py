"""Every slide of every lecture deck in headless Chromium, from a folder and without a network."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from bookbuild.tree import ROOT

from . import watch

pytestmark = pytest.mark.browser
DECKS = sorted(path.stem for path in (ROOT / "book/decks").glob("part_*.md"))
SLIDE = {"width": 1280, "height": 720}
DRAWN = """() => [...document.querySelectorAll('section.present .live')]
  .every(figure => figure.dataset.fitted && figure.querySelector('[role=img]'))"""
# Copies of formulas for screen readers are clipped to nothing; pictures clip their own curves.
OUTSIDE = """slide => {
  const all = slide.getBoundingClientRect(), stage = slide.querySelector('.stage');
  const box = stage ? stage.getBoundingClientRect() : all;
  const leaves = (e, place) => {
    const r = e.getBoundingClientRect();
    return r.width > 0 && r.height > 0 && (r.left < place.left - 1 || r.top < place.top - 1
      || r.right > place.right + 1 || r.bottom > place.bottom + 1);
  };
  return [...slide.querySelectorAll('*')]
    .filter(e => !e.closest('aside, script, mjx-assistive-mml, svg *'))
    .filter(e => leaves(e, e.closest('.stage') ? box : all))
    .map(e => e.outerHTML.slice(0, 100));
}"""
# Text of one block on top of another, or nothing left for the picture.
CROWDED = """slide => {
  const rect = e => e.getBoundingClientRect(), foot = rect(slide).bottom - 30;
  const parts = [...slide.querySelectorAll(':scope > :is(h1, h2), .body > *')].map(rect);
  const low = parts.slice(1).some((r, i) => r.top < parts[i].bottom - 1);
  const small = [...slide.querySelectorAll('.still img, .stage')].some(e => e.clientHeight < 200);
  const cut = [...slide.querySelectorAll('.body > :last-child')].some(e => rect(e).bottom > foot);
  return [low && 'parts overlap', small && 'a picture is small', cut && 'no room at the foot']
    .filter(Boolean);
}"""
NO_ALT = "images => images.filter(i => !(i.alt || '').trim() || !i.naturalWidth).map(i => i.src)"


@contextmanager
def opened(browser, site, deck, query=""):
    """A deck that is ready, opened as a file, with the list of what went wrong."""
    address = (site / "decks" / f"{deck}.html").as_uri() + query
    with watch.watched(browser, address) as (page, problems):
        page.set_viewport_size(SLIDE)
        page.evaluate("deckReady")
        yield page, problems


def turn_to(page, index: int) -> None:
    """Show a slide with all its points, its live figures drawn."""
    page.evaluate("index => Reveal.slide(index, 0, 99)", index)
    page.wait_for_function(DRAWN)


@pytest.mark.parametrize("deck", DECKS)
def test_every_slide_holds_what_is_on_it(browser, site, deck):
    """Nothing leaves the slide or covers anything; pictures are there and described."""
    found = {}
    with opened(browser, site, deck) as (page, problems):
        assert page.locator(".still img").evaluate_all(NO_ALT) == []
        for index in range(page.evaluate("Reveal.getTotalSlides()")):
            turn_to(page, index)
            slide = page.locator("section.present")
            if seen := slide.evaluate(OUTSIDE) + slide.evaluate(CROWDED):
                found[index + 1] = seen
        assert page.locator("mjx-merror").count() == 0
    assert found == {}
    assert problems == []


@pytest.mark.parametrize("deck", DECKS)
def test_axe_finds_nothing_on_a_slide(browser, site, deck):
    """One slide of each kind, light and dark."""
    with opened(browser, site, deck) as (page, _):
        kinds = ["section:first-child", ".predict", "section:has(.still)", "section:has(.live)",
                 "section:has(.statement)", "section:last-child"]  # fmt: skip
        for kind in kinds:
            index = page.locator(f"{kind} >> nth=0").evaluate("s => Reveal.getIndices(s).h")
            turn_to(page, index)
            assert (kind, watch.findings(page)) == (kind, [])


def test_keys_turn_slides_and_move_sliders(browser, site):
    """Arrows belong to a slider that has the focus; page keys always turn the slide."""
    with opened(browser, site, DECKS[0]) as (page, problems):
        live = page.locator("section:has(.live) >> nth=0").evaluate("s => Reveal.getIndices(s).h")
        turn_to(page, live)
        slider = page.locator("section.present input[type=range]").last
        slider.focus()
        before = slider.input_value()
        slider.press("ArrowLeft")
        assert slider.input_value() != before
        assert page.evaluate("Reveal.getIndices().h") == live
        page.keyboard.press("PageDown")
        assert page.evaluate("Reveal.getIndices().h") == live + 1
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("Reveal.getIndices().h") == live
        slider.click()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("Reveal.getIndices().h") == live + 1
    assert problems == []


def test_speaker_view_shows_notes(browser, site):
    """The window that the key S opens, from a folder too."""
    with opened(browser, site, DECKS[0]) as (page, problems):
        with page.expect_popup() as popup:
            page.keyboard.press("s")
        popup.value.locator(".speaker-controls-notes .value").filter(
            has_text="90 minutes"
        ).wait_for()
    assert problems == []


@pytest.mark.parametrize("deck", DECKS)
def test_a_deck_prints_one_page_a_slide(browser, site, deck):
    """The print view: every slide a page, every live figure drawn."""
    with opened(browser, site, deck, "?print-pdf") as (page, problems):
        slides = page.locator(".slides section").count()
        assert page.locator(".pdf-page").count() == slides
        assert page.locator(".live:not([data-fitted])").count() == 0
        for slide in page.locator(".pdf-page > section").all():
            assert slide.evaluate(OUTSIDE) + slide.evaluate(CROWDED) == []
    assert problems == []
