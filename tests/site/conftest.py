"""A browser without a network, and the site over http."""

from __future__ import annotations

import os

import pytest


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
