"""What pages weigh and how soon their first figure moves: ``python tools/page_weight.py``.

Opens each chapter of the site as a new reader does, in headless Chromium, and prints a table. The
weight is that of every file that the page fetches until its end, as a server sends it: text
compressed with gzip, at its usual level 6. The time is four times what the page's main thread
computes from its start until the first figure is drawn and answers: seconds on a processor of a
quarter of the speed, without what the network takes. It is counted on the thread's own clock, which
stands still while others compute; what their use of caches and memory still costs, and how fast
this machine is, cancels against a yardstick: fixed work of the same kind, done before and after.
``--throttled`` has Chromium slow its processor down by four and takes the time from the wall: for a
machine that does nothing else.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))

import headless
from serve import PREFIX, SITE, serving

LIMIT_BYTES = 1_500_000
LIMIT_SECONDS = 2.0
SLOWER = 4
YARDSTICK_SECONDS = 0.135  # that the yardstick takes on an idle core of an AMD EPYC of 2026
PATIENCE = 300_000  # milliseconds; for machines that do other things besides
TEXT = {".css", ".html", ".js", ".json", ".svg"}
FIGURES = 'script[type="application/vnd.jupyter.widget-view+json"]'
# Marks the moment at which the first figure has drawn itself: its controls work from then on.
WATCH = """new MutationObserver((_, observer) => {
  if (!document.querySelector(".dc-explorer [role=img][aria-label]")) return;
  performance.mark("first-figure");
  observer.disconnect();
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["aria-label"] });"""
# Read and lay out two thousand short paragraphs.
YARDSTICK = """() => {
  const row = "<p>A <em>short</em> line of <code>words</code> that <b>wraps</b> in a column.</p>";
  const place = document.body.appendChild(document.createElement("div"));
  place.style.width = "200px";
  performance.mark("yardstick-from");
  for (let round = 0; round < 5; round++) {
    place.innerHTML = row.repeat(400);
    place.getBoundingClientRect();
  }
  performance.mark("yardstick-to");
}"""
MARKED = "performance.getEntriesByName('first-figure')"
IMAGES_COME = """images => Promise.all(images.map((image) => {
  image.loading = "eager";
  return image.complete || new Promise((come) => { image.onload = image.onerror = come; });
})).then(() => null)"""
FORMULAS_SET = "() => !window.MathJax || (MathJax.startup && MathJax.startup.document)"


@dataclass(frozen=True)
class Weight:
    """What one page fetches, compressed, and how many seconds until its first figure moves."""

    page: str
    files: int
    bytes: int
    heaviest: str
    seconds: float | None


@cache
def compressed(path: Path) -> int:
    """Bytes of a file on its way to a reader."""
    data = path.read_bytes()
    return len(gzip.compress(data, 6)) if path.suffix in TEXT else len(data)


def weigh(browser, site: Path, address: str, page: str, *, throttled: bool = False) -> Weight:
    """Open a page in a fresh profile and note what it fetches and how long it computes."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    try:
        before = 0 if throttled else yardstick(browser, context)
        tab, asked = context.new_page(), set()
        tab.on("request", lambda request: asked.add(request.url))
        seconds = seconds_to_first_figure(browser, tab, address + page, throttled)
        if seconds is not None and not throttled:
            slowness = (before + yardstick(browser, context)) / 2 / YARDSTICK_SECONDS
            seconds *= SLOWER / slowness
        read_to_the_end(tab)
    finally:
        context.close()
    files = {site / unquote(urlsplit(url).path).removeprefix(PREFIX) for url in asked
             if url.startswith(address)}  # fmt: skip
    heaviest = max(files, key=compressed)
    return Weight(page, len(files), sum(map(compressed, files)), heaviest.name, seconds)


def read_to_the_end(tab) -> None:
    """Wait for formulas, and for the images that load when a reader comes near them."""
    tab.wait_for_function(FORMULAS_SET)
    tab.evaluate("() => window.MathJax && MathJax.startup.promise")
    tab.locator("img[loading=lazy]").evaluate_all(IMAGES_COME)
    tab.wait_for_load_state("networkidle")


@contextmanager
def thread_clock(browser, tab):
    """Note when marks are set meanwhile, in seconds that the main thread had computed by then."""
    marks: dict[str, float] = {}
    browser.start_tracing(page=tab, categories=["blink.user_timing"])
    try:
        yield marks
    finally:
        events = json.loads(browser.stop_tracing())["traceEvents"]
        marks |= {event["name"]: event["tts"] / 1e6 for event in events if "tts" in event}


def yardstick(browser, context) -> float:
    """Seconds that fixed work takes the main thread of an empty page."""
    tab = context.new_page()
    with thread_clock(browser, tab) as marks:
        tab.evaluate(YARDSTICK)
    tab.close()
    return marks["yardstick-to"] - marks["yardstick-from"]


def seconds_to_first_figure(browser, tab, url: str, throttled: bool) -> float | None:
    """Seconds of the thread, or of the wall if `throttled`; None where no figure moves."""
    devtools = tab.context.new_cdp_session(tab)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER if throttled else 1})
    tab.add_init_script(WATCH)
    with thread_clock(browser, tab) as marks:
        tab.goto(url, wait_until="domcontentloaded")
        moves = tab.locator(FIGURES).count() > 0
        if moves:
            tab.wait_for_function(f"() => {MARKED}.length")
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    if not moves:
        return None
    return (
        tab.evaluate(f"() => {MARKED}[0].startTime") / 1e3 if throttled else marks["first-figure"]
    )


def too_much(weight: Weight) -> list[str]:
    """Which limits a page exceeds, as sentences."""
    found = []
    if weight.bytes > LIMIT_BYTES:
        found.append(f"{weight.page}: {weight.bytes:,} bytes, of at most {LIMIT_BYTES:,}")
    if weight.seconds is not None and weight.seconds > LIMIT_SECONDS:
        found.append(f"{weight.page}: {weight.seconds:.1f} s to its first figure, "
                     f"of at most {LIMIT_SECONDS:.0f} s")  # fmt: skip
    return found


def table(weights: list[Weight]) -> str:
    """Markdown, one row for each page."""
    rows = [
        f"| {w.page.removesuffix('.html')} | {w.bytes / 1e6:.2f} | {w.files} | {w.heaviest[:24]} | "
        f"{'–' if w.seconds is None else f'{w.seconds:.1f}'} |"
        for w in weights
    ]
    head = ["| page | MB, compressed | files | heaviest file | s to first figure |",
            "|---|---:|---:|---|---:|"]  # fmt: skip
    return "\n".join([*head, *rows])


def chapters_of(site: Path) -> list[str]:
    """Pages of the chapters of a site; an old address that leads on to one is none."""
    return [
        path.relative_to(site).as_posix()
        for path in sorted(site.glob("notebooks/*.html"))
        if 'http-equiv="refresh"' not in path.read_text(encoding="utf-8")
    ]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=SITE)
    parser.add_argument("--throttled", action="store_true", help="by the wall's clock")
    parser.add_argument("pages", nargs="*", help="paths in the site (default: all chapters)")
    options = parser.parse_args()
    path = headless.installed()
    if path is None:
        sys.exit(headless.HOW_TO)
    pages = options.pages or chapters_of(options.site)
    if not pages:
        sys.exit(f"{options.site} holds no chapters: make book")
    with serving(options.site) as address, headless.chromium(path) as browser:
        weights = [
            weigh(browser, options.site, address, page, throttled=options.throttled)
            for page in pages
        ]
    print(table(weights))
    problems = [problem for weight in weights for problem in too_much(weight)]
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
