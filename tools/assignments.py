"""Write the assignments: ``python tools/assignments.py [--check] [--instructor FOLDER]``.

Without an option, the students' notebooks ``notebooks/assignments/NAME.ipynb``, which hold no
answers. With ``--instructor``, notebooks with the official answers, into a folder of your choice.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bookbuild.tree import Tree
from edition import assignments
from edition.notebook import Book, settle


def students(root: Path, book: Book) -> dict[Path, str]:
    """Path and text of what students are given."""
    folder = root / assignments.FOLDER
    return {folder / f"{n}.ipynb": assignments.student(book, n) for n in assignments.names(root)}


def instructors(root: Path, book: Book, folder: Path) -> dict[Path, str]:
    """Path and text of what instructors mark with."""
    return {
        folder / f"{n}_answers.ipynb": assignments.instructor(book, n)
        for n in assignments.names(root)
    }


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of step")
    parser.add_argument("--instructor", type=Path, metavar="FOLDER", help="write answers there")
    options = parser.parse_args()
    root = Tree().root
    book = Book(root, Tree().chapters())
    texts = students(root, book)
    if options.instructor:
        options.instructor.mkdir(parents=True, exist_ok=True)
        texts = instructors(root, book, options.instructor)
    return settle(texts, options.check)


if __name__ == "__main__":
    sys.exit(main())
