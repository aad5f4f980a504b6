"""One look for every figure: colours by meaning, light and dark, images in grids.

Matplotlib draws in the light colours; `themed_svg` adds the dark ones to the SVG as a media query,
so that a saved page follows the reader's theme without a second picture. The colours are chosen
from Paul Tol's schemes and stay apart for readers with colour-vision deficiencies.
"""

import io
import math
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

LIGHT = {
    "data": "#1f2933",  # what was given: training images, the target
    "denoiser": "#0b66c2",  # an estimate, D(y)
    "generated": "#c2410b",  # what a sampler made
    "law": "#0f7b5f",  # what the closed form predicts
    "noise": "#6b7280",  # noise and noisy images
    "warning": "#b5196b",  # what goes wrong
    "ink": "#24292f",  # text and axes
    "muted": "#57606a",  # secondary text
    "grid": "#d5dae0",
    "panel": "#ffffff",
}
DARK = {
    "data": "#e8edf3",
    "denoiser": "#6cb6ff",
    "generated": "#ff9a62",
    "law": "#4fd1a5",
    "noise": "#9aa4b2",
    "warning": "#ff7ab8",
    "ink": "#e6edf3",
    "muted": "#aab4c0",
    "grid": "#3a424d",
    "panel": "#14181e",
}
COLORS = LIGHT

RC = {
    "axes.edgecolor": LIGHT["muted"],
    "axes.facecolor": LIGHT["panel"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": LIGHT["ink"],
    "axes.prop_cycle": mpl.cycler(
        color=[LIGHT[k] for k in ("denoiser", "generated", "law", "warning", "noise")]
    ),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": LIGHT["ink"],
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.facecolor": LIGHT["panel"],
    "figure.figsize": (7.2, 3.2),
    "font.size": 10.5,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.6,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "legend.labelcolor": LIGHT["ink"],
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "savefig.facecolor": LIGHT["panel"],
    "svg.fonttype": "path",
    "svg.hashsalt": "what denoisers dream",  # the same figure gives the same file
    "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
}


def use() -> None:
    """Apply the book's style; in a notebook, show figures as SVG that follows light and dark."""
    mpl.rcParams.update(RC)
    try:
        from IPython import get_ipython
    except ModuleNotFoundError:
        return
    shell = get_ipython()
    if shell is not None and getattr(shell, "kernel", None) is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")
        shell.display_formatter.formatters["image/svg+xml"].for_type(Figure, themed_svg)


def themed_svg(figure: Figure) -> str:
    """Return the figure as SVG that turns dark with ``prefers-color-scheme``.

    Colours of the book's light palette are mapped to its dark one; others stay as they are.
    """
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", bbox_inches="tight", pad_inches=0.08, metadata={"Date": None}
    )
    rules = "".join(
        f'[style*="{kind}: {LIGHT[key]}"]{{{kind}:{DARK[key]}!important}}'
        for key in LIGHT
        for kind in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    svg = buffer.getvalue()
    return re.sub(r"(<svg\b[^>]*>)", lambda m: m.group(1) + style, svg, count=1)


def image_grid(
    images: np.ndarray,
    *,
    columns: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
) -> Axes:
    """Draw small images (n, C, H, W) or (n, H, W) as one grid; C is 1 or 3.

    Values outside `value_range` are clipped for showing only.
    """
    tiles = np.asarray(images, dtype=float)
    tiles = tiles[:, None] if tiles.ndim == 3 else tiles
    if tiles.ndim != 4 or tiles.shape[1] not in (1, 3) or not len(tiles):
        raise ValueError(f"images must have shape (n, 1 or 3, H, W), got {np.shape(images)}")
    n, channels, height, width = tiles.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    low, high = value_range
    # One background pixel between tiles; missing tiles at the end stay background.
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), np.nan)
    for k, tile in enumerate(tiles):
        top, left = (k // columns) * (height + 1), (k % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = tile.transpose(1, 2, 0)
    shown = (np.clip(canvas, low, high) - low) / (high - low)
    gap = np.isnan(shown[..., :1])
    rgba = np.concatenate([np.broadcast_to(np.nan_to_num(shown), (*gap.shape[:2], 3)), ~gap], -1)
    ax = ax or plt.subplots(figsize=(0.55 * columns, 0.55 * rows + (0.3 if title else 0)))[1]
    ax.imshow(rgba, aspect="equal")
    ax.set_axis_off()
    if title:
        ax.set_title(title)
    return ax
