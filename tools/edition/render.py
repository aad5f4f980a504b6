"""Blocks of a chapter as plain Markdown that GitHub, Colab and JupyterLab all show well."""

from __future__ import annotations

import re

from .blocks import Code, Directive, Heading, Math, Target, Text, parse
from .inline import Inline
from .macros import expand
from .numbers import Chapter, statement_kind

ADMONITIONS = {
    "note",
    "tip",
    "hint",
    "warning",
    "important",
    "caution",
    "attention",
    "danger",
    "error",
    "seealso",
    "admonition",
    "dropdown",
}
DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)


class Renderer:
    """Renders one chapter, counting as ``numbers.Numbering`` does."""

    def __init__(self, chapter: Chapter, inline: Inline):
        self.chapter, self.inline = chapter, inline
        self.in_solution = False  # between a solution's start and its end

    def text(self, markdown: str) -> str:
        """A whole Markdown cell."""
        return self.blocks(parse(markdown))

    def blocks(self, blocks: list) -> str:
        """Blocks in order, each apart from the next."""
        parts = [self.block(block) for block in blocks]
        return re.sub(
            r"\n{3,}", "\n\n", "\n".join(part for part in parts if part is not None)
        ).strip()

    def block(self, block) -> str | None:
        """One block; None for what leaves no trace."""
        if isinstance(block, Text):
            lines = [line for line in block.lines if not line.startswith("% ")]
            return self.inline("\n".join(lines))
        if isinstance(block, Code):
            return "\n".join(block.lines)
        if isinstance(block, Target):
            return None
        if isinstance(block, Heading):
            number = self.chapter.heading(block.level)
            return f"\n{'#' * block.level} {number}. {self.inline(block.title)}\n"
        if isinstance(block, Math):
            return self.math(block)
        return indented(f"\n{self.directive(block)}\n", block.indent)

    def math(self, block: Math) -> str:
        """Display mathematics, tagged with its number; aligned where the site aligns it."""
        body = expand(block.body.strip(), self.inline.macros)
        if re.search(r"\\begin\{(align|gather|equation|multline)\*?\}", body):
            raise ValueError(
                "use aligned or gathered inside $$: other environments number themselves"
            )
        if re.search(r"\\\\", body) and not re.match(r"\\begin\{(aligned|gathered|split)\}", body):
            body = f"\\begin{{split}}\n{body}\n\\end{{split}}"
        if block.label:
            body += f" \\tag{{{self.chapter.next('equation')}}}"
        return indented(f"\n$$\n{body}\n$$\n", block.indent)  # GitHub wants the empty lines

    def directive(self, block: Directive) -> str:
        """Dispatch on a directive's name; a name that is not known is an error."""
        name = block.name
        if kind := statement_kind(name):
            return self.statement(block, kind, "statement")
        if name in ("exercise", "exercise-start"):
            return self.statement(block, "Exercise", "exercise")
        if name == "prf:proof":
            return self.proof(block)
        if name in ("solution", "solution-start"):
            return self.solution(block)
        if name == "solution-end":
            self.in_solution = False
            return "*End of the solution.*"
        if name == "exercise-end":
            return ""
        if name in ADMONITIONS:
            return self.admonition(block)
        if name == "figure":
            return self.figure(block)
        if name == "bibliography":
            return self.inline.bibliography.listing(self.inline.cited)
        if name in ("code-block", "code"):
            return "\n".join([f"```{block.argument}", *block.body, "```"])
        raise ValueError(f"directive {{{name}}} is not one the Jupyter edition knows")

    def statement(self, block: Directive, kind: str, counter: str) -> str:
        """A numbered statement, set off as a quotation."""
        number = "" if "nonumber" in block.options else f" {self.chapter.next(counter)}"
        title = f" ({self.inline(block.argument)})" if block.argument else ""
        head = f"**{kind}{number}**{title}"
        if "dropdown" in block.options.get("class", ""):
            return details(f"{kind}{number}{title}", self.blocks(block.blocks))
        return quoted(f"{head}\n\n{self.blocks(block.blocks)}")

    def proof(self, block: Directive) -> str:
        """A proof, with its end marked."""
        body = self.blocks(block.blocks)
        if "dropdown" in block.options.get("class", ""):
            return details("Proof", f"{body}\n\n∎")
        return f"*Proof.* {body}\n\n∎"

    def solution(self, block: Directive) -> str:
        """A folded solution; one with code cells cannot fold them, so it names them."""
        exercise = self.inline.reference(block.argument)
        if block.name == "solution-start":
            self.in_solution = True
            body = self.blocks(block.blocks)
            return f"**Solution to {exercise}** (in the folded cells that follow)\n\n{body}"
        return details(f"Solution to {exercise}", self.blocks(block.blocks))

    def admonition(self, block: Directive) -> str:
        """A box, as a quotation with its title in bold; folded where the site folds it."""
        titled = block.name in ("admonition", "dropdown")
        title = self.inline(block.argument) if titled else block.name.capitalize()
        title = "See also" if block.name == "seealso" else title
        body = self.blocks(block.blocks)
        if block.argument and not titled:
            body = f"{self.inline(block.argument)}\n\n{body}"
        if block.name == "dropdown" or "dropdown" in block.options.get("class", ""):
            return details(title, body)
        return quoted(f"**{title}**\n\n{body}")

    def figure(self, block: Directive) -> str:
        """A picture from a file with its numbered caption."""
        caption = self.blocks(block.blocks)
        image = f"![{block.options.get('alt', '')}]({block.argument})"
        return f"{image}\n\n{self.caption(caption)}"

    def caption(self, text: str) -> str:
        """A numbered caption."""
        return f"**Fig. {self.chapter.next('figure')}** {text}"


def indented(text: str, indent: str) -> str:
    """Indent the lines of a block that stood inside a list."""
    return (
        "\n".join(indent + line if line else line for line in text.split("\n")) if indent else text
    )


def one_line(text: str) -> str:
    """Put display formulas on one line each, where quote marks would get into them."""
    return DISPLAY.sub(lambda match: f"$$ {' '.join(match[1].split())} $$", text)


def quoted(text: str) -> str:
    """A Markdown quotation."""
    lines = one_line(text.strip()).split("\n")
    return "\n".join(f"> {line}".rstrip() for line in lines)


def details(title: str, body: str) -> str:
    """A folded part: every notebook front end and GitHub know this HTML."""
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"
