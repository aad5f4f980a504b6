"""What a result depends on, as content hashes: same key, same result, nothing to do."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from .tree import Tree

IGNORED = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}


def files_below(folder: Path) -> list[Path]:
    """All files of a folder in a fixed order, caches left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not IGNORED.intersection(path.parts)
        and not any(part.endswith(".egg-info") for part in path.parts)
    )


def digest(parts: Iterable[bytes]) -> str:
    """One hash of several pieces, their borders included."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.hexdigest()


def digest_files(paths: Iterable[Path], base: Path) -> str:
    """Hash of names (relative to ``base``) and contents; missing files count as absent."""
    pieces = []
    for path in paths:
        if path.is_file():
            pieces += [path.relative_to(base).as_posix().encode(), path.read_bytes()]
    return digest(pieces)


def data_named(source: str) -> list[str]:
    """What a notebook may read from the data folder: names and sizes (the package checks sums)."""
    folder = os.environ.get("DIFFUSION_CREATIVITY_DATA")
    names = set(re.findall(r"""data\.load\(\s*["'](\w+)["']""", source))
    if not folder or not names:
        return sorted(names)
    wanted = {re.sub(r"_subset$|[_\W]", "", name).lower() for name in names}
    found = [
        f"{path.relative_to(folder)} {path.stat().st_size}"
        for path in files_below(Path(folder))
        if any(
            name in re.sub(r"[_\W]", "", str(path.relative_to(folder))).lower() for name in wanted
        )
    ]
    return sorted(names) + found


def results_named(tree: Tree, source: str) -> list[Path]:
    """Files of the committed results that a notebook mentions by name."""
    folders = [path for path in (tree.root / "results").glob("*") if path.name in source]
    return [path for folder in folders for path in files_below(folder)]


def common_key(tree: Tree) -> str:
    """Hash of what every chapter depends on: package, lock file, Python, the executor itself."""
    shared = [*files_below(tree.root / "src"), tree.root / "requirements.lock"]
    executor = Path(__file__).with_name("run_notebook.py").read_bytes()
    python = ".".join(map(str, sys.version_info[:2]))
    return digest([digest_files(shared, tree.root).encode(), executor, python.encode()])


def chapter_key(tree: Tree, chapter: str, profile: str, seed: int, common: str) -> str:
    """Hash of everything that decides what a chapter's run shows."""
    source = tree.source(chapter).read_text(encoding="utf-8")
    results = digest_files(results_named(tree, source), tree.root)
    pieces = [common, profile, str(seed), source, results, *data_named(source)]
    return digest(piece.encode() for piece in pieces)
