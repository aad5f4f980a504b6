"""Image sets by name: their files as they are published, and what `load` says of each."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from diffusion_creativity import data
from diffusion_creativity.data import _cifar, _downloads, _idx, images

needs_files = pytest.mark.skipif(
    not os.environ.get("DIFFUSION_CREATIVITY_DATA"),
    reason="DIFFUSION_CREATIVITY_DATA names no folder with the real image sets",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder, an empty cache, and no network."""

    def offline(*args, **kwargs):
        raise OSError("no network here")

    monkeypatch.setattr("pooch.retrieve", offline)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setenv("DIFFUSION_CREATIVITY_DATA", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def published(name, content, url=None):
    return _downloads.Published(name, "", url, hashlib.sha256(content).hexdigest(), len(content))


# ---- IDX


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(s.to_bytes(4, "big") for s in array.shape)
    return header + array.tobytes()


@given(arrays(np.uint8, array_shapes(max_dims=4, max_side=5, min_side=0)))
def test_idx_round_trip(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("idx") / "a.gz"
    path.write_bytes(gzip.compress(idx(array)))
    read = _idx.read_idx(path)
    assert read.shape == array.shape
    assert np.array_equal(read, array)


@given(st.data())
def test_a_broken_idx_file_is_refused(tmp_path_factory, data):
    """Cut before or after compression, longer than it says, or of another type."""
    raw = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    packed = gzip.compress(raw)
    broken = data.draw(
        st.one_of(
            st.integers(0, len(packed) - 1).map(lambda n: packed[:n]),
            st.integers(0, len(raw) - 1).map(lambda n: gzip.compress(raw[:n])),
            st.binary(min_size=1, max_size=9).map(lambda more: gzip.compress(raw + more)),
            st.just(gzip.compress(b"\x00\x00\x0d" + raw[3:])),
            st.just(raw),
        )
    )
    path = tmp_path_factory.mktemp("idx") / "a.gz"
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=r"a\.gz"):
        _idx.read_idx(path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize(("split", "prefix"), [("train", "train"), ("test", "t10k")])
def test_idx_sets_are_read_from_the_readers_folder(folder, monkeypatch, name, split, prefix):
    spec = _idx.SETS[name]
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    (folder / spec.folder).mkdir(parents=True)
    for kind, array in (("images-idx3", pixels), ("labels-idx1", np.array([3, 1, 4], np.uint8))):
        file, content = f"{prefix}-{kind}-ubyte.gz", gzip.compress(idx(array))
        (folder / spec.folder / file).write_bytes(content)
        known = (len(content), hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(spec.files, file, known)
    loaded = data.load(name, split)
    assert loaded.x.dtype == torch.float32
    assert loaded.labels.tolist() == [3, 1, 4]
    assert (loaded.name, len(loaded.classes)) == (name, 10)
    expected = pixels[:, None].astype(np.float64) / 127.5 - 1
    assert loaded.x.shape == expected.shape
    np.testing.assert_allclose(loaded.x.numpy(), expected, atol=1e-7)


# ---- CIFAR-10


def batch(n, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 10, n, dtype=np.uint8)
    records = np.concatenate([labels[:, None], pixels.reshape(n, -1)], 1)
    return pixels, labels, records.tobytes()


def archive(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class Touch:
    """Unpickling it leaves a file: a test that nothing is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def full(folder, monkeypatch, members):
    content = archive(members)
    (folder / "cifar-10-binary.tar.gz").write_bytes(content)
    monkeypatch.setattr(_cifar, "FULL", published("cifar-10-binary.tar.gz", content, "http://x/"))


def batches():
    parts = {name: batch(4, seed) for seed, name in enumerate(_cifar.MEMBERS["train"])}
    parts[_cifar.MEMBERS["test"][0]] = batch(3, 9)
    return parts


def test_cifar10_in_the_order_of_its_batches_and_without_unpickling(folder, tmp_path, monkeypatch):
    parts = batches()
    members = {name: part[2] for name, part in reversed(parts.items())}  # any order in the tar
    members["cifar-10-batches-py/data_batch_1"] = pickle.dumps(Touch(tmp_path / "unpickled"))
    full(folder, monkeypatch, members)
    train, test = data.load("cifar10"), data.load("cifar10", "test")
    expected = np.concatenate([parts[name][0] for name in _cifar.MEMBERS["train"]])
    np.testing.assert_allclose(train.x.numpy(), expected / 127.5 - 1, atol=1e-7)
    assert train.labels.tolist() == [int(v) for m in _cifar.MEMBERS["train"] for v in parts[m][1]]
    assert test.x.shape == (3, 3, 32, 32)
    assert (train.name, train.classes[6]) == ("cifar10", "frog")
    assert not (tmp_path / "unpickled").exists()
    assert [p.name for p in folder.iterdir()] == ["cifar-10-binary.tar.gz"]  # nothing unpacked


@pytest.mark.parametrize("damage", ["missing", "short", "label", "link"])
def test_a_cifar10_archive_with_other_content_is_refused(folder, monkeypatch, damage):
    name = _cifar.MEMBERS["test"][0]
    members = {name: batch(3, 0)[2]}
    if damage in ("missing", "link"):
        members = {"readme.html": b"?"}
    elif damage == "short":
        members[name] = members[name][:-1]
    else:
        members[name] = b"\x0a" + members[name][1:]
    full(folder, monkeypatch, members)
    if damage == "link":  # a link of that name to a file outside
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as file:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
            file.addfile(entry)
        content = buffer.getvalue()
        (folder / "cifar-10-binary.tar.gz").write_bytes(content)
        known = published("cifar-10-binary.tar.gz", content)
        monkeypatch.setattr(_cifar, "FULL", known)
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz (lacks|has the label 10)"):
        data.load("cifar10", "test")


def small_subset(folder, monkeypatch, **arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    content = buffer.getvalue()
    (folder / "cifar10_train10k.npz").write_bytes(content)
    monkeypatch.setitem(_cifar.SUBSET, "train", published("cifar10_train10k.npz", content))


def test_the_subset_says_that_it_is_one(folder, monkeypatch):
    pixels, labels, _ = batch(5, 0)
    small_subset(folder, monkeypatch, images=pixels.transpose(0, 2, 3, 1), labels=labels)
    with pytest.warns(UserWarning, match="a subset here, 5 images") as seen:
        fallback = data.load("cifar10")
    assert seen[0].filename == __file__  # at the reader's line
    asked = data.load("cifar10_subset")
    for part in (fallback, asked):
        assert part.name == "cifar10_subset"
        assert "a subset: 5 of the 50,000 training images" in part.source
        assert part.labels.tolist() == labels.tolist()
        np.testing.assert_allclose(part.x.numpy(), pixels / 127.5 - 1, atol=1e-7)
    with pytest.raises(OSError, match=r"could not get cifar-10-binary\.tar\.gz"):
        data.load("cifar10", "test")  # no subset of that split here


def test_the_full_set_is_preferred(folder, monkeypatch, recwarn):
    pixels, labels, _ = batch(5, 0)
    small_subset(folder, monkeypatch, images=pixels.transpose(0, 2, 3, 1), labels=labels)
    full(folder, monkeypatch, {name: part[2] for name, part in batches().items()})
    assert data.load("cifar10").name == "cifar10"
    assert not recwarn.list


def test_objects_in_the_subset_are_not_unpickled(folder, tmp_path, monkeypatch):
    trap = np.array([Touch(tmp_path / "unpickled")], dtype=object)
    small_subset(folder, monkeypatch, images=trap, labels=np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        data.load("cifar10_subset")
    assert not (tmp_path / "unpickled").exists()


def test_published_hashes_have_the_right_form():
    files = [_cifar.FULL, *_cifar.SUBSET.values()]
    files += [_idx.published(spec, name) for spec in _idx.SETS.values() for name in spec.files]
    assert len({file.sha256 for file in files}) == len(files) == 11
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in files)


# ---- load


def test_names_are_those_of_the_table():
    rows = [line.strip() for line in data.load.__doc__.splitlines()]
    named = {row.split("``")[1] for row in rows if row.startswith("``") and "  " in row}
    assert named == set(data.names())


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar10_subset", "digits", "celeba"])
@pytest.mark.parametrize("split", ["validation", None, 0, ["train"]])
def test_an_unknown_split_is_named(name, split):
    with pytest.raises(ValueError, match=f"split of {name} must be one of"):
        data.load(name, split)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar10_subset"])
def test_offline_and_without_files(folder, name):
    with pytest.raises(OSError, match="could not get") as failure:
        data.load(name)
    assert str(folder) in str(failure.value)
    assert "sha256" in str(failure.value)


@given(st.integers(2, 65535))
def test_both_ends_of_the_range_are_exact(top):
    x = images.unit_range(np.array([[0, top]], np.uint16), top)
    assert x.tolist() == [[-1, 1]]


REAL = {
    ("mnist", "train"): (60_000, 1, 28, 28),
    ("mnist", "test"): (10_000, 1, 28, 28),
    ("fashion_mnist", "train"): (60_000, 1, 28, 28),
    ("fashion_mnist", "test"): (10_000, 1, 28, 28),
    ("cifar10_subset", "train"): (10_000, 3, 32, 32),
    ("cifar10_subset", "test"): (1_000, 3, 32, 32),
}


@needs_files
@pytest.mark.parametrize(("name", "split"), REAL)
def test_real_sets(name, split):
    loaded = data.load(name, split)
    assert tuple(loaded.x.shape) == REAL[name, split]
    assert loaded.x.dtype == torch.float32
    assert loaded.x.is_contiguous()
    assert (loaded.x.min(), loaded.x.max()) == (-1, 1)
    assert loaded.labels.dtype == torch.int64
    counts = loaded.labels.bincount()
    if name == "mnist":  # as its authors count them
        ones = {"train": 6742, "test": 1135}[split]
        assert counts[1] == ones
        mean = {"train": 0.1307, "test": 0.1325}[split]
        assert loaded.x.double().mean().item() == pytest.approx(2 * mean - 1, abs=1e-4)
    else:
        assert (counts == len(loaded) // 10).all()


@needs_files
def test_cifar10_works_offline_beside_the_subset(monkeypatch):
    if _downloads.find(_cifar.FULL)[0]:
        assert len(data.load("cifar10", "test")) == 10_000
        return
    with pytest.warns(UserWarning, match="a subset here, 1,000 images"):
        part = data.load("cifar10", "test")
    assert part.name == "cifar10_subset"
