"""Image sets by name: where each comes from, how its files are read."""

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import _validate


@dataclass(frozen=True, eq=False)  # tensors have no one truth value: sets compare by identity
class ImageSet:
    """Images in [-1, 1] with what is known of them."""

    x: Tensor  # (N, C, H, W), float32
    labels: Tensor  # (N,), int64
    name: str
    licence: str
    source: str

    def __len__(self) -> int:
        return len(self.x)

    def subset(self, n: int, seed: int = 0) -> "ImageSet":
        """Return `n` distinct images chosen at random."""
        n, seed = _validate.integer("n", n), _validate.integer("seed", seed)
        if not 1 <= n <= len(self):
            raise ValueError(f"n must lie in 1 … {len(self)}, got {n}")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:n]
        return ImageSet(self.x[order], self.labels[order], self.name, self.licence, self.source)


@dataclass(frozen=True)
class Idx:
    """A set in four gzipped IDX files, as MNIST is published."""

    folder: str  # below the data folder; the layout that torchvision expects too
    url: str
    md5: dict[str, str]
    licence: str
    source: str


_IDX = {
    "fashion_mnist": Idx(
        "FashionMNIST/raw",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        "MIT, © 2017 Zalando SE",
        "Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747",
    ),
    "mnist": Idx(
        "MNIST/raw",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
        "CC BY-SA 3.0, © Yann LeCun and Corinna Cortes",
        "LeCun, Bottou, Bengio & Haffner 1998, Proc. IEEE 86(11)",
    ),
}


def load(name: str, split: str = "train") -> ImageSet:
    """Load an image set: ``"digits"`` (offline), ``"mnist"`` or ``"fashion_mnist"``.

    ``digits`` has one split, all 1,797 images. The others are looked for in the folder that the
    environment variable ``DIFFUSION_CREATIVITY_DATA`` names, then in the cache, then downloaded
    and checked by hash.
    """
    loaders: dict[str, Callable[[str], ImageSet]] = {"digits": _digits}
    loaders |= {key: lambda split, key=key: _idx_set(key, split) for key in _IDX}
    if name not in loaders:
        raise ValueError(f"name must be one of {', '.join(sorted(loaders))}, got {name!r}")
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    return loaders[name](split)


def names() -> tuple[str, ...]:
    """The names that `load` takes."""
    return ("digits", *sorted(_IDX))


def _to_unit_range(pixels: np.ndarray, top: float) -> Tensor:
    """Map (N, H, W) in [0, top] to float32 (N, 1, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) * np.float32(2 / top) - 1)[:, None]


def _digits(split: str) -> ImageSet:
    if split != "train":
        raise ValueError('"digits" has only the split "train"')
    from sklearn.datasets import load_digits  # slow to import, and only this set needs it

    bunch = load_digits()
    return ImageSet(
        _to_unit_range(bunch.images, 16),
        torch.from_numpy(bunch.target.astype(np.int64)),
        "digits",
        "CC BY 4.0",
        "Alpaydin & Kaynak 1998, UCI repository, doi:10.24432/C50P49; shipped by scikit-learn",
    )


def _idx_set(name: str, split: str) -> ImageSet:
    spec, prefix = _IDX[name], "train" if split == "train" else "t10k"
    images = _read_idx(_fetch(spec, f"{prefix}-images-idx3-ubyte.gz"))
    labels = _read_idx(_fetch(spec, f"{prefix}-labels-idx1-ubyte.gz"))
    return ImageSet(
        _to_unit_range(images, 255),
        torch.from_numpy(labels.astype(np.int64)),
        name,
        spec.licence,
        spec.source,
    )


def _fetch(spec: Idx, file: str) -> Path:
    """Return the path of a file whose hash is right, downloading it if need be."""
    import pooch

    folder = os.environ.get("DIFFUSION_CREATIVITY_DATA")
    if folder and (own := Path(folder) / spec.folder / file).exists():
        if pooch.file_hash(own, alg="md5") != spec.md5[file]:
            raise ValueError(f"{own} is damaged: its md5 is not {spec.md5[file]}; replace it")
        return own
    cache = Path(pooch.os_cache("diffusion_creativity")) / spec.folder
    try:
        return Path(pooch.retrieve(spec.url + file, f"md5:{spec.md5[file]}", file, cache))
    except Exception as error:  # pooch lets through whatever its downloader raises
        raise OSError(
            f"could not get {file} from {spec.url} ({error}). Put it by hand in {cache}, or in "
            f"$DIFFUSION_CREATIVITY_DATA/{spec.folder}; its md5 is {spec.md5[file]}"
        ) from error


def _read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file: 4 bytes of magic, the sizes, then uint8 values."""
    with gzip.open(path, "rb") as file:
        raw = file.read()
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
