"""What readers can take with them, in the site's folder ``downloads``: archives.

Archives are the same byte for byte whenever their content is: files in order, no dates.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from edition import classroom
from edition.notebook import Book

from .keys import files_below
from .tree import Tree

FOLDER = "downloads"
BOOK = "what-denoisers-dream"
PDF = f"{BOOK}.pdf"
STUDENT, INSTRUCTOR, OFFLINE = (f"{BOOK}-{x}.zip" for x in ("student", "instructor", "offline"))
LICENCES = ("LICENSE", "LICENSE-text")
SEARCH = "_static/documentation_options.js"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
PLACE = re.compile(r'(<span class="download" data-file="([^"]+)">).*?(</span>)', re.DOTALL)
READ_ME = """\
# {title}: the {edition} edition

{about} Read the book at {site}.

The notebooks run in JupyterLab or on Colab (File, Upload notebook); their first cell installs the
package where it is missing. Chapters are NN_topic.ipynb; assignments and projects have folders.
Text and figures are CC BY 4.0, code is MIT: use, cut and translate them, and say where they are
from.
"""
ABOUT = {
    STUDENT: "Every exercise has a stub that raises NotImplementedError, a self-check, and a place "
    "for an answer in words. Solutions are left out.",
    INSTRUCTOR: "Every solution is in place, assignments have their official answers, and each "
    "chapter begins with notes for the instructor.",
}


def archive(files: dict[str, bytes], place: Path) -> None:
    """Write a zip of these files, all below a folder of the archive's name."""
    part = place.with_name(place.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{place.stem}/{name}", EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            target.writestr(entry, files[name])
    part.replace(place)


def course_files(tree: Tree, book: Book, name: str) -> dict[str, bytes]:
    """The files of the student's or of the instructor's archive."""
    make = classroom.students if name == STUDENT else classroom.instructors
    texts = make(book)
    texts["README.md"] = READ_ME.format(
        title=book.title,
        edition="student" if name == STUDENT else "instructor",
        about=ABOUT[name],
        site=book.site,
    )
    files = {path: text.encode() for path, text in texts.items()}
    return files | {licence: (tree.root / licence).read_bytes() for licence in LICENCES}


def offline_files(html: Path, address: str) -> dict[str, bytes]:
    """The site without its downloads, to which its pages then lead on the web."""
    files = {}
    for path in files_below(html):
        name = path.relative_to(html)
        if name.parts[0] == FOLDER or name.name.startswith("."):
            continue
        content = path.read_bytes()
        if b'class="download"' in content and path.suffix == ".html":
            content = with_links(content.decode(), html / FOLDER, address).encode()
        files[name.as_posix()] = content
    # A browser lets no page read another from a folder: results without excerpts, no errors.
    files[SEARCH] = files[SEARCH].replace(b"SUMMARY: true", b"SUMMARY: false")
    return files


def size(path: Path) -> str:
    """The size of a file in words: 0.4 MB."""
    return f"{max(path.stat().st_size, 1e5) / 1e6:.1f} MB"


def with_links(page: str, folder: Path, address: str) -> str:
    """Fill the places where a page names a download: a link and a size, or that it is missing."""

    def filled(match: re.Match) -> str:
        path = folder / match[2]
        text = f'<a href="{address}{path.name}">{path.name}</a>'
        if path.exists():
            text += f" ({size(path)})"
        elif "://" not in address:
            text = f"{path.name} (not made yet)"
        return f"{match[1]}{text}{match[3]}"

    return PLACE.sub(filled, page)


def announce(html: Path) -> None:
    """Name the downloads that are there, with their sizes, on pages with a place for it."""
    for path in html.glob("book/*.html"):
        page = path.read_text(encoding="utf-8")
        if (new := with_links(page, html / FOLDER, f"../{FOLDER}/")) != page:
            path.write_text(new, encoding="utf-8")


def add_downloads(tree: Tree, html: Path) -> None:
    """Put the archives into a site, and say on its pages how large they are."""
    folder = html / FOLDER
    folder.mkdir(exist_ok=True)
    book = Book(tree.root, tree.chapters(), tree.projects())
    for name in (STUDENT, INSTRUCTOR):
        archive(course_files(tree, book, name), folder / name)
    archive(offline_files(html, f"{book.site}{FOLDER}/"), folder / OFFLINE)
    announce(html)
