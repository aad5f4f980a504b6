"""A target, an architecture, and what that pair generates: computed in the browser."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import traitlets

from .drawing import kind_of
from .figure import Figure, javascript, stylesheet
from .marks import as_array

TARGETS = ("ring", "spiral", "moons", "checkerboard", "mixture", "letters",
           "bimodal", "atoms", "uniform", "skewed", "drawn", "pixels", "images")  # fmt: skip
ARCHITECTURES = ("bayes", "equivariant", "affine", "convolution", "polynomial", "bottleneck",
                 "coordinates", "pixelwise", "blocks", "codebook")  # fmt: skip
STEPS = (2, 4, 8, 12, 18, 25, 40, 60, 100)
MAX_IMAGES = 400
MAX_PIXELS = 144
_PLANE_ONLY, _IMAGES_ONLY = {"coordinates"}, {"convolution", "pixelwise", "blocks"}
_LINE, _IMAGES = set(TARGETS[6:10]), {"pixels", "images"}
_SHEETS = {"drawn": "strokes", "pixels": "pixels"}


def source() -> str:
    """The JavaScript of the playground: mathematics, catalogue, pictures, the figure itself."""
    return javascript("shared_elements", "playground_math", "playground_sketch",
                      "playground_catalogue", "playground_draw", "playground_editor",
                      "playground")  # fmt: skip


class Playground(Figure):
    """Choose a target and an architecture; see data, generated law and samples side by side.

    Everything is computed in the browser, so the figure lives on a page without a kernel, and each
    of its states has a link. Two targets are drawn by the reader, with mouse, finger or keyboard:
    ``"drawn"``, strokes in the plane, and ``"pixels"``, up to 9 images of 8×8 pixels.

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
    drawing : str, optional
        What lies on the sheet at first where the target is ``"drawn"`` or ``"pixels"``: the text
        after ``draw:`` in a link, or of `drawing.from_strokes` or `drawing.from_images`.

    Examples
    --------
    >>> from diffusion_creativity.widgets import Playground
    >>> Playground("ring", "polynomial", parameter=3).spec["start"]["p"]
    3
    """

    _esm = source()
    _css = stylesheet("playground")

    spec = traitlets.Dict().tag(sync=True)

    def __init__(
        self, target: str = "ring", architecture: str = "affine", images: Any = None, *,
        parameter: int | None = None, steps: int = 40, seed: int = 1, name: str = "images",
        drawing: str | None = None,
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
                 "seed": int(seed), "at": 120, "draw": _sheet(target, drawing)}  # fmt: skip
        spec: dict[str, Any] = {"start": start}
        blob = b""
        if images is not None:
            pixels = _pixels(images)
            blob = pixels.tobytes()
            spec["images"] = {"label": name.capitalize(), "the": f"the {name}",
                              "count": len(pixels), "shape": list(pixels.shape[1:])}  # fmt: skip
        super().__init__(spec=spec, blob=blob)
        self.nbytes = len(blob) + len(json.dumps(spec)) + len(self._esm) + len(self._css)

    def _title(self) -> str:
        return "Playground"

    def _still(self) -> dict[str, Any]:
        start = self.spec["start"]
        return {
            "text/plain": "Playground of targets and architectures, alive in a browser; it starts "
            f"with target {start['target']} and architecture {start['arch']}."
        }


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}, got {name!r}")


def _whole(what: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{what} must be a whole number >= {least}, got {value!r}")


def _fits(architecture: str, target: str) -> None:
    refused = (
        (architecture in _IMAGES_ONLY and target not in _IMAGES)
        or (architecture in _PLANE_ONLY and target in _LINE | _IMAGES)
        or (architecture == "bottleneck" and target in _LINE)
    )
    if refused:
        raise ValueError(f"architecture {architecture!r} does not fit target {target!r}")


def _sheet(target: str, drawing: str | None) -> dict[str, str]:
    if drawing is None:
        return {}
    kind = kind_of(drawing)
    if _SHEETS.get(target) != kind:
        fits = next(name for name, one in _SHEETS.items() if one == kind)
        raise ValueError(f"drawing holds {kind}: it needs target {fits!r}, got {target!r}")
    return {target: drawing}


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
