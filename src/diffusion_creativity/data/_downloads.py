"""Published files: found in the reader's folder or the cache, else downloaded and checked."""

import functools
import os
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "DIFFUSION_CREATIVITY_DATA"
BAR_FROM = 5_000_000  # bytes; a shorter download needs no progress bar
DEAD_AFTER = 600  # seconds without a byte; a live download gives up much earlier


@dataclass(frozen=True)
class Published:
    """A file that anyone can check."""

    name: str
    folder: str  # below the data folder and below the cache
    url: str | None  # None: not offered for download
    sha256: str
    size: int  # bytes


def data_folder() -> Path | None:
    """Return the folder that the reader named, if any."""
    value = os.environ.get(VARIABLE)
    return Path(value).expanduser() if value else None


def cache_folder(file: Published) -> Path:
    """Return where downloads of a file are kept."""
    import pooch

    return Path(pooch.os_cache("diffusion_creativity")) / file.folder


def find(file: Published) -> tuple[Path | None, list[str]]:
    """Return the file's path where it is here and right, and the places where it is not.

    A damaged file in the reader's folder is refused; one in the cache is removed.
    """
    missed = [f"${VARIABLE} is not set"]
    if folder := data_folder():
        own = folder / file.folder / file.name
        if own.is_file():
            if not _right(own, file):
                raise ValueError(f"{own} is damaged: its sha256 is not {file.sha256}; replace it")
            return own, []
        missed = [f"{own}: not there"]
    kept = cache_folder(file) / file.name
    if not kept.is_file():
        return None, [*missed, f"{kept}: not there"]
    if _right(kept, file):
        return kept, []
    try:
        kept.unlink()
        return None, [*missed, f"{kept}: was damaged, removed"]
    except OSError as error:
        return None, [*missed, f"{kept}: damaged, and cannot be removed ({error})"]


def fetch(file: Published) -> Path:
    """Return the path of a file whose hash is right, downloading it if need be."""
    path, missed = find(file)
    if path:
        return path
    if file.url is None:
        raise OSError(_by_hand(file, [*missed, "not offered for download"]))
    folder = _writable(cache_folder(file), file.folder)
    target = folder / file.name
    if not (target.is_file() and _right(target, file)):
        _sweep(folder)
        try:
            _download(file, folder)
        except (OSError, ValueError) as error:  # no network, a cut, a full disk; a wrong hash
            raise OSError(_by_hand(file, [*missed, f"{file.url}: {error}"])) from error
    return target


def _right(path: Path, file: Published) -> bool:
    import pooch

    if path.stat().st_size != file.size:
        return False
    return pooch.file_hash(str(path), alg="sha256") == file.sha256


def _download(file: Published, folder: Path) -> None:
    """Download to a temporary name that takes the file's own once the hash is right."""
    import pooch

    # As it is: a server that unpacks .gz on the way would change the hash.
    downloader = pooch.HTTPDownloader(
        progressbar=file.size >= BAR_FROM,
        chunk_size=2**16,
        timeout=30,
        headers={"Accept-Encoding": "identity"},
    )
    pooch.retrieve(file.url, f"sha256:{file.sha256}", file.name, folder, downloader=downloader)


def _by_hand(file: Published, missed: list[str]) -> str:
    tried = "".join(f"\n  - {place}" for place in missed)
    folder = f"{file.folder}/" if file.folder else ""
    return (
        f"could not get {file.name} ({file.size:,} bytes). Tried:{tried}\n"
        f"Put it by hand in {cache_folder(file)}, or as {folder}{file.name} in a folder of your "
        f"own that ${VARIABLE} names. Its sha256 is {file.sha256}"
    )


def _writable(folder: Path, below: str) -> Path:
    """Return `folder` if it can be written, else one that goes when this process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        warnings.warn(
            f"the cache {folder} cannot be written ({error}): a download is kept only until this "
            f"process ends. Set ${VARIABLE} to a folder that holds the files to keep them",
            stacklevel=2,
        )
        other = Path(_for_this_process().name) / below
        other.mkdir(parents=True, exist_ok=True)
        return other


@functools.cache
def _for_this_process() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="diffusion_creativity-")


def _sweep(folder: Path) -> None:
    """Remove what downloads left that were killed; one that still runs is left alone."""
    for partial in folder.glob("tmp*"):  # the names of Python's tempfile, which pooch takes
        try:
            if partial.is_file() and time.time() - partial.stat().st_mtime > DEAD_AFTER:
                partial.unlink()
        except OSError:  # another process was faster
            continue
