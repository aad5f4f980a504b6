"""Plane: what it stores and refuses, where labels stand, its still, its JavaScript."""

import json
import os
import re
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_creativity.widgets import Axis, Panel, Plane, PlanePoint, Region, figure, labels

from .test_widgets import NODE, unpacked

RNG = np.random.default_rng(3)
SAMPLES = RNG.uniform(-1, 1, size=(5, 1, 8, 8))
AXES = {
    "novelty": Axis("novelty", lines={"held-out data": 1.0}, note="Distance to the data."),
    "realism": Axis("realism", format=".0f", unit=" %"),
    "far": Axis("distance", "log", format=".3f"),
}
MEASURES = {
    "bayes": {"novelty": 0, "realism": (97, 95, 99), "far": (0.01, 0.005, 0.02)},
    "affine": {"novelty": (1.3, 1.2, 1.5), "realism": (41, 30, 52), "far": (0.3, 0.2, 0.4)},
    "blocks": {"novelty": (1.35, 1.2, 1.5), "realism": (43, 30, 52), "far": 0.32},
}
LABELS = {"bayes": "Perfect", "affine": "Linear", "blocks": "Blocks of 4 × 4"}
REGIONS = [Region("copies", {"novelty": (None, 0.3)}, "warning"),
           Region("creative", {"novelty": (0.8, None), "realism": (80, 100)})]  # fmt: skip


def points(samples=SAMPLES, **options):
    return [PlanePoint(name, LABELS[name], measures, samples, text=f"About {name}.",
                       group="copies" if name == "bayes" else "others", **options)
            for name, measures in MEASURES.items()]  # fmt: skip


def plane(given=None, axes=AXES, x="novelty", y="realism", title="Plane", **options):
    return Plane(given or points(), axes, x=x, y=y, title=title, **options)


# ---------------------------------------------------------------- what is stored


def test_images_values_and_texts_are_stored():
    nearest = torch.from_numpy(RNG.uniform(-1, 1, size=SAMPLES.shape))
    made = plane(points(nearest=nearest))
    affine = made.scene["points"][1]
    for k, images in zip(affine["sheets"], (SAMPLES, nearest), strict=True):
        stored = unpacked(made, made.scene["marks"][k]["data"])
        np.testing.assert_allclose(stored, images[:, 0], atol=1 / 255 + 1e-6)
    assert affine["values"][0] == (1.3, 1.2, 1.5)
    assert affine["texts"] == ["1.30 (1.20 to 1.50)", "41 % (30 % to 52 %)",
                               "0.300 (0.200 to 0.400)"]  # fmt: skip
    assert made.scene["points"][0]["texts"][0] == "0.00"  # exact: no interval


def test_images_are_clipped_colour_or_grey_and_stored_once():
    wild = 3 * RNG.normal(size=(4, 3, 6, 6))
    made = plane(points(wild))
    assert {p["sheets"][0] for p in made.scene["points"]} == {0}
    stored = unpacked(made, made.scene["marks"][0]["data"])
    np.testing.assert_allclose(stored, np.moveaxis(wild.clip(-1, 1), 1, -1), atol=1 / 255 + 1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), min_size=1), st.sampled_from(["linear", "log", "symlog"]))
def test_limits_show_every_value_with_a_margin(values, scale):
    if scale == "log":
        values = [abs(v) + 1e-3 for v in values]
    low, high = Axis("a", scale, width=0.5).fitted(values)
    assert low < min(values)
    assert max(values) < high


def test_limits_include_lines_and_edges_of_regions():
    made = plane(points(), regions=REGIONS)
    low, high = made.panel("realism", "novelty").xlim
    assert low < 30
    assert high > 100
    assert made.panel("novelty", "realism").xlog is False
    assert made.panel("far", "realism").xlog is True


def test_regions_stand_only_with_their_measures():
    made = plane(regions=REGIONS)
    pairs = (("novelty", "realism"), ("far", "novelty"), ("far", "realism"))
    names = [[region.label for region in made.regions_on(*pair)] for pair in pairs]
    assert names == [["copies", "creative"], ["copies"], []]
    corners = REGIONS[1].corners("realism", "novelty", (0, 90), (0, 2))
    assert corners == ((80, 90), (0.8, 2))


def test_groups_have_different_looks():
    made = plane(groups={"others": ("denoiser", "dot")})
    assert made.groups == {"copies": ("generated", "square"), "others": ("denoiser", "dot")}


