"""A folder or zip of the reader's images: every mode, every damage, one order."""

import io
import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diffusion_creativity import data
from diffusion_creativity.data import _files, _gather, _pixels


def pixels(height, width, channels, seed=0):
    shape = (height, width, channels)[: 2 if channels == 1 else 3]
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(seed, side=8):
    return encoded(pixels(side, side, 1, seed))


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def packed(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def levels(images):
    """Images as the 8-bit levels they came from, (N, C, H, W)."""
    back = (images.x.double() + 1) * 127.5
    assert (back - back.round()).abs().max() < 1e-4
    return back.round().numpy()


# ---- modes and sizes


def alpha_on_white(colour, alpha):
    share = alpha.astype(float)[..., None] / 255
    return colour * share + 255 * (1 - share)


def made(mode, height, width, seed):
    """An image of a mode and kind, with the RGB levels that it should give (H, W, 3)."""
    colour = pixels(height, width, 3, seed)
    one = pixels(height, width, 1, seed + 1)
    alpha = pixels(height, width, 1, seed + 2)
    three = np.repeat(one[..., None], 3, -1)
    if mode == "RGB":
        return encoded(colour), colour
    if mode == "L":
        return encoded(one), three
    if mode == "1":
        black = Image.fromarray(one > 127)
        return encoded(black), np.where(three > 127, 255, 0)
    if mode == "RGBA":
        return encoded(np.dstack([colour, alpha])), alpha_on_white(colour, alpha)
    if mode == "LA":
        return encoded(Image.fromarray(np.dstack([one, alpha]))), alpha_on_white(three, alpha)
    if mode == "P":
        palette = pixels(256, 1, 3, seed)[:, 0]
        image = Image.fromarray(one).convert("P")
        image.putpalette(palette.tobytes())
        return encoded(image), palette[one]
    if mode == "P clear":
        image = Image.fromarray(one % 4).convert("P")
        image.putpalette(bytes(range(12)))
        full = np.arange(12).reshape(4, 3)[one % 4]
        full[one % 4 == 2] = 255
        return encoded(image, transparency=2), full
    if mode == "RGB clear":
        full = colour.astype(int)
        full[(full == full[0, 0]).all(-1)] = 255
        return encoded(colour, transparency=tuple(map(int, colour[0, 0]))), full
    if mode == "I;16":
        wide = np.random.default_rng(seed).integers(0, 65536, one.shape, dtype=np.uint16)
        return encoded(wide), np.repeat(np.round(wide / 257)[..., None], 3, -1)
    if mode == "I":
        wide = np.random.default_rng(seed).integers(0, 65536, one.shape, dtype=np.int32)
        return encoded(wide, "TIFF"), np.repeat(np.round(wide / 257)[..., None], 3, -1)
    assert mode == "CMYK"
    ink = np.dstack([255 - colour, np.zeros_like(one)])
    return encoded(Image.frombytes("CMYK", (width, height), ink.tobytes()), "TIFF"), colour


MODES = ["RGB", "L", "1", "RGBA", "LA", "P", "P clear", "RGB clear", "I;16", "I", "CMYK"]


@given(
    st.sampled_from(MODES),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 999),
    st.sampled_from([1, 3]),
)
def test_modes_give_the_levels_they_mean(tmp_path_factory, mode, height, width, seed, channels):
    content, colour = made(mode, height, width, seed)
    path = write(tmp_path_factory.mktemp("modes"), {"a.img": content})  # the name says nothing
    got = levels(data.folder(path, channels=channels))[0]
    if channels == 1:
        expected = (colour @ [0.299, 0.587, 0.114])[None]
    else:
        expected = colour.transpose(2, 0, 1)
    assert got.shape == expected.shape
    # 8-bit arithmetic rounds: once for alpha, once more for luma.
    exact = mode not in ("RGBA", "LA") and channels == 3
    assert np.abs(got - expected).max() <= (0 if exact else 1.01)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "GIF", "JPEG"])
def test_formats(tmp_path, kind):
    """All but the last two without loss; 64 grey levels fit any palette."""
    image = np.kron(np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8), np.ones((8, 8), np.uint8))
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    content = encoded(image, kind, **options)
    got = levels(data.folder(write(tmp_path, {"a": content}), channels=1))[0, 0]
    assert np.abs(got - image).max() <= (2 if kind == "JPEG" else 0)


