"""Opens pages and notes everything that a reader's console would show."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import page_weight

VENDOR = Path(__file__).parent / "vendor"
WIDGETS = 'script[type="application/vnd.jupyter.widget-view+json"]'
PATIENCE = 120_000  # milliseconds; for machines that do other things besides
# Which scripts have come; those of a folder are in no list of the browser's.
COMING = """window.came = [];
document.addEventListener("load", (event) => came.push(event.target.src), true);"""
# Scripts that later.js starts have come, formulas are set, letters are there.
READY = """async () => {
  const later = [...document.querySelectorAll('script[type="text/later"]')].map((s) => s.src);
  const missing = () => later.some((src) => !came.includes(src))
    || (window.MathJax && !MathJax.startup?.promise);
  while (missing()) await new Promise((go) => setTimeout(go, 20));
  if (window.MathJax) await MathJax.startup.promise;
  await document.fonts.ready;
}"""
# What the pictures of a widget look like, text alternatives apart.
PICTURES = """explorer => [...explorer.querySelectorAll('[role=img]')].map(picture => {
  const canvases = picture.matches('canvas') ? [picture] : [...picture.querySelectorAll('canvas')];
  const image = picture.getAttribute('src') || '';
  return picture.innerHTML + image + canvases.map(canvas => canvas.toDataURL()).join('');
}).join('\\n')"""
LABELS = """explorer => [...explorer.querySelectorAll('[role=img]')]
  .map(picture => picture.getAttribute('aria-label') || picture.getAttribute('alt') || '')
  .join('\\n')"""

# What repeats is looked at once: of listings the first word of each colour, of formulas, which
# MathJax makes all alike, the first one. It makes axe-core four times as fast.
THINNED = """() => {
  const seen = new Set();
  for (const word of document.querySelectorAll('.highlight pre span[class]:not(:has(*))')) {
    if (seen.has(word.className)) word.replaceWith(word.textContent);
    seen.add(word.className);
  }
  document.querySelectorAll('.highlight pre').forEach((listing) => listing.normalize());
  const formulas = [...document.querySelectorAll('mjx-container')].slice(1);
  formulas.forEach((formula) => formula.replaceChildren());
}"""
# All rules hold in light; what other colours can break besides are those that look at colours.
RULES = {"light": "{}", "dark": "{runOnly: ['color-contrast', 'link-in-text-block']}"}
# Figures draw themselves in other colours at the next frame.
REDRAWN = "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"

PHONE = 390
NO_ALT = "images => images.filter(i => !(i.getAttribute('alt') || '').trim()).map(i => i.outerHTML)"
TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll('main *')]
    .filter(e => e.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(e => e.outerHTML.slice(0, 150));
}"""
ROUNDING = 2  # pixels; a file has fractions of them
HEIGHTS = "images => images.map(i => i.clientHeight)"
# Images of another shape than their files.
DISTORTED = """images => images.filter(i => i.naturalWidth && i.clientWidth)
  .filter(i => Math.abs(i.clientHeight - i.clientWidth * i.naturalHeight / i.naturalWidth) > 3)
  .map(i => i.outerHTML)"""


@contextmanager
def watched(browser, url: str, *, width: int = 1280):
    """A page that is open and settled, and the list of what went wrong on it."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    context.add_init_script(COMING)
    page, problems = context.new_page(), []
    host = urlsplit(url).netloc
    page.on("console", lambda message: problems.extend(complaint(message)))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("requestfailed", lambda r: problems.append(f"failed: {r.url} ({r.failure})"))
    page.on(
        "response", lambda r: problems.append(f"{r.status}: {r.url}") if r.status >= 400 else None
    )
    page.on(
        "request",
        lambda r: problems.append(f"asks another host: {r.url}") if is_other(r.url, host) else None,
    )
    try:
        page.goto(url, wait_until="load")
        settle(page)
        yield page, problems
    finally:
        context.close()


def complaint(message) -> list[str]:
    """A console message if it is a complaint."""
    if message.type not in ("error", "warning"):
        return []
    return [f"console: {message.text}"]


def is_other(url: str, host: str) -> bool:
    """Whether a request leaves the site."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != host


def settle(page) -> None:
    """Wait until formulas are set and every widget has drawn itself."""
    page.evaluate(READY)
    count = page.locator(WIDGETS).count()
    if count:
        page.wait_for_function(
            "n => document.querySelectorAll('.dc-explorer [role=img]').length >= n", arg=count
        )


def findings(page, *schemes: str, within: str = "html") -> list[str]:
    """What axe-core objects to in a part of a page, in light and in dark, a line an element."""
    if page.evaluate("() => !window.axe"):
        page.evaluate((VENDOR / "axe-core" / "axe.min.js").read_text())
        page.evaluate(THINNED)
    found = []
    for scheme in schemes or RULES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_selector(
            f"html[data-theme={scheme}], html:not([data-theme])", state="attached"
        )
        page.evaluate(REDRAWN)
        options = f"{{resultTypes: ['violations'], ...{RULES[scheme]}}}"
        result = page.evaluate(f"part => axe.run(part, {options})", within)
        found += [f"{scheme}: {line}" for rule in result["violations"] for line in lines_of(rule)]
    return found


def lines_of(rule: dict) -> list[str]:
    """One line for each element that breaks a rule."""
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['html'][:150]} "
        f"{(node['any'] + node['all'] + node['none'] + [{'message': ''}])[0]['message'][:160]}"
        for node in rule["nodes"]
    ]


def images_that_move(page) -> list[str]:
    """Load the images that wait; each has its place before, and the shape of its file after."""
    images = page.locator("article img[src*='_images/']")
    before = images.evaluate_all(HEIGHTS)
    images.evaluate_all(page_weight.IMAGES_COME)
    moved = zip(before, images.evaluate_all(HEIGHTS), strict=True)
    found = [f"height of image {k}: {a}, later {b}" for k, (a, b) in enumerate(moved)
             if abs(a - b) > ROUNDING]  # fmt: skip
    return found + images.evaluate_all(DISTORTED)


def objections(page, *, alike: bool = False) -> list[str]:
    """What a page that is open on a phone lacks, there and on a large screen.

    Of many pages that are `alike`, each in light on the phone and in dark on the large screen.
    """
    found = page.locator("img").evaluate_all(NO_ALT) + page.evaluate(TOO_WIDE)
    found += images_that_move(page)
    found += [f"phone, {line}" for line in findings(page, *(("light",) if alike else ()))]
    page.set_viewport_size({"width": 1280, "height": 900})
    return found + [f"large, {line}" for line in findings(page, *(("dark",) if alike else ()))]
