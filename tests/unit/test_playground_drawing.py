"""Targets that readers draw: text and data, in JavaScript and in Python; what is refused."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffusion_creativity.widgets import Playground, drawing

SIGNS = drawing.SIGNS
RNG = np.random.default_rng(11)
WALK = [np.clip(np.cumsum(RNG.normal(scale=0.2, size=(n, 2)), 0), -1.5, 1.5) for n in (1, 2, 40)]
PICTURES = RNG.choice([-1.0, 1.0], size=(9, 8, 8))
GARBAGE = ["", "s", "s1A", "s2AAgg", "s1AA.", "s1.AA", "s1AA..AA", "s1AA AA", "s1ÄÄ", "s1AA\n",
           "S1AA", "s1" + "AA" * 301, "s1" + "AA." * 300 + "AA", "p1", "p1" + "A" * 10,
           "p1" + "A" * 12, "p1" + "A" * 10 + "B", "p1" + "A" * 110, "p2" + "A" * 11, "<script>",
           "__proto__", "s1%41%41"]  # fmt: skip
corners = st.tuples(st.integers(0, 63), st.integers(0, 63))
sheets = st.lists(st.lists(corners, min_size=1, max_size=12), max_size=8)


def text_of(strokes):
    """The text of strokes on the sheet's own places."""
    return "s1" + ".".join("".join(SIGNS[k] for corner in s for k in corner) for s in strokes)


def test_both_languages_accept_and_refuse_the_same_texts(js):
    fine = ["s1", "s1AA", "s1AAgg.__", text_of([[(0, 0)] * 300]), "s1" + ".".join(["AA"] * 300),
            drawing.from_strokes(WALK), drawing.from_images(PICTURES), "p1" + 22 * "A"]  # fmt: skip
    found = js("return texts.map((t) => [strokesOf(t) !== null, imagesOf(t) !== null]);",
               texts=[*fine, *GARBAGE])  # fmt: skip
    for text, kinds in zip(fine, found, strict=False):
        assert kinds == [drawing.kind_of(text) == k for k in ("strokes", "pixels")], text
    assert not np.any(found[len(fine) :]), "garbage was taken for a drawing"
    for text in [*GARBAGE, None, 7]:
        with pytest.raises(ValueError, match="drawing must be a text"):
            drawing.kind_of(text)


@settings(max_examples=15)
@given(strokes=sheets)
def test_text_of_strokes_brings_them_back(strokes):
    assert drawing.kind_of(text_of(strokes)) == "strokes"
    unit = 3 / 64
    lines = [(np.array(s) + 0.5) * unit - 1.5 for s in strokes]
    assert drawing.from_strokes(lines) == text_of(strokes)
    assert drawing.target(text_of(strokes)).shape == (1000, 2)


def test_javascript_writes_what_it_reads(js):
    texts = [drawing.from_strokes(WALK), "s1", drawing.from_images(PICTURES)]
    back = js("""return [textOfStrokes(strokesOf(a)), textOfStrokes(strokesOf(b)),
                         textOfImages(imagesOf(c))];""",
              a=texts[0], b=texts[1], c=texts[2])  # fmt: skip
    assert back == texts


@pytest.mark.parametrize(
    "text",
    ["s1", "s1gg", "s1AA__", "s1AAAA__.gg.AgAgBg", drawing.from_strokes(WALK),
     text_of([[(3, 9)] * 4])],
)  # fmt: skip
def test_points_of_a_drawing_are_the_same_in_both_languages(js, text):
    found = js("return strokesData(text).x;", text=text)
    np.testing.assert_allclose(found, drawing.target(text).ravel(), rtol=0, atol=1e-12)


def test_images_are_the_same_in_both_languages(js):
    text = drawing.from_images(PICTURES)
    found = js("const { x, n, d } = pixelsData(text); return { x, n, d };", text=text)
    assert (found["n"], found["d"]) == (9, 64)
    np.testing.assert_array_equal(np.array(found["x"]).reshape(9, 1, 8, 8), drawing.target(text))
    np.testing.assert_array_equal(drawing.target(text)[:, 0], PICTURES)


def test_examples_are_drawings(js):
    assert js("return [readable.strokes(EXAMPLE.strokes), readable.pixels(EXAMPLE.pixels)];") == [
        True,
        True,
    ]


def test_points_lie_along_the_strokes_by_length():
    """Strokes of lengths 1 and 2 and a dot: shares of points, noise, and places, by their laws."""
    text = drawing.from_strokes([[[-1, 1], [0, 1]], [[-1, -1], [1, -1]], [[1.2, 0.1]]])
    x = drawing.target(text)
    nearest = np.array([1.0, -1.0, 0.1])[:, None]
    place = np.abs(nearest - x[:, 1]).argmin(0)
    lengths = np.array([21 * 3 / 64, 43 * 3 / 64, drawing.DOT])  # on the sheet's own places
    share = lengths / lengths.sum()
    counts = np.bincount(place, minlength=3)
    assert stats.chisquare(counts, 1000 * share).pvalue > 1e-4
    assert stats.chisquare(counts, [1000 / 3] * 3).pvalue < 1e-12, "the test can fail"
    off = x[place == 1, 1] - x[place == 1, 1].mean()
    assert stats.kstest(off / drawing.THICKNESS, "norm").pvalue > 1e-4
    along = x[place == 1, 0]
    assert stats.kstest((along + 1) / 2, "uniform").pvalue > 1e-4 / 4


