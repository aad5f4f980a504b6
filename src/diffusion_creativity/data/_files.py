"""The files of a folder or a zip, by name, in one order; nothing is unpacked to disk."""

import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Protocol

MAX_BYTES = 2**28  # of one file; a longer one is no image to learn from
CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}  # as file managers leave it; hidden files too


class Unusable(Exception):
    """Why one file cannot be used."""


class Files(Protocol):
    """Names relative to the folder or zip, with forward slashes, sorted part by part."""

    names: list[str]

    def read(self, name: str) -> bytes:
        """Return the content of a file, or raise `Unusable`."""


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[Files]:
    """Open a folder or a zip archive."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"path must name a folder or a zip, got {path!r}")
    path = Path(path).expanduser()
    if path.is_dir():
        yield Folder(path)
    elif not path.exists():
        raise FileNotFoundError(f"path must name a folder or a zip, and {path} is not there")
    elif not zipfile.is_zipfile(path):
        raise ValueError(f"path must name a folder or a zip, got the file {path}")
    else:
        with _archive(path) as archive:
            yield Zip(archive, path)


class Folder:
    """A folder on disk. Links to files are followed, links to folders are unusable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        names = []
        for place, folders, files in os.walk(path, onerror=_raise):
            here = os.path.relpath(place, path).replace(os.sep, "/")
            links = [name for name in folders if os.path.islink(os.path.join(place, name))]
            names += [name if here == "." else f"{here}/{name}" for name in [*files, *links]]
        self.names = _in_order(names)

    def read(self, name: str) -> bytes:
        """Return the content of a file, or raise `Unusable`."""
        path = self.path / name
        if path.is_dir():
            raise Unusable("a link to a folder")
        if not path.is_file():
            raise Unusable("not a regular file")  # a pipe would block, a broken link has nothing
        try:
            if path.stat().st_size > MAX_BYTES:
                raise Unusable(f"larger than {MAX_BYTES:,} bytes")
            return path.read_bytes()
        except OSError as error:
            raise Unusable(f"cannot be read: {error}") from error


class Zip:
    """A zip archive. One with an entry that points outside is refused as a whole."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        for entry in archive.infolist():
            inside = PureWindowsPath(entry.filename)  # knows both slashes, and drives
            link = stat.S_ISLNK(entry.external_attr >> 16)
            if inside.anchor or ".." in inside.parts or link:
                kind = "is a link" if link else "points outside"
                raise ValueError(f"{path} is refused: its entry {entry.filename!r} {kind}")
        self.archive = archive
        self.names = _in_order({e.filename for e in archive.infolist() if not e.is_dir()})

    def read(self, name: str) -> bytes:
        """Return the content of an entry, or raise `Unusable`."""
        if self.archive.getinfo(name).file_size > MAX_BYTES:
            raise Unusable(f"larger than {MAX_BYTES:,} bytes")
        try:
            return self.archive.read(name)  # at most file_size bytes, whatever is packed
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            raise Unusable(f"damaged in the zip: {error}") from error
        except RuntimeError as error:  # encrypted, or packed in a way that Python lacks
            raise Unusable(f"cannot be unpacked: {error}") from error


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"path must name a whole zip, and {path} is damaged: {error}") from error


def _raise(error: OSError) -> None:
    raise error


def _in_order(names: set[str] | list[str]) -> list[str]:
    """Sort by folder, then by file, without hidden files and clutter."""
    parts = (tuple(name.split("/")) for name in names)
    kept = (p for p in parts if not any(s.startswith(".") or s.lower() in CLUTTER for s in p))
    return ["/".join(p) for p in sorted(kept)]
