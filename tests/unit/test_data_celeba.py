"""CelebA from the reader's copy, on made-up copies in the layouts in which people have it."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusion_creativity import data
from diffusion_creativity.data import _gather

SPLIT_OF = [0, 0, 1, 2, 0, 2, 0]  # of 000001.jpg, 000002.jpg, …


def jpeg(seed, width=178, height=218):
    coarse = np.random.default_rng(seed).integers(0, 256, (14, 12, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


NAMES = [f"{i:06d}.jpg" for i in range(1, len(SPLIT_OF) + 1)]
JPEGS = {name: jpeg(i) for i, name in enumerate(NAMES)}
TXT = "".join(f"{name} {part}\n" for name, part in zip(NAMES, SPLIT_OF, strict=True)).encode()
CSV = b"image_id,partition\r\n" + TXT.replace(b" ", b",").replace(b"\n", b"\r\n")


def below(folder, files=JPEGS):
    return {f"{folder}/{name}": content for name, content in files.items()}


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


LAYOUTS = {  # what lies in the folder, and what the reader names
    "torchvision": ({"list_eval_partition.txt": TXT, **below("img_align_celeba")}, "."),
    "torchvision, one up": (
        {"celeba/list_eval_partition.txt": TXT, **below("celeba/img_align_celeba")},
        ".",
    ),
    "images alone, list beside": (
        {"list_eval_partition.txt": TXT, **below("img_align_celeba")},
        "img_align_celeba",
    ),
    "kaggle": (
        {"list_eval_partition.csv": CSV, **below("img_align_celeba/img_align_celeba")},
        ".",
    ),
    "kaggle zip": (
        {
            "archive.zip": zipped(
                {
                    "list_eval_partition.csv": CSV,
                    **below("img_align_celeba/img_align_celeba"),
                    "__MACOSX/img_align_celeba/._000001.jpg": b"?",
                }
            )
        },
        "archive.zip",
    ),
    "zip, list beside": (
        {
            "img_align_celeba.zip": zipped(below("img_align_celeba")),
            "list_eval_partition.txt": TXT,
        },
        "img_align_celeba.zip",
    ),
    "folder with the zip": (
        {
            "img_align_celeba.zip": zipped(below("img_align_celeba")),
            "list_eval_partition.txt": TXT,
        },
        ".",
    ),
    "authors": (
        {
            "Img/img_align_celeba.zip": zipped(below("img_align_celeba")),
            "Eval/list_eval_partition.txt": b"\xef\xbb\xbf" + TXT,
        },
        ".",
    ),
    "authors, the zip": (
        {
            "Img/img_align_celeba.zip": zipped(below("img_align_celeba")),
            "Eval/list_eval_partition.txt": TXT,
        },
        "Img/img_align_celeba.zip",
    ),
}


def triangle(n, m):
    """Weights (m, n) of an antialiased triangle filter from n to m <= n samples."""
    scale = n / m
    centres = (np.arange(m)[:, None] + 0.5) * scale
    weights = np.clip(1 - np.abs(np.arange(n) + 0.5 - centres) / scale, 0, None)
    return weights / weights.sum(1, keepdims=True)


def expected(name, size):
    """Levels (3, size, size) by float64 sums over the centre 140×140."""
    image = np.asarray(Image.open(io.BytesIO(JPEGS[name]))).transpose(2, 0, 1)
    crop = image[:, 39:179, 19:159]
    return triangle(140, size) @ crop @ triangle(140, size).T


@pytest.fixture
def copy(tmp_path):
    return write(tmp_path / "celeba", LAYOUTS["torchvision"][0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout, recwarn):
    files, named = LAYOUTS[layout]
    write(tmp_path, files)
    for split, number in (("train", 0), ("valid", 1), ("test", 2)):
        images = data.celeba(tmp_path / named, split=split)
        names = [n for n, part in zip(NAMES, SPLIT_OF, strict=True) if part == number]
        assert images.x.shape == (len(names), 3, 32, 32)
        for x, name in zip(images.x, names, strict=True):
            # Two passes round to a level each.
            assert np.abs((x.double().numpy() + 1) * 127.5 - expected(name, 32)).max() <= 1.01
    assert len(data.celeba(tmp_path / named, split="all")) == len(NAMES)
    assert not [w for w in recwarn.list if w.category is UserWarning]


@pytest.mark.parametrize("size", [1, 64, 140])
def test_sizes(copy, size):
    x = data.celeba(copy, split="valid", size=size).x[0]
    assert x.shape == (3, size, size)
    error = np.abs((x.double().numpy() + 1) * 127.5 - expected("000003.jpg", size)).max()
    assert error <= (1e-4 if size == 140 else 1.01)


def test_what_is_known_of_them(copy):
    images = data.celeba(copy)
    assert images.labels.tolist() == [0, 0, 0, 0]
    assert (images.name, images.classes, images.skipped) == ("celeba", ("face",), ())
    assert "no redistribution" in images.licence
    assert "4 of 4 images here, split train" in images.source


def test_limit_takes_the_first(copy):
    images = data.celeba(copy, limit=2)
    assert np.array_equal(images.x, data.celeba(copy).x[:2])
    assert "2 of 4 images here" in images.source
    assert len(data.celeba(copy, limit=100)) == 4


def test_load_looks_in_the_data_folder(copy, monkeypatch):
    monkeypatch.setenv("DIFFUSION_CREATIVITY_DATA", str(copy.parent))
    assert data.load("celeba", "test").x.shape == (2, 3, 32, 32)
    monkeypatch.setenv("DIFFUSION_CREATIVITY_DATA", str(copy / "none"))
    with pytest.raises(FileNotFoundError, match=r"your own copy.*Tried .*none.celeba") as failure:
        data.load("celeba")
    assert "list_eval_partition.txt" in str(failure.value)
    monkeypatch.delenv("DIFFUSION_CREATIVITY_DATA")
    with pytest.raises(FileNotFoundError, match=r"Tried nothing: .* is not set"):
        data.load("celeba")


def test_unusable_files(copy):
    """Truncated, of another size, no image, in no split: skipped and named, or refused."""
    folder = copy / "img_align_celeba"
    (folder / "000001.jpg").write_bytes(JPEGS["000001.jpg"][:2000])
    (folder / "000002.jpg").write_bytes(jpeg(0, 218, 178))
    (folder / "000005.jpg").write_bytes(b"<html>")
    (folder / "999999.jpg").write_bytes(jpeg(1))
    with pytest.warns(UserWarning, match="4 of 5 files") as seen:
        images = data.celeba(copy)
    assert seen[0].filename == __file__
    assert len(images) == 1
    reasons = {Path(file).name: reason for file, reason in images.skipped}
    assert list(reasons) == ["000001.jpg", "000002.jpg", "000005.jpg", "999999.jpg"]
    assert "damaged" in reasons["000001.jpg"]
    assert reasons["000002.jpg"] == "its size 218×178 is not 178×218"
    assert "not an image" in reasons["000005.jpg"]
    assert reasons["999999.jpg"] == "not in the partition file"
    with pytest.raises(ValueError, match=r"999999\.jpg cannot be used"):
        data.celeba(copy, on_error="raise")
    (folder / "999999.jpg").unlink()
    with pytest.raises(ValueError, match=r"000001\.jpg cannot be used: damaged"):
        data.celeba(copy, on_error="raise")


def test_an_incomplete_copy(copy):
    for name in NAMES[1:]:
        (copy / "img_align_celeba" / name).unlink()
    assert "1 of 1 images here" in data.celeba(copy).source
    with pytest.raises(ValueError, match="split 'valid' has none of the 1 images"):
        data.celeba(copy, split="valid")
    (copy / "list_eval_partition.txt").unlink()
    assert len(data.celeba(copy, split="all")) == 1
    with pytest.raises(FileNotFoundError, match=r'list_eval_partition\.txt or .*"all" does not'):
        data.celeba(copy)


@pytest.mark.parametrize("line", ["000001.jpg 3", "000001.jpg", "000001.jpg 0 1", "1,2,3"])
def test_a_wrong_partition_file(copy, line):
    (copy / "list_eval_partition.txt").write_text(TXT.decode() + line)
    with pytest.raises(ValueError, match=r"list_eval_partition\.txt must have lines like"):
        data.celeba(copy)


def test_images_that_are_there_twice(copy):
    write(copy, below("copy/img_align_celeba"))
    with pytest.raises(ValueError, match=r"path holds 000001\.jpg twice: copy/"):
        data.celeba(copy)


def test_a_zip_that_points_outside(tmp_path):
    files = below("img_align_celeba") | {"../../list_eval_partition.txt": TXT}
    (tmp_path / "a.zip").write_bytes(zipped(files))
    with pytest.raises(ValueError, match="points outside"):
        data.celeba(tmp_path / "a.zip", split="all")


def test_memory_stays_within_the_stated_bound(tmp_path, monkeypatch):
    """5 bytes for each value at the peak, and the files in flight."""
    monkeypatch.setattr(_gather, "BATCH", 8)
    n, size = 120, 64
    write(tmp_path, {f"{i:06d}.jpg": JPEGS["000001.jpg"] for i in range(n)})
    data.celeba(tmp_path, split="all", size=size, limit=1)  # imports
    tracemalloc.start()
    images = data.celeba(tmp_path, split="all", size=size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    values = images.x.numel()
    assert values == n * 3 * size * size
    in_flight = 8 * (len(JPEGS["000001.jpg"]) + 2 * 3 * size * size + 4 * 178 * 218)
    assert peak <= 5 * values + in_flight + 500_000  # the names, the pool, the bar


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"split": "validation"}, "split of celeba"),
        ({"size": 0}, "size must"),
        ({"size": 141}, "size must be at most 140"),
        ({"limit": 0}, "limit must"),
        ({"on_error": "none"}, "on_error must"),
        ({"path": None}, "path must"),
    ],
)
def test_bad_arguments_are_named(copy, options, named):
    with pytest.raises(ValueError, match=named):
        data.celeba(**{"path": copy} | options)


def test_a_folder_without_celeba(tmp_path):
    write(tmp_path, {"cat.png": b"?"})
    with pytest.raises(ValueError, match="path must hold img_align_celeba"):
        data.celeba(tmp_path)
