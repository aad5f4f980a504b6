"""Drawing a target in headless Chromium: mouse, finger, keyboard, undo, and the link to it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from diffusion_creativity.widgets import drawing

from . import watch
from .test_playground import CANVASES, FIGURE, LABEL, choose, wait

pytestmark = pytest.mark.browser
SHEET = f"{FIGURE} canvas.dcp-sheet"
SAID = f"{FIGURE} .dcp-said"


def drawn(page) -> str:
    """The drawing that the address carries; empty while it carries none."""
    return (re.findall(r"draw:([\w.-]+)", page.url) or [""])[0]


def stroke(page, *corners: tuple[float, float]) -> None:
    """Draw with the mouse through corners in shares of the sheet, from its upper left."""
    sheet = page.locator(SHEET)
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    places = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()
    wait(page)


def keys(page, *names: str) -> None:
    """Press keys on the sheet."""
    for name in names:
        page.locator(SHEET).press(name)
    wait(page)


def test_a_drawing_is_generated_and_its_link_brings_it_back(browser, playground):
    """An L of two strokes: its points lie there, its copies are found, its link shows the same."""
    with watch.watched(browser, playground) as (page, problems):
        page.get_by_role("button", name="Draw your own").click()
        wait(page)
        assert drawn(page) == "", "the example needs no words in the link"
        stroke(page, (0.25, 0.1), (0.25, 0.8))
        first = drawn(page)
        stroke(page, (0.25, 0.8), (0.75, 0.8))
        x = drawing.target(drawn(page))
        assert len(x) == 1000
        assert abs(x[:, 0].min() + 0.75) < 0.2
        assert abs(x[:, 1].max() - 1.2) < 0.2
        choose(page, architecture="coordinates")
        page.get_by_role("button", name="Undo").click()
        wait(page)
        assert drawn(page) == first
        choose(page, architecture="bayes")
        facts = wait(page)
        assert float(facts["copies of a data point"].rstrip(" %")) > 50
        link, before, label = page.url, page.evaluate(CANVASES), page.evaluate(LABEL)
        page.mouse.move(0, 0)
    with watch.watched(browser, link) as (page, again):
        assert wait(page) == facts
        assert page.evaluate(CANVASES)[1:] == before[1:]
        assert page.evaluate(LABEL) == label
        page.evaluate("location.hash = '#playground=target:drawn,arch:bayes,draw:s1%3Cb%3E'")
        wait(page)
        assert page.evaluate(LABEL) == label, "garbage leaves the drawing that is there"
    assert problems + again == []


def test_keyboard_draws_strokes_and_says_where_the_pen_is(browser, playground):
    with watch.watched(browser, f"{playground}#playground=target:drawn,arch:affine") as (
        page,
        problems,
    ):
        wait(page)
        before = page.evaluate(LABEL)
        keys(page, "Space", *["ArrowRight"] * 3, "Shift+ArrowUp")
        expect(page.locator(SAID)).to_have_text("Pen down, column 39, row 24 of 64")
        keys(page, "Space")
        expect(page.locator(SAID)).to_have_text("Pen up, column 39, row 24 of 64")
        signs = [(32, 32), (38, 32), (38, 40)]
        assert drawn(page) == "s1" + "".join(drawing.SIGNS[k] for c in signs for k in c)
        assert page.evaluate(LABEL) != before, "the description follows the drawing"
        keys(page, "Backspace")
        assert drawn(page) in ("", drawing_of_the_example())
        assert page.evaluate(LABEL) == before
        keys(page, "Backspace")
        expect(page.locator(SAID)).to_have_text("Nothing to undo.")
        page.locator(SHEET).press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Undo", "Tab leaves the sheet"
        page.get_by_role("button", name="Clear").click()
        wait(page)
        assert drawn(page) == "s1"
    assert problems == []


def drawing_of_the_example() -> str:
    """The text of the example, as undoing brings it back."""
    from diffusion_creativity.widgets.figure import javascript

    return re.search(r'strokes: "(s1[\w.-]+)"', javascript("playground_sketch"))[1]


def test_images_are_drawn_pixel_by_pixel(browser, playground):
    """Keyboard and mouse; images come and go, and the architectures of images take them."""
    with watch.watched(browser, f"{playground}#playground=target:pixels,arch:bayes") as (
        page,
        problems,
    ):
        wait(page)
        page.get_by_role("button", name="Clear").click()
        keys(page, "Space", "ArrowRight", "Space")
        x = drawing.target(drawn(page))
        assert x.shape == (1, 1, 8, 8)
        assert np.argwhere(x[0, 0] > 0).tolist() == [[3, 3], [3, 4]]
        page.get_by_role("button", name="Add image").click()
        wait(page)
        assert (drawing.target(drawn(page))[1] == -1).all()
        stroke(page, (0.57, 0.08), (0.9, 0.08))  # over the upper row of the second image
        assert (drawing.target(drawn(page))[1, 0, 0] == 1).sum() >= 6
        for name in ("convolution", "equivariant", "blocks", "pixelwise"):
            choose(page, architecture=name)
        disabled = page.get_by_label("Architecture", exact=True).locator("option[disabled]")
        assert disabled.all_inner_texts() == ["Coordinatewise (needs points in the plane)"]
        for _ in range(2):
            page.get_by_role("button", name="Remove image").click()
        wait(page)
        assert len(drawing.target(drawn(page))) == 1, "one image stays"
    assert problems == []


def test_a_finger_draws_without_scrolling_the_page(browser, playground):
    """On a phone: touches reach the sheet, the page stays where it is, nothing is too narrow."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(f"{playground}#playground=target:drawn,arch:affine")
    wait(page)
    box = page.locator(SHEET).bounding_box()
    assert box["width"] > 300, "room for a finger"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    session, scrolled = context.new_cdp_session(page), page.evaluate("scrollY")
    for k in range(9):
        point = {"x": box["x"] + 60 + 25 * k, "y": box["y"] + 60 + 20 * k}
        kind = "touchStart" if k == 0 else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait(page)
    x = drawing.target(drawn(page))
    assert abs(float(x[:, 0].max() - x[:, 0].min()) - 200 * 3 / box["width"]) < 0.3
    assert page.evaluate("scrollY") == scrolled
    context.close()
