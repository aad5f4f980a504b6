"""A release in a scratch clone: what is written, what is refused, what is left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest
import release
import yaml
from bookbuild.tree import ROOT

IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A tester"), ("EMAIL", "tester@example.org"))
}
FILES = (release.PACKAGE, release.CITATION, release.CHANGELOG, "pyproject.toml", "tools/release.py")


class Clone:
    """A repository of its own that holds what a release touches."""

    def __init__(self, root):
        self.root = root
        for name in FILES:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((ROOT / name).read_bytes())
        log = root / release.CHANGELOG  # whatever is unreleased today
        head = log.read_text().split("## [Unreleased]")[0]
        log.write_text(
            f"{head}## [Unreleased]\n\n### Added\n\n- A chapter.\n\n"
            "[Unreleased]: https://example.org/commits/main\n"
        )
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", "start")

    def git(self, *arguments):
        done = self.call("git", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def call(self, *command):
        environment = os.environ | IDENTITY | {"GIT_CONFIG_GLOBAL": os.devnull}
        return subprocess.run(
            command, cwd=self.root, capture_output=True, text=True, env=environment
        )

    def release(self, *arguments):
        return self.call(sys.executable, "tools/release.py", *arguments)

    def read(self, name):
        return (self.root / name).read_text()


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


def test_a_release_is_committed_and_tagged(clone):
    done = clone.release("7.1.0")
    assert done.returncode == 0, done.stderr
    assert "git push origin main v7.1.0" in done.stdout
    assert clone.git("tag").split() == ["v7.1.0"]
    assert clone.git("rev-parse", "v7.1.0^{commit}") == clone.git("rev-parse", "HEAD")
    assert clone.git("status", "--porcelain") == ""
    assert '__version__ = "7.1.0"' in clone.read(release.PACKAGE)
    citation = yaml.safe_load(clone.read(release.CITATION))
    date = citation["date-released"]
    log = clone.read(release.CHANGELOG)
    assert f"## [Unreleased]\n\n## [7.1.0] - {date}\n\n### Added\n\n- A chapter." in log
    assert re.search(r"^\[7\.1\.0\]: https://\S+/tag/v7\.1\.0$", log, re.M)
    assert re.search(r"^\[Unreleased\]: https://\S+/compare/v7\.1\.0\.\.\.main$", log, re.M)
    metadata = json.loads(clone.read(release.ZENODO))
    assert (metadata["version"], metadata["publication_date"]) == ("7.1.0", date)
    assert citation["version"] == "7.1.0"


def test_the_next_release_follows(clone):
    assert clone.release("7.1.0").returncode == 0
    again = clone.release("7.2.0")
    assert again.returncode == 1
    assert "nothing stands below [Unreleased]" in again.stderr
    log = clone.read(release.CHANGELOG).replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n", 1)
    (clone.root / release.CHANGELOG).write_text(log)
    clone.git("commit", "--quiet", "--all", "-m", "more")
    assert clone.release("7.2.0").returncode == 0
    headings = re.findall(r"^## \[(.+?)\]", clone.read(release.CHANGELOG), re.M)
    assert headings == ["Unreleased", "7.2.0", "7.1.0"]


def test_dry_run_shows_the_change_and_makes_none(clone):
    before = clone.git("rev-parse", "HEAD")
    done = clone.release("7.1.0", "--dry-run")
    assert done.returncode == 0, done.stderr
    for line in ("+## [7.1.0] - ", '+__version__ = "7.1.0"', "+version: 7.1.0", '+  "version":'):
        assert line in done.stdout
    assert clone.git("status", "--porcelain") == ""
    assert clone.git("rev-parse", "HEAD") == before
    assert clone.git("tag") == ""


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("soon", "is no version"),
        ("v7.1.0", "write the version as 7.1.0"),
        ("7.10", "three numbers"),
        ("7.1.0+mine", "write the version as 7.1.0"),
        ("0.0.1", "older than"),
    ],
)
def test_versions_that_are_refused(clone, version, message):
    done = clone.release(version)
    assert done.returncode == 1
    assert message in done.stderr
    assert clone.git("tag") == ""


def test_states_that_are_refused(clone):
    clone.git("tag", "v7.1.0")
    clone.git("switch", "--quiet", "-c", "feature")
    (clone.root / "stray.txt").write_text("stray")
    done = clone.release("7.1.0")
    assert done.returncode == 1
    for message in ("made on main, this is feature", "stray.txt", "not newer than 7.1.0"):
        assert message in done.stderr
    assert clone.git("status", "--porcelain") == "?? stray.txt\n"


def test_what_git_refuses_leaves_the_tree_as_it_was(clone):
    hook = clone.root / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    done = clone.release("7.1.0")
    assert done.returncode == 1
    assert "git commit failed: not today" in done.stderr
    assert clone.git("status", "--porcelain") == ""
    assert not (clone.root / release.ZENODO).exists()


def test_zenodo_takes_what_is_written():
    """One licence by its SPDX name, text of no more than one type: what its loader accepts."""
    metadata = json.loads(release.zenodo(yaml.safe_load((ROOT / release.CITATION).read_text())))
    assert metadata["upload_type"] == "software"
    assert metadata["license"] == "MIT"
    assert "CC-BY-4.0" in metadata["notes"]
    assert all(set(creator) == {"name"} for creator in metadata["creators"])
    assert {entry["relation"] for entry in metadata["related_identifiers"]} == {
        "isSupplementTo",
        "isDocumentedBy",
        "references",
    }
    person = {"family-names": "Noether", "given-names": "Emmy"}
    assert release.name_of(person) == "Noether, Emmy"


def test_the_version_has_one_source():
    """pyproject.toml has no version of its own."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in settings["project"]
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "diffusion_creativity.__version__"
    }
