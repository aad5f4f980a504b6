"""Image sets by name: what a set is (`ImageSet`), and where each comes from (`load`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import _validate


class Skipped(NamedTuple):
    """A file that could not be used, and why."""

    file: str  # relative to the folder or zip, with forward slashes
    reason: str


@dataclass(frozen=True, eq=False)  # tensors have no one truth value: sets compare by identity
class ImageSet:
    """Images in [-1, 1] with what is known of them."""

    x: Tensor  # (N, C, H, W), float32
    labels: Tensor  # (N,), int64
    name: str
    licence: str
    source: str
    classes: tuple[str, ...] = ()  # classes[labels[i]] names the class of image i; empty: no names
    skipped: tuple[Skipped, ...] = ()  # files of the reader's folder that are not in x

    def __len__(self) -> int:
        return len(self.x)

    def subset(self, n: int, seed: int = 0) -> "ImageSet":
        """Return `n` distinct images chosen at random."""
        n, seed = _validate.integer("n", n), _validate.integer("seed", seed)
        if not 1 <= n <= len(self):
            raise ValueError(f"n must lie in 1 … {len(self)}, got {n}")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:n]
        return replace(self, x=self.x[order], labels=self.labels[order])


def load(name: str, split: str = "train") -> ImageSet:
    """Load an image set by its name.

    ==================  =====================  =========  =============  ================
    name                images (train + test)  shape      licence        needs
    ==================  =====================  =========  =============  ================
    ``digits``          1,797 (train only)     1, 8, 8    CC BY 4.0      nothing
    ``faces``           600 + 1,000            1, 16, 16  CC0 1.0        nothing
    ``mnist``           60,000 + 10,000        1, 28, 28  CC BY-SA 3.0   download, 12 MB
    ``fashion_mnist``   60,000 + 10,000        1, 28, 28  MIT            download, 31 MB
    ``cifar10``         50,000 + 10,000        3, 32, 32  none stated    download, 170 MB
    ``cifar10_subset``  10,000 + 1,000         3, 32, 32  none stated    its two files
    ``celeba``          162,770 + 19,962       3, 32, 32  research only  your own copy
    ==================  =====================  =========  =============  ================

    The published files are looked for in the folder that the environment variable
    ``DIFFUSION_CREATIVITY_DATA`` names, then in the cache, then downloaded; each is checked by its
    SHA-256. Where the full CIFAR-10 is in neither folder but the subset is, ``"cifar10"`` gives the
    subset, with a warning and under its own name. ``celeba`` reads
    ``$DIFFUSION_CREATIVITY_DATA/celeba`` and also has the split "valid"; `own_celeba.celeba` takes
    any path, size and limit, and `own_folder.folder` reads any folder of images.

    Parameters
    ----------
    name : str
        One of `names`.
    split : {"train", "test"}
        The part, as its authors divided the set.

    Returns
    -------
    ImageSet
        x has shape (N, C, H, W), float32 in [-1, 1]: black is -1, white is 1.

    Raises
    ------
    ValueError
        For an unknown name or split, and for a damaged file in your own folder.
    OSError
        When a file can be neither found nor downloaded: what was tried, where to put it by hand.
    """
    if name not in _SETS:
        raise ValueError(
            f"name must be one of {', '.join(names())}, got {name!r}; "
            "your own images are read by data.folder(path)"
        )
    return _SETS[name](split)


def names() -> tuple[str, ...]:
    """The names that `load` takes."""
    return tuple(sorted(_SETS))


def check_split(split: str, allowed: Sequence[str], name: str) -> str:
    """Return `split` where the set `name` has it."""
    if split not in allowed:
        options = ", ".join(f'"{option}"' for option in allowed)
        raise ValueError(f"split of {name} must be one of {options}, got {split!r}")
    return split


def unit_range(pixels: np.ndarray, top: float = 255) -> Tensor:
    """Map an array with values in [0, top] to float32 in [-1, 1], both ends exact."""
    scaled = np.divide(pixels, np.float32(top / 2), dtype=np.float32, order="C")
    return torch.from_numpy(np.subtract(scaled, 1, out=scaled))


def _digits(split: str) -> ImageSet:
    check_split(split, ["train"], "digits")
    from sklearn.datasets import load_digits  # slow to import, and only this set needs it

    bunch = load_digits()
    return ImageSet(
        unit_range(bunch.images[:, None], 16),
        torch.from_numpy(bunch.target.astype(np.int64)),
        "digits",
        "CC BY 4.0",
        "Alpaydin & Kaynak 1998, UCI repository, doi:10.24432/C50P49; shipped by scikit-learn",
        tuple("0123456789"),
    )


def _later(module: str, function: str, *first: str) -> Callable[[str], ImageSet]:
    """A loader that imports its module of this package when it is called."""
    return lambda split: getattr(import_module(f".{module}", __package__), function)(*first, split)


_SETS: dict[str, Callable[[str], ImageSet]] = {  # name: a function of the split
    "celeba": _later("own_celeba", "from_data_folder"),
    "cifar10": _later("_cifar", "full_or_subset"),
    "cifar10_subset": _later("_cifar", "subset"),
    "digits": _digits,
    "faces": _later("faces", "image_set"),
    "fashion_mnist": _later("_idx", "image_set", "fashion_mnist"),
    "mnist": _later("_idx", "image_set", "mnist"),
}
