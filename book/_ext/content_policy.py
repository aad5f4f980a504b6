"""Sphinx extension of this book: a Content-Security-Policy in every page.

Pages load from their own site alone. Scripts in a page run only if their hash is in its policy, so
nothing that gets into the text can run; there is no ``eval``. What is let through besides, and why:

* ``blob:`` scripts: a figure's code is kept once in the page, as text, and imported from there.
* ``'unsafe-hashes'``: the theme's buttons for full screen and print have an ``onclick``.
* styles of all kinds: MathJax writes its own, and figures set sizes and colours on their elements.
* ``data:`` images: the icons of the theme's style sheets.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
HANDLER = re.compile(r'<[a-z][^<>]*?\son[a-z]+="([^"]*)"')
META = '<meta http-equiv="Content-Security-Policy" content="{}" />'


def allowed(code: str) -> str:
    """How a policy names one script."""
    digest = hashlib.sha256(code.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def runs(attributes: str) -> bool:
    """Whether a script of a page is code in it, neither a file nor data."""
    kind = re.search(r'\btype="([^"]*)"', attributes)
    return not re.search(r"\bsrc=", attributes) and (not kind or "json" not in kind[1])


def policy(page: str) -> str:
    """The policy under which a page does all that it does, and nothing else."""
    scripts = {allowed(code) for attributes, code in SCRIPT.findall(page) if runs(attributes)}
    handlers = {allowed(html.unescape(code)) for code in HANDLER.findall(SCRIPT.sub("", page))}
    hashes = [*sorted(scripts), *(["'unsafe-hashes'"] if handlers else []), *sorted(handlers)]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", "blob:", *hashes]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
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
        charset = re.search(r'<meta charset="utf-8" />', page)  # comes first, or is not seen
        place = charset.end() if charset else 0
        meta = META.format(policy(page))
        path.write_text(page[:place] + meta + page[place:], encoding="utf-8")


def setup(app):
    """Register with Sphinx; after everything that changes pages."""
    app.connect("build-finished", add_policies, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
