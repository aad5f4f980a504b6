"""Print the built site as one PDF: ``python tools/pdf.py``.

The pages of the site, in the order of ``_toc.yml``, become one page with still pictures for the
figures that move, which the system's Chromium prints with bookmarks and page numbers.
"""

from __future__ import annotations

import html
import json
import sys
import tempfile
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import nbformat
import yaml
from bookbuild.downloads import FOLDER, PDF, announce
from bookbuild.progress import say
from bookbuild.tree import Tree, toc_pages
from bs4 import BeautifulSoup, Tag
from headless import HOW_TO, chromium, installed
from playwright.sync_api import Browser

VIEW = "application/vnd.jupyter.widget-view+json"
FOR_A_SCREEN = ("api/", "book/playground", "book/downloads")
# Controls, and the folded code that draws figures. A folded solution is printed.
NOT_PRINTED = "script, style, .headerlink, .copybtn, details.hide, .book-cite"
PAPER = """
.cover, .bd-article { break-after: page; }
.cover { text-align: center; }
.cover .title { font-size: 30pt; margin: 30vh 0 1rem; }
.cover nav { break-before: page; text-align: left; }
.cover ul { list-style: none; padding-left: 1.5rem; margin: 0; }
.bd-content { display: block !important; }
"""
FOOT = """<div style="width: 100%; font-size: 8pt; text-align: center">
<span class="pageNumber"></span></div>"""
WHOLE = """<!doctype html>
<html lang="en" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{title}</title>{head}<style>{paper}</style></head>
<body><header class="cover"><p class="title">{title}</p><p>{author}</p>
<p>The pages of <a href="{site}">{site}</a>. Figures that move there stand still here, and the
code that draws figures is left out.</p>
<nav><h1>Contents</h1>{contents}</nav></header>
<main class="bd-content">{body}</main></body></html>
"""


class Site:
    """A built site, and where its pages, pictures and links are on paper."""

    def __init__(self, tree: Tree, folder: Path):
        self.html = folder
        if not (folder / "index.html").exists():
            raise FileNotFoundError(f"there is no site in {folder}: run make book first")
        settings = yaml.safe_load((tree.root / "_config.yml").read_text(encoding="utf-8"))
        self.title, self.author = settings["title"], settings["author"]
        self.address = settings["html"]["baseurl"]
        self.toc = yaml.safe_load((tree.root / "_toc.yml").read_text(encoding="utf-8"))
        self.pages = [page for page in toc_pages(self.toc) if not page.startswith(FOR_A_SCREEN)]
        record = json.loads((self.html / "provenance.json").read_text(encoding="utf-8"))
        self.notebooks = tree.stage(next(iter(record["notebooks"].values()))["profile"])

    def read(self, page: str) -> BeautifulSoup:
        """One page, parsed."""
        text = (self.html / f"{page}.html").read_text(encoding="utf-8")
        return BeautifulSoup(text, "html.parser")

    def file(self, page: str, address: str) -> str:
        """The address of a file that a page names, whatever page names it."""
        return (self.html / page).parent.joinpath(address.split("?")[0]).resolve().as_uri()

    def place(self, page: str, link: str) -> str:
        """Where a link of a page leads: to a place in the PDF, or to the web."""
        if "://" in link or link.startswith("mailto:"):
            return link
        target, fragment = urldefrag(urljoin(f"{page}.html", link))
        if (name := target.removesuffix(".html")) in self.pages:
            return f"#{anchor(name, fragment)}"
        return urljoin(self.address, target) + (f"#{fragment}" if fragment else "")

    def stills(self, page: str) -> dict[str, Tag]:
        """What stands for each figure of a notebook that moves: a picture, or else words."""
        path, found = self.notebooks / f"{page}.ipynb", {}
        cells = nbformat.read(path, as_version=4).cells if path.exists() else []
        for output in (output for cell in cells for output in cell.get("outputs", [])):
            if VIEW in (data := output.get("data", {})):
                words, still = data["text/plain"], Tag(name="p", attrs={"class": "dc-caption"})
                still.string = words
                if picture := data.get("image/png"):
                    source = f"data:image/png;base64,{picture}"
                    still = Tag(name="img", attrs={"src": source, "alt": words})
                found[data[VIEW]["model_id"]] = still
        return found


