"""Every chapter is light, and its first figure moves soon: limits of tools/page_weight.py."""

from __future__ import annotations

import gzip

import page_weight
import pytest
from bookbuild.tree import Tree

pytestmark = [pytest.mark.browser, pytest.mark.timed]
TRIES = 3  # what others do to the caches differs between a page and the yardstick


@pytest.mark.parametrize("chapter", Tree().chapters())
def test_chapter_is_light_and_its_first_figure_moves_soon(browser, site, address, chapter):
    for _ in range(TRIES):
        weight = page_weight.weigh(browser, site, address, f"notebooks/{chapter}.html")
        problems = page_weight.too_much(weight)
        if not problems:
            break
    print(page_weight.table([weight]))
    assert problems == []


@pytest.fixture
def small_site(tmp_path):
    """A page with a script, of a site that has a prefix, and files that nobody asks for."""
    (tmp_path / "unused.js").write_text("0;" * 1000)
    (tmp_path / "a.js").write_text("const spent = performance.now();" + "/* long */" * 1000)
    (tmp_path / "index.html").write_text(
        "<!doctype html><title>t</title><script src=a.js></script>"
    )
    return tmp_path


def test_weight_is_that_of_the_files_that_a_page_fetches(browser, small_site):
    from serve import serving

    with serving(small_site) as address:
        weight = page_weight.weigh(browser, small_site, address, "index.html")
    files = [small_site / "index.html", small_site / "a.js"]
    assert weight.files == 2
    assert weight.bytes == sum(len(gzip.compress(path.read_bytes(), 6)) for path in files)
    assert weight.heaviest == max(files, key=page_weight.compressed).name
    assert weight.seconds is None  # nothing moves


def test_a_page_that_computes_before_its_figure_is_late(browser, small_site):
    """Work counts, waiting does not."""
    from serve import serving

    figure = (
        "<!doctype html><title>t</title><div class=dc-explorer><p role=img></p></div>"
        '<script type="application/vnd.jupyter.widget-view+json">{}</script><script>'
        "const show = () => document.querySelector('[role=img]').setAttribute('aria-label', 'x');"
        "let sum = 0; const work = () => { for (let i = 0; i < 3e8; i++) sum += Math.sqrt(i); };"
    )
    (small_site / "busy.html").write_text(figure + "work(); show();</script>")
    (small_site / "idle.html").write_text(figure + "setTimeout(show, 1000);</script>")
    with serving(small_site) as address:
        busy, idle = (
            page_weight.weigh(browser, small_site, address, page)
            for page in ("busy.html", "idle.html")
        )
    assert busy.seconds > idle.seconds + 0.4
    assert idle.seconds < 1.0 < page_weight.LIMIT_SECONDS


def test_limits_are_named():
    heavy = page_weight.Weight("p.html", 3, 1_500_001, "x.js", 2.01)
    assert len(page_weight.too_much(heavy)) == 2
    assert not page_weight.too_much(page_weight.Weight("p.html", 3, 1_500_000, "x.js", 2.0))
