"""MNIST and Fashion-MNIST: four gzipped IDX files each."""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import _downloads
from .images import ImageSet, check_split, unit_range


@dataclass(frozen=True)
class Idx:
    """A set in four gzipped IDX files, as MNIST is published."""

    folder: str  # below the data folder; the layout that torchvision expects too
    url: str
    files: dict[str, tuple[int, str]]  # name: bytes, sha256
    licence: str
    source: str
    classes: tuple[str, ...]


SETS = {
    "fashion_mnist": Idx(
        "FashionMNIST/raw",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": (
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            "train-labels-idx1-ubyte.gz": (
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            "t10k-images-idx3-ubyte.gz": (
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        },
        "MIT, © 2017 Zalando SE",
        "Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747",
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    "mnist": Idx(
        "MNIST/raw",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": (
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            "train-labels-idx1-ubyte.gz": (
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            "t10k-images-idx3-ubyte.gz": (
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        },
        "CC BY-SA 3.0, © Yann LeCun and Corinna Cortes",
        "LeCun, Bottou, Bengio & Haffner 1998, Proc. IEEE 86(11)",
        tuple("0123456789"),
    ),
}


def image_set(name: str, split: str) -> ImageSet:
    """Return a split of one of `SETS`."""
    check_split(split, ["train", "test"], name)
    spec, prefix = SETS[name], "train" if split == "train" else "t10k"
    images = read_idx(_downloads.fetch(published(spec, f"{prefix}-images-idx3-ubyte.gz")))
    labels = read_idx(_downloads.fetch(published(spec, f"{prefix}-labels-idx1-ubyte.gz")))
    return ImageSet(
        unit_range(images[:, None]),
        torch.from_numpy(labels.astype(np.int64)),
        name,
        spec.licence,
        spec.source,
        spec.classes,
    )


def published(spec: Idx, file: str) -> _downloads.Published:
    """Return what is known of one of the four files."""
    size, sha256 = spec.files[file]
    return _downloads.Published(file, spec.folder, spec.url + file, sha256, size)


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file: 4 bytes of magic, the sizes (big-endian), then uint8 values."""
    try:
        with gzip.open(path, "rb") as file:
            raw = file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is no complete gzip file: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is no IDX file of bytes: it starts with {raw[:4]!r}")
    start = 4 + 4 * raw[3]
    shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4)]
    if len(raw) != start + math.prod(shape):
        raise ValueError(f"{path} must hold {shape} values, got {len(raw) - start} bytes of them")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