def anchor(page: str, name: str = "") -> str:
    """The name of a place on a page that no other page has."""
    return f"{page.replace('/', '-')}--{name}"


def printed(site: Site, page: str) -> Tag:
    """The text of a page as it is printed."""
    text, stills = site.read(page).select_one("article.bd-article"), site.stills(page)
    for view in text.find_all("script", type=VIEW):
        view.replace_with(stills[json.loads(view.string)["model_id"]])
    for fold in text.select(".solution details.hide"):
        fold.summary.decompose()
        fold.unwrap()
    for element in text.select(NOT_PRINTED):
        element.decompose()
    for fold in text.find_all("details"):
        fold["open"] = ""
    seen = set()  # every box of an exercise is named exercise-content
    for element in text.find_all(id=True):
        name = element["id"]
        if name in seen:
            del element["id"]
        else:
            element["id"] = anchor(page, name)
        seen.add(name)
    for link in text.find_all("a", href=True):
        link["href"] = site.place(page, link["href"])
    for image in text.find_all("img", src=True):
        image.attrs.pop("loading", None)  # nobody scrolls on paper
        if not image["src"].startswith("data:"):
            image["src"] = site.file(page, image["src"])
    text["id"] = anchor(page)
    return text


def contents(site: Site, articles: dict[str, Tag]) -> str:
    """The table of contents, with the parts of the book."""
    lines = []
    for part in [{"caption": "", "chapters": [{"file": site.toc["root"]}]}, *site.toc["parts"]]:
        items = [
            f'<li><a href="#{anchor(page)}">{html.escape(articles[page].h1.get_text())}</a></li>'
            for page in toc_pages(part["chapters"])
            if page in articles
        ]
        lines.append(f"<p>{html.escape(part['caption'])}</p><ul>{''.join(items)}</ul>")
    return "\n".join(lines)


def head(site: Site) -> str:
    """What a page of the site loads to look as it does and to set formulas."""
    page, wanted = site.pages[0], []
    for element in site.read(page).head.select('link[rel="stylesheet"], script'):
        key = "href" if element.name == "link" else "src"
        if element.name == "link" or "mathjax" in str(element).lower():
            if element.has_attr(key):
                element[key] = site.file(page, element[key])
            if element.get("type") == "text/later":  # here it is not in the way of a figure
                del element["type"]
            wanted.append(str(element))
    return "".join(wanted)


def whole(site: Site) -> str:
    """The book as one page."""
    articles = {page: printed(site, page) for page in site.pages}
    return WHOLE.format(
        title=html.escape(site.title),
        author=html.escape(site.author),
        site=site.address,
        head=head(site),
        paper=PAPER,
        contents=contents(site, articles),
        body="\n".join(map(str, articles.values())),
    )


def print_pages(browser: Browser, source: Path, target: Path) -> None:
    """Let Chromium set the formulas and print."""
    page = browser.new_page(color_scheme="light")
    page.set_default_timeout(0)  # thousands of formulas take minutes
    page.goto(source.as_uri())
    page.evaluate("MathJax.startup.promise.then(() => document.fonts.ready).then(() => 0)")
    page.pdf(
        path=target,
        format="A4",
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOT,
        print_background=True,
        outline=True,
        tagged=True,
    )
    page.close()


def main() -> int:
    """Command line."""
    browser = installed()
    if browser is None:
        sys.exit(HOW_TO)
    try:
        site = Site(Tree(), Tree().html)
        place = site.html / FOLDER / PDF
        with tempfile.TemporaryDirectory(prefix="pdf-", dir=site.html.parent) as folder:
            source, target = Path(folder) / "book.html", Path(folder) / PDF
            source.write_text(whole(site), encoding="utf-8")
            say("pdf: printing, which takes some minutes")
            with chromium(browser) as printer:
                print_pages(printer, source, target)
            place.parent.mkdir(exist_ok=True)
            target.replace(place)
    except FileNotFoundError as error:
        sys.exit(str(error))
    announce(site.html)
    say(f"pdf: {place} ({place.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
