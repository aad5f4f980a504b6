"""Which units of a run are finished, failed or held, for all processes that share its folder."""

import contextlib
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from .. import _files
from . import store
from .registry import unit_name

Work = tuple[str, int]  # a unit's variant and seed
Signature = tuple[int, int, int]  # of a file: tells it from the one that replaces it
FAILED = "failed.txt"  # in a unit's scratch folder: why it failed


@dataclass
class Ledger:
    """The units of a run, as their folder shows them: no process need tell another anything."""

    folder: Path
    work: list[Work]
    stamp: dict[str, str]  # hashes of the sources and of the configuration
    begun: float = math.inf  # when the run began, in seconds since 1970
    replaced: dict[Work, Signature] = field(default_factory=dict)  # files that no longer count
    _known: dict[Work, tuple[Signature, str]] = field(default_factory=dict, repr=False)

    def path(self, unit: Work) -> Path:
        """Return the file of a finished unit."""
        return self.folder / f"{unit_name(*unit)}.safetensors"

    def scratch(self, unit: Work) -> Path:
        """Return the folder of an unfinished unit, apart from those of other code."""
        return self.folder / f"{unit_name(*unit)}.{self._tag}"

    @property
    def _tag(self) -> str:
        return f"{self.stamp['source_hash'][:8]}{self.stamp['config_hash'][:8]}"

    def signature(self, unit: Work) -> Signature | None:
        """Return the signature of a unit's file, None where there is none."""
        try:
            found = self.path(unit).stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def verdict(self, unit: Work) -> str | None:
        """Say why a unit's file cannot be used; empty where it can, None where there is none."""
        signature = self.signature(unit)
        if signature is None:
            return None
        if unit not in self._known or self._known[unit][0] != signature:
            self._known[unit] = signature, self._judge(unit)
        return self._known[unit][1]

    def _judge(self, unit: Work) -> str:
        stored = store.read_unit(self.path(unit))
        if stored is None:
            return "its file is damaged"
        for key, what in (("source_hash", "source"), ("config_hash", "configuration")):
            if stored.record[key] != self.stamp[key]:
                if stored.record.get("begun", 0) > self.begun:
                    raise RuntimeError(
                        f"a run that began later works in {self.folder} with another {what}, and "
                        f"has finished {unit_name(*unit)}: this one ends, so as not to replace it"
                    )
                return f"the {what} has changed since"
        return ""

    def finished(self, unit: Work) -> bool:
        """Whether a unit is there, whole, and from the same configuration and sources."""
        return self.verdict(unit) == "" and self.signature(unit) != self.replaced.get(unit)

    def missing(self) -> list[Work]:
        """All units that are not finished."""
        return [unit for unit in self.work if not self.finished(unit)]

    def failure(self, unit: Work) -> str:
        """Return the traceback of a unit that has failed since the run began, else nothing."""
        try:
            return (self.scratch(unit) / FAILED).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def fail(self, unit: Work, trace: str) -> None:
        """Note that a unit failed, so that no other process tries it again in this run."""
        _files.write(self.scratch(unit) / FAILED, trace.encode())

    def left(self, unit: Work) -> bool:
        """Whether a unit is still to be computed by some process."""
        return not self.finished(unit) and not self.failure(unit)

    def claim(self, unit: Work) -> contextlib.AbstractContextManager[bool]:
        """Hold a unit for this process, if no other does: a context that says whether."""
        return _claim(self.folder / f"{unit_name(*unit)}.lock")

    def clear(self, *, resume: bool) -> None:
        """Remove what unfinished units left, except where a process works on them.

        With `resume` those of the same code and configuration stay: they go on from there.
        """
        for scratch in [path for path in self.folder.iterdir() if path.is_dir()]:
            unit, _, tag = scratch.name.rpartition(".")
            with _claim(self.folder / f"{unit}.lock") as mine:
                if mine and resume and tag == self._tag:
                    (scratch / FAILED).unlink(missing_ok=True)
                elif mine:
                    shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _claim(path: Path) -> Iterator[bool]:
    """Hold a file lock, if it is free. The system frees it when the process ends, however."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
        mine = True
    except Timeout:
        mine = False
    try:
        yield mine
    finally:
        if mine:
            lock.release()
