"""The page of a deck: reveal.js sections from slides, with what they take from the chapters."""

from __future__ import annotations

import hashlib
import json
from html import escape

from edition.inline import Inline
from edition.numbers import Chapter, Labelled, statement_kind
from edition.render import Renderer
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from .material import Figure, Live, Material, named
from .source import Item, Slide

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="../_static/favicon.svg">
<link rel="stylesheet" href="../vendor/reveal/reveal.css">
<link rel="stylesheet" href="deck.css">
<style>{style}</style>
</head>
<body>
<main><div class="reveal"><div class="slides">
{slides}
</div></div></main>
{programs}
<script src="../vendor/reveal/reveal.js"></script>
<script src="../vendor/reveal/notes.js"></script>
<script src="deck.js"></script>
<script src="../vendor/mathjax/tex-mml-chtml.js" defer></script>
</body>
</html>
"""
PREDICT = "Predict: "  # how the title of a slide begins that asks before it shows


def markdown() -> MarkdownIt:
    """Markdown to HTML; formulas are left to MathJax, lists with ``+`` come point by point."""

    def formula(body: str, options: dict) -> str:
        return f"\\[{escape(body)}\\]" if options["display_mode"] else f"\\({escape(body)}\\)"

    def step_by_step(state) -> None:
        for token in state.tokens:
            if token.type == "list_item_open" and token.markup == "+":
                token.attrJoin("class", "fragment")

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.use(dollarmath_plugin, renderer=formula)
    reader.core.ruler.push("step_by_step", step_by_step)
    return reader


class SlideInline(Inline):
    """Roles on a slide: references lead to the pages of the site, numbers are those of the run."""

    def __init__(self, chapter: str, book, material: Material):
        super().__init__(
            chapter,
            book.numbering,
            book.bibliography,
            book.macros,
            lambda name: page_of(book, name),
        )
        self.anchors = {id(entry): label for label, entry in book.numbering.labels.items()}
        self.roles["glue:text"] = lambda name: named(material.numbers, name, "number")
        self.roles["exercise"] = self.exercise

    def linked(self, text: str, entry: Labelled) -> str:
        """A reference as a link; formulas have no place of their own on a page."""
        place = "" if entry.kind == "equation" else f"#{self.anchors[id(entry)]}"
        return f"[{text}](../notebooks/{entry.chapter}.html{place})"

    def exercise(self, label: str) -> str:
        """An exercise by number and title."""
        title = self.entry(label).title
        return self.reference(label) + (f": {self(title)}" if title else "")


def page_of(book, target: str) -> tuple[str, str]:
    """Title and address of a page, seen from the decks."""
    title, address = book.page_link(target)
    chapter = address.removesuffix(".ipynb")
    known = chapter in book.sources
    return title, f"../notebooks/{chapter}.html" if known else address.replace(book.site, "../")


class SlideRenderer(Renderer):
    """Text of a chapter for a slide, with the numbers that its formulas have there."""

    def math(self, block) -> str:
        """Display mathematics; the tag is the number that the chapter gave it."""
        if block.label:
            number = self.inline.entry(block.label).number
            self.chapter.counts["equation"] = int(number.rpartition(".")[2]) - 1
        return super().math(block)


class Page:
    """Renders one deck."""

    def __init__(self, book, material: Material):
        self.book, self.material, self.reader = book, material, markdown()
        self.pictures: dict[str, bytes] = {}
        self.programs: dict[str, str] = {}
        self.styles: dict[str, None] = {}  # in order

    def page(self, slides: list[Slide]) -> str:
        """The whole page."""
        sections = "\n".join(self.section(slide) for slide in slides)
        programs = "\n".join(
            f'<script type="application/json" id="{name}">{code}</script>'
            for name, code in self.programs.items()
        )
        return PAGE.format(
            title=escape(slides[0].title), slides=sections, programs=programs,
            style="".join(self.styles),
        )  # fmt: skip

    def section(self, slide: Slide) -> str:
        """One slide; an error says on which."""
        try:
            body = self.body(slide.body)
            notes = self.html(slide.notes)
            title = self.html(slide.title).strip().removeprefix("<p>").removesuffix("</p>")
        except ValueError as error:
            raise ValueError(f"slide {slide.title!r}: {error}") from None
        level = "h1" if slide.opens else "h2"
        return (
            f'<section class="{" ".join(kinds(slide))}"><{level}>{title}</{level}>'
            f'<div class="body">{body}</div><aside class="notes">{notes}</aside></section>'
        )

    def body(self, pieces: tuple[str | Item, ...]) -> str:
        """Text and items of a slide."""
        make = {"figure": self.figure, "theorem": self.statement, "equation": self.equation}
        return "".join(
            make[piece.kind](piece.name) if isinstance(piece, Item) else self.html(piece)
            for piece in pieces
        )

    def inline(self, chapter: str = "") -> SlideInline:
        """Reader of roles."""
        return SlideInline(chapter, self.book, self.material)

    def html(self, text: str) -> str:
        """Markdown of the deck itself."""
        return self.reader.render(self.inline()(text))

    def chapter_html(self, chapter: str, blocks: list, paragraphs: int | None = None) -> str:
        """Blocks of a chapter, all of them or the first paragraphs."""
        number = self.book.chapter(chapter).number
        renderer = SlideRenderer(Chapter(chapter, number), self.inline(chapter))
        parts = renderer.blocks(blocks).split("\n\n")
        return self.reader.render("\n\n".join(parts[:paragraphs]))

    def statement(self, name: str) -> str:
        """A theorem as its chapter states it, or with ``label[:2]`` its first two paragraphs."""
        label, _, end = name.removesuffix("]").partition("[:")
        chapter, block = named(self.material.statements, label, "statement")
        kind = f"{statement_kind(block.name)} {self.inline().entry(label).number}"
        title = f" {block.argument}" if block.argument else ""
        head = self.reader.render(f"**{self.inline().reference(label)}**{self.inline()(title)}")
        body = self.chapter_html(chapter, block.blocks, int(end) if end else None)
        return f'<div class="statement" role="group" aria-label="{kind}">{head}{body}</div>'

    def equation(self, label: str) -> str:
        """A numbered formula."""
        chapter, block = named(self.material.equations, label, "equation")
        return self.chapter_html(chapter, [block])

    def figure(self, name: str) -> str:
        """A figure: live where that can be, with a link to its place in the book."""
        figure = named(self.material.figures, name, "figure")
        if figure.live:
            return self.live(figure, figure.live)
        file = f"figures/{figure.name}.{figure.suffix}"
        self.pictures[file] = figure.picture
        image = f'<img src="{file}" alt="{escape(figure.alt)}">'
        return f'<figure class="still">{image}{self.caption(figure, figure.caption)}</figure>'

    def live(self, figure: Figure, live: Live) -> str:
        """A figure to move: its data here, its program once for all figures of the page."""
        program = f"program-{hashlib.sha256(live.code.encode()).hexdigest()[:12]}"
        self.programs[program] = in_script(live.code)
        self.styles[live.style] = None
        data = in_script({"program": program, "values": live.values, "blob": live.blob})
        return (
            '<figure class="live"><div class="stage"><div class="place"></div></div>'
            f'<script type="application/json">{data}</script>{self.caption(figure, "")}</figure>'
        )

    def caption(self, figure: Figure, words: str) -> str:
        """Number and caption; a live figure says itself what it shows."""
        labels = self.book.numbering.labels
        if figure.name in labels:
            source = self.inline().linked(labels[figure.name].name, labels[figure.name])
        else:
            number = self.book.chapter(figure.chapter).number
            source = f"[Chapter {number}](../notebooks/{figure.chapter}.html)"
        text = self.reader.renderInline(f"{source} {self.inline()(words)}".strip())
        return f"<figcaption>{text}</figcaption>"


def kinds(slide: Slide) -> list[str]:
    """What the style sheet wants to know of a slide."""
    only_words = not any(isinstance(piece, Item) for piece in slide.body)
    asks = slide.title.startswith(PREDICT)
    which = {"title": slide.opens, "predict": asks, "words": only_words}
    return [name for name, holds in which.items() if holds]


def in_script(value) -> str:
    """JSON that may stand in a script element of a page."""
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/").replace("<!--", "<\\!--")