def test_simplified_strokes_stay_near_and_within_their_room(js):
    """No corner left out is farther from the line than allowed; distances by sampling the line."""
    strokes = [np.rint(np.cumsum(RNG.normal(size=(60, 2)), 0) + 32).astype(int) for _ in range(20)]
    strokes += [np.array([[5, 5]] * 3), np.array([[1, 1], [9, 9], [1, 1]])]
    found = js("return all.map((s) => [simplified(s, 0.6), fitted(s, 6), fitted(s, 0)]);",
               all=[s.tolist() for s in strokes])  # fmt: skip
    for stroke, (exact, short, none) in zip(strokes, found, strict=True):
        kept = np.array(exact, float)
        pieces = [np.linspace(a, b, 400) for a, b in pairwise(kept)]
        line = np.concatenate([kept, *pieces])
        gaps = np.linalg.norm(stroke[:, None] - line, axis=-1).min(1)
        assert gaps.max() <= 0.6 + 0.05, "the bound, and the spacing of the samples"
        assert 1 <= len(short) <= 6
        assert none is None
        assert exact[0] == stroke[0].tolist()


def test_a_drawing_travels_in_a_link(js):
    """What cannot be read leaves the drawing as it was, and never breaks the rest."""
    given = {"target": "ring", "arch": "affine", "p": 1, "steps": 40, "seed": 1, "at": 120,
             "draw": {"drawn": "s1gg"}}  # fmt: skip
    state = {**given, "target": "drawn", "draw": {"drawn": drawing.from_strokes(WALK)}}
    pixels = {**given, "target": "pixels", "arch": "blocks", "p": 4,
              "draw": {"pixels": drawing.from_images(PICTURES)}}  # fmt: skip
    text, back, small, bad = js(
        """const read = (text) => sane(fromText(text, given), TARGETS);
        return [asText(state), read(asText(state)), read(asText(pixels)),
                garbage.map((t) => read(`target:drawn,arch:affine,draw:${t}`))];""",
        state=state, pixels=pixels, given=given, garbage=GARBAGE,
    )  # fmt: skip
    assert back == state
    assert small == {**pixels, "draw": given["draw"] | pixels["draw"]}
    assert all(one == {**given, "target": "drawn"} for one in bad)
    assert len(text) < 1100, "a link that every programme for messages takes"


def test_every_architecture_that_fits_has_a_law_for_any_drawing(js):
    """Also where nothing varies: an empty sheet, one image, equal images, images full of ink."""
    blank, ink = "A" * 11, "_" * 10 + "8"
    texts = {"drawn": ["s1", "s1AA", drawing.from_strokes(WALK)],
             "pixels": [f"p1{blank}", f"p1{ink}{ink}", drawing.from_images(PICTURES)]}  # fmt: skip
    found = js(
        """const out = [];
        for (const [name, all] of Object.entries(texts)) for (const text of all) {
          const { kind, the, shape, make } = TARGETS[name], data = make(text);
          for (const [arch, a] of Object.entries(ARCHITECTURES)) {
            if (!a.kinds.includes(kind)) { out.push([name, arch, null, a.needs]); continue; }
            const state = sane({ target: name, arch, p: 6, draw: { [name]: text } }, TARGETS);
            const problem = { data, kind, the, shape, value: state.p }, sigmas = karrasLevels(8);
            const { denoiser, law, orbit: group } = a.fit(problem), reach = reachOf(data);
            const ready = preparedLaw(law(sigmas), problem, reach), z = normals(uniforms(1));
            const start = Float64Array.from({ length: 20 * data.d }, () => 80 * z());
            const run = sampler(denoiser, start, data.d, sigmas), end = run.all();
            out.push([name, arch, Array.from(end), a.words(problem) + a.law(problem),
                      factsOf({ run, problem, orbit: group }), ready.kind]);
          }
        }
        return out;""",
        texts=texts,
    )  # fmt: skip
    assert len(found) == 60
    refused = {"drawn": {"convolution", "pixelwise", "blocks"}, "pixels": {"coordinates"}}
    for name, arch, end, words, *rest in found:
        assert (end is None) == (arch in refused[name])
        assert words, "what does not fit says why"
        if end is not None:
            assert "NaN" not in words + str(rest), (name, arch)
            assert "undefined" not in words, (name, arch)
            assert np.isfinite(np.array(end, float)).mean() > 0.9, (name, arch)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drawing.from_strokes([[0, 0]]), r"shape \(n, 2\), n >= 1, got \(2,\)"),
        (lambda: drawing.from_strokes([np.zeros((0, 2))]), r"got \(0, 2\)"),
        (lambda: drawing.from_strokes([[[0, 1.6]]]), r"in \[-1.5, 1.5\]"),
        (lambda: drawing.from_strokes([[[0, np.nan]]]), "finite"),
        (lambda: drawing.from_strokes([np.zeros((301, 2))]), "300 corners in all, got 301"),
        (lambda: drawing.from_images(np.zeros((2, 7, 8))), r"got \(2, 7, 8\)"),
        (lambda: drawing.from_images(np.zeros((10, 8, 8))), "1 to 9, got 10"),
    ],
)
def test_bad_drawings_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_figure_starts_with_the_drawing_it_is_given():
    text = drawing.from_images(PICTURES[:, None])
    figure = Playground("pixels", "blocks", drawing=text)
    assert figure.spec["start"]["draw"] == {"pixels": text}
    assert Playground("drawn").spec["start"]["draw"] == {}
