"""The course: what each chapter needs, how long it takes, and the map. ``python book/course.py``.

``course.yml`` says which chapter needs which. This script draws ``_static/course_map.svg`` from it,
notes in ``course_map.json`` what it was drawn from, and prints the table of times. Tests hold both,
and the chapters' own "Prerequisites", against it.
"""

import hashlib
import json
import re
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import yaml
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import diffusion_creativity as dc

HERE = Path(__file__).parent
COURSE, NOTEBOOKS = HERE / "course.yml", HERE.parent / "notebooks"
SVG, RECORD = HERE / "_static" / "course_map.svg", HERE / "_static" / "course_map.json"
COLOUR = {"Start": "noise", "I": "denoiser", "II": "generated", "III": "law", "IV": "warning"}
WORDS_A_MINUTE = 150
MINUTES = {"formula": 0.1, "statement": 1.5, "figure": 1.0, "exercise": 12.0}


def chapters() -> list[dict]:
    """All chapters in reading order."""
    read = yaml.safe_load(COURSE.read_text(encoding="utf-8"))
    return [{"needs": [], "helps": [], **chapter} for chapter in read]


def numbers() -> dict[str, int]:
    """Numbers that the site gives the chapters: their order in the table of contents."""
    toc = (HERE.parent / "_toc.yml").read_text(encoding="utf-8")
    pages = re.findall(r"^\s*- file: notebooks/(\w+)", toc, re.MULTILINE)
    return {page: number for number, page in enumerate(pages, start=1)}


def markdown(page: str) -> str:
    """What a chapter says between its code."""
    cells = jupytext.read(NOTEBOOKS / f"{page}.py").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def prerequisites(page: str) -> tuple[list[str], list[str]]:
    """Chapters that a chapter's own box says it needs, and those that it says help."""
    box = re.search(r"\*\*Prerequisites\*\*(.*?)^```", markdown(page), re.DOTALL | re.MULTILINE)[1]
    order, found = [c["page"] for c in chapters()], ([], [])
    for sentence in re.split(r"[.;]\s", box):
        named = re.findall(r"\{doc\}`(\w+)`(\s+to\s+(?=\{doc\}))?", sentence)
        kind = found[bool(re.search(r"\bhelps?\b", sentence))]
        for index, (first, to) in enumerate(named):
            last = named[index + 1][0] if to else first
            kind += order[order.index(first) : order.index(last) + 1]
    return tuple(sorted(set(pages)) for pages in found)


def minutes(page: str) -> tuple[int, int]:
    """Time to study a chapter's text and to do its exercises, by the rule of the syllabus page."""
    whole = markdown(page)
    text = whole.split("\n## Exercises")[0]
    count = {
        "formula": len(re.findall(r"(?<!\$)\$(?!\$)[^$]+\$", text)),
        "statement": len(re.findall(r"\{prf:(?:theorem|lemma|proposition|corollary)\}", text)),
        "figure": len(re.findall(r'"figure"', (NOTEBOOKS / f"{page}.py").read_text("utf-8"))),
        "exercise": len(re.findall(r"^\s*```\{exercise\}", whole, re.MULTILINE)),
    }
    words = len(re.findall(r"[^\W\d_][\w'’-]+", re.sub(r"\$[^$]*\$|\{\S+?\}`[^`]*`", "", text)))
    spent = {kind: count[kind] * each for kind, each in MINUTES.items()}
    exercises = spent.pop("exercise")
    return round(words / WORDS_A_MINUTE + sum(spent.values())), round(exercises)


def ancestors(needs: dict[str, list[str]], page: str) -> set[str]:
    """Everything that has to be read before a chapter."""
    direct = needs[page]
    return set(direct).union(*(ancestors(needs, other) for other in direct))


def arrows() -> list[tuple[str, str]]:
    """Which chapter leads to which; arrows that follow from others are left out."""
    needs = {c["page"]: c["needs"] for c in chapters()}
    return [
        (other, page)
        for page, direct in needs.items()
        for other in direct
        if not any(other in ancestors(needs, third) for third in direct)
    ]


def places() -> dict[str, tuple[float, float]]:
    """Where each chapter stands: one row below the last of what it needs or would help it."""
    depth = {}
    for chapter in chapters():
        above = [depth[other] for other in chapter["needs"] + chapter["helps"]]
        depth[chapter["page"]] = 1 + max(above, default=-1)
    return {c["page"]: (c["x"], -float(depth[c["page"]])) for c in chapters()}


def draw() -> plt.Figure:
    """Draw the map: a box for each chapter, coloured by part, an arrow for each need."""
    dc.style.use()
    ink, where, given = dc.style.COLORS, places(), numbers()
    figure, ax = plt.subplots(figsize=(6.4, 8.4))
    helps = [(other, c["page"]) for c in chapters() for other in c["helps"]]
    for pairs, style in ((arrows(), "-"), (helps, (0, (2, 2)))):
        for start, end in pairs:
            (x0, y0), (x1, y1) = where[start], where[end]
            ax.add_patch(
                FancyArrowPatch(
                    (x0, y0 - 0.29), (x1, y1 + 0.29), arrowstyle="-|>", mutation_scale=9,
                    linestyle=style, color=ink["muted"], linewidth=1, shrinkA=0, shrinkB=0,
                )
            )  # fmt: skip
    for chapter in chapters():
        x, y = where[chapter["page"]]
        box = FancyBboxPatch(
            (x - 0.4, y - 0.24), 0.8, 0.48, boxstyle="round,pad=0.03", linewidth=1.8,
            facecolor=ink["panel"], edgecolor=ink[COLOUR[chapter["part"]]],
        )  # fmt: skip
        ax.add_patch(box)
        number = given.get(chapter["page"], "")
        label = f"{number}\n{chapter['short']}".strip()
        ax.text(x, y, label, ha="center", va="center", fontsize=10.5, linespacing=1.05)
    xs, ys = zip(*where.values(), strict=True)
    ax.set(xlim=(min(xs) - 0.5, max(xs) + 0.5), ylim=(min(ys) - 0.4, max(ys) + 0.4))
    ax.set_axis_off()
    return figure


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def record() -> dict[str, str | dict]:
    """What the map on the page was drawn from."""
    files = {path.name: digest(path) for path in (COURSE, Path(__file__), SVG)}
    drawn = {chapter["page"] for chapter in chapters()}
    return files | {"numbers": {p: n for p, n in numbers().items() if p in drawn}}


def main() -> None:
    """Draw the map and print the times."""
    SVG.write_text(dc.style.themed_svg(draw()), encoding="utf-8")
    RECORD.write_text(json.dumps(record(), indent=1) + "\n", encoding="utf-8")
    for chapter in chapters():
        reading, exercises = minutes(chapter["page"])
        print(f"{chapter['page']:42s} text {reading:4d} min, exercises {exercises:3d} min")


if __name__ == "__main__":
    main()