# ---------------------------------------------------------------- what follows the reader


def test_choice_and_axes_follow_both_ways():
    made = plane(chosen="affine")
    assert (made.chosen, made.x, made.y) == ("affine", "novelty", "realism")
    made.set_state({"chosen": "blocks", "x": "far"})  # what the browser sends
    assert (made.chosen, made.x, made.y) == ("blocks", "far", "realism")
    made.chosen = "bayes"
    with pytest.raises(ValueError, match="chosen 'nobody' is not known; there is bayes, affine"):
        made.chosen = "nobody"
    with pytest.raises(ValueError, match="x 'height' is not known"):
        made.x = "height"
    assert made.chosen == "bayes"


def test_menus_offer_what_was_named():
    assert plane().scene["offered"]["y"] == ["realism", "novelty", "far"]
    made = plane(x=["novelty"], y=["far", "realism"])
    assert made.scene["offered"] == {"x": ["novelty"], "y": ["far", "realism"]}
    with pytest.raises(ValueError, match="x 'far' is not known; there is novelty"):
        made.x = "far"


def test_a_cell_run_again_replaces_its_figure():
    closed = []
    first = plane(title="Again")
    first.close = lambda: closed.append(first)
    plane(title="Again")
    assert closed == [first]


# ---------------------------------------------------------------- the still


def test_a_still_and_its_words_stand_in_for_the_figure():
    made = plane(alt="Three denoisers.", chosen="affine")
    bundle, _ = made._repr_mimebundle_()
    assert bundle["image/png"][:8] == b"\x89PNG\r\n\x1a\n"
    assert bundle["text/plain"] == (
        "Three denoisers. Horizontal: novelty. Vertical: realism. Chosen: Linear, novelty 1.30 "
        "(1.20 to 1.50), realism 41 % (30 % to 52 %)."
    )
    assert "application/vnd.jupyter.widget-view+json" in bundle


@pytest.mark.parametrize(("x", "y"), [("novelty", "realism"), ("far", "novelty")])
def test_names_in_the_still_cover_no_other_name(x, y):
    drawn = plane(regions=REGIONS, interval="95 % interval").figure("affine", x, y)
    axes = drawn.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (AXES[x].label, AXES[y].label)
    extents = {t.get_text(): t.get_window_extent() for t in axes.texts}
    assert set(LABELS.values()) <= set(extents)
    for name, box in extents.items():
        assert axes.get_window_extent().expanded(1.01, 1.02).containsx(box.x1)
        for other, there in extents.items():
            shared = np.minimum(box.max, there.max) - np.maximum(box.min, there.min)
            assert name == other or shared.min() < 1.5, (name, other)
    assert len(drawn.axes) == 1 + 4  # three strips of samples and an empty place
    caption = "".join(t.get_text() for s in drawn.subfigs for t in s.texts)
    assert "Linear: About affine. Bars: 95 % interval." in caption


def test_the_still_of_a_symlog_axis_has_ticks_on_both_sides_of_zero():
    axes = {"novelty": Axis("n", "symlog", width=0.1, limits=(-20, 200)), "realism": Axis("r")}
    axis = plane(axes=axes).figure().axes[0].xaxis
    texts = [t.get_text() for t in axis.get_ticklabels()]
    assert texts == ["−10", "−1", "−0.1", "0", "0.1", "1", "10", "100"]


# ---------------------------------------------------------------- labels


def crowd(rng, count):
    """Points, sizes of their labels and the plane that they lie in."""
    spots = [(float(u), float(v)) for u, v in rng.uniform(10, (590, 390), size=(count, 2))]
    sizes = [(float(w), 17.0) for w in rng.uniform(10, 150, count)]
    return spots, sizes, [(200.0, 100.0, 300.0, 117.0)], [(0.0, 200.0, 600.0, 203.0)]


def test_labels_that_have_room_cover_nothing():
    spots, sizes = [(100.0, 50.0), (300.0, 200.0), (480.0, 330.0)], [(90.0, 17.0)] * 3
    boxes, covered = labels.place(spots, sizes, [], [], (0, 0, 600, 400))
    assert covered == 0
    assert boxes == [(u + labels.RADIUS, v - 8.5, u + labels.RADIUS + 90, v + 8.5)
                     for u, v in spots]  # fmt: skip


