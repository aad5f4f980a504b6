"""Formulas that run in the browser, each with its twin in Python.

``NAME.js`` holds ``export default function (state, data)``; the module of its topic holds the
same function in Python, the controls, the panels and the data it needs.
"""

from __future__ import annotations

from pathlib import Path

from .common import Formula

from .affine import AFFINE_VARIANCE, ELLIPSE_2D  # isort: skip
from .posterior import BAYES_2D, POSTERIOR_1D

__all__ = ["NAMES", "Formula", "get", "source"]

_HERE = Path(__file__).parent
_ALL = {f.name: f for f in (AFFINE_VARIANCE, ELLIPSE_2D, BAYES_2D, POSTERIOR_1D)}
NAMES = tuple(sorted(_ALL))


def get(name: str) -> Formula | None:
    """The formula called `name`, or None if `name` is JavaScript source."""
    if name not in _ALL and "export default" not in name:
        raise ValueError(f"no formula {name!r:.60}; there is {', '.join(NAMES)}")
    return _ALL.get(name)


def source(name: str) -> str:
    """The JavaScript of a formula (or given source), with the common tools in front of it."""
    own = (_HERE / f"{name}.js").read_text(encoding="utf-8") if name in _ALL else name
    return (_HERE / "common.js").read_text(encoding="utf-8") + own
