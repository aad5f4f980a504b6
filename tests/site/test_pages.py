"""The built site without a browser: complete, self-contained, nothing dangling."""

from __future__ import annotations

import json
import re

import yaml
from bookbuild import check
from bookbuild.tree import ROOT, Tree
from vendor import MANIFEST
from vendor import check as check_vendored

CHAPTERS = Tree().chapters()


def test_nothing_is_wrong_that_html_alone_shows(site):
    """Pages there, links lead somewhere, images described, nothing loaded from other hosts."""
    assert check.problems(site, CHAPTERS) == []


def test_no_result_in_the_prose_is_missing(site):
    """A glued name that no cell reported would leave its warning in the page."""
    for chapter in CHAPTERS:
        text = (site / "notebooks" / f"{chapter}.html").read_text()
        assert "pasted" not in re.findall(r'class="([^"]*)missing', text)
        assert "{glue" not in text
        assert "No data found by key" not in text


def test_no_role_or_directive_is_left_as_source(site):
    """MyST that was not understood shows as {name}`…` or as ::: lines."""
    for path in [*(site / "notebooks").glob("*.html"), *(site / "book").glob("*.html")]:
        prose = re.sub(r"<(script|pre|style|code)\b.*?</\1>", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\{[a-z][\w:-]*\}(<code|`)", prose), path.name
        assert not re.search(r"^:::", prose, re.MULTILINE), path.name


def test_each_chapter_says_how_it_was_run(site):
    """The provenance file and the line at the foot of the page agree."""
    records = json.loads((site / "provenance.json").read_text())["notebooks"]
    for chapter in CHAPTERS:
        record = records[f"notebooks/{chapter}"]
        page = (site / "notebooks" / f"{chapter}.html").read_text()
        assert record["profile"] == "smoke"
        assert record["versions"]["torch"]
        assert f"source {record['source_hash'][:10]}" in page


def test_wide_figures_lead_to_themselves_alone(site):
    """Each to its own picture, which is there; a phone's reader can zoom in on it."""
    found = 0
    for page in (site / "notebooks").glob("*.html"):
        links = re.findall(
            r'<a class="book-whole[^"]*" href="([^"]+)"><img [^>]*src="([^"]+)"', page.read_text()
        )
        assert all(address == picture for address, picture in links)
        assert all((page.parent / address).is_file() for address, _ in links)
        found += len(links)
    assert found > len(CHAPTERS)


def test_old_addresses_lead_to_new_ones(site):
    """Pages that have moved, as _config.yml names them."""
    moved = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["moved_pages"]
    for old, new in moved.items():
        target = re.search(r'content="0; url=([^"]+)"', (site / f"{old}.html").read_text())[1]
        reached = (site / old).parent.joinpath(target).resolve()
        assert reached == (site / f"{new}.html").resolve()
        assert reached.is_file()


def test_vendored_files_are_those_recorded():
    """Checksums of the committed browser code."""
    assert check_vendored(json.loads(MANIFEST.read_text())) == []
