"""The notation page against code and chapters: names exist, symbols are used where it says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import diffusion_creativity as dc

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book/notation.md").read_text(encoding="utf-8")
SYMBOLS = PAGE[PAGE.index("(sec-notation-symbols)=") : PAGE.index("(sec-notation-shapes)=")]


def rows(text: str) -> list[list[str]]:
    """Cells of the table rows in a text, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "symbol" and not set("".join(row)) <= set("- ")]


TABLE = rows(SYMBOLS)


def names_in_the_package() -> set[str]:
    """Arguments, attributes, functions and variables of the package."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for field in ("arg", "attr", "name", "id"):
                value = getattr(node, field, None)
                found |= {value} if isinstance(value, str) else set()
    return found


def chapter(number: str) -> str:
    """What a chapter writes, the shorthands of its formulas spelled out."""
    (path,) = (ROOT / "notebooks").glob(f"{int(number):02d}_*.py")
    text = re.sub(r"\\(E|P|R)\b", r"\\mathbb \1", path.read_text(encoding="utf-8"))
    return text.replace(r"\Cov", r"\operatorname{Cov}")


def test_table_is_not_empty_and_no_symbol_has_two_meanings():
    symbols = [row[0] for row in TABLE]
    assert len(symbols) >= 25
    assert len(set(symbols)) == len(symbols)
    assert all(len(row) == 4 and row[1] for row in TABLE)


def test_the_convention_is_stated():
    assert r"y = x + \sigma\, n" in PAGE
    assert "x_hat = denoise(y, sigma)" in PAGE


@pytest.mark.parametrize("name", ["x", "y", "sigma", "x_hat", "denoise", "noise", "sigmas", "eta"])
def test_names_of_the_contract_are_on_the_page(name):
    assert any(f"`{name}`" in row[2] for row in TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_code_names_exist(row):
    known = names_in_the_package()
    for name in re.findall(r"`([^`]+)`", row[2]):
        inner = re.sub(r"^len\((\w+)\)$", r"\1", name)
        assert inner in known, f"the package has no {inner}"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_symbols_occur_in_their_chapter(row):
    for formula in re.findall(r"\$([^$]+)\$", row[0]):
        stem = re.split(r"[\s>(]|/", formula)[0]
        assert stem in chapter(row[3]), f"{formula} is not in chapter {row[3]}"


def test_colours_have_the_meaning_that_the_page_gives_them():
    table = PAGE[PAGE.index("(sec-notation-colours)=") :]
    order = ["data", "denoiser", "generated", "law", "noise", "warning"]
    shown = [row[1].split()[0] for row in rows(table)[1:]]
    keys = ["data", "denoiser", "generated", "law", "noise", "warning"]
    assert [k for k in order if k in dc.style.COLORS] == keys
    assert shown == ["data:", "a", "generated", "what", "noise", "a"]


def test_dictionary_is_right():
    """The four lines of the VE/VP dictionary, as the functions that it names compute them."""
    sigma = 1.7
    share = dc.noise.alpha_bar_from_sigma(sigma)
    assert share.item() == pytest.approx(1 / (1 + sigma**2))
    assert dc.noise.sigma_from_alpha_bar(share).item() == pytest.approx(sigma)
    y = dc.sampling.initial_noise(3, (2,), seed=1)
    x_t = dc.noise.vp_from_ve(y, sigma)
    assert x_t.numpy() == pytest.approx((y / (1 + sigma**2) ** 0.5).numpy())
    assert dc.noise.ve_from_vp(x_t, share).numpy() == pytest.approx(y.numpy(), rel=1e-5)
