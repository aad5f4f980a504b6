"""Roles inside a line of text: references, citations, glued numbers, terms."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from .bibliography import Bibliography
from .macros import expand
from .numbers import Labelled, Numbering

# What a line of Markdown is made of, as far as roles care. Code stays as it is.
SPAN = re.compile(
    r"\{(?P<role>[a-z][\w:-]*)\}(?P<ticks>`+)(?P<body>.+?)(?P=ticks)(?!`)"
    r"|(?P<code>(?P<fence>`+)(?!`).+?(?<!`)(?P=fence)(?!`))"
    r"|(?P<math>(?<!\\)\$(?!\$)[^$]+?(?<!\\)\$|\$\$.+?\$\$)",
    re.DOTALL,
)
TITLED = re.compile(r"^(?P<text>.*?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)


class Inline:
    """Turns the roles of one chapter into plain Markdown."""

    def __init__(
        self,
        chapter: str,
        numbering: Numbering,
        bibliography: Bibliography,
        macros: dict,
        page_link: Callable[[str], tuple[str, str]],
    ):
        self.chapter, self.numbering = chapter, numbering
        self.up = "../" * chapter.count("/")  # from the folder of the notebook to the chapters
        self.bibliography, self.macros, self.page_link = bibliography, macros, page_link
        self.cited: set[str] = set()
        self.roles = {
            "prf:ref": self.reference,
            "ref": self.reference,
            "numref": self.number,
            "eq": self.reference,
            "doc": self.document,
            "cite": lambda body: self.citation(body, textual=False),
            "cite:p": lambda body: self.citation(body, textual=False),
            "cite:t": lambda body: self.citation(body, textual=True),
            "glue:text": lambda body: f"**`{body.split(':')[0]}`**",
            "term": lambda body: split_title(body)[0],
            "abbr": self.abbreviation,
            "math": lambda body: self.formula(f"${body}$"),
        }

    def __call__(self, text: str) -> str:
        """Replace every role in a text and spell out macros in its formulas."""

        def replace(match: re.Match) -> str:
            if match["code"]:
                return match[0]
            if match["math"]:
                return self.formula(match[0])
            if match["role"] not in self.roles:
                raise ValueError(f"role {{{match['role']}}} is not one the Jupyter edition knows")
            return self.roles[match["role"]](" ".join(match["body"].split()))

        return SPAN.sub(replace, text)

    def formula(self, text: str) -> str:
        """One formula on one line: line breaks inside would meet quote marks and lists."""
        return expand(" ".join(text.split()), self.macros)

    def entry(self, label: str) -> Labelled:
        """What a label stands for; an unknown one is an error that names it."""
        if label not in self.numbering.labels:
            raise ValueError(f"nothing is labelled {label!r}")
        return self.numbering.labels[label]

    def linked(self, text: str, entry: Labelled) -> str:
        """A reference, as a link where it leads to another chapter."""
        return (
            text if entry.chapter == self.chapter else f"[{text}]({self.up}{entry.chapter}.ipynb)"
        )

    def reference(self, body: str) -> str:
        """Theorem 3.1, (3.2), or the title of a section."""
        text, label = split_title(body)
        entry = self.entry(label)
        name = entry.name if text == label else text
        return self.linked(self(name) if entry.kind == "section" else name, entry)

    def number(self, body: str) -> str:
        """Fig. 3.1, or a number in the words given: {numref}`Figure %s <fig-x>`."""
        text, label = split_title(body)
        entry = self.entry(label)
        name = f"Section {entry.number}" if entry.kind == "section" else entry.name
        if text != label:
            name = text.replace("%s", entry.number).replace("{number}", entry.number)
        return self.linked(name, entry)

    def document(self, body: str) -> str:
        """Link to another chapter or page."""
        text, target = split_title(body)
        title, address = self.page_link(target)
        address = address if "://" in address else f"{self.up}{address}"
        return f"[{title if text == target else text}]({address})"

    def citation(self, body: str, textual: bool) -> str:
        """Authors and year; remembers what was cited."""
        keys = [key.strip() for key in body.split(",")]
        self.cited.update(keys)
        return self.bibliography.cite(keys, textual)

    def abbreviation(self, body: str) -> str:
        """An abbreviation with what it stands for."""
        match = re.match(r"^(.*?)\s*\((.*)\)$", body)
        if not match:
            return body
        return f'<abbr title="{html.escape(match[2])}">{match[1]}</abbr>'


def split_title(body: str) -> tuple[str, str]:
    """Text and target of a role: ``text <target>``, or the target twice."""
    match = TITLED.match(body)
    return (match["text"], match["target"]) if match else (body, body)
