"""What the interactive figures share: their files, their weight, and a page of their own."""

from __future__ import annotations

import base64
import json
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from . import palette

MAX_BYTES = 3_000_000
_HERE = Path(__file__).parent
_open: dict[tuple, Figure] = {}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>:root {{ color-scheme: light dark; }} body {{ margin: 12px; }} {style}</style></head>
<body><main><h1 hidden>{title}</h1>{figure}</main></body></html>
"""

_FRAGMENT = """<div id="{place}" class="dc-live"><noscript>{words}</noscript></div>
<script type="module">
const bytes = Uint8Array.from(atob("{data}"), (c) => c.charCodeAt(0));
const values = {{ ...{values}, blob: new DataView(bytes.buffer) }};
const model = {{
  get: (name) => values[name], set: (name, value) => {{ values[name] = value; }},
  save_changes() {{}}, on() {{}}, off() {{}},
}};
const url = URL.createObjectURL(new Blob([{code}], {{ type: "text/javascript" }}));
const {{ default: figure }} = await import(url);
figure.render({{ model, el: document.getElementById("{place}") }});
</script>"""


def javascript(*names: str) -> str:
    """The JavaScript of a figure: files of this folder, one after the other."""
    return "".join((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in names)


def stylesheet(*names: str) -> str:
    """Colours of the book, the style of all figures, and the files of one figure."""
    files = [(_HERE / f"{name}.css").read_text(encoding="utf-8") for name in ("explorer", *names)]
    return palette.css() + "".join(files)


class Figure(anywidget.AnyWidget):
    """A figure that needs nothing but a browser; `blob` holds its arrays."""

    blob = traitlets.Bytes(b"").tag(sync=True)

    def _title(self) -> str:
        raise NotImplementedError

    def _still(self) -> dict[str, Any]:
        """What print, GitHub and nbviewer show: a MIME bundle without the live figure."""
        raise NotImplementedError

    def html(self) -> str:
        """A page that holds the figure and nothing else: save it, send it, open it anywhere."""
        return _PAGE.format(title=escape(self._title()), style=self._css,
                            figure=self._script("place"))  # fmt: skip

    def fragment(self, place: str) -> str:
        """HTML that shows the figure inside a page, in an element of the id `place`.

        It brings its style and its script, and needs no widget manager: two such figures on a page
        need two ids.
        """
        return f"<style>{self._css}</style>\n{self._script(place)}"

    def _script(self, place: str) -> str:
        foreign = {"blob", *anywidget.AnyWidget.class_trait_names(sync=True)}
        names = [n for n in self.trait_names(sync=True) if n not in foreign and n[0] != "_"]
        return _FRAGMENT.format(
            place=place, words=escape(f"This figure needs JavaScript: {self._title()}"),
            data=base64.b64encode(self.blob).decode(), code=_script(self._esm),
            values=_script({name: getattr(self, name) for name in names}),
        )  # fmt: skip

    def _repr_mimebundle_(self, **kwargs: Any):
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        return {**data, **self._still()}, metadata

    # ipywidgets 7 would print the view alone; without this the bundle above is used there too.
    _ipython_display_ = None

    def _replace(self, *key: Any) -> None:
        """Close the figure that had this key: a cell run again keeps one."""
        key = (type(self).__name__, *key)  # by name: each widget has a class of its own
        if key in _open:
            _open.pop(key).close()
        _open[key] = self


def weigh(title: str, blob: bytes, scene: dict[str, Any], source: str, limit: int) -> int:
    """Bytes that a figure adds to its page; an error if they exceed `limit`."""
    size = len(blob) + len(json.dumps(scene, allow_nan=False, ensure_ascii=False)) + len(source)
    if size > limit:
        raise ValueError(
            f"figure {title!r} weighs {size:,} bytes, the limit is {limit:,}: draw fewer "
            "states or points, coarser maps or smaller images (or raise max_bytes)"
        )
    return size


def _script(value: Any) -> str:
    """JSON that may stand in a script of a page."""
    return json.dumps(value).replace("</", "<\\/")
