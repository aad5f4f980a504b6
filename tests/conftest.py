"""What several kinds of tests share: the tools on the path, the book built once at size smoke."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

# Before torch is loaded. Tests are small: a second thread gains little on a quiet machine, and on a
# busy one the first waits for it, spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples every time, so that a red run says something of the change; EXPLORE=1 draws
# new ones. How long one takes depends on what else the machine does.
hypothesis.settings.register_profile(
    "book", derandomize=os.environ.get("EXPLORE") != "1", database=None, deadline=None
)
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
