"""A target, an architecture, and what that pair generates: computed in the browser."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from . import palette
from .marks import as_array

TARGETS = ("ring", "spiral", "moons", "checkerboard", "mixture", "letters",
           "bimodal", "atoms", "uniform", "skewed", "images")  # fmt: skip
ARCHITECTURES = ("bayes", "equivariant", "affine", "convolution", "polynomial", "bottleneck",
                 "coordinates", "pixelwise", "blocks", "codebook")  # fmt: skip
STEPS = (2, 4, 8, 12, 18, 25, 40, 60, 100)
MAX_IMAGES = 400
MAX_PIXELS = 144
_HERE = Path(__file__).parent
_FILES = ("math", "catalogue", "draw")
_PLANE_ONLY, _IMAGES_ONLY = {"coordinates"}, {"convolution", "pixelwise", "blocks"}
_LINE = set(TARGETS[6:10])


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Playground</title>
<style>:root {{ color-scheme: light dark; }} body {{ margin: 12px; }} {style}</style></head>
<body><main><h1 hidden>Playground</h1><div id="place"></div></main>
<script type="module">
const spec = {spec}, bytes = Uint8Array.from(atob("{data}"), (c) => c.charCodeAt(0));
const values = {{ spec, blob: new DataView(bytes.buffer) }};
const url = URL.createObjectURL(new Blob([{code}], {{ type: "text/javascript" }}));
const {{ default: figure }} = await import(url);
figure.render({{ model: {{ get: (name) => values[name] }}, el: document.getElementById("place") }});
</script></body></html>
"""


def source() -> str:
    """The JavaScript of the playground: mathematics, catalogue, pictures, and the figure itself."""
    names = [f"playground_{name}.js" for name in _FILES] + ["playground.js"]
    return "".join((_HERE / name).read_text(encoding="utf-8") for name in names)


class Playground(anywidget.AnyWidget):
    """Choose a target and an architecture; see data, generated law and samples side by side.

    Everything is computed in the browser, so the figure lives on a page without a kernel, and each
    of its states has a link.

    Parameters
    ----------
    target : str
        One of `TARGETS`; ``"images"`` needs `images`.
    architecture : str
        One of `ARCHITECTURES` that fits the target.
    images : array, shape (N, H, W) or (N, 1, H, W), values in [-1, 1]
        Small images as a further target; stored in 256 levels.
    parameter : int, optional
        Degree, rank, side of a block or number of words, where the architecture has one.
    steps : int
        One of `STEPS`.
    seed : int
        Number of the starting noise.
    name : str
        What the target `images` is called, for example "digits".

    Examples
    --------
    >>> from diffusion_creativity.widgets import Playground
    >>> Playground("ring", "polynomial", parameter=3).spec["start"]["p"]
    3
    """

    _esm = source()
    _css = (
        palette.css()
        + (_HERE / "explorer.css").read_text(encoding="utf-8")
        + (_HERE / "playground.css").read_text(encoding="utf-8")
    )

    spec = traitlets.Dict().tag(sync=True)
    blob = traitlets.Bytes(b"").tag(sync=True)

    def __init__(
        self, target: str = "ring", architecture: str = "affine", images: Any = None, *,
        parameter: int | None = None, steps: int = 40, seed: int = 1, name: str = "images",
    ) -> None:  # fmt: skip
        _known("target", target, TARGETS)
        _known("architecture", architecture, ARCHITECTURES)
        if steps not in STEPS:
            raise ValueError(f"steps must be one of {', '.join(map(str, STEPS))}, got {steps!r}")
        _whole("seed", seed, 0)
        if parameter is not None:
            _whole("parameter", parameter, 1)
        if target == "images" and images is None:
            raise ValueError("target 'images' needs images=, an array of shape (N, H, W)")
        _fits(architecture, target)
        start = {"target": target, "arch": architecture, "p": parameter, "steps": int(steps),
                 "seed": int(seed), "at": 120}  # fmt: skip
        spec: dict[str, Any] = {"start": start}
        blob = b""
        if images is not None:
            pixels = _pixels(images)
            blob = pixels.tobytes()
            spec["images"] = {"label": name.capitalize(), "the": f"the {name}",
                              "count": len(pixels), "shape": list(pixels.shape[1:])}  # fmt: skip
        super().__init__(spec=spec, blob=blob)
        self.nbytes = len(blob) + len(json.dumps(spec)) + len(self._esm) + len(self._css)

    def html(self) -> str:
        """A page that holds the figure and nothing else: save it, send it, open it anywhere."""
        data = base64.b64encode(self.blob).decode()
        values = {"style": self._css, "spec": _script(self.spec), "code": _script(self._esm)}
        return _PAGE.format(data=data, **values)

    def _repr_mimebundle_(self, **kwargs: Any):
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        start = self.spec["start"]
        plain = (
            "Playground of targets and architectures, alive in a browser; it starts with target "
            f"{start['target']} and architecture {start['arch']}."
        )
        return {**data, "text/plain": plain}, metadata

    # ipywidgets 7 would print the view alone; without this the bundle above is used there too.
    _ipython_display_ = None


def _script(value: Any) -> str:
    """JSON that may stand in a script of a page."""
    return json.dumps(value).replace("</", "<\\/")


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}, got {name!r}")


def _whole(what: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{what} must be a whole number >= {least}, got {value!r}")


def _fits(architecture: str, target: str) -> None:
    refused = (
        (architecture in _IMAGES_ONLY and target != "images")
        or (architecture in _PLANE_ONLY and (target in _LINE or target == "images"))
        or (architecture == "bottleneck" and target in _LINE)
    )
    if refused:
        raise ValueError(f"architecture {architecture!r} does not fit target {target!r}")


def _pixels(images: Any) -> np.ndarray:
    """Images as bytes (N, H, W), 0 … 255 for -1 … 1."""
    array = np.asarray(as_array(images))
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 3 or not array.size:
        raise ValueError(f"images must have shape (N, H, W) or (N, 1, H, W), got {array.shape}")
    if len(array) > MAX_IMAGES or array[0].size > MAX_PIXELS:
        raise ValueError(
            f"images may be up to {MAX_IMAGES} of {MAX_PIXELS} pixels each, as the browser "
            f"computes with them; got {len(array)} of {array[0].size}"
        )
    array = array.astype(float)
    if not np.isfinite(array).all() or np.abs(array).max() > 1 + 1e-6:
        raise ValueError("images must have finite values in [-1, 1]")
    return np.rint((np.clip(array, -1, 1) + 1) * 127.5).astype(np.uint8)
