"""What a notebook sees first: seeds, sizes, reported numbers, figures that follow the theme."""

import random

import matplotlib as mpl
import numpy as np
import pytest
import torch

from diffusion_creativity import runtime, style

mpl.use("Agg")
import matplotlib.pyplot as plt


def test_start_seeds_every_generator(capsys):
    draws = []
    for _ in range(2):
        run = runtime.start(seed=3, profile="smoke")
        draws.append((random.random(), np.random.rand(), torch.rand(()).item()))  # noqa: NPY002
    assert draws[0] == draws[1]
    assert run.size(smoke=1, book=2, gpu=3) == 1
    assert "profile smoke · seed 3" in capsys.readouterr().out


@pytest.mark.parametrize(("profile", "size"), [("smoke", 1), ("book", 2), ("gpu", 2)])
def test_gpu_takes_the_books_size_unless_told(profile, size):
    assert runtime.Run(0, torch.device("cpu"), profile).size(smoke=1, book=2) == size


def test_unknown_profile_is_named():
    with pytest.raises(ValueError, match="profile must be one of"):
        runtime.start(profile="huge")


def test_report_hands_values_to_the_page(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **kw: shown.append((data, kw)))
    runtime.report(share=0.98765, count=torch.tensor(3), label="a<b")
    assert "a&lt;b" in shown[0][0]._repr_html_()
    assert [line.split() for line in str(shown[0][0]).splitlines()] == [
        ["measured", "here", "value"], ["share", "0.9877"], ["count", "3"], ["label", "a<b"]
    ]  # fmt: skip
    assert shown[1][1]["metadata"]["scrapbook"]["name"] == "share"


def test_a_table_names_its_rows_and_refuses_ragged_ones():
    table = runtime.Table(("set", "share"), [("copies", "1 %"), ("a & b", "99 %")])
    assert str(table) == "set     share\ncopies  1 %\na & b   99 %"
    assert "<th scope='row'>a &amp; b</th><td>99 %</td>" in table._repr_html_()
    with pytest.raises(ValueError, match="2 cells"):
        runtime.Table(("set", "share"), [("copies",)])


@pytest.mark.parametrize("text", ["400,000", "0.10", "1e-05", "−1.5", "3 of 8", "it's"])
def test_report_is_pasted_as_it_stands(monkeypatch, text):
    """MyST-NB evaluates what it pastes: without quotes "400,000" would read "(400, 0)"."""
    from myst_nb.core.variables import format_plain_text

    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **kw: shown.append(data))
    runtime.report(value=text)
    pasted = shown[1]["application/papermill.record/text/plain"]
    assert format_plain_text(pasted, "") == text


@pytest.fixture
def figure():
    with mpl.rc_context():
        style.use()
        fig, ax = plt.subplots()
        ax.plot([0, 1], color=style.COLORS["generated"])
        yield fig
        plt.close(fig)


def test_figures_carry_both_themes_and_are_reproducible(figure):
    svg = style.themed_svg(figure)
    assert "prefers-color-scheme: dark" in svg
    assert f"stroke:{style.DARK['generated']}!important" in svg
    assert f"stroke: {style.LIGHT['generated']}" in svg
    assert svg == style.themed_svg(figure)


def luminance(colour):
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in mpl.colors.to_rgb(colour)
    ]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("palette", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_colours_stand_out_from_the_panel(palette):
    """WCAG contrast of at least 4.5 for everything that carries meaning."""
    panel = luminance(palette["panel"])
    for name in palette.keys() - {"grid", "panel"}:
        high, low = sorted((luminance(palette[name]), panel), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, name


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 1, 8, 8), (4, 3, 6, 4)])
def test_image_grid(figure, shape):
    ax = style.image_grid(np.zeros(shape), columns=3, ax=figure.axes[0], title="grid")
    rows = 2
    height, width = shape[-2:]
    assert ax.images[0].get_array().shape == (rows * (height + 1) - 1, 3 * (width + 1) - 1, 4)


def test_image_grid_names_a_wrong_shape():
    with pytest.raises(ValueError, match="images must have shape"):
        style.image_grid(np.zeros((8, 8)))
