"""What our Sphinx extensions change in finished pages: policy, images, icons."""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))

import content_policy
import later_images
import lighter_icons

HEAD = '<!DOCTYPE html><html><head><meta charset="utf-8" /><title>t</title></head>'


def sources(page: str, folder: Path, rule: str = "script-src") -> list[str]:
    rules = dict(part.split(maxsplit=1) for part in content_policy.policy(page, folder).split("; "))
    return rules.get(rule, "").split()


def hashed(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def test_code_in_a_page_runs_and_data_is_no_code(tmp_path):
    page = HEAD + (
        '<script>first("&amp;")</script><script type="module">second()</script>'
        '<script type="application/json">{}</script><script src="a.js"></script>'
        '<button onclick="third()">x</button>'
    )
    said = sources(page, tmp_path)
    assert {*said} == {"'self'", hashed('first("&amp;")'), hashed("second()")}


@pytest.mark.parametrize(("body", "imports"), [
    ("<p>blob: and figures in words</p>", False),
    ('<script type="application/vnd.jupyter.widget-view+json">{}</script>', True),
    ('<script type="module">import(URL.createObjectURL(x))</script>', True),
    ('<script type="application/json" id="program-1a">{}</script>', True),
])  # fmt: skip
def test_addresses_of_a_pages_own_making_only_beside_figures(tmp_path, body, imports):
    assert ("blob:" in sources(HEAD + body, tmp_path)) == imports


def test_speakers_window_runs_its_script(tmp_path):
    (tmp_path / "reveal").mkdir()
    template = r"open().document.write(`<p>\`</p><script>say(\`\\n\`);<\/script>`)"
    (tmp_path / "reveal" / "notes.js").write_text(template, encoding="utf-8")
    page = HEAD + '<script src="./reveal/notes.js"></script>'
    assert hashed(r"say(`\n`);") in sources(page, tmp_path)
    assert sources(page, tmp_path, "frame-src") == ["'self'"]
    assert sources(HEAD, tmp_path, "frame-src") == []


@pytest.mark.parametrize("page", [
    HEAD, HEAD.replace(" />", ">"), '<meta http-equiv="Refresh" content="0; url=a.html" />',
])  # fmt: skip
def test_policy_comes_first_but_for_the_encoding(page):
    place = content_policy.HEAD.match(page).end()
    charset = page.find("charset")
    assert place == (page.index(">", charset) + 1 if charset > 0 else 0)


def test_drawings_wait_and_tell_their_size(tmp_path):
    (tmp_path / "_images").mkdir()
    svg = '<?xml version="1.0"?>\n<svg xmlns:xlink="x" width="72pt" height="36.5pt" viewBox="">'
    (tmp_path / "_images" / "a.svg").write_text(svg, encoding="utf-8")
    (tmp_path / "_images" / "b.svg").write_text('<svg viewBox="0 0 1 1">', encoding="utf-8")
    page = '<img alt="A" src="_images/a.svg" /><img alt="B" src="_images/b.svg" style="width: 9px">'
    mended = later_images.later(page, tmp_path)
    assert '<img loading="lazy" width="96" height="49" alt="A" src="_images/a.svg" />' in mended
    assert '<img loading="lazy" alt="B" src="_images/b.svg" style="width: 9px">' in mended
    assert later_images.later(mended, tmp_path) == mended
    logo = '<img src="_static/logo.svg"><img width="5" src="_images/a.svg">'
    assert later_images.later(logo, tmp_path) == logo


def test_icons_that_no_page_names_go():
    kept = '"bars":[448,512,["navicon"],"f0c9","M0"],'
    other = 'yen:[384,512,[165,"jpy"],"f157",["M1","M2"]],'
    icons = "var t={" + other + kept + "};"
    assert lighter_icons.only({"navicon"}, icons) == "var t={" + kept + "};"
    assert lighter_icons.only({"jpy"}, icons) == "var t={" + other + "};"
