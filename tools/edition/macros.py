"""TeX macros of the site, spelled out: GitHub, Colab and Jupyter do not know them."""

from __future__ import annotations

import re


def argument(text: str, start: int) -> tuple[str, int]:
    """Read one TeX argument (a group, a command or a character) from a position."""
    while start < len(text) and text[start].isspace():
        start += 1
    if start >= len(text):
        raise ValueError("a TeX macro lacks its argument")
    if text[start] == "\\":
        match = re.compile(r"\\(?:[A-Za-z]+|.)").match(text, start)
        return match[0], match.end()
    if text[start] != "{":
        return text[start], start + 1
    depth, index = 0, start
    while index < len(text):
        depth += {"{": 1, "}": -1}.get(text[index], 0) if text[index - 1] != "\\" else 0
        index += 1
        if depth == 0:
            return text[start + 1 : index - 1], index
    raise ValueError("a TeX group is not closed")


def expand(text: str, macros: dict[str, str | list]) -> str:
    """Replace every macro in a formula, arguments included."""
    if not macros:
        return text
    pattern = re.compile(rf"\\({'|'.join(sorted(macros, key=len, reverse=True))})(?![A-Za-z])")
    while match := pattern.search(text):
        definition = macros[match[1]]
        body, count = (definition, 0) if isinstance(definition, str) else definition[:2]
        end = match.end()
        for number in range(1, count + 1):
            value, end = argument(text, end)
            body = body.replace(f"#{number}", value)
        if text[: match.start()].rstrip()[-1:] in ("_", "^"):
            body = f"{{{body}}}"
        gap = " " if body[-1:].isalpha() and text[end : end + 1].isalpha() else ""
        text = text[: match.start()] + body + gap + text[end:]
    return text
