"""What pages may do and what they spare readers: content policy, own host alone, no motion."""

from __future__ import annotations

import re

import pytest
import yaml
from bookbuild.tree import ROOT, Tree, toc_pages

from . import watch

CHAPTERS = Tree().chapters()
META = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)" />')
UNSAFE = {"'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'", "*", "data:"}
# Tries of what an injected text could try. Each fails without a sound but for an event.
ATTACKS = {
    "script-src-elem": """() => {
      const script = document.createElement("script");
      script.textContent = "window.attacked = true";
      document.body.append(script);
    }""",
    "script-src-attr": """() => {
      document.body.insertAdjacentHTML("beforeend", "<p onclick='window.attacked=1'>x</p>");
      document.body.lastElementChild.click();
    }""",
    "script-src": """() => {
      const script = document.createElement("script"), later = "setTimeout('window.attacked = 1')";
      script.src = URL.createObjectURL(new Blob([later], { type: "text/javascript" }));
      document.body.append(script);
    }""",
    "img-src": "() => { new Image().src = 'http://127.0.0.2:9/pixel.png'; }",
    "connect-src": "() => { fetch('http://127.0.0.2:9/').catch(() => {}); }",
    "frame-src": """() => {
      const frame = document.createElement("iframe");
      frame.src = "http://127.0.0.2:9/";
      document.body.append(frame);
    }""",
}
LISTEN = """() => {
  window.stopped = [];
  document.addEventListener("securitypolicyviolation", (e) => stopped.push(e.effectiveDirective));
}"""
MOVING = """() => document.getAnimations()
  .filter((a) => a.playState === "running" && a.effect.getComputedTiming().duration > 1)
  .map((a) => a.effect.target.outerHTML.slice(0, 120))"""


def rules(text: str) -> dict[str, list[str]]:
    return {name: sources for name, *sources in (rule.split() for rule in text.split(";"))}


def has_figures(page: str) -> bool:
    """Whether a page holds the code of a figure, which it imports."""
    return any(mark in page for mark in ("widget-view+json", 'class="dc-live"', 'id="program-'))


def test_every_page_has_a_policy_ahead_of_all_that_it_loads(site):
    for path in site.rglob("*.html"):
        if "_static" in path.parts:
            continue
        page = path.read_text(encoding="utf-8")
        (policy,) = META.findall(page)
        place = META.search(page).start()
        loaded = re.search(r"<(script|link|style|img)\b", page)
        assert not loaded or place < loaded.start(), path
        assert page.find('charset="utf-8"') < place, path  # or browsers guess
        said = rules(policy)
        assert said["default-src"] == ["'none'"]
        assert not {"'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'", "*", "data:"} & {
            *said["script-src"]
        }
        assert ("blob:" in said["script-src"]) == has_figures(page), path
        sources = {source for values in said.values() for source in values}
        assert not [source for source in sources if "://" in source or source.startswith("http")]


@pytest.mark.browser
@pytest.mark.parametrize("directive", ATTACKS)
def test_policy_stops_what_the_book_does_not_do(browser, address, directive):
    with watch.watched(browser, f"{address}notebooks/{CHAPTERS[0]}.html") as (page, _):
        page.evaluate(LISTEN)
        page.evaluate(ATTACKS[directive])
        page.wait_for_function("() => window.stopped.length > 0")
        assert page.evaluate("() => window.stopped[0]") == directive
        assert page.evaluate("() => window.attacked") is None


@pytest.mark.browser
def test_the_theme_buttons_still_work(browser, address):
    """Colours, full screen and the list of pages, under the policy and after later.js."""
    with watch.watched(browser, f"{address}notebooks/{CHAPTERS[0]}.html") as (page, problems):
        before = page.evaluate("document.documentElement.dataset.mode")
        page.locator("button.theme-switch-button:visible").first.click()
        page.wait_for_function("was => document.documentElement.dataset.mode !== was", arg=before)
        page.locator("button.btn-fullscreen-button:visible").first.click()
        page.wait_for_function("() => document.fullscreenElement !== null")
        page.evaluate("() => { window.print = () => { window.printed = true; }; }")
        page.locator("button[data-press=print]").first.evaluate("button => button.click()")
        assert page.evaluate("() => window.printed")
    assert problems == []


@pytest.mark.browser
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_nothing_moves_without_a_wish_for_it(browser, address, chapter):
    """With reduced motion: no animation runs, and one press of "play" is one step."""
    with watch.watched(browser, f"{address}notebooks/{chapter}.html") as (page, problems):
        assert page.evaluate(MOVING) == []
        smooth = "getComputedStyle(document.documentElement).scrollBehavior"
        assert page.evaluate(smooth) == "auto"
        for widget in page.locator(".dc-explorer").all():
            assert widget.locator(".dc-caption").inner_text().strip(), "a figure has a caption"
        for play in page.locator(".dc-explorer:not(.dc-playground) .dc-play").all():
            slider = play.locator("xpath=following-sibling::input")
            slider.press("Home")
            play.click()
            page.wait_for_timeout(250)
            assert slider.input_value() == "1"
            assert play.get_attribute("aria-pressed") == "false"
    assert problems == []


@pytest.mark.browser
def test_motion_comes_where_nobody_minds(browser, address):
    """The control of the test above: without the preference the slider walks on."""
    for chapter in CHAPTERS:
        with watch.watched(browser, f"{address}notebooks/{chapter}.html") as (page, _):
            page.emulate_media(reduced_motion="no-preference")
            play = page.locator(".dc-explorer:not(.dc-playground) .dc-play")
            if not play.count():
                continue
            slider = play.first.locator("xpath=following-sibling::input")
            slider.press("Home")
            play.first.click()
            page.wait_for_function("s => Number(s.value) > 1", arg=slider.element_handle())
            return
    pytest.fail("no figure of the book plays")


PAGES = [f"{page}.html" for page in toc_pages(yaml.safe_load((ROOT / "_toc.yml").read_text()))]


@pytest.mark.parametrize("path", PAGES)
def test_figures_have_captions(site, path):
    page = (site / path).read_text(encoding="utf-8")
    for figure in re.findall(r"<figure\b.*?</figure>", page, re.DOTALL):
        caption = re.search(r"<figcaption>(.*?)</figcaption>", figure, re.DOTALL)
        assert caption, figure[:300]
        assert len(re.sub(r"<[^>]*>", "", caption[1]).split()) > 4, figure[:300]
