"""Opens pages and notes everything that a reader's console would show."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

VENDOR = Path(__file__).parent / "vendor"
WIDGETS = 'script[type="application/vnd.jupyter.widget-view+json"]'
# The widget manager's own JSON schema, as its validator comments on it.
HARMLESS = "strict mode: use allowUnionTypes"
READY = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
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


@contextmanager
def watched(browser, url: str, *, width: int = 1280):
    """A page that is open and settled, and the list of what went wrong on it."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
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
    if message.type not in ("error", "warning") or HARMLESS in message.text:
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
    page.wait_for_load_state("networkidle")


def serious_findings(page) -> list[str]:
    """What axe-core calls serious or critical on a page, one line for each element."""
    page.evaluate((VENDOR / "axe-core" / "axe.min.js").read_text())
    result = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['html'][:150]} "
        f"{(node['any'] + node['all'] + node['none'] + [{'message': ''}])[0]['message'][:160]}"
        for rule in result["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
