"""A look at a finished site without a browser: pages there, pictures described, nothing foreign."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes that make a browser fetch something while it loads a page.
LOADED = {
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("video", "src"),
}
# What a description says that says nothing: a word for the thing, a number, the name of a file.
GENERIC = re.compile(
    r"(?:an? |the )?(?:figure|fig|image|img|picture|plot|chart|graph|diagram|output|untitled)?"
    r"[\s.:#_-]*[\d.]*|\S+\.(?:svg|png|jpe?g|gif|webp)|[0-9a-f]{16,}|<figure size.*>", re.IGNORECASE
)  # fmt: skip
LEAST_WORDS = 8
LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch"}


class Page(HTMLParser):
    """What a page loads, links to, names, and shows without a description."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.undescribed: list[str] = []
        self.figures: list[tuple[str, str]] = []  # file and description, of what the text shows
        self._articles = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Sort one tag into the lists."""
        values = dict(attrs)
        self._articles += tag == "article"
        if values.get("id"):
            self.ids.add(values["id"])
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "link" and LOADED_LINKS.intersection((values.get("rel") or "").split()):
            self.loads.append(values.get("href") or "")
        self.loads += [values[key] for t, key in LOADED if t == tag and values.get(key)]
        if tag == "img" and not (values.get("alt") or "").strip():
            self.undescribed.append(values.get("src") or "?")
        elif tag == "img" and self._articles:
            self.figures.append((Path(values.get("src") or "").name, values["alt"].strip()))

    def handle_endtag(self, tag):
        """Leave the text of a page."""
        self._articles -= tag == "article"


def read_pages(site: Path) -> dict[str, Page]:
    """All pages of a site by their path in it."""
    paths = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    return {path.relative_to(site).as_posix(): Page(path) for path in paths}


def is_foreign(address: str) -> bool:
    """Whether an address leads to another host."""
    return bool(urlsplit(address).netloc)


def foreign_loads(pages: dict[str, Page]) -> list[str]:
    """What pages would fetch from other hosts."""
    return [
        f"{name}: loads {address}"
        for name, page in pages.items()
        for address in page.loads
        if is_foreign(address)
    ]


def broken_links(site: Path, pages: dict[str, Page]) -> list[str]:
    """Links between pages of the site that lead nowhere."""
    found = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or name == "404.html":
                continue
            target = (page.path.parent / unquote(parts.path)) if parts.path else page.path
            target = target / "index.html" if target.is_dir() else target
            other = pages.get(_relative(target, site))
            if not target.exists():
                found.append(f"{name}: {link} does not exist")
            elif parts.fragment and other and unquote(parts.fragment) not in other.ids:
                found.append(f"{name}: {link}: no such place on that page")
    return found


def poor_descriptions(pages: dict[str, Page]) -> list[str]:
    """Figures whose description says nothing, too little, or what another figure's says."""
    found, first = [], {}
    for name, page in pages.items():
        for file, text in page.figures:
            if GENERIC.fullmatch(text):
                found.append(f"{name}: {text!r} does not say what the figure shows")
            elif len(text.split()) < LEAST_WORDS:
                found.append(f"{name}: {text!r} says too little of a figure")
            other = first.setdefault(text.casefold(), (name, file))
            if other[1] != file:
                found.append(f"{name}: {text!r} describes another figure of {other[0]} too")
    return found


def _relative(path: Path, site: Path) -> str:
    try:
        return path.resolve().relative_to(site.resolve()).as_posix()
    except ValueError:
        return ""


def problems(site: Path, chapters: list[str]) -> list[str]:
    """Everything wrong with a site that can be seen without a browser."""
    pages = read_pages(site)
    expected = ["index.html", "search.html", *(f"notebooks/{name}.html" for name in chapters)]
    missing = [f"{name}: missing" for name in expected if name not in pages]
    undescribed = [
        f"{name}: image without a description: {image[:80]}"
        for name, page in pages.items()
        for image in page.undescribed
    ]
    described = undescribed + poor_descriptions(pages)
    return missing + foreign_loads(pages) + described + broken_links(site, pages)
