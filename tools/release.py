"""Make a release: ``python tools/release.py VERSION [--dry-run]``.

Moves the changelog's [Unreleased] below the new version, writes the version where it is kept, and
commits and tags. Nothing leaves this machine: the last line says what to push.

The version is kept in ``src/diffusion_creativity/__init__.py``; ``pyproject.toml`` reads it from
there, and CITATION.cff and .zenodo.json are written from it.
"""

from __future__ import annotations

import argparse
import datetime
import difflib
import json
import re
import subprocess
import sys
from pathlib import Path

import yaml
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"
PACKAGE, CITATION = "src/diffusion_creativity/__init__.py", "CITATION.cff"
CHANGELOG, ZENODO = "CHANGELOG.md", ".zenodo.json"


class Refused(Exception):
    """A release cannot be made; the message says why and what to do."""


def git(*arguments: str, root: Path = ROOT) -> str:
    """Output of a git command."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"git {arguments[0]} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def replaced(pattern: str, replacement: str, text: str, where: str) -> str:
    """Text with exactly one match replaced."""
    text, count = re.subn(pattern, lambda _: replacement, text, flags=re.MULTILINE)
    if count != 1:
        raise Refused(f"{where}: expected one line like {pattern!r}, found {count}")
    return text


def parsed(version: str) -> Version:
    """A version as PEP 440 spells it."""
    try:
        found = Version(version)
    except InvalidVersion:
        raise Refused(f"{version!r} is no version; one looks like 1.2.0 or 1.2.0rc1") from None
    if str(found) != version or found.local:
        raise Refused(f"write the version as {found.public}, got {version!r}")
    if len(found.release) != 3:  # YAML would read 1.10 as a number
        raise Refused(f"a version has three numbers, as 1.2.0; got {version}")
    return found


def changelog(text: str, version: str, date: str, repository: str) -> str:
    """The changelog with what was unreleased below the new version, an empty place above it."""
    section = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## \[|^\[Unreleased\]:)", text, re.M | re.S)
    if section is None or not re.search(r"^[-*] \S", section[1], re.M):
        raise Refused(f"{CHANGELOG}: nothing stands below [Unreleased], so nothing is to release")
    text = text.replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{version}] - {date}\n", 1)
    links = (
        f"[Unreleased]: {repository}/compare/v{version}...{BRANCH}\n"
        f"[{version}]: {repository}/releases/tag/v{version}"
    )
    return replaced(r"^\[Unreleased\]: .*$", links, text, CHANGELOG)


def zenodo(citation: dict) -> str:
    """What Zenodo shall say about a release, from CITATION.cff.

    Zenodo's GitHub integration reads CITATION.cff itself, but takes one licence only: a list, as
    ours for code and text, ends in "Citation metadata load failed" (zenodo/zenodo#2515). It drops
    version and references as well. Where a .zenodo.json is there, Zenodo reads that alone, so the
    release writes one. Its names are split as those of persons: the name of a group has to be
    mended on the record's page.
    """
    licence, *others = [citation["license"]] if isinstance(citation["license"], str) else (
        citation["license"]
    )  # fmt: skip
    tagged = f"{citation['repository-code']}/tree/v{citation['version']}"
    related = [(tagged, "isSupplementTo"), (citation["url"], "isDocumentedBy")]
    related += [(source["url"], "references") for source in citation.get("references", [])]
    metadata = {
        "upload_type": citation["type"],
        "title": citation["title"],
        "version": str(citation["version"]),
        "publication_date": str(citation["date-released"]),
        "creators": [{"name": name_of(author)} for author in citation["authors"]],
        "description": citation["abstract"].strip(),
        "license": licence,
        "keywords": citation["keywords"],
        "related_identifiers": [{"identifier": a, "relation": r} for a, r in related],
    }
    if others:
        metadata["notes"] = f"Code: {licence}. Text and figures: {', '.join(others)}."
    return json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"


def name_of(author: dict) -> str:
    """An author of CITATION.cff as Zenodo writes names."""
    return author.get("name") or f"{author['family-names']}, {author['given-names']}"


def texts(root: Path, version: str, date: str) -> dict[str, str]:
    """Every file that a release changes, with its new content."""
    old = {name: (root / name).read_text(encoding="utf-8") for name in (PACKAGE, CITATION)}
    citation = replaced(r"^version: .*$", f"version: {version}", old[CITATION], CITATION)
    citation = replaced(r"^date-released: .*$", f'date-released: "{date}"', citation, CITATION)
    facts = yaml.safe_load(citation)
    log = (root / CHANGELOG).read_text(encoding="utf-8")
    line = f'__version__ = "{version}"'
    return {
        PACKAGE: replaced(r'^__version__ = ".*"$', line, old[PACKAGE], PACKAGE),
        CITATION: citation,
        CHANGELOG: changelog(log, version, date, facts["repository-code"]),
        ZENODO: zenodo(facts),
    }


def obstacles(root: Path, version: Version) -> list[str]:
    """Why a release cannot be made from here, all reasons at once."""
    found = []
    branch = git("branch", "--show-current", root=root)
    if branch != BRANCH:
        found.append(f"releases are made on {BRANCH}, this is {branch or 'no branch'}")
    if changed := git("status", "--porcelain", root=root):
        found.append(f"the working tree is not clean; commit or remove:\n{changed}")
    log = (root / CHANGELOG).read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d.*?)\]", log, re.M)
    released += [tag[1:] for tag in git("tag", "--list", "v[0-9]*", root=root).split()]
    newest = max(map(Version, released), default=None)
    if newest is not None and version <= newest:
        found.append(f"{version} is not newer than {newest}, which is released")
    source = (root / PACKAGE).read_text(encoding="utf-8")
    current = Version(re.search(r'^__version__ = "(.*)"$', source, re.M)[1])
    if version < current:
        found.append(f"{version} is older than {current}, the version of the package")
    return found


def difference(root: Path, new: dict[str, str]) -> str:
    """What a release would change, as a unified diff."""
    lines = []
    for name, text in new.items():
        old = (root / name).read_text(encoding="utf-8") if (root / name).exists() else ""
        pair = old.splitlines(keepends=True), text.splitlines(keepends=True)
        lines += difflib.unified_diff(*pair, f"a/{name}", f"b/{name}", n=1)
    return "".join(lines)


def commit(root: Path, version: str, new: dict[str, str]) -> None:
    """Write, commit and tag; if git refuses, leave the clean tree that was there."""
    before = git("rev-parse", "HEAD", root=root)
    try:
        for name, text in new.items():
            (root / name).write_text(text, encoding="utf-8")
        git("add", "--", *new, root=root)
        git("commit", "--quiet", "-m", f"Release {version}", root=root)
        git("tag", "--annotate", f"v{version}", "-m", f"Release {version}", root=root)
    except BaseException:
        git("reset", "--quiet", "--hard", before, root=root)
        raise


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", help="such as 1.2.0")
    parser.add_argument("--dry-run", action="store_true", help="print the diff, change nothing")
    options = parser.parse_args()
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    try:
        version = parsed(options.version)
        found = obstacles(ROOT, version)
        new = texts(ROOT, options.version, date)
        if options.dry_run:
            print(difference(ROOT, new), end="")
        if found:
            raise Refused("\n".join(found))
        if not options.dry_run:
            commit(ROOT, options.version, new)
            print(f"tagged v{version}; to publish: git push origin {BRANCH} v{version}")
    except Refused as error:
        print(f"no release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
