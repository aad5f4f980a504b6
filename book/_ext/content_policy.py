"""Sphinx extension of this book: a Content-Security-Policy in every page.

Pages load from their own site alone. Scripts in a page run only if their hash is in its policy, so
nothing that gets into the text can run; there is no ``eval``. What is let through besides, and why:

* ``blob:`` scripts, on pages with interactive figures alone: a figure's code is text in the page
  and imported from there, since a page opened as a file may not import other files. Only a script
  that the policy lets run can make such an address.
* styles of all kinds: MathJax writes its own, and figures set sizes and colours on their elements.
* ``data:`` images: the icons of the theme's style sheets.
* on lecture decks, frames of the site and one script more: the speaker's window, which is written
  by a file of reveal.js, obeys the policy of the deck and shows the deck in frames.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
# A figure of a chapter (figures.js), of a prose page (its own script), of a deck (deck.js).
IMPORTS = re.compile(
    r'widget-view\+json|createObjectURL|<script type="application/json" id="program-'
)
SPEAKER = re.compile(r'<script src="([^"]*/reveal/notes\.js)"')
WRITTEN = re.compile(r"<script>(.*?)<\\/script>", re.DOTALL)  # within a template of JavaScript
# After the encoding, which comes first or is not seen; a page that leads on has neither.
HEAD = re.compile(r'(?:.*?<meta charset="utf-8"\s*/?>)?', re.DOTALL | re.IGNORECASE)
META = '<meta http-equiv="Content-Security-Policy" content="{}" />'


def allowed(code: str) -> str:
    """How a policy names one script."""
    digest = hashlib.sha256(code.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def runs(attributes: str) -> bool:
    """Whether a script of a page is code in it, neither a file nor data."""
    kind = re.search(r'\btype="([^"]*)"', attributes)
    return not re.search(r"\bsrc=", attributes) and (not kind or "json" not in kind[1])


def written(file: Path) -> list[str]:
    """Scripts that a file of JavaScript writes into a window."""
    templates = WRITTEN.findall(file.read_text(encoding="utf-8"))
    return [re.sub(r"\\(.)", r"\1", template) for template in templates]


def policy(page: str, folder: Path) -> str:
    """The policy under which a page that lies in a folder does all that it does, and no more."""
    scripts = {allowed(code) for attributes, code in SCRIPT.findall(page) if runs(attributes)}
    windows = [code for file in SPEAKER.findall(page) for code in written(folder / file)]
    blobs = ["blob:"] if IMPORTS.search(page) else []
    hashes = [*sorted(scripts), *map(allowed, windows)]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", *blobs, *hashes]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        **({"frame-src": "'self'"} if windows else {}),
        "form-action": "'self'",
        "base-uri": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def add_policies(app, exception):
    """Put its policy at the head of every page that was written."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        place = HEAD.match(page).end()
        meta = META.format(policy(page, path.parent))
        path.write_text(page[:place] + meta + page[place:], encoding="utf-8")


def setup(app):
    """Register with Sphinx; after everything that changes pages."""
    app.connect("build-finished", add_policies, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
