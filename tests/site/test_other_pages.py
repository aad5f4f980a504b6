"""The pages nobody wrote: API, search, indices, decks, not found."""

from __future__ import annotations

import pytest

from . import watch
from .test_browser import MOVED, PAGES

pytestmark = pytest.mark.browser


def test_every_other_page_is_quiet_described_narrow_and_accessible(browser, address, site):
    """The same demands as on those of the table of contents."""
    found = {}
    for file in sorted(site.rglob("*.html")):
        path = file.relative_to(site).as_posix()
        if path in [*PAGES, *MOVED, "index.html"] or path.startswith("_static"):
            continue
        with watch.watched(browser, address + path, width=watch.PHONE) as (page, problems):
            seen = watch.objections(page, alike=True)
        if problems + seen:
            found[path] = problems + seen
    assert found == {}
