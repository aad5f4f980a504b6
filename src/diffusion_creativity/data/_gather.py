"""Many files into one array: decoded side by side, kept in order, with the unusable ones named."""

import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ._files import Files, Unusable
from .images import Skipped

BATCH = 256  # files in flight at once
THREADS = min(8, os.cpu_count() or 1)  # decoding runs outside Python's lock


def gather(
    files: Files, names: Sequence[str], decode: Callable[[bytes], np.ndarray], *, on_error: str
) -> tuple[np.ndarray, list[str], list[Skipped]]:
    """Decode files into pixels (n, C, H, W), uint8, with the names kept and the files skipped.

    The first usable image fixes the shape (C, H, W); another shape is unusable. Memory: the pixels
    of all `names`, and `BATCH` files.
    """
    pixels, kept, skipped = np.empty((0, 0, 0, 0), np.uint8), [], []
    for name, image in _decoded(files, names, decode):
        if not isinstance(image, Unusable) and kept and image.shape != pixels.shape[1:]:
            image = Unusable(
                f"its size {_size(image)} is not that of {kept[0]}, {_size(pixels[0])}"
            )
        if isinstance(image, Unusable):
            if on_error == "raise":
                raise ValueError(f"{name} cannot be used: {image}")
            skipped.append(Skipped(name, str(image)))
            continue
        if not kept:
            pixels = np.empty((len(names), *image.shape), np.uint8)
        pixels[len(kept)] = image
        kept.append(name)
    return pixels[: len(kept)], kept, skipped


def check_on_error(on_error: str) -> None:
    """Refuse a choice that is none."""
    if on_error not in ("skip", "raise"):
        raise ValueError(f'on_error must be "skip" or "raise", got {on_error!r}')


def report(path: object, skipped: Sequence[Skipped], kept: int, *, level: int) -> None:
    """Warn of the files skipped; refuse a folder of which nothing is left."""
    shown = "; ".join(f"{file} ({reason})" for file, reason in skipped[:5])
    shown += "; …" if len(skipped) > 5 else ""
    if not kept:
        raise ValueError(f"path holds no usable image: {path}" + (f". {shown}" if shown else ""))
    if skipped:
        warnings.warn(
            f"{len(skipped):,} of {len(skipped) + kept:,} files of {path} were skipped, all in "
            f"the field skipped: {shown}",
            stacklevel=level + 1,
        )


def _decoded(
    files: Files, names: Sequence[str], decode: Callable[[bytes], np.ndarray]
) -> Iterator[tuple[str, np.ndarray | Unusable]]:
    from tqdm import tqdm

    def one(name: str) -> np.ndarray | Unusable:
        try:
            return decode(files.read(name))
        except Unusable as error:
            return error

    bar = tqdm(total=len(names), desc="images", unit="", delay=1)  # none where it takes a second
    with bar, ThreadPoolExecutor(THREADS) as pool:
        for start in itertools.count(0, BATCH):
            batch = names[start : start + BATCH]
            if not batch:
                return
            yield from zip(batch, pool.map(one, batch), strict=True)
            bar.update(len(batch))


def _size(image: np.ndarray) -> str:
    return f"{image.shape[2]}×{image.shape[1]}"  # width × height, as image programs say it
