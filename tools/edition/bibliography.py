"""Citations as authors and year, and the list of references, from ``book/references.bib``."""

from __future__ import annotations

import re
from pathlib import Path

from pybtex.database import BibliographyData, parse_file
from pybtex.plugin import find_plugin


class Bibliography:
    """The book's references."""

    def __init__(self, path: Path):
        self.data: BibliographyData = parse_file(str(path))
        self.style = find_plugin("pybtex.style.formatting", "plain")()  # slow to look up
        self.backend = find_plugin("pybtex.backends", "markdown")()

    def entry(self, key: str):
        """One reference; a wrong key is an error that names it."""
        if key not in self.data.entries:
            raise ValueError(f"citation of {key!r}, which is not in references.bib")
        return self.data.entries[key]

    def authors(self, key: str) -> str:
        """Family names as they stand in running text."""
        people = self.entry(key).persons.get("author") or self.entry(key).persons.get("editor", [])
        names = [" ".join([*person.prelast_names, *person.last_names]) for person in people]
        names = [name.replace("{", "").replace("}", "") for name in names]
        if len(names) > 2:
            return f"{names[0]} et al."
        return " and ".join(names) or key

    def cite(self, keys: list[str], textual: bool) -> str:
        """Karras et al. (2022), or (Karras et al., 2022; Song et al., 2021)."""
        years = {key: self.entry(key).fields.get("year", "n.d.") for key in keys}
        if textual:
            return ", ".join(f"{self.authors(key)} ({years[key]})" for key in keys)
        return "(" + "; ".join(f"{self.authors(key)}, {years[key]}" for key in keys) + ")"

    def listing(self, keys: set[str]) -> str:
        """The references with these keys as a Markdown list, in alphabetical order."""
        entries = self.style.format_entries([self.entry(key) for key in sorted(keys)])
        lines = [" ".join(entry.text.render(self.backend).split()) for entry in entries]
        return "\n".join("- " + re.sub(r"\\([-.()!#+])", r"\1", line) for line in lines)
