"""The playground in headless Chromium: pairs, links, keyboard, colours, a phone, its speed."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from . import watch

pytestmark = pytest.mark.browser
FIGURE = ".dc-playground"
DONE = f"() => document.querySelector('{FIGURE}')?.getAttribute('aria-busy') === 'false'"
FACTS = f"""() => Object.fromEntries([...document.querySelectorAll('{FIGURE} .dcp-numbers div')]
  .map(d => [d.querySelector('dt').textContent, d.querySelector('dd').textContent]))"""
CANVASES = f"""() => [...document.querySelectorAll('{FIGURE} canvas')].map(c => c.toDataURL())"""
LABEL = f"document.querySelector('{FIGURE} [role=img]').getAttribute('aria-label')"


def wait(page) -> dict[str, str]:
    """The numbers under the picture, once they are those of the state chosen last."""
    page.wait_for_function(DONE, timeout=60_000)
    page.wait_for_timeout(200)
    return page.evaluate(FACTS)


def choose(page, target: str | None = None, architecture: str | None = None) -> dict[str, str]:
    for label, value in (("Target", target), ("Architecture", architecture)):
        if value is not None:
            page.get_by_label(label, exact=True).select_option(value)
    return wait(page)


def test_each_pair_changes_pictures_words_and_numbers(browser, playground):
    """Every architecture on a cloud of points, on a line and on images, without a message."""
    seen, labels = {}, set()
    with watch.watched(browser, playground) as (page, problems):
        for target in ("ring", "atoms", "images"):
            choose(page, target)
            names = (
                page.get_by_label("Architecture", exact=True)
                .locator("option:not([disabled])")
                .evaluate_all("options => options.map(o => o.value)")
            )
            for name in names:
                facts = choose(page, architecture=name)
                caption = page.locator(f"{FIGURE} .dc-caption").inner_text()
                seen[target, name] = (caption, *page.evaluate(CANVASES)[1:])
                labels.add(page.evaluate(LABEL))
                assert float(facts["variance, generated : target"]) >= 0
                if name == "bayes":
                    copies = next(v for k, v in facts.items() if k.startswith("copies"))
                    assert float(copies.rstrip(" %")) > 85
                if name in ("affine", "convolution") or (target, name) == ("images", "blocks"):
                    copies = next(v for k, v in facts.items() if k.startswith("copies"))
                    assert float(copies.rstrip(" %")) < 1
    assert problems == []
    captions = [caption for caption, *_ in seen.values()]
    assert len(set(captions)) == len(captions)
    samples = [canvases[-1] for _, *canvases in seen.values()]
    assert len(set(samples)) >= len(samples) - 3  # on three atoms some pairs agree
    assert len(labels) == len(seen) == 7 + 5 + 9


def test_a_link_brings_back_the_same_picture(browser, playground):
    """The playground follows the reader; opened again it shows the same, pixel by pixel."""
    with watch.watched(browser, playground) as (page, problems):
        assert "#" not in page.url
        choose(page, "spiral", "polynomial")
        page.get_by_label("Degree p", exact=True).press("ArrowRight")
        page.get_by_label("Noise level σ", exact=True).press("PageDown")
        page.get_by_role("button", name="New noise").click()
        wait(page)
        link, before, facts = page.url, page.evaluate(CANVASES), page.evaluate(FACTS)
        label = page.evaluate(LABEL)
    assert "#playground=target:spiral,arch:polynomial,p:4,steps:40,seed:2,at:" in link
    with watch.watched(browser, link) as (page, again):
        assert wait(page) == facts
        assert page.evaluate(CANVASES) == before
        assert page.evaluate(LABEL) == label
        page.evaluate("location.hash = '#playground=target:moons,arch:coordinates'")
        page.wait_for_function("() => document.querySelector('select').value === 'moons'")
        wait(page)
        assert page.evaluate(CANVASES) != before
    assert problems + again == []


@pytest.mark.parametrize("text", ["", "target:nothing,arch:%E0%A4%A", "target:__proto__,p:-3"])
def test_a_broken_link_shows_the_figure_as_it_starts(browser, playground, text):
    with watch.watched(browser, f"{playground}#playground={text}") as (page, problems):
        wait(page)
        assert page.get_by_label("Target", exact=True).input_value() == "ring"
        assert page.get_by_label("Architecture", exact=True).input_value() == "affine"
    assert problems == []


def test_without_an_address_of_its_own_it_offers_code(browser, playground, tmp_path):
    """In a frame, as in a notebook, there is no link to share; the call stands in for it."""
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<iframe src="{playground}" title="figure" width="900" height="900"></iframe>'
    )
    page = browser.new_page()
    page.goto(outer.as_uri())
    frame = page.frame_locator("iframe")
    frame.get_by_label("Target", exact=True).select_option("letters")
    frame.get_by_role("button", name="Copy code").click()
    said = frame.locator(".dcp-said")
    expect(said).not_to_be_empty()  # the clipboard takes its time
    if said.inner_text() != "Copied.":
        code = re.compile(r'^dc\.widgets\.Playground\("letters", "affine"')
        expect(frame.locator(".dcp-link")).to_have_value(code)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_narrow_accessible_and_large_enough_to_touch(browser, playground, width, scheme):
    with watch.watched(browser, playground, width=width) as (page, problems):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for target, architecture in (
            ("ring", "polynomial"),
            ("images", "blocks"),
            ("drawn", "affine"),
            ("pixels", "blocks"),
        ):
            choose(page, target, architecture)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert watch.findings(page, scheme, within=FIGURE) == []
            boxes = page.locator(f"{FIGURE} :is(button, select, input[type=range]):visible")
            assert min(box.bounding_box()["height"] for box in boxes.all()) >= 40
    assert problems == []


def test_reduced_motion_plays_one_step_for_each_press(browser, playground):
    with watch.watched(browser, playground) as (page, _):  # watched pages ask for reduced motion
        wait(page)
        play, slider = (
            page.get_by_role("button", name="Play"),
            page.get_by_label("Noise level σ", exact=True),
        )
        play.click()
        expect(slider).to_have_value("0")  # the picture follows at the next frame
        play.click()
        expect(slider).to_have_value("3")  # one step of 40 on 120 places
        page.wait_for_timeout(500)
        assert slider.input_value() == "3"


@pytest.mark.parametrize("architecture", ["affine", "polynomial", "bayes", "coordinates"])
def test_a_thousand_points_play_on_their_own(browser, playground, architecture):
    """How many frames a second is measured by ``benchmarks/playground.py``."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{playground}#playground=target:ring,arch:{architecture},steps:100")
    page.wait_for_function(f"() => document.querySelector('{FIGURE}')?.drawn > 0")
    page.wait_for_function(DONE, timeout=60_000)
    before = page.evaluate(f"document.querySelector('{FIGURE}').drawn")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(
        f"before => document.querySelector('{FIGURE}').drawn >= before + 10",
        arg=before,
        timeout=60_000,
    )
    page.close()
