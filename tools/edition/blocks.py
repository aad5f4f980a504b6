"""A line-based reader of the MyST that chapters use: directives, display math, labels, headings.

It knows nothing of what directives mean. Fences follow CommonMark: a block ends at a line of at
least as many of the same character as it began with, so shorter fences nest inside longer ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

FENCE = re.compile(
    r"^(?P<indent>[ ]*)(?P<fence>`{3,}|~{3,}|:{3,})[ ]*(?:\{(?P<name>[\w:+-]+)\})?(?P<rest>.*)$"
)
OPTION = re.compile(r"^:(?P<key>[\w-]+):(?P<value>.*)$")
TARGET = re.compile(r"^\((?P<label>[^()\s]+)\)=\s*$")
HEADING = re.compile(r"^(?P<marks>#{1,6})\s+(?P<title>.+?)\s*$")
MATH_END = re.compile(r"\$\$\s*(?:\((?P<label>[\w:-]+)\))?\s*$")


@dataclass
class Text:
    """Lines that are plain Markdown."""

    lines: list[str]


@dataclass
class Code:
    """A fenced code block, fences included."""

    lines: list[str]


@dataclass
class Target:
    """A label in front of what it names: ``(sec-name)=``."""

    label: str


@dataclass
class Heading:
    """One heading."""

    level: int
    title: str


@dataclass
class Math:
    """Display mathematics, with a label where it has a number."""

    body: str
    label: str = ""
    indent: str = ""


@dataclass
class Directive:
    """A directive: name, argument, options and the blocks inside."""

    name: str
    argument: str
    options: dict[str, str] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)
    indent: str = ""

    @property
    def blocks(self) -> list:
        """What is inside, parsed."""
        return parse("\n".join(self.body))


def split_options(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """Take the ``:key: value`` lines off the start of a directive's body."""
    options = {}
    rest = list(lines)
    while rest and (match := OPTION.match(rest[0])):
        options[match["key"]] = match["value"].strip()
        rest.pop(0)
    while rest and not rest[0].strip():
        rest.pop(0)
    while rest and not rest[-1].strip():
        rest.pop()
    return options, rest


def end_of_fence(lines: list[str], start: int, fence: str) -> int:
    """Index of the line that closes a fence (or one past the end, as in CommonMark)."""
    closing = re.compile(rf"^\s*{re.escape(fence[0])}{{{len(fence)},}}\s*$")
    return next((i for i in range(start, len(lines)) if closing.match(lines[i])), len(lines))


def unindent(lines: list[str], indent: str) -> list[str]:
    """Take an indentation off, as far as lines have it."""
    return [
        line.removeprefix(indent) if line.startswith(indent) else line.lstrip() for line in lines
    ]


def read_fence(lines: list[str], index: int, match: re.Match) -> tuple[object, int]:
    """Read the fenced block that begins at a line; returns it and the index after it."""
    end = end_of_fence(lines, index + 1, match["fence"])
    inside = unindent(lines[index + 1 : end], match["indent"])
    if match["name"] is None:
        return Code(lines[index : end + 1]), end + 1
    options, body = split_options(inside)
    argument = match["rest"].strip()
    if match["name"] == "math":
        body = ([argument] if argument else []) + body
        return Math("\n".join(body), options.get("label", ""), match["indent"]), end + 1
    return Directive(match["name"], argument, options, body, match["indent"]), end + 1


def read_math(lines: list[str], index: int) -> tuple[Math, int]:
    """Read a ``$$`` block that begins at a line."""
    indent = lines[index][: len(lines[index]) - len(lines[index].lstrip())]
    first = lines[index].strip()[2:]
    collected = [first]
    end = MATH_END.search(first)
    while end is None:
        index += 1
        if index == len(lines):
            raise ValueError("display mathematics without an end ($$)")
        collected.append(lines[index].strip())
        end = MATH_END.search(collected[-1])
    collected[-1] = collected[-1][: end.start()]
    body = "\n".join(collected).strip()
    return Math(body, end["label"] or "", indent), index + 1


def parse(text: str) -> list:
    """Split Markdown into blocks."""
    lines, blocks, index = text.splitlines(), [], 0
    while index < len(lines):
        line = lines[index]
        if (match := FENCE.match(line)) and (match["name"] or match["fence"][0] != ":"):
            block, index = read_fence(lines, index, match)
        elif line.strip().startswith("$$"):
            if blocks and isinstance(blocks[-1], Text) and blocks[-1].lines[-1].strip():
                raise ValueError("$$ needs an empty line before it, or the site reads $ and $")
            block, index = read_math(lines, index)
        elif match := TARGET.match(line):
            block, index = Target(match["label"]), index + 1
        elif match := HEADING.match(line):
            block, index = Heading(len(match["marks"]), match["title"]), index + 1
        elif blocks and isinstance(blocks[-1], Text):
            blocks[-1].lines.append(line)
            index += 1
            continue
        else:
            block, index = Text([line]), index + 1
        blocks.append(block)
    return blocks
