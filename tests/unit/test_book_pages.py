"""Prose pages and the papers of the repository: links, citations, terms, what files must bear."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
from collections import Counter
from pathlib import Path

import pytest
import yaml

import diffusion_creativity as dc

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "book").glob("*.md"))
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))
PAPERS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
TEXT = {path: path.read_text(encoding="utf-8") for path in [*PAGES, *CHAPTERS, *PAPERS]}
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
REPOSITORY = CONFIG["repository"]["url"]

ids = {"ids": lambda path: path.name}


def prose(path: Path) -> str:
    """The text of a page or of a chapter's Markdown cells, without fenced code."""
    text = TEXT[path]
    if path.suffix == ".py":
        cells = re.split(r"^# %%", text, flags=re.M)
        marked = [c for c in cells if c.lstrip().startswith("[markdown]")]
        text = "\n".join(re.sub(r"^# ?", "", line) for c in marked for line in c.splitlines())
    return re.sub(r"^(`{3,})(?:bash|python|bibtex)\n.*?^\1$", "", text, flags=re.M | re.S)


def roles(path: Path, name: str) -> list[str]:
    """Targets of a role such as {ref}: what is in the angle brackets, where there are any."""
    found = re.findall(rf"\{{{name}\}}`([^`]+)`", prose(path))
    return [re.sub(r"^.*<(.*)>$", r"\1", " ".join(target.split())) for target in found]


def bibliography() -> dict[str, str]:
    """Entries of the bibliography by key."""
    text = (ROOT / "book/references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{([^,\s]+),\n(.*?)^\}", text, flags=re.M | re.S)
    repeated = [key for key, n in Counter(key for key, _ in entries).items() if n > 1]
    assert not repeated, f"keys used twice: {repeated}"
    return dict(entries)


def glossary() -> list[str]:
    """The words that the glossary explains, in its order."""
    block = re.search(r"```\{glossary\}\n(.*?)```", TEXT[ROOT / "book/glossary.md"], re.S)[1]
    return re.findall(r"^(\S.*)\n {2}\S", block, flags=re.M)


def test_every_page_is_in_the_table_of_contents():
    toc = (ROOT / "_toc.yml").read_text()
    named = set(re.findall(r"(?:root|file): (\S+)", toc))
    assert {f"book/{path.stem}" for path in PAGES} <= named
    for page in named - {name for name in named if name.startswith("api/")}:
        assert list(ROOT.glob(f"{page}.*")), f"_toc.yml names {page}, which is not there"


@pytest.mark.parametrize("path", [*PAGES, *CHAPTERS], **ids)
def test_references_lead_somewhere(path):
    pattern = r"^(?:# )?(?:\(([\w-]+)\)=|:label: ([\w-]+))$"
    labels = {a or b for p in TEXT for a, b in re.findall(pattern, TEXT[p], re.M)}
    missing = [t for t in roles(path, "ref") if t not in labels]
    missing += [t for t in roles(path, "doc") if not list(ROOT.glob(_page(path, t)))]
    assert not missing


def _page(path: Path, target: str) -> str:
    """A pattern, from the root of the repository, for the files that a {doc} may mean."""
    return str((path.parent / target).resolve().relative_to(ROOT)) + ".*"


@pytest.mark.parametrize("path", [*PAGES, *PAPERS], **ids)
def test_markdown_links_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    ours = [t for t in targets if not re.match(r"[a-z]+:", t)]
    # The API pages and the Jupyter edition are generated; their sources must be there.
    source = {"/api/diffusion_creativity/index": "/src/diffusion_creativity/__init__.py"}
    for target in ours:
        place = str((path.parent / target.split("#")[0]).resolve())
        for generated, kept in source.items():
            place = place.replace(str(ROOT) + generated, str(ROOT) + kept)
        place = re.sub(r"\.ipynb$", ".py", place)
        assert Path(place).exists(), f"{path.name} links to {target}, which is not there"


@pytest.mark.parametrize("path", [*PAGES, *CHAPTERS], **ids)
def test_citations_are_in_the_bibliography(path):
    known = bibliography()
    cited = [k.strip() for t in roles(path, r"cite(?::\w+)?") for k in t.split(",")]
    assert not [key for key in cited if key not in known]


def test_entries_of_the_bibliography_are_complete():
    for key, body in bibliography().items():
        fields = set(re.findall(r"^\s*(\w+)\s*=", body, re.M))
        assert {"author", "title", "year"} <= fields, f"{key} has only {sorted(fields)}"
        year = re.search(r"year\s*=\s*\{(\d{4})\}", body)
        assert year, f"{key}: the year is no year"


@pytest.mark.parametrize("path", [*PAGES, *CHAPTERS], **ids)
def test_terms_are_in_the_glossary(path):
    assert not [term for term in roles(path, "term") if term not in glossary()]


def test_glossary_is_in_alphabetical_order():
    words = glossary()
    assert len(words) >= 25
    assert words == sorted(set(words), key=str.casefold)


def test_readme_gives_both_commands_and_the_ways_in():
    readme = TEXT[ROOT / "README.md"]
    first_screen = readme[: readme.index("\n## ")]
    for wanted in ("make book", "make test", "readme.png", "[**Read**]", "[**Run", "[**Teach**]"):
        assert wanted in first_screen, f"the first screen of the README lacks {wanted}"
    assert "make book\nmake test\n" in TEXT[ROOT / "book/how_to_use.md"]