def test_files_of_unknown_range_are_refused(tmp_path):
    floats = encoded(np.ones((4, 4), np.float32), "TIFF")
    deep = encoded(np.full((4, 4), 70_000, np.int32), "TIFF")
    write(tmp_path, {"a.png": grey(0), "float.tif": floats, "deep.tif": deep})
    with pytest.warns(UserWarning, match="2 of 3 files"):
        images = data.folder(tmp_path)
    assert dict(images.skipped) == {
        "deep.tif": "pixels of more than 16 bits",
        "float.tif": "floating-point pixels, whose range is unknown",
    }


def test_exif_orientation_is_applied(tmp_path):
    image = pixels(4, 6, 1)
    turned = {1: image, 3: image[::-1, ::-1], 6: np.rot90(image, -1), 8: np.rot90(image)}
    for orientation, expected in turned.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = write(tmp_path / str(orientation), {"a.png": encoded(image, exif=exif)})
        got = levels(data.folder(path, channels=1))[0, 0]
        assert np.array_equal(got, expected)


def test_the_first_frame_of_an_animation_counts(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (0, 255)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (levels(data.folder(write(tmp_path, {"a.gif": content}))) == 0).all()


def triangle(n, m):
    """Weights (m, n) of an antialiased triangle filter from n to m <= n samples."""
    scale = n / m
    centres = (np.arange(m)[:, None] + 0.5) * scale
    weights = np.clip(1 - np.abs(np.arange(n) + 0.5 - centres) / scale, 0, None)
    return weights / weights.sum(1, keepdims=True)


@given(st.integers(4, 40), st.integers(4, 40), st.data())
def test_the_centre_square_is_scaled_down(tmp_path_factory, height, width, draw):
    side = min(height, width)
    size = draw.draw(st.integers(1, side))
    image = pixels(height, width, 3)
    path = write(tmp_path_factory.mktemp("size"), {"a.png": encoded(image)})
    got = levels(data.folder(path, size=size))[0]
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side].transpose(2, 0, 1)
    expected = triangle(side, size) @ square @ triangle(side, size).T
    # Each of the two passes rounds to a level.
    assert np.abs(got - expected).max() <= (0 if size == side else 1.01)


# ---- order, classes, zips


TREE = {
    "cat/2.png": grey(1),
    "cat/10.png": grey(2),
    "cat/young/1.png": grey(3),
    "dog/1.png": grey(4),
    "ape/9.png": grey(5),
}
ORDER = ["ape/9.png", "cat/10.png", "cat/2.png", "cat/young/1.png", "dog/1.png"]


