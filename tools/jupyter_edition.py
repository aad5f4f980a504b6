"""Write the Jupyter edition of every notebook: ``python tools/jupyter_edition.py [--check]``.

The source ``notebooks/NN_topic.py`` speaks MyST; the edition ``notebooks/NN_topic.ipynb`` says the
same in plain Markdown, with the site's numbers, for Colab, JupyterLab and GitHub.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bookbuild.tree import Tree
from edition.notebook import Book, edition, settle


def editions(tree: Tree) -> dict[Path, str]:
    """Path and text of every edition: chapters, and the projects' starting notebooks."""
    book = Book(tree.root, tree.chapters(), tree.projects())
    return {tree.root / "notebooks" / f"{name}.ipynb": edition(book, name) for name in book.sources}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of step")
    options = parser.parse_args()
    tree = Tree()
    try:
        texts = editions(tree)
    except ValueError as error:
        sys.exit(str(error))
    return settle(texts, options.check)


if __name__ == "__main__":
    sys.exit(main())
