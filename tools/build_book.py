"""Build the book: ``python tools/build_book.py [--profile smoke|book|gpu]``.

Runs every chapter whose inputs changed, builds the site from the executed notebooks, and swaps it
into ``_build/html``. If anything fails, the site that was there stays.
"""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bookbuild.execute import ChapterFailed, execute
from bookbuild.progress import clock, complain, say
from bookbuild.site import SiteFailed, make_site, publish
from bookbuild.tree import PROFILES, Tree


@contextmanager
def alone(tree: Tree):
    """Let one build at a time write to ``_build``."""
    tree.build.mkdir(exist_ok=True)
    with (tree.build / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(
    tree: Tree, profile: str, seed: int = 0, jobs: int | None = None, *, for_readers: bool = False
) -> Path:
    """Bring the site of a profile up to date; returns where it lies.

    `for_readers` also puts it into ``_build/html``.
    """
    with alone(tree):
        site = make_site(tree, profile, execute(tree, profile, seed, jobs))
        if for_readers:
            publish(site, tree.html)
        return site


def interrupt(signum, frame):
    """Treat a request to stop like Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=PROFILES, default="book")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, help="chapters side by side (default: 2)")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(number, interrupt)
    tree, began = Tree(), time.monotonic()
    try:
        build(tree, options.profile, options.seed, options.jobs, for_readers=True)
    except (ChapterFailed, SiteFailed) as error:
        kept = " The site of the last good build is still there." if tree.html.exists() else ""
        complain(f"{error}\n\nmake book failed.{kept}")
        return 1
    except KeyboardInterrupt:
        complain("stopped; nothing was changed")
        return 130
    say(f"book: {tree.html.relative_to(tree.root)}/index.html ({clock(time.monotonic() - began)})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