@pytest.mark.parametrize("wrapped", ["", "pets/", "set/pets/"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_order_and_classes(tmp_path, wrapped, kind):
    files = {wrapped + name: TREE[name] for name in reversed(TREE)}
    files |= {f"__MACOSX/{wrapped}cat/._2.png": b"?", f"{wrapped}.hidden/a.png": grey(9)}
    files |= {f"{wrapped}Thumbs.db": b"?"}
    path = tmp_path / "pets"
    path = write(path, files) if kind == "folder" else packed(path, files)
    images = data.folder(path, channels=1)
    expected = [np.asarray(Image.open(io.BytesIO(TREE[name]))) for name in ORDER]
    assert np.array_equal(levels(images)[:, 0], expected)
    assert images.classes == ("ape", "cat", "dog")
    assert images.labels.tolist() == [0, 1, 1, 1, 2]
    assert images.labels.dtype == torch.int64
    assert (images.name, images.skipped) == ("pets", ())
    kept = images.subset(2)
    assert (kept.classes, kept.name) == (images.classes, "pets")


def test_files_at_the_top(tmp_path):
    flat = data.folder(write(tmp_path / "flat", {"b.png": grey(0), "a.png": grey(1)}))
    assert (flat.classes, flat.labels.tolist()) == ((), [0, 0])
    mixed = data.folder(write(tmp_path / "mixed", {"b.png": grey(0), "cat/a.png": grey(1)}))
    assert (mixed.classes, mixed.labels.tolist()) == ((".", "cat"), [0, 1])
    single = data.folder(write(tmp_path / "single", {"cat/a.png": grey(0)}))
    assert (single.classes, single.labels.tolist()) == (("cat",), [0])


def test_more_files_than_are_in_flight(tmp_path, monkeypatch):
    monkeypatch.setattr(_gather, "BATCH", 3)
    files = {f"{i:02d}.png": grey(i) for i in range(11)}
    images = data.folder(write(tmp_path, files), channels=1)
    assert np.array_equal(levels(images)[:, 0], [pixels(8, 8, 1, i) for i in range(11)])


OUTSIDE = ["../a.png", "/etc/a.png", "C:\\a.png", "cat/../../a.png", "..\\a.png", "\\\\host\\a"]


@pytest.mark.parametrize("on_error", ["skip", "raise"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_zip_that_points_outside_is_refused(tmp_path, name, on_error):
    path = packed(tmp_path / "a.zip", {"good.png": grey(0), name: grey(1)})
    with pytest.raises(ValueError, match=r"a\.zip is refused: its entry .* points outside"):
        data.folder(path, on_error=on_error)
    assert list(tmp_path.iterdir()) == [path]


def test_a_zip_with_a_link_is_refused(tmp_path):
    path = packed(tmp_path / "a.zip", {"good.png": grey(0)})
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match=r"'link\.png' is a link"):
        data.folder(path)


# ---- files that cannot be used


def bomb(width, height):
    """A PNG of a hundred bytes that claims to be large."""

    def chunk(kind, body):
        check = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


WHOLE = encoded(pixels(8, 8, 3), "PNG")
BAD = {
    "empty.png": (b"", "not an image"),
    "notes.txt": (b"These are my cats.", "not an image"),
    "page.png": (b"<html>404</html>", "not an image"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "not an image"),
    "cut.png": (WHOLE[: len(WHOLE) // 2], "damaged"),
    "cut.jpg": (encoded(pixels(64, 64, 3), "JPEG")[:-900], "damaged"),
    "flipped.png": (flipped(WHOLE, len(WHOLE) // 2), "damaged"),
    "larger.png": (encoded(pixels(9, 8, 3)), "8×9 is not that of a.png, 8×8"),
    "bomb.png": (bomb(60_000, 60_000), "damaged: Image size"),
    "large.png": (bomb(8_000, 8_000), "claims 8000×8000 pixels"),
}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_unusable_files_are_skipped_and_named(tmp_path, kind):
    files = {"a.png": WHOLE, "z.png": grey(1)} | {name: bad for name, (bad, _) in BAD.items()}
    path = tmp_path / "set"
    path = write(path, files) if kind == "folder" else packed(path, files)
    with pytest.warns(UserWarning, match=f"{len(BAD)} of {len(BAD) + 2} files") as seen:
        images = data.folder(path)
    assert len(images) == 2
    assert [file for file, _ in images.skipped] == sorted(BAD)
    for file, reason in images.skipped:
        assert BAD[file][1] in reason
    assert "bomb.png" in str(seen[0].message)
    assert seen[0].filename == __file__


@pytest.mark.parametrize("name", BAD)
def test_unusable_files_are_refused_by_name(tmp_path, name):
    write(tmp_path, {"a.png": WHOLE, name: BAD[name][0]})
    with pytest.raises(ValueError, match=f"{name} cannot be used: .*{BAD[name][1]}"):
        data.folder(tmp_path, on_error="raise")


def test_small_images_are_not_enlarged(tmp_path):
    write(tmp_path, {"a.png": grey(0, 16), "b.png": grey(1, 9), "c.png": grey(2, 20)})
    with pytest.warns(UserWarning, match=r"1 of 3 .*b\.png \(its size 9×9 is below 16×16"):
        images = data.folder(tmp_path, size=16)
    assert len(images) == 2


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own, of damaged TIFF tags
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
@given(st.data())
def test_damage_of_any_kind_is_an_image_or_unusable(kind, draw):
    """Nothing but `Unusable` comes out of the decoder, and no truncated file passes."""
    content = bytearray(encoded(pixels(12, 10, 3), kind))
    whole = bytes(content)
    if draw.draw(st.booleans()):
        cut = draw.draw(st.integers(0, int(0.9 * len(whole))))
        with pytest.raises(_files.Unusable):
            _pixels.decode(whole[:cut])
        return
    place = st.integers(0, len(content) - 1) | st.integers(0, 60)
    for where, value in draw.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)):
        content[where] = value
    try:
        assert _pixels.decode(bytes(content)).mode in ("L", "RGB")
    except _files.Unusable:
        assert bytes(content) != whole


@pytest.mark.parametrize("mode", ["RGB", "P", "I;16"])
def test_a_png_with_any_one_bit_wrong_is_the_same_image_or_unusable(mode):
    """The format carries check sums: no damaged pixel passes."""
    content, _ = made(mode, 5, 6, 0)
    whole = np.asarray(_pixels.decode(content))
    passed = 0
    for place in range(len(content)):
        try:
            image = _pixels.decode(flipped(content, place))
        except _files.Unusable:
            continue
        passed += 1
        assert np.array_equal(np.asarray(image), whole)
    assert passed < 30  # of its first and last chunks


def encrypted(path):
    """Set the flag of encryption in both headers of the last entry."""
    raw = bytearray(path.read_bytes())
    raw[raw.rindex(b"PK\x03\x04") + 6] |= 1
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)


def corrupt(path):
    """Change a byte of the last entry's data, so that its check sum is wrong."""
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") - 5] ^= 0xFF  # it ends where the directory starts
    path.write_bytes(raw)


@pytest.mark.parametrize(("harm", "why"), [(encrypted, "encrypted"), (corrupt, "damaged in the")])
def test_entries_that_cannot_be_unpacked_are_skipped(tmp_path, harm, why):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", grey(0))
        archive.writestr("b.png", grey(1))
    harm(path)
    with pytest.warns(UserWarning, match="1 of 2 files"):
        images = data.folder(path)
    assert images.skipped[0].file == "b.png"
    assert why in images.skipped[0].reason


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_files_that_are_too_long_are_not_read(tmp_path, monkeypatch, kind):
    files = {"a.png": grey(0), "long.png": grey(1) + bytes(5000)}
    path = write(tmp_path / "f", files) if kind == "folder" else packed(tmp_path / "z", files)
    monkeypatch.setattr(_files, "MAX_BYTES", 1000)
    with pytest.warns(UserWarning, match=r"long\.png \(larger than 1,000 bytes"):
        assert len(data.folder(path)) == 1


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX links and pipes")
def test_links_and_pipes(tmp_path):
    write(tmp_path / "else", {"a.png": grey(0), "b.png": grey(1)})
    folder = write(tmp_path / "set", {"z.png": grey(2)})
    (folder / "a.png").symlink_to(tmp_path / "else/a.png")
    (folder / "broken.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "circle").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    with pytest.warns(UserWarning, match="3 of 5 files"):
        images = data.folder(folder)
    assert len(images) == 2
    assert dict(images.skipped) == {
        "broken.png": "not a regular file",
        "circle": "a link to a folder",
        "pipe.png": "not a regular file",
    }


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    write(tmp_path, {"a.png": grey(0), "b.png": grey(1)})
    read = Path.read_bytes

    def partly(path):
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", partly)
    with pytest.warns(UserWarning, match=r"b\.png \(cannot be read: .*Permission denied"):
        assert len(data.folder(tmp_path)) == 1


def test_nothing_usable(tmp_path):
    with pytest.raises(ValueError, match="path holds no usable image"):
        data.folder(tmp_path)
    write(tmp_path, {"a.txt": b"?"})
    with pytest.raises(ValueError, match=r"no usable image.*a\.txt \(not an image"):
        data.folder(tmp_path)


def test_a_damaged_zip(tmp_path):
    path = packed(tmp_path / "a.zip", {"a.png": grey(0)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"path must name.*a\.zip"):
        data.folder(path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"size": 0}, "size must"),
        ({"size": 2.5}, "size must"),
        ({"channels": 4}, "channels must"),
        ({"on_error": "ignore"}, "on_error must"),
        ({"path": None}, "path must"),
        ({"path": 3}, "path must"),
        ({"path": __file__}, "path must name a folder or a zip, got the file"),
    ],
)
def test_bad_arguments_are_named(tmp_path, options, named):
    write(tmp_path, {"a.png": grey(0)})
    with pytest.raises(ValueError, match=named):
        data.folder(**{"path": tmp_path} | options)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="path must name a folder or a zip"):
        data.folder(tmp_path / "none")
