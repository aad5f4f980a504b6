"""A browser without a network, and the site over http."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import diffusion_creativity as dc


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium of the system."""
    import headless

    path = headless.installed()
    if path is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(headless.HOW_TO, pytrace=False)
        pytest.skip(headless.HOW_TO)
    with headless.chromium(path) as chromium:
        yield chromium


@pytest.fixture(scope="session")
def address(site):
    """Address of the site on this machine, below the project's name as on GitHub Pages."""
    from serve import serving

    with serving(site) as address:
        yield address


@pytest.fixture(scope="session")
def playground(tmp_path_factory) -> str:
    """Address of the playground alone on a page, opened as a file."""
    digits = dc.data.load("digits").x[:120]
    page = tmp_path_factory.mktemp("playground") / "page.html"
    page.write_text(dc.widgets.Playground(images=digits, name="digits").html(), encoding="utf-8")
    return Path(page).as_uri()
