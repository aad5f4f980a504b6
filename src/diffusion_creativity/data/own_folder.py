"""Any folder or zip of images of the reader's own."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch

from .. import _validate
from . import _files, _gather
from .images import ImageSet, unit_range


def folder(
    path: str | os.PathLike,
    *,
    size: int | None = None,
    channels: int = 3,
    on_error: str = "skip",
) -> ImageSet:
    """Read a folder, or a zip, of PNG, JPEG, WebP, GIF, BMP, TIFF or PPM files.

    Subfolders are classes: the label of an image is the index of its first folder below `path` in
    the field ``classes`` ("." for files at the top; no classes where all are there). A single
    folder that wraps such subfolders, as zips often have, is looked through. The order is that of
    the names, folder by folder, on every system.

    Files are turned upright by their EXIF orientation. Palettes are looked up, what is transparent
    is laid on white, 16-bit grey is scaled to 8 bits, CMYK becomes RGB, an animation gives its
    first frame. Colour profiles are ignored.

    Parameters
    ----------
    path : str or path
        The folder or the zip. Nothing is unpacked to disk. Hidden files and the clutter of file
        managers do not count.
    size : int, optional
        Crop the centre square and scale it down to size×size (triangle filter, antialiased). A
        smaller image is not enlarged but unusable. Without `size` images stay as they are, and
        one of another size than the first is unusable.
    channels : {3, 1}
        RGB, or grey by ITU-R 601 luma.
    on_error : {"skip", "raise"}
        What to do with a file that is no image, truncated, damaged, wrongly sized, or claims more
        than 50 million pixels: skip it, with one warning and the field ``skipped`` (file, reason);
        or refuse the folder with an error that names it.

    Returns
    -------
    ImageSet
        x has shape (N, channels, H, W) in [-1, 1]. Memory: 5 bytes for each of its values at the
        peak, 4 at the end.

    Raises
    ------
    ValueError
        For a bad argument, a folder without a usable image, an unusable file (``"raise"``), and a
        zip with an entry that is a link or points outside.
    FileNotFoundError
        When `path` is not there.
    """
    size = None if size is None else _validate.integer("size", size, minimum=1)
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, got {channels!r}")
    _gather.check_on_error(on_error)
    with _files.opened(path) as files:
        decode = _decoder(size, channels)
        pixels, kept, skipped = _gather.gather(files, files.names, decode, on_error=on_error)
    _gather.report(path, skipped, len(kept), level=2)
    labels, classes = _classes(kept)
    name = os.path.basename(os.path.abspath(os.path.expanduser(path)))
    return ImageSet(
        unit_range(pixels),
        torch.tensor(labels),
        name,
        "the reader's own images",
        os.fspath(path),
        classes,
        tuple(skipped),
    )


def _decoder(size: int | None, channels: int) -> Callable[[bytes], np.ndarray]:
    from . import _pixels  # loads the image library

    def decode(raw: bytes) -> np.ndarray:
        image = _pixels.decode(raw)
        if size is not None:
            side = min(image.size)
            if side < size:
                raise _files.Unusable(
                    f"its size {image.width}×{image.height} is below {size}×{size}"
                )
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = _pixels.scaled(image, size, (left, top, left + side, top + side))
        return _pixels.planes(image, channels)

    return decode


def _classes(names: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """Labels and class names of files by their first folder."""
    parts = [name.split("/") for name in names]
    while min(map(len, parts)) > 2 and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]  # look through the folder that wraps all
    of = [p[0] if len(p) > 1 else "." for p in parts]
    classes = sorted(set(of))
    labels = [classes.index(name) for name in of]
    return labels, () if classes == ["."] else tuple(classes)
