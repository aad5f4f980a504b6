"""CelebA from the reader's own copy: its terms forbid anyone to pass it on."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from .. import _validate
from . import _downloads, _files, _gather
from .images import ImageSet, Skipped, check_split, unit_range

IMAGES = "img_align_celeba"
PARTITIONS = ("list_eval_partition.txt", "list_eval_partition.csv")
SPLITS = {"train": "0", "valid": "1", "test": "2"}  # as the partition file numbers them
FULL = (178, 218)  # width, height of the aligned images
CROP = 140  # side of the square that holds the face
HOME = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


def celeba(
    path: str | os.PathLike,
    *,
    split: str = "train",
    size: int = 32,
    limit: int | None = None,
    on_error: str = "skip",
) -> ImageSet:
    """Read the aligned CelebA images: the centre 140×140 of each 178×218, scaled to size×size.

    `path` is the folder or the zip that holds ``img_align_celeba`` (at any depth, so that the
    copies of its authors, of torchvision and of Kaggle all do), a folder with
    ``img_align_celeba.zip``, or that zip. The partition file, ``list_eval_partition.txt`` or
    ``.csv``, lies in it or beside it.

    Parameters
    ----------
    path : str or path
        Your copy. Nothing is unpacked to disk.
    split : {"train", "valid", "test", "all"}
        162,770, 19,867 and 19,962 images; "all" needs no partition file.
    size : int
        Side of the result, 1 to 140. The filter is a triangle, antialiased.
    limit : int, optional
        Read only the first so many images of the split, in the order of their numbers.
    on_error : {"skip", "raise"}
        What to do with files that are damaged, have another size or are not in the partition file:
        see `own_folder.folder`.

    Returns
    -------
    ImageSet
        x has shape (N, 3, size, size) in [-1, 1]; labels are 0. Memory: 5 bytes for each of its
        values at the peak, 4 at the end; the training split needs 2.5 GB at 32 and 10 GB at 64.

    Notes
    -----
    Z. Liu, P. Luo, X. Wang and X. Tang, Deep Learning Face Attributes in the Wild, ICCV 2015.
    """
    check_split(split, [*SPLITS, "all"], "celeba")
    size = _validate.integer("size", size, minimum=1)
    if size > CROP:
        raise ValueError(f"size must be at most {CROP}, the side of the crop, got {size}")
    limit = None if limit is None else _validate.integer("limit", limit, minimum=1)
    _gather.check_on_error(on_error)
    with ExitStack() as stack:
        files = stack.enter_context(_files.opened(path))
        pictures = files
        if not _images(files) and (inner := _inner_zip(files)):
            pictures = stack.enter_context(_files.opened(Path(path).expanduser() / inner))
        names, strays = _in_split(_images(pictures), files, Path(path).expanduser(), split)
        if strays and on_error == "raise":
            raise ValueError(f"{strays[0].file} cannot be used: {strays[0].reason}")
        of, names = len(names), names[:limit]
        pixels, kept, skipped = _gather.gather(pictures, names, _decoder(size), on_error=on_error)
    skipped = sorted([*strays, *skipped])
    _gather.report(path, skipped, len(kept), level=2)
    return ImageSet(
        unit_range(pixels),
        torch.zeros(len(kept), dtype=torch.int64),
        "celeba",
        "non-commercial research; no redistribution",
        f"Liu, Luo, Wang & Tang 2015, ICCV; {len(kept):,} of {of:,} images here, split {split}",
        ("face",),
        tuple(skipped),
    )


def from_data_folder(split: str) -> ImageSet:
    """Read ``celeba`` in the data folder, a folder or a zip, at size 32."""
    check_split(split, [*SPLITS, "all"], "celeba")
    folder = _downloads.data_folder()
    places = [folder / "celeba", folder / "celeba.zip"] if folder else []
    for place in places:
        if place.exists():
            return celeba(place, split=split)
    tried = " and ".join(map(str, places)) or f"nothing: ${_downloads.VARIABLE} is not set"
    raise FileNotFoundError(
        f"celeba must be your own copy, as its terms forbid to pass it on. Tried {tried}. Get "
        f"{IMAGES}.zip and {PARTITIONS[0]} from {HOME}, put both in a folder celeba of the folder "
        f"that ${_downloads.VARIABLE} names, or call data.celeba(path)"
    )


def _images(files: _files.Files) -> dict[str, str]:
    """Name in the archive by file name, as 000001.jpg; a copy of a copy is refused."""
    jpegs = [name for name in files.names if name.lower().endswith(".jpg")]
    aligned = [name for name in jpegs if PurePosixPath(name).parent.name == IMAGES]
    found: dict[str, str] = {}
    for name in aligned or jpegs:
        file = PurePosixPath(name).name
        if file in found:
            raise ValueError(f"path holds {file} twice: {found[file]} and {name}")
        found[file] = name
    return found


def _inner_zip(files: _files.Files) -> str | None:
    zips = (name for name in files.names if PurePosixPath(name).name == f"{IMAGES}.zip")
    return next(zips, None) if isinstance(files, _files.Folder) else None


def _in_split(
    images: dict[str, str], files: _files.Files, path: Path, split: str
) -> tuple[list[str], list[Skipped]]:
    """Names of the split in the order of their numbers, and images that no split has."""
    if not images:
        raise ValueError(f"path must hold {IMAGES}/*.jpg, or {IMAGES}.zip, got {path}")
    if split == "all":
        return [images[file] for file in sorted(images)], []
    part = _partition(files, path)
    strays = [Skipped(images[f], "not in the partition file") for f in sorted(images.keys() - part)]
    names = [images[f] for f in sorted(images) if part.get(f) == SPLITS[split]]
    if not names:
        raise ValueError(f"split {split!r} has none of the {len(images):,} images of {path}")
    return names, strays


def _partition(files: _files.Files, path: Path) -> dict[str, str]:
    """Number of the split by file name, from lines ``000001.jpg 0`` or ``000001.jpg,0``."""
    place, text = next(_partition_texts(files, path), (None, ""))
    if place is None:
        raise FileNotFoundError(
            f'split needs {" or ".join(PARTITIONS)} in or beside {path}; "all" does not'
        )
    rows = [line.replace(",", " ").split() for line in text.splitlines() if line.strip()]
    if rows and rows[0][0] == "image_id":  # the heading of the .csv
        rows = rows[1:]
    for row in rows:
        if len(row) != 2 or row[1] not in SPLITS.values():
            raise ValueError(f"{place} must have lines like '000001.jpg 0', got {' '.join(row)!r}")
    return dict(rows)


def _partition_texts(files: _files.Files, path: Path) -> Iterator[tuple[str, str]]:
    for name in files.names:
        if PurePosixPath(name).name in PARTITIONS:
            try:
                yield name, files.read(name).decode("utf-8-sig", "replace")
            except _files.Unusable as error:
                raise ValueError(f"{name} cannot be used: {error}") from error
    for folder in (path.parent, path.parent.parent / "Eval"):  # beside, and as the authors have it
        for name in PARTITIONS:
            if (folder / name).is_file():
                yield str(folder / name), (folder / name).read_text("utf-8-sig", "replace")


def _decoder(size: int) -> Callable[[bytes], np.ndarray]:
    from . import _pixels  # loads the image library

    left, top = (FULL[0] - CROP) // 2, (FULL[1] - CROP) // 2
    box = (left, top, left + CROP, top + CROP)

    def decode(raw: bytes) -> np.ndarray:
        image = _pixels.decode(raw)
        if image.size != FULL:
            raise _files.Unusable(f"its size {image.width}×{image.height} is not 178×218")
        return _pixels.planes(_pixels.scaled(image, size, box), 3)

    return decode
