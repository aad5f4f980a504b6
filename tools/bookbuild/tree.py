"""Where things are: the repository, its chapters, and the build folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

PROJECTS = "notebooks/projects"
PROFILES = ("smoke", "book", "gpu")
ROOT = Path(os.environ.get("BOOK_ROOT") or Path(__file__).resolve().parents[2])


@dataclass(frozen=True)
class Tree:
    """The repository and the folders that a build writes, all under ``_build``."""

    root: Path = ROOT

    @property
    def build(self) -> Path:
        """Everything a build writes lies here."""
        return self.root / "_build"

    @property
    def html(self) -> Path:
        """The site that readers open."""
        return self.build / "html"

    def executed(self, profile: str) -> Path:
        """Executed notebooks, with a record each of how they were run."""
        return self.build / "executed" / profile

    def failed(self, profile: str) -> Path:
        """Partial notebooks of runs that failed."""
        return self.build / "failed" / profile

    def stage(self, profile: str) -> Path:
        """The tree that Sphinx reads."""
        return self.build / "stage" / profile

    def site(self, profile: str) -> Path:
        """The last good site of a profile."""
        return self.build / "site" / profile

    def chapters(self) -> list[str]:
        """Names of the chapters (``01_topic`` …) in the order of ``_toc.yml``."""
        pages = toc_pages(yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf-8")))
        return [page.removeprefix("notebooks/") for page in pages if page.startswith("notebooks/")]

    def projects(self) -> list[str]:
        """Names of the projects' starting notebooks, which are no pages of the site."""
        return [f"projects/{p.stem}" for p in sorted((self.root / PROJECTS).glob("[0-9]*.py"))]

    def source(self, chapter: str) -> Path:
        """The source notebook of a chapter or of a project."""
        return self.root / "notebooks" / f"{chapter}.py"


def toc_pages(toc) -> list[str]:
    """Every page that a table of contents names, in reading order."""
    if isinstance(toc, list):
        return [page for entry in toc for page in toc_pages(entry)]
    if not isinstance(toc, dict):
        return []
    own = [toc[key] for key in ("root", "file") if key in toc]
    return own + [
        page for key in ("parts", "chapters", "sections") for page in toc_pages(toc.get(key))
    ]
