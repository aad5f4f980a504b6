"""What pages weigh and how soon their first figure moves: ``python tools/page_weight.py``.

Opens each chapter of the site as a new reader does, in headless Chromium, and prints a table. The
weight is that of every file that the page fetches, as a server sends it: text compressed with gzip,
at its usual level 6. The time is four times what the page's main thread computes from its start
until the first figure is drawn and answers: seconds on a processor of a quarter of the speed. It is
counted on the thread's own clock, so it says the same on a busy machine; a network's time comes on
top. ``--throttled`` has Chromium slow its processor down by four and takes the time from the wall:
for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
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
PATIENCE = 300_000  # milliseconds; for machines that do other things besides
TEXT = {".css", ".html", ".js", ".json", ".svg"}
FIGURES = 'script[type="application/vnd.jupyter.widget-view+json"]'
# Marks the moment at which the first figure has drawn itself: its controls work from then on.
WATCH = """new MutationObserver((_, observer) => {
  if (!document.querySelector(".dc-explorer [role=img][aria-label]")) return;
  performance.mark("first-figure");
  observer.disconnect();
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["aria-label"] });"""
MARKED = "performance.getEntriesByName('first-figure')"
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
        tab, asked = context.new_page(), set()
        tab.on("request", lambda request: asked.add(request.url))
        seconds = seconds_to_first_figure(browser, tab, address + page, throttled)
        tab.wait_for_function(FORMULAS_SET)
        tab.evaluate("() => window.MathJax && MathJax.startup.promise")
        tab.wait_for_load_state("networkidle")
    finally:
        context.close()
    files = {site / unquote(urlsplit(url).path).removeprefix(PREFIX) for url in asked
             if url.startswith(address)}  # fmt: skip
    heaviest = max(files, key=compressed)
    return Weight(page, len(files), sum(map(compressed, files)), heaviest.name, seconds)


def seconds_to_first_figure(browser, tab, url: str, throttled: bool) -> float | None:
    """Seconds on a slow processor; None for a page without figures that move."""
    devtools = tab.context.new_cdp_session(tab)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER if throttled else 1})
    tab.add_init_script(WATCH)
    browser.start_tracing(page=tab, categories=["blink.user_timing"])
    try:
        tab.goto(url, wait_until="domcontentloaded")
        moves = tab.locator(FIGURES).count() > 0
        if moves:
            tab.wait_for_function(f"() => {MARKED}.length")
    finally:
        trace = json.loads(browser.stop_tracing())
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    if not moves:
        return None
    if throttled:
        return tab.evaluate(f"() => {MARKED}[0].startTime") / 1e3
    mark = next(event for event in trace["traceEvents"] if event["name"] == "first-figure")
    return SLOWER * mark["tts"] / 1e6  # of the thread; the page has a process of its own


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
    """Pages of the chapters of a site."""
    return [path.relative_to(site).as_posix() for path in sorted(site.glob("notebooks/*.html"))]


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