def test_commands_that_pages_name_are_targets_of_make():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    for path in [*PAGES, *PAPERS]:
        named = set(re.findall(r"^make ([\w-]+)|`make ([\w-]+)", TEXT[path], re.M))
        assert {a or b for a, b in named} <= targets, path.name


def test_example_of_the_readme_runs_and_says_what_is_true(capsys):
    code = re.search(r"```python\n(.*?)```", TEXT[ROOT / "README.md"], re.S)[1]
    code = re.sub(r"^(dc\.metrics.*?)\s+# 1\.0.*$", r"copied = \1", code, flags=re.M)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["copied"] == 1.0
    assert names["law"].agreement(names["samples"]).ok
    assert "agrees with the law" in capsys.readouterr().out


@pytest.mark.parametrize("path", [*PAGES, *PAPERS], **ids)
def test_names_of_the_package_exist(path):
    for dotted in re.findall(r"`dc\.([\w.]+\w)(?!\w*\.\.\.)[`(]", TEXT[path]):
        thing = dc
        for name in dotted.split("."):
            assert hasattr(thing, name), f"{path.name} names dc.{dotted}"
            thing = getattr(thing, name)


def test_files_that_contributors_are_sent_to_exist():
    for path in PAPERS[:2]:
        for name in re.findall(r"`([\w.-]+/[\w./-]*)`", TEXT[path]):
            pattern = name.replace("NN", "[0-9]*").replace("topic", "*").replace("name.py", "*.py")
            assert list(ROOT.glob(pattern.rstrip("/"))), f"{path.name} names {name}"


@pytest.mark.parametrize("path", list(TEXT), **ids)
def test_no_path_of_somebody_s_machine(path):
    # Addresses may contain such words; a path starts after a space, a quote or a bracket.
    assert not re.findall(r"(?:^|[\s\"'`(=])/(?:home|root|tmp|work|Users|mnt)/", TEXT[path])


def test_citation_file_is_complete_and_in_step():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    required = {"cff-version", "message", "title", "authors", "version", "date-released", "license"}
    assert required <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == dc.__version__
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(citation["date-released"]))
    assert citation["repository-code"] == REPOSITORY
    assert citation["url"] == CONFIG["html"]["baseurl"]
    assert all(
        "name" in a or {"family-names", "given-names"} <= set(a) for a in citation["authors"]
    )
    assert CONFIG["title"] in citation["title"]


def test_licences_are_there_in_full():
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    text = (ROOT / "LICENSE-text").read_text()
    assert text.startswith("Attribution 4.0 International")
    assert "Section 8 -- Interpretation." in text


def test_changelog_keeps_its_format():
    text = TEXT[ROOT / "CHANGELOG.md"]
    headings = re.findall(r"^## \[(.+?)\]", text, re.M)
    assert headings[0] == "Unreleased"
    assert all(re.search(rf"^\[{re.escape(h)}\]: https", text, re.M) for h in headings)


def test_licences_of_vendored_software_are_named():
    packages = json.loads((ROOT / "tools/vendor.json").read_text())["packages"]
    sources = re.sub(r"[\s-]", "", TEXT[ROOT / "book/sources.md"]).lower()
    for package in packages:
        name = package["package"].split("/")[-1].replace("-", "")
        assert name in sources, f"sources.md does not name {package['package']}"
        assert re.sub(r"[\s-]", "", package["licence"]).lower() in sources.replace(
            "clause", "clause"
        )


def test_data_sets_and_their_licences_are_named():
    text = TEXT[ROOT / "book/sources.md"]
    from diffusion_creativity.data.images import names

    for name in names():
        assert f"| `{name}` |" in text
    assert f"| {dc.data.load('digits').licence} |" in text


@pytest.mark.parametrize("path", CHAPTERS, **ids)
def test_every_statement_has_a_certificate(path):
    """A label thm-…, lem-…, prop-… or cor-… has a test of its name among the laws."""
    kinds = "theorem|lemma|proposition|corollary"
    labels = re.findall(rf"\{{prf:(?:{kinds})\}}[^\n]*\n:label: (\S+)", prose(path))
    assert labels or "{exercise}" not in prose(path), "a chapter without a statement?"
    laws = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests/laws").glob("test_*.py"))
    tests = set(re.findall(r"^def (test_\w+)\(", laws, re.M))
    missing = [label for label in labels if f"test_{label.replace('-', '_')}" not in tests]
    assert not missing, f"statements without a certificate in tests/laws: {missing}"


def test_cover_is_what_its_script_draws():
    """The picture on the preface: same script, same file, same samples as when it was drawn."""
    record = json.loads((ROOT / "book/_static/cover.json").read_text())
    figures = runpy.run_path(str(ROOT / "book/figures.py"))
    message = "draw it again: .venv/bin/python book/figures.py"
    assert record.pop("script") == figures["digest"](ROOT / "book/figures.py"), message
    assert record.pop("svg") == figures["digest"](ROOT / "book/_static/cover.svg"), message
    if importlib.util.find_spec("sklearn") is None:
        pytest.skip("needs scikit-learn")
    assert figures["facts"](figures["experiment"]()) == record, message
    # What the preface says of it.
    assert record["Bayes"]["copies"] == record["samples"]
    assert record["Affine"]["copies"] == 0


def test_cover_turns_dark():
    svg = (ROOT / "book/_static/cover.svg").read_text()
    assert "prefers-color-scheme: dark" in svg
    assert len(svg) < 100_000
