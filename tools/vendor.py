"""Fetch the browser code that the site ships with: ``python tools/vendor.py [--check]``.

``vendor.json`` names npm packages by exact version, the files wanted of each, and the SHA-256 sum
of every file. Without ``--check`` the packages are fetched with ``npm pack`` and laid down; a file
whose sum differs from the recorded one stops the script before anything is written. The files are
committed, so building the book needs neither npm nor a network.

To move to a new version: change it in ``vendor.json``, run with ``--record``, look at the diff.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "tools" / "vendor.json"


def sha256(data: bytes) -> str:
    """Hex digest of some bytes."""
    return hashlib.sha256(data).hexdigest()


def fetch(package: str, version: str, folder: Path) -> Path:
    """Download one package as npm's tarball."""
    command = ["npm", "pack", f"{package}@{version}", "--json", "--pack-destination", str(folder)]
    print(f"fetching {package} {version}")
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / json.loads(done.stdout)[0]["filename"].replace("@", "").replace("/", "-")


def destination(member: str, files: dict[str, str]) -> str | None:
    """Where a file of the tarball goes, relative to the package's folder, or None."""
    for pattern, target in files.items():
        if pattern == member:
            return target
        if "*" in pattern and fnmatch(member, pattern):
            return str(PurePosixPath(target) / PurePosixPath(member).name)
    return None


def wanted_files(entry: dict, folder: Path) -> dict[str, bytes]:
    """Repository path → content of every wanted file of one package."""
    found = {}
    with tarfile.open(fetch(entry["package"], entry["version"], folder)) as archive:
        for member in archive.getmembers():
            target = destination(member.name.removeprefix("package/"), entry["files"])
            if member.isfile() and target:
                found[f"{entry['into']}/{target}"] = archive.extractfile(member).read()
    return found


def differences(sums: dict[str, str], expected: dict[str, str]) -> list[str]:
    """What does not agree between two tables of checksums, as sentences."""
    return (
        [f"{path}: missing" for path in sorted(expected.keys() - sums.keys())]
        + [f"{path}: not in vendor.json" for path in sorted(sums.keys() - expected.keys())]
        + [
            f"{path}: sha256 is {sums[path]}, vendor.json says {expected[path]}"
            for path in sorted(sums.keys() & expected.keys())
            if sums[path] != expected[path]
        ]
    )


def check(manifest: dict, root: Path = ROOT) -> list[str]:
    """Compare the committed files with the recorded checksums."""
    folders = [root / entry["into"] for entry in manifest["packages"]]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    sums = {path.relative_to(root).as_posix(): sha256(path.read_bytes()) for path in files}
    return differences(sums, manifest["sha256"])


def update(manifest: dict, record: bool) -> list[str]:
    """Fetch everything, verify (or record) the checksums, then write the files."""
    with tempfile.TemporaryDirectory() as folder:
        fetched: dict[str, bytes] = {}
        for entry in manifest["packages"]:
            fetched |= wanted_files(entry, Path(folder))
    sums = {path: sha256(data) for path, data in sorted(fetched.items())}
    if record:
        MANIFEST.write_text(
            json.dumps(manifest | {"sha256": sums}, indent=2) + "\n", encoding="utf-8"
        )
    elif problems := differences(sums, manifest["sha256"]):
        return problems
    for path, data in fetched.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_bytes(data)
    print(f"{len(fetched)} files, {sum(map(len, fetched.values())) / 1e6:.1f} MB")
    return []


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare files with vendor.json")
    parser.add_argument("--record", action="store_true", help="accept what npm sends as new sums")
    options = parser.parse_args()
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    problems = check(manifest) if options.check else update(manifest, options.record)
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
