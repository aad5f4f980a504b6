"""The plane in headless Chromium: mouse, finger, keyboard, axes, colours, a phone, paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from diffusion_creativity.widgets import Axis, Plane, PlanePoint, Region

from . import watch

pytestmark = pytest.mark.browser
NAMES = ["Perfect", "Linear", "Convolution", "Bottleneck, rank 10", "Blocks of 4 × 4",
         "Blocks of 2 × 2", "Polynomial, degree 3", "Shifted copies"]  # fmt: skip
# novelty and realism; the last one lies where the first one lies
SPOTS = [(0, 0.95), (1.4, 0.6), (2.6, 0.3), (1.3, 0.75), (1.6, 0.58), (1.75, 0.5), (2.1, 0.45),
         (0, 0.95)]  # fmt: skip
AXES = {
    "novelty": Axis("novelty", lines={"held-out data": 1.0}, note="Distance to the data."),
    "realism": Axis("realism", format=".0%"),
    "far": Axis("squared distance", "log", format=".3g"),
    "kl": Axis("divergence", "symlog", width=0.1),
}
# Boxes of the names in the plane, and those pairs that overlap by more than a hair.
OVERLAPS = """plot => {
  const words = [...plot.querySelectorAll('.dc-label')].map(t => [t.textContent, t.getBBox()]);
  const shared = (a, b) => Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x) > 1
    && Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y) > 3;
  return words.flatMap(([s, a], i) => words.slice(i + 1).filter(([, b]) => shared(a, b))
    .map(([t]) => [s, t]));
}"""
POINT = """(plot, i) => {
  const { cx, cy } = plot.querySelector(`[data-point="${i}"] .dcq-halo`);
  const svg = plot.getBoundingClientRect();
  return [svg.left + cx.baseVal.value, svg.top + cy.baseVal.value];
}"""
BARS = "plot => plot.querySelector('.dcq-on .dcq-bars').getAttribute('d')"


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """The figure alone on a page, opened as a file."""
    rng = np.random.default_rng(0)
    points = []
    for i, (name, (u, v)) in enumerate(zip(NAMES, SPOTS, strict=True)):
        measures = {"novelty": (u, u - 0.1, u + 0.2), "realism": (v, v - 0.1, v + 0.04),
                    "far": (0.01 * 3**i, 0.005 * 3**i, 0.02 * 3**i), "kl": i * i * 2.0}  # fmt: skip
        images = rng.uniform(-1, 1, size=(2, 24, 1, 8, 8))
        points.append(PlanePoint(f"p{i}", name, measures, images[0], images[1], f"About {name}.",
                                 ["copies", "linear", "parts"][i % 3]))  # fmt: skip
    made = Plane(
        points, AXES, x="novelty", y="realism", title="Who creates?", interval="95 % interval",
        regions=[Region("copies", {"novelty": (None, 0.3)}, "warning")],
    )  # fmt: skip
    page = tmp_path_factory.mktemp("plane") / "page.html"
    page.write_text(made.html(), encoding="utf-8")
    return Path(page).as_uri()


class Seen:
    """The parts of the figure on a page."""

    def __init__(self, page):
        self.page = page
        self.menu, self.x, self.y = (page.get_by_label(name, exact=True)
                                     for name in ("Denoiser", "x axis", "y axis"))  # fmt: skip
        self.plot, self.sheet = page.locator(".dcq-plot"), page.locator(".dc-sheet")
        self.name, self.caption = page.locator(".dcq-name"), page.locator(".dc-caption")
        self.numbers = page.locator(".dcq-numbers")
        expect(self.caption).to_have_text("About Perfect.")
        page.evaluate("document.fonts.ready")

    def expect_chosen(self, i: int) -> None:
        """Wait until everything speaks of one point."""
        expect(self.menu.locator("option:checked")).to_have_text(NAMES[i])
        expect(self.name).to_contain_text(NAMES[i])
        expect(self.caption).to_have_text(f"About {NAMES[i]}.")
        expect(self.sheet).to_have_attribute("aria-label", re.compile(re.escape(NAMES[i])))
        expect(self.plot).to_have_attribute("aria-label", re.compile(f"Chosen: {NAMES[i]},"))
        expect(self.plot.locator(".dcq-on")).to_have_attribute("data-point", str(i))
        expect(self.numbers.locator("dd").first).to_have_text(re.compile(f"^{SPOTS[i][0]:.2f} "))

    def place(self, i: int) -> list[float]:
        """Where a point is on the page."""
        self.plot.scroll_into_view_if_needed()
        return self.plot.evaluate(POINT, i)


@contextmanager
def seen(browser, address, width=1280) -> Iterator[Seen]:
    with watch.watched(browser, address, width=width) as (page, problems):
        yield Seen(page)
    assert problems == []


@pytest.mark.parametrize("width", [390, 1280])
def test_a_click_shows_samples_numbers_and_words(browser, address, width):
    with seen(browser, address, width) as figure:
        sheets = set()
        for i in (4, 2, 3):
            figure.page.mouse.click(*figure.place(i))
            figure.expect_chosen(i)
            sheets.add(figure.sheet.locator("canvas").evaluate("c => c.toDataURL()"))
        assert len(sheets) == 3
        figure.page.mouse.click(*(v + 14 for v in figure.place(2)))  # within reach of a finger
        figure.expect_chosen(2)


def test_a_click_on_a_name_chooses_its_point(browser, address):
    with seen(browser, address) as figure:
        figure.plot.get_by_text(NAMES[6], exact=True).click()
        figure.expect_chosen(6)


def test_a_second_click_on_a_pile_chooses_the_next_of_it(browser, address):
    with seen(browser, address) as figure:
        for i in (7, 0, 7):
            figure.page.mouse.click(*figure.place(0))
            figure.expect_chosen(i)


def test_a_click_far_from_all_points_changes_nothing(browser, address):
    with seen(browser, address) as figure:
        left, top = figure.place(2)
        figure.page.mouse.click(left, top - 200)
        figure.page.mouse.click(*figure.place(4))
        figure.expect_chosen(4)  # the first click was dealt with by now


def test_a_finger_chooses(browser, address):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(address)
    figure = Seen(page)
    place = figure.place(2)
    page.touchscreen.tap(place[0] - 15, place[1] + 10)
    figure.expect_chosen(2)
    context.close()


def test_keyboard_alone_reaches_every_point(browser, address):
    with seen(browser, address) as figure:
        figure.page.keyboard.press("Tab")
        expect(figure.menu).to_be_focused()
        for i in range(1, len(NAMES)):
            figure.page.keyboard.press("ArrowDown")
            figure.expect_chosen(i)


def test_menus_change_axes_words_and_picture(browser, address):
    with seen(browser, address) as figure:
        figure.page.mouse.click(*figure.place(4))
        figure.expect_chosen(4)
        expect(figure.plot).to_have_attribute("aria-label", re.compile("novelty 1.60.*58%"))
        expect(figure.plot.get_by_text("held-out data")).to_have_count(1)
        before = figure.plot.evaluate(BARS)
        figure.x.select_option("squared distance")
        expect(figure.plot).to_have_attribute(
            "aria-label", re.compile("Horizontal: squared distance. Vertical: realism.")
        )
        expect(figure.plot.locator(".dc-axis-label").last).to_have_text("squared distance")
        expect(figure.plot.get_by_text("held-out data")).to_have_count(0)
        assert figure.plot.evaluate(BARS) != before
        figure.expect_chosen(4)
        figure.y.select_option("squared distance")  # taken: the axes change places
        expect(figure.x.locator("option:checked")).to_have_text("realism")
        expect(figure.plot).to_have_attribute(
            "aria-label", re.compile("Horizontal: realism. Vertical: squared distance.")
        )
        figure.x.select_option("divergence")
        expect(figure.plot).to_have_attribute("aria-label", re.compile("divergence 32.00"))


@pytest.mark.parametrize("width", [390, 720, 1280])
def test_no_name_covers_another(browser, address, width):
    """Names where they fit, numbers with a key where they do not."""
    with seen(browser, address, width) as figure:
        modes = set()
        for measure in ("novelty", "squared distance", "divergence"):
            figure.x.select_option(measure)
            expect(figure.plot).to_have_attribute("aria-label", re.compile(f"l: {measure}"))
            assert figure.plot.evaluate(OVERLAPS) == []
            mode = figure.page.locator(".dc-plane").get_attribute("data-labels")
            keys = figure.page.locator(".dcq-keys span")
            expect(keys).to_have_count(len(NAMES) if mode == "numbers" else 0)
            modes.add(mode)
        assert "numbers" not in modes or width < 720


def test_where_names_have_no_room_a_key_names_the_numbers(browser, address, tmp_path):
    rng = np.random.default_rng(1)
    crowd = [PlanePoint(f"p{i}", f"Denoiser with a long name, number {i}",
                        {"novelty": float(u), "realism": float(v)}, np.zeros((1, 4, 4)),
                        text=f"Sentence {i}.")
             for i, (u, v) in enumerate(rng.uniform(0.4, 0.6, size=(12, 2)))]  # fmt: skip
    axes = {name: Axis(name, limits=(0, 1)) for name in ("novelty", "realism")}
    made = Plane(crowd, axes, x="novelty", y=["realism"], title="Crowd", what="Network")
    (tmp_path / "page.html").write_text(made.html(), encoding="utf-8")
    url = (tmp_path / "page.html").as_uri()
    with watch.watched(browser, url, width=390) as (page, problems):
        keys = page.locator(".dcq-keys span")
        expect(keys).to_have_count(12)
        expect(keys.nth(4)).to_have_text("5 Denoiser with a long name, number 4")
        expect(page.locator(".dcq-name")).to_have_text("1 Denoiser with a long name, number 0")
        keys.nth(4).click()
        expect(page.locator(".dc-caption")).to_have_text("Sentence 4.")
        expect(page.get_by_label("y axis")).to_have_count(0)  # one measure: no menu
        expect(page.get_by_label("x axis")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_narrow_accessible_and_large_enough_to_touch(browser, address, width, scheme):
    with seen(browser, address, width) as figure:
        page = figure.page
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for i in (1, 7):
            figure.menu.select_option(NAMES[i])
            figure.expect_chosen(i)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert watch.findings(page, scheme, within=".dc-plane") == []
            boxes = [menu.bounding_box() for menu in page.locator("select").all()]
            assert min(box["height"] for box in boxes) >= 44


def test_pixels_of_samples_are_whole(browser, address):
    """Each pixel of an 8 × 8 sample is one square of equal colour, 6 wide."""
    with seen(browser, address) as figure:
        reds = figure.sheet.locator("canvas").evaluate("""c => {
          const { data } = c.getContext('2d').getImageData(0, 0, 48, 48);
          return Array.from({ length: 48 * 48 }, (_, i) => data[4 * i]);
        }""")
    blocks = np.array(reds).reshape(8, 6, 8, 6)
    assert (blocks == blocks[:, :1, :, :1]).all()
    expected = np.random.default_rng(0).uniform(-1, 1, size=(2, 24, 1, 8, 8))[0, 0, 0]
    np.testing.assert_allclose(blocks[:, 0, :, 0], (expected + 1) * 127.5, atol=1)


def test_paper_is_light_and_has_no_menus(browser, address):
    with seen(browser, address) as figure:
        figure.page.emulate_media(media="print", color_scheme="dark")
        expect(figure.menu).to_be_hidden()
        expect(figure.page.locator(".dc-plane")).to_have_css(
            "background-color", "rgb(255, 255, 255)"
        )
        expect(figure.page.locator(".dc-plane")).to_have_css("color", "rgb(36, 41, 47)")


def test_points_glide_to_new_axes_where_motion_is_welcome(browser, address):
    """Animations end by themselves; readers who want none get none."""
    running = "() => document.getAnimations().length"
    for motion in ("no-preference", "reduce"):
        context = browser.new_context(reduced_motion=motion)
        page = context.new_page()
        page.add_init_script(
            "const animate = Element.prototype.animate; window.moved = 0;"
            "Element.prototype.animate = function (...a) {"
            "  moved += 1; return animate.apply(this, a); };"
        )
        page.goto(address)
        figure = Seen(page)
        figure.y.select_option("divergence")
        expect(figure.plot).to_have_attribute("aria-label", re.compile("Vertical: divergence"))
        assert page.evaluate("moved") == (len(NAMES) if motion == "no-preference" else 0)
        page.wait_for_function(f"({running})() === 0")
        context.close()
