"""Old addresses lead to new ones: the extension on a small site, the table against the history."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from bookbuild.tree import ROOT, toc_pages

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
MOVED = CONFIG["sphinx"]["config"]["moved_pages"]
CONF = """
import sys
sys.path.insert(0, {extensions!r})
extensions = ["moved_pages"]
html_baseurl = "https://example.org/book/"
moved_pages = {moved!r}
"""


def build(folder, moved, builder="html"):
    """A site of two pages with a table of moved ones; returns the run of Sphinx."""
    (folder / "topics").mkdir(parents=True)
    (folder / "conf.py").write_text(CONF.format(extensions=str(ROOT / "book/_ext"), moved=moved))
    (folder / "index.rst").write_text("Start\n=====\n\n.. toctree::\n\n   topics/new\n")
    (folder / "topics/new.rst").write_text('Noise & "signal"\n================\n')
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-b",
        builder,
        str(folder),
        str(folder / "out"),
    ]
    return subprocess.run(command, capture_output=True, text=True)


def test_an_old_address_leads_to_the_new_page(tmp_path):
    done = build(tmp_path, {"topics/old": "topics/new", "older": "topics/new"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for old, target in (("topics/old", "new.html"), ("older", "topics/new.html")):
        page = (tmp_path / "out" / f"{old}.html").read_text()
        assert f'<meta http-equiv="refresh" content="0; url={target}">' in page
        assert f'<a href="{target}">Noise &amp; “signal”</a>' in page
        assert '<link rel="canonical" href="https://example.org/book/topics/new.html">' in page
        assert "<script" not in page
    assert "This page has moved" not in (tmp_path / "out/topics/new.html").read_text()


@pytest.mark.parametrize(
    ("moved", "message"),
    [
        ({"topics/old": "topics/gone"}, "leads to topics/gone, which is no page"),
        ({"index": "topics/new"}, "index is a page"),
        ({"older": "old", "old": "topics/new"}, "leads to old, which is no page"),
    ],
)
def test_a_table_that_is_wrong_stops_the_build(tmp_path, moved, message):
    done = build(tmp_path, moved)
    assert done.returncode != 0
    assert message in done.stderr


def test_other_formats_have_no_such_pages(tmp_path):
    assert build(tmp_path, {"topics/old": "topics/new"}, "text").returncode == 0
    assert not list((tmp_path / "out").rglob("old*"))


def pages_at(commit: str) -> set[str]:
    """The pages that the table of contents named at a commit."""
    shown = subprocess.run(
        ["git", "show", f"{commit}:_toc.yml"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(toc_pages(yaml.safe_load(shown.stdout)))


def test_every_page_that_ever_was_is_there_or_has_moved():
    """As far back as this clone's history goes; a shallow one knows the last commit alone."""
    log = subprocess.run(
        ["git", "log", "--format=%H", "--", "_toc.yml"], cwd=ROOT, capture_output=True, text=True
    )
    if log.returncode:
        pytest.skip("no git history here")
    ever = set().union(*map(pages_at, log.stdout.split()))
    now = set(toc_pages(yaml.safe_load((ROOT / "_toc.yml").read_text())))
    lost = {page for page in ever - now - set(MOVED) if not page.startswith("api/")}
    assert not lost, f"readers have links to {lost}: name the new pages in moved_pages, _config.yml"
    assert set(MOVED.values()) <= now
