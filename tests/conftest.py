"""What several kinds of tests share: the tools on the path, the book built once at size smoke."""

from __future__ import annotations

import sys
from pathlib import Path

import hypothesis
import pytest

# How long an example takes depends on what else the machine does; the rest is as it was loaded
# (on CI the profile that draws the same examples every time).
hypothesis.settings.register_profile("book", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("book")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from bookbuild.tree import Tree  # noqa: E402


@pytest.fixture(scope="session")
def tree() -> Tree:
    """The repository."""
    return Tree()


@pytest.fixture(scope="session")
def executed(tree):
    """Folder of the executed chapters (profile smoke); runs only those that are out of date."""
    from bookbuild.execute import ChapterFailed, execute
    from build_book import alone

    try:
        with alone(tree):
            execute(tree, "smoke")
    except ChapterFailed as error:
        pytest.fail(str(error), pytrace=False)
    return tree.executed("smoke")


@pytest.fixture(scope="session")
def site(tree, executed):
    """Folder of the finished site (profile smoke)."""
    from bookbuild.site import SiteFailed
    from build_book import build

    try:
        return build(tree, "smoke")
    except SiteFailed as error:
        pytest.fail(str(error), pytrace=False)