def test_coincident_points_have_labels_apart():
    boxes, covered = labels.place(
        [(300.0, 200.0)] * 5, [(80.0, 17.0)] * 5, [], [], (0, 0, 600, 400)
    )
    assert covered == 0
    assert len(set(boxes)) == 5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12))
def test_covered_area_is_what_a_count_of_pixels_finds(seed, count):
    """Labels lie inside, are as large as asked, and the reported overlap is true."""
    rng = np.random.default_rng(seed)
    spots = [(float(u), float(v)) for u, v in rng.integers(10, (290, 190), size=(count, 2))]
    sizes = [(float(w), 16.0) for w in 2 * rng.integers(5, 60, count)]
    boxes, covered = labels.place(spots, sizes, [(50.0, 60.0, 120.0, 80.0)], [], (0, 0, 300, 200))
    fine = 5  # places in a pixel: radii are multiples of a fifth
    paint = np.zeros((count + 1, 200 * fine, 300 * fine), bool)
    counted, everything = 0, [labels.around(*s, labels.BODY) for s in spots]
    everything += [(50.0, 60.0, 120.0, 80.0)]

    def area(box, k):
        left, top, right, base = (round(fine * v) for v in box)
        paint[k, max(0, top) : base, max(0, left) : right] = True
        return paint[k]

    for k, (box, size) in enumerate(zip(boxes, sizes, strict=True)):
        assert 0 <= box[0] < box[2] <= 300
        assert 0 <= box[1] < box[3] <= 200
        assert (box[2] - box[0], box[3] - box[1]) == pytest.approx(size)
        area(box, k)
    for other in everything:
        paint[count] = False
        there = area(other, count)
        counted += sum((paint[k] & there).sum() for k in range(count))
    counted += sum(
        (paint[i] & paint[j]).sum() for i in range(count) for j in range(count) if i != j
    )
    assert covered == pytest.approx(counted / fine**2, abs=1e-6)


# ---------------------------------------------------------------- JavaScript against Python


@pytest.fixture
def js(tmp_path):
    """``js(expression, **values)``: what JavaScript with the shared functions computes."""
    if NODE is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("node is needed to run the JavaScript of the plane")
        pytest.skip("node is not installed: the JavaScript of the plane was not run")

    def run(expression, **values):
        source = figure.javascript("shared_elements", "shared_axes", "shared_labels", "plane")
        script = f"""{source}
const {{ {", ".join(values)} }} = {json.dumps(values)};
console.log(JSON.stringify((() => {{ {expression} }})()));"""
        (tmp_path / "run.mjs").write_text(script, encoding="utf-8")
        done = subprocess.run([NODE, "run.mjs"], cwd=tmp_path, capture_output=True, text=True,
                              timeout=60)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_javascript_places_labels_where_python_does(js):
    rng = np.random.default_rng(8)
    cases = [crowd(rng, int(rng.integers(1, 15))) for _ in range(25)]
    found = js("return cases.map((c) => placeLabels(...c, [0, 0, 600, 400]));", cases=cases)
    for case, there in zip(cases, found, strict=True):
        boxes, covered = labels.place(*case, (0, 0, 600, 400))
        np.testing.assert_allclose(there["boxes"], boxes, atol=1e-9)
        assert there["covered"] == pytest.approx(covered, abs=1e-6)


@pytest.mark.parametrize("width", [0.1, 3.0])
def test_symmetric_logarithm_goes_there_and_back(js, width):
    values = [-40.0, -1.0, 0.0, 0.05, 2.0, 90.0]
    there, back = js(
        """const s = scale([-50, 100], 0, 600, width);
        return [values.map((v) => s(v)), values.map((v) => s.invert(s(v)))];""",
        values=values, width=width,
    )  # fmt: skip
    low, high = np.arcsinh(np.array([-50, 100]) / width)
    np.testing.assert_allclose(there, 600 * (np.arcsinh(np.array(values) / width) - low)
                               / (high - low))  # fmt: skip
    np.testing.assert_allclose(back, values, atol=1e-9)


def test_ticks_of_a_symmetric_logarithm(js):
    both, right, linear = js(
        """return [ticks([-20, 200], 0.1, 12), ticks([-0.05, 200], 0.1, 5),
                   ticks([-1, 2], 5, 4)].map((t) => t.map(([v, s]) => s));"""
    )
    assert sorted(both) == sorted(["0", "−10", "−1", "−0.1", "0.1", "1", "10", "100"])
    assert sorted(right) == sorted(["0", "0.1", "1", "10", "100"])
    assert linear == ["−1", "0", "1", "2"]  # hardly curved: as a linear axis


