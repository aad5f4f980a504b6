"""Pictures of a family: what every attribute looks like."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ... import _validate
from .family import Faces

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gallery(family: Faces, index: int | None = None) -> dict[str, tuple[Tensor, tuple[str, ...]]]:
    """Return for each attribute its values: images (values, channels, size, size) and names.

    Everything else is as in the face `index`, by default a plain one in the middle.
    """
    middle = [len(names) // 2 if name in ("row", "column", "gaze") else 0
              for name, names in family.values.items()]  # fmt: skip
    base = torch.tensor([middle])
    if index is not None:
        base = family.attributes([_validate.integer("index", index)])
    out = {}
    for k, (name, names) in enumerate(family.values.items()):
        faces = base.repeat(len(names), 1)
        faces[:, k] = torch.arange(len(names))
        out[name] = family.render(family.index(faces)), names
    return out


def figure(family: Faces | None = None, *, index: int | None = None) -> "Figure":
    """Draw every value of every attribute, with its name."""
    import matplotlib.pyplot as plt

    from ... import style

    shown = gallery(family or Faces(size=32, channels=3), index)
    half = -(-len(shown) // 2)
    counts = [len(names) for _, names in shown.values()]
    left, right = max(counts[:half]), max(counts[half:])
    size = (left + right + 1, 1.18 * half)
    fig, axes = plt.subplots(half, left + right + 1, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for k, (name, (images, names)) in enumerate(shown.items()):
        row, first = k % half, (k // half) * (left + 1)
        for j, (image, value) in enumerate(zip(images, names, strict=True)):
            ax = axes[row, first + j]
            pixels = ((image + 1) / 2).permute(1, 2, 0).numpy()
            ax.imshow(pixels if pixels.shape[2] == 3 else pixels[..., 0], vmin=0, vmax=1)
            ax.set_title(value, fontsize=8, color=style.COLORS["muted"], loc="center", pad=2)
            if j == 0:
                ax.text(-0.06, 0.5, name, transform=ax.transAxes, rotation=90, fontsize=9,
                        ha="right", va="center", color=style.COLORS["ink"])  # fmt: skip
    return fig
