"""Numbers of theorems, exercises, equations, figures and sections, counted as the site counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from .blocks import Directive, Heading, Math, Target, parse

STATEMENTS = {
    "theorem",
    "lemma",
    "proposition",
    "corollary",
    "definition",
    "remark",
    "observation",
    "algorithm",
}


@dataclass
class Labelled:
    """Something that other places refer to: in which chapter, what it is called, its number."""

    chapter: str
    kind: str
    number: str
    title: str = ""

    @property
    def name(self) -> str:
        """How a reference reads: Theorem 3.1, (3.2), Fig. 3.1, or a section's title."""
        if self.kind == "equation":
            return f"({self.number})"
        if self.kind == "section":
            return self.title
        return f"{self.kind} {self.number}"


@dataclass
class Chapter:
    """A chapter's name and number (a project's is P1, P2, …), and its counters while it is read."""

    name: str
    number: int | str
    counts: dict[str, int] = field(default_factory=dict)
    sections: list[int] = field(default_factory=list)

    def next(self, kind: str) -> str:
        """Count one more of a kind."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{self.number}.{self.counts[kind]}"

    def heading(self, level: int) -> str:
        """Count one more heading of a level; the title itself carries the chapter's number."""
        if level == 1:
            return str(self.number)
        depth = level - 1
        self.sections = [*self.sections, *[0] * depth][:depth]
        self.sections[-1] += 1
        return ".".join(map(str, [self.number, *self.sections]))


def statement_kind(name: str) -> str | None:
    """Theorem for ``prf:theorem`` and so on; None for anything that has no number."""
    kind = name.removeprefix("prf:")
    return kind.capitalize() if name.startswith("prf:") and kind in STATEMENTS else None


class Numbering:
    """Reads all chapters once, in order, and knows every label."""

    def __init__(self):
        self.labels: dict[str, Labelled] = {}

    def add(self, label: str, entry: Labelled) -> None:
        """Remember what a label stands for."""
        if not label:
            return
        if label in self.labels:
            raise ValueError(f"label {label!r} is used twice")
        self.labels[label] = entry

    def read_cell(self, chapter: Chapter, cell) -> None:
        """Count what one notebook cell holds."""
        if cell.cell_type == "markdown":
            self.read_blocks(chapter, parse(cell.source))
            return
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if figure.get("caption"):
            entry = Labelled(chapter.name, "Fig.", chapter.next("figure"), figure["caption"])
            self.add(figure.get("name", ""), entry)

    def read_blocks(self, chapter: Chapter, blocks: list) -> None:
        """Count what blocks hold, in order."""
        waiting = ""
        for block in blocks:
            if isinstance(block, Target):
                waiting = block.label
                continue
            if isinstance(block, Heading):
                number = chapter.heading(block.level)
                self.add(waiting, Labelled(chapter.name, "section", number, block.title))
            elif isinstance(block, Math) and block.label:
                self.add(block.label, Labelled(chapter.name, "equation", chapter.next("equation")))
            elif isinstance(block, Directive):
                self.read_directive(chapter, block)
            waiting = ""

    def read_directive(self, chapter: Chapter, block: Directive) -> None:
        """Count a directive, then what is inside it."""
        label = block.options.get("label") or block.options.get("name") or ""
        kind = statement_kind(block.name)
        counter = "statement"
        if block.name in ("exercise", "exercise-start"):
            kind, counter = "Exercise", "exercise"
        elif block.name == "figure":
            kind, counter = "Fig.", "figure"
        if kind and "nonumber" not in block.options:
            title = block.argument
            self.add(label, Labelled(chapter.name, kind, chapter.next(counter), title))
        self.read_blocks(chapter, block.blocks)
