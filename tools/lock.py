"""Pin every version the book uses: ``python tools/lock.py [--keep]``.

Asks pip what the extras of ``pyproject.toml`` resolve to and writes ``requirements.lock`` (exact
versions, no hosts, no hashes: the one file serves Linux and macOS and Python 3.11 to 3.13) and
``environment.yml`` with the same versions. Run it with the oldest Python that is supported, so that
every version chosen runs on the newer ones too. ``--keep`` starts from the pins that are there and
only adds what is missing.

What a CUDA build of PyTorch pulls in is left to pip: those packages exist on one platform only.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK, CONDA = ROOT / "requirements.lock", ROOT / "environment.yml"
EXTRAS = "book,test"
# The pins that are a decision, not the newest release: see the comments.
CHOSEN = [
    "torch==2.13.0",
    "sphinx==7.4.7",  # the newest that Jupyter Book 1.x takes
]
BELONGS_TO_CUDA = re.compile(r"^(nvidia-|cuda-|triton$)")
PLATFORMS = [
    {"sys_platform": platform, "platform_system": system, "os_name": "posix", "extra": ""}
    | {"python_version": python, "python_full_version": f"{python}.0"}
    for platform, system in (("linux", "Linux"), ("darwin", "Darwin"))
    for python in ("3.11", "3.12", "3.13")
]


def resolve(requirements: list[str], *options: str) -> list[dict]:
    """Let pip find versions for requirements; returns its report's entries."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", *options]
        command += ["--ignore-installed", "--report", str(report), *requirements]
        subprocess.run(command, check=True, cwd=ROOT)
        return json.loads(report.read_text(encoding="utf-8"))["install"]


def pins_of(entries: list[dict]) -> dict[str, str]:
    """Name → version of what a report lists, our own package and CUDA's left out."""
    found = {}
    for entry in entries:
        name = canonicalize_name(entry["metadata"]["name"])
        if name != "diffusion-creativity" and not BELONGS_TO_CUDA.match(name):
            found[name] = entry["metadata"]["version"].split("+")[0]
    return found


def needed_elsewhere(entries: list[dict], pins: dict[str, str]) -> dict[str, str]:
    """Packages that another supported platform or Python needs: name → marker."""
    wanted: dict[str, str] = {}
    for entry in entries:
        for line in entry["metadata"].get("requires_dist") or []:
            need = Requirement(line)
            name = canonicalize_name(need.name)
            if name in pins or need.marker is None or BELONGS_TO_CUDA.match(name):
                continue
            marker = str(need.marker)
            if "extra" not in marker and any(Marker(marker).evaluate(p) for p in PLATFORMS):
                wanted[name] = marker
    return wanted


def lock(keep: bool) -> dict[str, tuple[str, str]]:
    """Resolve everything: name → (version, marker or nothing)."""
    options = ["--constraint", str(LOCK)] if keep else []
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as chosen:
        chosen.write("\n".join(CHOSEN))
        chosen.flush()
        entries = resolve([f".[{EXTRAS}]", *CHOSEN], "--constraint", chosen.name, *options)
    pins = pins_of(entries)
    found = {name: (version, "") for name, version in pins.items()}
    for need, marker in needed_elsewhere(entries, pins).items():
        for name, version in pins_of(resolve([need], *options)).items():
            found.setdefault(name, (version, marker))
    return found


def lines_of(pins: dict[str, tuple[str, str]]) -> list[str]:
    """Requirement lines in alphabetical order."""
    return [
        f"{name}=={version}" + (f" ; {marker}" if marker else "")
        for name, (version, marker) in sorted(pins.items())
    ]


def conda_environment(lines: list[str]) -> str:
    """The same versions for conda users."""
    head = [
        "# Written by `make lock`: the versions of requirements.lock for conda users.",
        "#   conda env create -f environment.yml && conda activate what-denoisers-dream",
        "name: what-denoisers-dream",
        "channels: [conda-forge]",
        "dependencies:",
        "  - python=3.12",
        "  - pip",
        "  - pip:",
    ]
    items = [f"      - '{line}'" if ";" in line else f"      - {line}" for line in lines]
    return "\n".join([*head, *items]) + "\n"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="keep the pins that are there")
    options = parser.parse_args()
    lines = lines_of(lock(options.keep))
    head = "# Written by `make lock`: what the book, its tests and CI install.\n"
    LOCK.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    CONDA.write_text(conda_environment(lines), encoding="utf-8")
    print(f"{len(lines)} packages pinned in {LOCK.name} and {CONDA.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