def test_an_axis_that_is_taken_changes_places(js):
    model = "const model = { get: (k) => ({ x: 'a', y: 'b' })[k] };"
    swapped, plain, alone = js(
        model
        + """return [[["a", "b", "c"], ["a", "b", "c"]], [["a", "c"], ["b"]],
        [["a", "b"], ["b", "c"]]].map(([x, y], i) =>
          turned({ offered: { x, y } }, model, "x", i === 1 ? "c" : "b"));"""
    )
    assert swapped == {"x": "b", "y": "a"}
    assert plain == {"x": "c"}
    assert alone == {"x": "b", "y": "c"}


def test_figure_is_light_and_asks_for_nothing():
    made = plane()
    assert made.nbytes < 10_000
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\s", made._esm)
    page = plane(title="<b> & co").html()
    assert page.count("</script>") == 1
    assert "<title>&lt;b&gt; &amp; co</title>" in page


# ---------------------------------------------------------------- what is refused


def point(measures=None, samples=SAMPLES, name="a", **options):
    return PlanePoint(name, "A", measures or {"novelty": 1, "realism": 1}, samples, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Plane([], AXES, x="a", y="b", title="t"), "at least one point"),
        (lambda: plane(title=""), "needs a title"),
        (lambda: plane([point(), point()], {"novelty": AXES["novelty"]}), "different names"),
        (lambda: plane([point()]), "point 'a' has no measure far"),
        (lambda: plane(x="height"), "x 'height' is not known; there is novelty, realism, far"),
        (lambda: plane(y="novelty"), "x and y both start with 'novelty'"),
        (lambda: plane(y=[]), "y names no measure"),
        (lambda: plane(chosen="z"), "chosen 'z' is not known; there is bayes"),
        (lambda: plane(groups={"z": ("data", "dot")}), "group 'z' is not known"),
        (lambda: plane(groups={"others": ("mauve", "dot")}), "no colour 'mauve'"),
        (lambda: plane(groups={"others": ("data", "star")}), "no shape 'star'"),
        (lambda: plane(regions=[Region("r", {"z": (0, 1)})]), "measure 'z' is not known"),
        (
            lambda: plane([point({"novelty": 1, "realism": 1, "far": 0})]),
            "far is 0, a log axis needs values > 0: use scale='symlog'",
        ),
        (lambda: plane(max_bytes=1000), "weighs .* bytes, the limit is 1,000"),
        (lambda: point({"novelty": (1, 2, 3)}), "point 'a', novelty: need low <= value <= high"),
        (lambda: point({"novelty": (1, 2)}), r"give a number or \(value, low, high\)"),
        (lambda: point({"novelty": float("nan")}), "must be finite, got nan"),
        (lambda: point({"novelty": "much"}), "not a number: 'much'"),
        (lambda: point(samples=np.zeros((3, 8))), r"point 'a', samples: images: need .*\(3, 8\)"),
        (lambda: point(samples=np.full((1, 4, 4), np.inf)), "NaN or infinite"),
        (lambda: point(samples=None), "needs samples"),
        (lambda: point(nearest=SAMPLES[:2]), "one image for each sample"),
        (lambda: point(name=""), "needs a name and a label"),
        (lambda: Axis(""), "needs a label"),
        (lambda: Axis("a", "cubic"), "scale 'cubic', use linear, log, symlog"),
        (lambda: Axis("a", "symlog", width=0), "width must be > 0"),
        (lambda: Axis("a", limits=(2, 1)), "need finite low < high"),
        (lambda: Axis("a", "log", limits=(0, 1)), "> 0 on a log axis"),
        (lambda: Axis("a", "log", lines={"l": 0}), "line 'l'.* > 0 on a log axis, got 0"),
        (lambda: Axis("a", format="Q"), "axis 'a': format 'Q'"),
        (lambda: Region("r", {}), "one or two measures, got 0"),
        (lambda: Region("r", {"a": (1, 0)}), "region 'r', a: need low < high"),
        (lambda: Region("r", {"a": (None, None)}, "mauve"), "no colour 'mauve'"),
        (lambda: Panel(xlog=-1.0), "panel xlog=-1.0"),
    ],
)  # fmt: skip
def test_bad_planes_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
