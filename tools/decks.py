"""Write the lecture decks: ``python tools/decks.py [--profile smoke|book|gpu]``.

``book/decks/part_N.md`` says what is on the slides; figures, theorems and numbers come from the
executed chapters by name. `make book` puts the decks into the site; this script writes them alone,
into the site of the last build.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bookbuild.tree import PROFILES, Tree
from deck.material import Material
from deck.page import Page
from deck.source import slides_of
from edition.notebook import Book

SOURCES = "book/decks"
ASSETS = ("deck.css", "deck.js")


class DeckFailed(Exception):
    """A deck names what is not there, or cannot be read."""


def material(executed: Path, chapters: list[str]) -> Material:
    """What the executed chapters offer."""
    found = Material()
    for chapter in chapters:
        found.read(chapter, nbformat.read(executed / f"{chapter}.ipynb", as_version=4))
    return found


def decks(tree: Tree, profile: str) -> dict[str, bytes]:
    """Every file of the decks with its content, by its path in their folder."""
    sources = sorted((tree.root / SOURCES).glob("part_*.md"))
    if not sources:
        return {}
    book = Book(tree.root, tree.chapters(), tree.projects())
    found = material(tree.executed(profile), tree.chapters())
    files = {name: (tree.root / SOURCES / name).read_bytes() for name in ASSETS}
    for source in sources:
        page = Page(book, found)
        try:
            html = page.page(slides_of(source.read_text(encoding="utf-8")))
        except ValueError as error:
            raise DeckFailed(f"{SOURCES}/{source.name}, {error}") from None
        files |= {f"{source.stem}.html": html.encode(), **page.pictures}
    return files


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=PROFILES, default="book")
    options = parser.parse_args()
    tree = Tree()
    try:
        files = decks(tree, options.profile)
    except (DeckFailed, FileNotFoundError) as error:
        sys.exit(str(error))
    for name, content in files.items():
        path = tree.html / "decks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    print(f"{len(files)} files in {(tree.html / 'decks').relative_to(tree.root)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
