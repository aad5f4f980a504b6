"""From the staging tree to the site: Sphinx, a look at the result, and the swap."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from decks import DeckFailed

from .check import problems
from .downloads import add_downloads
from .progress import say
from .signals import uninterrupted
from .stage import lay_down, stage_key, wanted
from .tree import Tree

STAMP = ".build-key"


class SiteFailed(Exception):
    """Sphinx or the look at its result found something wrong."""


def sphinx(stage: Path, output: Path, log: Path) -> Path:
    """Build all pages from scratch with warnings as errors; returns the folder of the site.

    From scratch, because theorem and figure numbers of one chapter appear on the pages of
    others, which Sphinx does not all count as outdated; an unchanged stage never gets here.
    """
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        str(stage),
        "--all",
    ]
    command += ["--path-output", str(output), "--warningiserror", "--nitpick", "--keep-going"]
    environment = dict(os.environ, PYTHONHASHSEED="0", PYTHONWARNINGS="ignore", NO_COLOR="1")
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            status = process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status:
        said = complaints(log).replace(f"{stage}/", "")
        raise SiteFailed(f"Sphinx reported:\n{said}\nEverything it said: {log}")
    return output / "_build" / "html"


def complaints(log: Path) -> str:
    """The lines of Sphinx's output that matter, or its end."""
    lines = re.sub(r"\x1b\[[\d;]*m", "", log.read_text(errors="replace")).splitlines()
    bad = [line for line in lines if "WARNING" in line or "ERROR" in line or "Exception" in line]
    return "\n".join(bad or lines[-30:])


def swap(new: Path, place: Path) -> None:
    """Put a finished folder where readers look; the old one stays until the new one is there."""
    old = place.with_name(place.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    with uninterrupted():
        if place.exists():
            place.rename(old)
        new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def recover(place: Path) -> None:
    """After a crash between the two renames of ``swap``: bring the old folder back."""
    old = place.with_name(place.name + ".old")
    if old.exists() and not place.exists():
        old.rename(place)


def stamp_of(site: Path) -> str | None:
    """Which inputs a finished site was made from."""
    path = site / STAMP
    return path.read_text(encoding="utf-8") if path.is_file() else None


def make_site(tree: Tree, profile: str, records: dict[str, dict]) -> Path:
    """Build the site of a profile unless the one at hand has the same inputs."""
    site = tree.site(profile)
    recover(site)
    try:
        files = wanted(tree, profile, records)
    except DeckFailed as error:
        raise SiteFailed(str(error)) from None
    key = stage_key(tree, files)
    if stamp_of(site) == key:
        say("pages: up to date")
        return site
    say("pages: building")
    began = time.monotonic()
    lay_down(files, tree.stage(profile))
    log = tree.build / f"sphinx-{profile}.log"
    with tempfile.TemporaryDirectory(prefix="sphinx-", dir=tree.build) as folder:
        html = sphinx(tree.stage(profile), Path(folder), log)
        shutil.copy(tree.stage(profile) / "provenance.json", html)
        add_downloads(tree, html)
        found = problems(html, list(records))
        if found:
            raise SiteFailed("The site was built but is not good:\n" + "\n".join(found))
        (html / STAMP).write_text(key, encoding="utf-8")
        swap(html, site)
    say(f"pages: built in {time.monotonic() - began:.1f} s")
    return site


def publish(site: Path, place: Path) -> None:
    """Copy a good site to where readers open it, unless it is there already."""
    recover(place)
    if stamp_of(place) == stamp_of(site):
        return
    new = place.with_name(place.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        shutil.copytree(site, new)
        swap(new, place)
    finally:
        shutil.rmtree(new, ignore_errors=True)
