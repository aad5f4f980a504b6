"""The text of a deck: slides between lines of ``---``, each with what is said after ``Note:``.

A line ``{figure}name``, ``{theorem}label`` or ``{equation}label`` stands for something of a
chapter; everything else is Markdown with the roles of the book.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

HEADING = re.compile(r"^(?P<marks>#{1,2})\s+(?P<title>.+?)\s*$")
ITEM = re.compile(r"^\{(?P<kind>figure|theorem|equation)\}(?!`)\s*(?P<name>.+?)\s*$")


class Item(NamedTuple):
    """Something that a slide takes from a chapter."""

    kind: str
    name: str


@dataclass(frozen=True)
class Slide:
    """One slide: its heading, its Markdown and items in order, and what the speaker reads."""

    title: str
    opens: bool  # a title slide
    body: tuple[str | Item, ...]
    notes: str


def split_at(lines: list[str], mark: str) -> list[list[str]]:
    """Lines between lines that hold nothing but a mark."""
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.strip() == mark:
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


def body_of(lines: list[str]) -> tuple[str | Item, ...]:
    """Markdown and items of a slide, in order."""
    pieces: list[list[str] | Item] = [[]]
    for line in lines:
        if match := ITEM.match(line):
            pieces += [Item(match["kind"], match["name"]), []]
        else:
            pieces[-1].append(line)
    texts = (p if isinstance(p, Item) else "\n".join(p).strip() for p in pieces)
    return tuple(piece for piece in texts if piece)


def slide_of(lines: list[str]) -> Slide:
    """Read one slide, which begins with its heading."""
    body, *notes = split_at(lines, "Note:")
    while body and not body[0].strip():
        body = body[1:]
    match = HEADING.match(body[0]) if body else None
    if match is None:
        raise ValueError(f"a slide begins with # or ##, this one with {body[:1] or ['nothing']}")
    said = "\n".join(line for part in notes for line in part).strip()
    return Slide(match["title"], match["marks"] == "#", body_of(body[1:]), said)


def slides_of(text: str) -> list[Slide]:
    """All slides of a deck; the first is its title."""
    slides = [slide_of(part) for part in split_at(text.strip().splitlines(), "---")]
    if not slides[0].opens:
        raise ValueError(f"a deck begins with its title, # …, not with ## {slides[0].title}")
    return slides
