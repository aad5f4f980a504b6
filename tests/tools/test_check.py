"""Descriptions of figures: what passes, and what the build refuses."""

from __future__ import annotations

import pytest
from bookbuild import check

GOOD = "Two rows of ten digits. Above samples, below the training images nearest to them."


def found(tmp_path, *images: tuple[str, str], frame: str = "article") -> list[str]:
    body = "".join(f'<img src="{file}" alt="{text}">' for file, text in images)
    page = tmp_path / "page.html"
    page.write_text(f"<html><body><{frame}>{body}</{frame}></body></html>", encoding="utf-8")
    return check.poor_descriptions({"page.html": check.Page(page)})


def test_what_a_figure_shows_is_a_description(tmp_path):
    assert found(tmp_path, ("a.svg", GOOD), ("b.svg", GOOD.replace("ten", "six"))) == []


@pytest.mark.parametrize("text", [
    "Figure 3", "figure", "Image", "A plot", "the diagram.", "fig-12.3", "plot.svg",
    "_images/a1.png", "1e0d712d5279fe46afefd2a4f635f6b3",
    "&lt;Figure size 640x480 with 1 Axes&gt;", "-", "...",
])  # fmt: skip
def test_a_word_for_the_thing_is_none(tmp_path, text):
    (problem,) = found(tmp_path, ("a.svg", text))
    assert "does not say what" in problem


def test_a_few_words_are_too_few(tmp_path):
    (problem,) = found(tmp_path, ("a.svg", "Samples of the linear denoiser"))
    assert "too little" in problem


def test_two_figures_need_two_descriptions(tmp_path):
    (problem,) = found(tmp_path, ("a.svg", GOOD), ("b.svg", GOOD.upper()))
    assert "another figure" in problem
    assert found(tmp_path, ("a.svg", GOOD), ("a.svg", GOOD)) == []  # the same figure again


def test_what_stands_outside_the_text_is_left_alone(tmp_path):
    assert found(tmp_path, ("logo.png", "Colab logo"), frame="header") == []
