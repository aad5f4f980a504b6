"""The worked example of CONTRIBUTING.md, applied to a copy of the repository as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from bookbuild.tree import ROOT, Tree

BLOCK = r"^\*\*(\S+)\*\*\n\n(`{3,})(\w+)\n(.*?)^\2$"
EXECUTE = """
from bookbuild.execute import execute
from bookbuild.tree import Tree
execute(Tree(), "smoke", names=["22_odd_denoisers"])
"""
pytestmark = pytest.mark.notebooks


def blocks() -> dict[str, tuple[str, str]]:
    """File → kind and text of each block that a file name in bold stands above."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.findall(BLOCK, text, re.M | re.S)
    return {name.replace("\\", ""): (kind, body) for name, _, kind, body in found}


def amended(text: str, diff: str) -> str:
    """Text with the lines of a diff that begin with +, each below the line above it there."""
    for below, added in re.findall(r"^ (.*\n)\+(.*\n)", diff, re.M):
        assert text.count(below) == 1, f"the example adds a line below {below!r}"
        text = text.replace(below, below + added)
    return text


@pytest.fixture(scope="module")
def applied(tmp_path_factory):
    """A copy of what git keeps, with the example in it."""
    copy = tmp_path_factory.mktemp("example")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", ".", ":!results", ":!book/_extra"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    for name, (kind, body) in blocks().items():
        assert (copy / name).exists() == (kind == "diff"), name
        text = amended((copy / name).read_text(), body) if kind == "diff" else body
        (copy / name).write_text(text, encoding="utf-8")
    return copy


def python(folder, *arguments) -> subprocess.CompletedProcess:
    """This Python with the package and the tools of the copy."""
    paths = os.pathsep.join([str(folder / "src"), str(folder / "tools")])
    settings = os.environ | {"PYTHONPATH": paths, "BOOK_ROOT": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, env=settings
    )


def test_the_example_has_all_its_parts():
    kinds = {name: kind for name, (kind, _) in blocks().items()}
    assert kinds == {
        "src/diffusion_creativity/denoisers/odd.py": "python",
        "src/diffusion_creativity/denoisers/__init__.py": "diff",
        "tests/unit/test_odd.py": "python",
        "notebooks/22_odd_denoisers.py": "python",
        "_toc.yml": "diff",
        "tests/laws/test_chapter_22.py": "python",
    }


def test_what_it_adds_is_clean_and_passes(applied):
    added = [name for name, (kind, _) in blocks().items() if name.endswith(".py")]
    for command in (["check"], ["format", "--check"]):
        done = python(applied, "-m", "ruff", *command, *added)
        assert done.returncode == 0, done.stdout + done.stderr
    tests = [name for name in added if name.startswith("tests/")]
    done = python(applied, "-m", "pytest", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_its_chapter_runs_and_becomes_a_notebook(applied):
    tree = Tree(applied)
    assert "22_odd_denoisers" in tree.chapters()
    done = python(applied, "-c", EXECUTE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "odd_negatives" in (tree.executed("smoke") / "22_odd_denoisers.ipynb").read_text()
    done = python(applied, "tools/jupyter_edition.py")
    assert done.returncode == 0, done.stdout + done.stderr
    edition = (applied / "notebooks/22_odd_denoisers.ipynb").read_text()
    number = tree.chapters().index("22_odd_denoisers") + 1
    assert f"**Theorem {number}.1**" in edition
