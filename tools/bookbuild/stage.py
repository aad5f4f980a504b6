"""The staging tree: what Sphinx reads, at the same paths as in the repository."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
from decks import decks

from .keys import digest, digest_files, files_below
from .tree import Tree

SETTINGS = ("_config.yml", "_toc.yml", "CITATION.cff")


def own_citations(text: str, prefix: str) -> str:
    """Give a chapter citation keys of its own, so that its links lead to its own reference list."""

    def prefixed(match: re.Match) -> str:
        keys = [prefix + key.strip() for key in match[2].split(",")]
        return f"{{{match[1]}}}`{','.join(keys)}`"

    text = re.sub(r"\{(cite(?::\w+)?)\}`([^`]+)`", prefixed, text)
    return re.sub(r"(?m)^(\W*\{bibliography\}.*)$", rf"\1\n:keyprefix: {prefix}", text)


def is_picture(output) -> bool:
    """Whether an output of a cell is an image."""
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def apart_from_figure(cell) -> list:
    """A cell whose picture is a numbered figure, and a cell for what else it shows.

    MyST-NB would make every output of the cell a figure of the same name.
    """
    rich = ("display_data", "execute_result")
    others = [o for o in cell.outputs if o.output_type in rich and not is_picture(o)]
    is_figure = cell.metadata.get("mystnb", {}).get("figure")
    if not is_figure or not others or len(others) == len(cell.outputs):
        return [cell]
    below = nbformat.v4.new_code_cell(execution_count=cell.execution_count, outputs=others)
    below.id = f"{cell.id[:59]}-more"  # a random one would make the page look changed
    below.metadata["tags"] = ["remove-input"]
    cell.outputs = [output for output in cell.outputs if output not in others]
    return [cell, below]


def page_notebook(path: Path) -> bytes:
    """Strip an executed notebook of what belongs to the run and not to the page."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    cells = []
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            removed = "injected-parameters" in cell.metadata.get("tags", [])
            cells += [] if removed else apart_from_figure(cell)
        else:
            cell.source = own_citations(cell.source, f"{path.stem[:2]}-")
            cells.append(cell)
    notebook.cells = cells
    return nbformat.writes(notebook).encode()


def provenance(records: dict[str, dict]) -> dict:
    """How every page of the site was run, by page name."""
    shown = ("profile", "seed", "seconds", "first_cell_seconds", "peak_bytes", "date",
             "source_hash", "machine", "python", "versions")  # fmt: skip
    return {
        "notebooks": {
            f"notebooks/{name}": {key: record[key] for key in shown}
            for name, record in records.items()
        }
    }


def wanted(tree: Tree, profile: str, records: dict[str, dict]) -> dict[str, bytes]:
    """Every file of the staging tree with its content."""
    files = {name: (tree.root / name).read_bytes() for name in SETTINGS}
    for folder in ("book", "src"):
        for path in files_below(tree.root / folder):
            files[path.relative_to(tree.root).as_posix()] = path.read_bytes()
    for name in records:
        files[f"notebooks/{name}.ipynb"] = page_notebook(tree.executed(profile) / f"{name}.ipynb")
    for name, content in decks(tree, profile).items():
        files[f"book/_extra/decks/{name}"] = content
    files["provenance.json"] = (json.dumps(provenance(records), indent=1) + "\n").encode()
    return files


def lay_down(files: dict[str, bytes], folder: Path) -> None:
    """Make a folder hold exactly these files."""
    for path in list(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def sources(tree: Tree) -> list[Path]:
    """What the site is made from besides the staged pages: notebooks, answers, the tools."""
    places = ("notebooks/**", "tests/solutions", "tools/edition", "tools/bookbuild")
    return sorted(path for place in places for path in tree.root.glob(f"{place}/*.py"))


def stage_key(tree: Tree, files: dict[str, bytes]) -> str:
    """Hash of everything that decides what the site looks like."""
    pieces = [piece for name in sorted(files) for piece in (name.encode(), files[name])]
    besides = [*sources(tree), tree.root / "requirements.lock"]
    return digest([*pieces, digest_files(besides, tree.root).encode()])
