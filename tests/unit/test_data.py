"""Data: what is loaded, what is drawn, and what happens when a file cannot be had."""

import gzip
import math

import numpy as np
import pytest
import torch

from diffusion_creativity import data
from diffusion_creativity.data import images, toy

TARGETS = [
    toy.gaussian_mixture([[0.0, 1], [2, 3]], [0.2, 0.5], [1, 3]),
    toy.atoms([[0.0, 1], [2, 3], [5, 5]]),
    toy.uniform(-1, 3, d=3),
    toy.spiral(),
    toy.checkerboard(),
    toy.texture(8),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_stated_moments_are_the_population_moments(target):
    """Each moment within 5 standard errors of 200,000 draws."""
    n = 200_000
    x = target.sample(n, seed=4)
    assert x.dtype == torch.float32
    assert x.shape == (n, *target.mean.shape)
    centred = x.flatten(1).double() - target.mean.flatten()
    error = centred.mean(0).abs()
    assert (error <= 5 * (target.cov.diagonal() / n).sqrt() + 1e-7).all()
    products = centred.T @ centred / n
    spread = ((centred**2).T @ centred**2 / n - products**2).clamp(min=0)
    assert ((products - target.cov).abs() <= 5 * (spread / n).sqrt() + 1e-6).all()


def test_draws_depend_on_the_seed_alone():
    a, b, c = (toy.spiral().sample(10, seed) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_texture_has_unit_variance_and_its_spectrum():
    x = toy.texture(8).sample(50_000, seed=2)
    power = torch.fft.fft2(x.double()).abs().square().mean((0, 1)) / 64
    f = torch.fft.fftfreq(8, dtype=torch.float64)
    expected = 1 / (0.02 + torch.hypot(f[:, None], f[None])) ** 2
    torch.testing.assert_close(
        power, expected / expected.mean(), rtol=5 * math.sqrt(2 / 5e4), atol=0
    )


def test_digits():
    digits = data.load("digits")
    assert digits.x.shape == (1797, 1, 8, 8)
    assert (digits.x.min(), digits.x.max()) == (-1, 1)
    assert digits.labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    few = digits.subset(20, seed=1)
    assert len(few) == len(few.x.flatten(1).unique(dim=0)) == 20


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(s.to_bytes(4, "big") for s in array.shape)
    return gzip.compress(header + array.tobytes())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with a three-image MNIST whose hashes are the known ones."""
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    spec = images._IDX["mnist"]
    for prefix in ("train", "t10k"):
        (raw / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx(pixels))
        (raw / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx(np.array([3, 1, 4], np.uint8)))
    import pooch

    for file in spec.md5:
        monkeypatch.setitem(spec.md5, file, pooch.file_hash(raw / file, alg="md5"))
    monkeypatch.setenv("DIFFUSION_CREATIVITY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return raw


@pytest.mark.parametrize("split", ["train", "test"])
def test_idx_files_are_read_from_the_readers_folder(folder, split):
    mnist = data.load("mnist", split)
    assert mnist.x.shape == (3, 1, 28, 28)
    assert mnist.labels.tolist() == [3, 1, 4]
    assert mnist.x[0, 0, 0, 5].item() == pytest.approx(5 / 127.5 - 1)


def test_a_damaged_file_is_refused(folder):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"half")
    with pytest.raises(ValueError, match="damaged"):
        data.load("mnist")


def test_a_failed_download_says_what_to_do_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("DIFFUSION_CREATIVITY_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    unreachable = images.Idx("none", "http://127.0.0.1:9/", {"a.gz": "0" * 32}, "", "")
    with pytest.raises(OSError, match=r"could not get a\.gz.*Put it by hand"):
        images._fetch(unreachable, "a.gz")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: data.load("imagenet"), "name must be one of"),
        (lambda: data.load("digits", "validation"), "split"),
        (lambda: data.load("digits", "test"), "split"),
        (lambda: data.load("digits").subset(0), "n must lie"),
        (lambda: toy.checkerboard(3), "cells"),
        (lambda: toy.uniform(1, 0), "low"),
        (lambda: toy.texture(cutoff=0), "cutoff"),
        (lambda: toy.spiral(noise=-1), "noise"),
        (lambda: toy.gaussian_mixture([[0.0], [1.0]], [0.1, -1]), "scales"),
        (lambda: toy.atoms([]), "means"),
        (lambda: toy.gaussian_mixture(torch.zeros(2, 3, 4)), "means"),
        (lambda: toy.gaussian_mixture([[0.0], [1.0]], [1.0, 2.0, 3.0]), "scales"),
        (lambda: toy.gaussian_mixture([[0.0], [1.0]], [1.0, math.nan]), "scales"),
        (lambda: toy.uniform(d=0), "d must"),
        (lambda: data.load("digits").subset(2.5), "n must"),
        (lambda: data.load("digits").subset(2, seed=-1), "seed"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
