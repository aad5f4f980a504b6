"""CIFAR-10: the full set from its binary files (nothing is unpickled), and a subset of it."""

import tarfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from . import _downloads
from .images import ImageSet, check_split, unit_range

FULL = _downloads.Published(
    "cifar-10-binary.tar.gz",
    "",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    170_052_171,
)
SUBSET = {
    "train": _downloads.Published(
        "cifar10_train10k.npz",
        "",
        None,
        "f0e34d9d1b1c83101b5c6972695f6f51bf68970936351c2f6ae8bf55e4d158bd",
        28_287_541,
    ),
    "test": _downloads.Published(
        "cifar10_test1k.npz",
        "",
        None,
        "ce00a019dd98495100df28de65b07d449bcf461b667b8b83506d8a42ff4b3a0f",
        2_840_905,
    ),
}
MEMBERS = {
    "train": [f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)],
    "test": ["cifar-10-batches-bin/test_batch.bin"],
}
RECORD = 1 + 3 * 32 * 32  # a label, then the red, the green and the blue plane
BATCH = 10_000  # records in a member
LICENCE = "none stated by the authors, who ask to cite the report; pictures from the web"
SOURCE = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images"
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def full_or_subset(split: str) -> ImageSet:
    """Return the full split, or the subset where that is what the reader's folder holds."""
    check_split(split, ["train", "test"], "cifar10")
    path, _ = _downloads.find(FULL)
    if path is None and _downloads.find(SUBSET[split])[0]:
        part = subset(split)
        warnings.warn(
            f'"cifar10" is a subset here, {len(part):,} images of the {split} split: '
            f"{FULL.name} is not in ${_downloads.VARIABLE}, but {SUBSET[split].name} is",
            stacklevel=4,  # the line that calls load
        )
        return part
    images, labels = read_binary(path or _downloads.fetch(FULL), MEMBERS[split])
    return _image_set(images, labels, "cifar10", SOURCE)


def subset(split: str) -> ImageSet:
    """Return 10,000 of the training images or 1,000 of the test images, class-balanced.

    Image i has label i % 10, so that each prefix of 10 k images is balanced too.
    """
    check_split(split, ["train", "test"], "cifar10_subset")
    with np.load(_downloads.fetch(SUBSET[split]), allow_pickle=False) as file:
        images, labels = file["images"].transpose(0, 3, 1, 2), file["labels"]
    whole = "50,000 training" if split == "train" else "10,000 test"
    source = f"{SOURCE}; a subset: {len(images):,} of the {whole} images"
    return _image_set(images, labels, "cifar10_subset", source)


def _image_set(images: np.ndarray, labels: np.ndarray, name: str, source: str) -> ImageSet:
    labels = torch.from_numpy(labels.astype(np.int64))
    return ImageSet(unit_range(images), labels, name, LICENCE, source, CLASSES)


def read_binary(path: Path, members: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read images (N, 3, 32, 32) and labels (N,), uint8, from a tar of binary batches.

    The members are read in the order asked for, from the archive itself: nothing goes to disk.
    """
    found = {}
    with tarfile.open(path, "r:gz") as archive:
        for entry in archive:
            if entry.name in members and entry.isfile() and entry.size <= BATCH * RECORD:
                found[entry.name] = archive.extractfile(entry).read()
    for member in members:
        if not found.get(member) or len(found[member]) % RECORD:
            raise ValueError(f"{path} lacks {member} with records of {RECORD} bytes")
    records = np.frombuffer(b"".join(found[m] for m in members), np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() >= len(CLASSES):
        raise ValueError(f"{path} has the label {records[:, 0].max()}, above {len(CLASSES) - 1}")
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]
