"""The live figures of prose pages: what they count, what a page gets, what pages ask for."""

import re
import runpy
from pathlib import Path

import pytest

import diffusion_creativity as dc

BOOK = Path(__file__).resolve().parents[2] / "book"


@pytest.fixture(scope="module")
def live():
    """The functions of ``book/live.py``."""
    return runpy.run_path(str(BOOK / "live.py"))


def test_every_figure_that_a_page_names_is_there(live):
    named = {
        name
        for path in BOOK.glob("*.md")
        for name in re.findall(r"^```\{live-figure\} (\S+)$", path.read_text(), re.M)
    }
    assert {"front", "playground"} <= named
    assert all(callable(live[name]) for name in named)


@pytest.mark.parametrize("window", [3, 15])
def test_a_window_that_sees_everything_copies_and_a_small_one_does_not(live, window):
    """Each framed image is a training image, to the byte; what has no frame is none."""
    train = dc.data.load("digits").subset(live["IMAGES"], seed=0).x
    noise = dc.sampling.initial_noise(12, train.shape[1:], seed=1)
    frame = live["frame"](train, noise, window)
    (made,), (nearest,) = frame["made"], frame["nearest"]
    gaps = abs(made["data"] - nearest["data"]).reshape(12, -1).max(1)
    framed = [colour is not None for colour in made["outline"]]
    assert framed == [gap < 8e-3 for gap in gaps]  # 1e-3 an entry, root mean square over 64
    assert sum(framed) == {3: 0, 15: 12}[window]
    assert re.match(rf"{sum(framed)} of ", frame["caption"])


def test_fragment_is_one_element_one_style_and_one_script(live):
    figure = live["playground"]()
    page = figure.fragment("here")
    assert page.count("<script") == page.count("</script>") == page.count("<style>") == 1
    assert page.count('id="here"') == 1
    assert 'getElementById("here")' in page
    assert len(page) < 150_000
    assert "<noscript>This figure needs JavaScript: Playground</noscript>" in page
