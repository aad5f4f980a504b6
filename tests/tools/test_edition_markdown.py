"""The converter from MyST to plain Markdown, construct by construct."""

from __future__ import annotations

import nbformat
import pytest
from edition.bibliography import Bibliography
from edition.blocks import Code, Directive, Heading, Math, Target, parse
from edition.inline import Inline
from edition.macros import expand
from edition.numbers import Chapter, Labelled, Numbering
from edition.render import Renderer

MACROS = {"R": "\\mathbb{R}", "norm": ["\\lVert #1 \\rVert", 1], "tr": "\\operatorname{tr}"}
BIB = """
@article{one2020, title={First}, author={Ada One}, journal={J}, year={2020}}
@misc{many2021, title={Second}, author={Bo Two and Cy Three and Di Four}, year={2021}}
"""


@pytest.fixture
def render(tmp_path):
    """Render a text as chapter 3; labels inside it are known, and one of another chapter."""
    (tmp_path / "references.bib").write_text(BIB)

    def renderer(text: str) -> str:
        numbering = Numbering()
        numbering.add("thm-far", Labelled("01_first", "Theorem", "1.2"))
        cell = nbformat.v4.new_markdown_cell(text)
        numbering.read_cell(Chapter("03_here", 3), cell)
        bibliography = Bibliography(tmp_path / "references.bib")
        inline = Inline(
            "03_here", numbering, bibliography, MACROS, lambda p: ("Linear", f"{p}.ipynb")
        )
        return Renderer(Chapter("03_here", 3), inline).text(text)

    return renderer


def test_fences_nest_by_length():
    outer = parse("::::{note}\n:::{prf:lemma} L\n:label: lem-x\nText.\n:::\nMore.\n::::\nAfter.")
    assert isinstance(outer[0], Directive)
    inner = outer[0].blocks
    assert inner[0].name == "prf:lemma"
    assert inner[0].options == {"label": "lem-x"}
    assert inner[1].lines == ["More."]
    assert outer[1].lines == ["After."]


def test_code_fence_hides_what_is_in_it():
    blocks = parse("```python\n:::{note}\n$$\n# no heading\n```\n# Heading")
    assert isinstance(blocks[0], Code)
    assert blocks[1] == Heading(1, "Heading")


def test_display_math_with_and_without_label():
    assert parse("$$ a = b $$ (eq-x)") == [Math("a = b", "eq-x")]
    assert parse("$$\na\n$$") == [Math("a")]
    assert parse("```{math}\n:label: eq-y\nc\n```") == [Math("c", "eq-y")]
    with pytest.raises(ValueError, match="without an end"):
        parse("$$\na")
    with pytest.raises(ValueError, match="empty line"):
        parse("Text\n$$ a $$")


def test_label_in_front_of_heading():
    assert parse("(sec-a)=\n## A") == [Target("sec-a"), Heading(2, "A")]


def test_statements_share_a_counter_and_exercises_have_their_own(render):
    text = render(
        ":::{prf:theorem} Name $\\R$\n:label: thm-a\nOne.\n:::\n\n"
        "```{exercise}\n:label: ex-03-a\nDo.\n```\n\n"
        ":::{prf:lemma}\n:label: lem-a\nSee {prf:ref}`thm-a` and {prf:ref}`thm-far`.\n:::"
    )
    assert "> **Theorem 3.1** (Name $\\mathbb{R}$)\n>\n> One." in text
    assert "> **Exercise 3.1**" in text
    assert "> **Lemma 3.2**" in text
    assert "See Theorem 3.1 and [Theorem 1.2](01_first.ipynb)." in text


def test_proof_and_equation_numbers(render):
    text = render("$$\na\n$$ (eq-a)\n\n```{prf:proof}\nBy {eq}`eq-a`.\n```")
    assert "a \\tag{3.1}" in text
    assert text.endswith("*Proof.* By (3.1).\n\n∎")


def test_display_math_in_a_quotation_stands_on_one_line(render):
    text = render(":::{note}\n$$\na &= b \\\\\nc &= d\n$$\nand $x\n+ y$.\n:::")
    assert "> $$ \\begin{split} a &= b \\\\ c &= d \\end{split} $$" in text
    assert "> and $x + y$." in text


def test_solution_folds(render):
    text = render("```{exercise}\n:label: e\nDo.\n```\n```{solution} e\n:class: dropdown\nSo.\n```")
    assert "<details>\n<summary>Solution to Exercise 3.1</summary>\n\nSo.\n\n</details>" in text


def test_citations_and_list_of_references(render):
    text = render(
        "{cite:t}`one2020` and {cite:p}`one2020,many2021`.\n\n"
        "```{bibliography}\n:filter: docname in docnames\n```"
    )
    assert "One (2020) and (One, 2020; Two et al., 2021)." in text
    assert "- Ada One. First. *J*, 2020." in text
    with pytest.raises(ValueError, match="nobody"):
        render("{cite}`nobody`")


def test_roles_in_code_stay_and_unknown_ones_are_refused(render):
    assert render("`` {eq}`x` `` and {glue:text}`share:.2f`") == "`` {eq}`x` `` and **`share`**"
    assert render("{doc}`04_linear` {term}`score <score>`") == "[Linear](04_linear.ipynb) score"
    assert render("{abbr}`ODE (an equation)`") == '<abbr title="an equation">ODE</abbr>'
    with pytest.raises(ValueError, match="guilabel"):
        render("{guilabel}`x`")
    with pytest.raises(ValueError, match="tab-set"):
        render("```{tab-set}\n```")
    with pytest.raises(ValueError, match="nothing is labelled"):
        render("{eq}`eq-none`")


def test_headings_count_as_on_the_site(render):
    text = render("# T\n## A\n### B\n## C\n### D")
    numbers = [line.split(" ")[1] for line in text.splitlines() if line.startswith("#")]
    assert numbers == ["3.", "3.1.", "3.1.1.", "3.2.", "3.2.1."]


def test_a_directive_in_a_list_stays_in_it(render):
    assert (
        render("- item\n\n  ```{note}\n  Text.\n  ```") == "- item\n\n  > **Note**\n  >\n  > Text."
    )


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("\\R^d", "\\mathbb{R}^d"),
        ("x_\\R", "x_{\\mathbb{R}}"),
        ("\\norm{a_{b}}^2", "\\lVert a_{b} \\rVert^2"),
        ("\\norm x", "\\lVert x \\rVert"),
        ("\\Rightarrow \\tr A", "\\Rightarrow \\operatorname{tr} A"),
        ("\\norm{\\norm{y}}", "\\lVert \\lVert y \\rVert \\rVert"),
    ],
)
def test_macros_are_spelled_out(formula, expected):
    assert expand(formula, MACROS) == expected
