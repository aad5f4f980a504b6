"""Explorer: what it stores, what it refuses, and its JavaScript against the Python formulas."""

import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_creativity import style
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, formulas, marks, palette


def stairs(n=3, **options):
    def draw(height, color):
        return {
            "main": [marks.bars(range(5), np.arange(5) * height, color=color)],
            "alt": f"Stairs of height {height} in {color}.",
        }

    controls = [Slider("height", range(1, n + 1), "height"), Choice("color", ["data", "law"])]
    return Explorer.precomputed(draw, controls, Panel(), title="Stairs", **options)


# ---------------------------------------------------------------- what is stored


def unpacked(figure, reference):
    """Read an array of the figure as explorer.js does."""
    raw = zlib.decompress(figure.blob) if figure.scene["deflated"] else figure.blob
    offset, code, shape, low, step = figure.scene["arrays"][reference["$"]]
    kind = {"u1": np.uint8, "u2": np.uint16, "f4": np.float32, "f8": np.float64}[code]
    flat = np.frombuffer(raw, kind, int(np.prod(shape)), offset).reshape(shape)
    return flat if step is None else low + step * flat.astype(float)


def test_states_are_stored_in_the_order_the_browser_counts_them():
    figure = stairs()
    assert len(figure.scene["states"]) == 3 * 2
    for i, state in enumerate(figure.scene["states"]):
        height, color = 1 + i // 2, ["data", "law"][i % 2]
        assert state["alt"] == f"Stairs of height {height} in {color}."
        bar = figure.scene["marks"][state["panels"]["main"][0]]
        assert bar["color"] == color
        np.testing.assert_allclose(unpacked(figure, bar["y"]), np.arange(5) * height)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=60), st.booleans())
def test_arrays_survive_to_a_thousandth_of_their_range(values, deep):
    values = np.array(values if deep else sorted(values), dtype=np.float32)
    figure = Explorer.precomputed(
        lambda k: [marks.line(values, values)], [Slider("k", [0, 1])], title="Line"
    )
    line = figure.scene["marks"][0]
    spread = float(np.ptp(values))
    np.testing.assert_allclose(unpacked(figure, line["x"]), values, atol=1e-4 * spread + 1e-6)


def test_equal_marks_and_arrays_are_stored_once():
    x = np.linspace(0, 1, 100)

    def draw(k):
        return [marks.line(x, x), marks.points([k], [0])]

    figure = Explorer.precomputed(draw, [Slider("k", range(40))], title="Shared")
    assert len(figure.scene["marks"]) == 41
    assert sum(shape == [100] for _, _, shape, *_ in figure.scene["arrays"]) == 1


def test_images_take_every_layout():
    for shape in ((4, 8, 8), (4, 1, 8, 8), (4, 3, 8, 8), (4, 8, 8, 3)):
        stored = marks.images(torch.zeros(shape))["data"]
        assert stored.shape[:3] == (4, 8, 8)


def test_a_cell_run_again_replaces_its_figure():
    closed = []
    first = stairs()
    first.close = lambda: closed.append(first)
    stairs()
    assert closed == [first]


# ---------------------------------------------------------------- what the reader gets


def test_state_moves_by_value():
    figure = stairs()
    figure.state = {"height": 3, "color": "law"}
    assert figure.state == {"height": 3, "color": "law"}
    assert figure.frame().alt == "Stairs of height 3 in law."
    assert figure.frame(height=2).alt == "Stairs of height 2 in law."


def test_alt_and_caption_follow_the_controls():
    figure = Explorer.precomputed(
        lambda s: [marks.vline(s)], [Slider("s", [0.5, 2], "σ", format=".1f")], title="Line"
    )
    assert figure.frame(s=2).alt == "Line. σ: 2.0."
    assert figure.frame(s=0.5).caption == "σ: 0.5"


def test_a_still_picture_and_its_words_stand_in_for_the_figure():
    bundle, _ = stairs()._repr_mimebundle_()
    assert bundle["image/png"][:8] == b"\x89PNG\r\n\x1a\n"
    assert bundle["text/plain"] == "Stairs of height 1 in data."
    assert "application/vnd.jupyter.widget-view+json" in bundle


@pytest.mark.parametrize("name", formulas.NAMES)
def test_every_formula_draws_its_still_picture(name):
    figure = Explorer.formula(name, data=EXAMPLES[name](np.random.default_rng(0)))
    assert figure.png()[:4] == b"\x89PNG"


def test_colours_are_those_of_the_book():
    css = palette.css()
    for theme in (style.LIGHT, style.DARK):
        assert theme["generated"] in css
        assert theme["law"] in css


def test_the_browser_has_the_palettes_of_python():
    block = re.search(r"const PALETTES = \{(.*?)\n\};", Explorer._esm, re.S)[1]
    found = {k: re.findall(r"#\w{6}", v) for k, v in re.findall(r"(\w+): \[(.*?)\]", block)}
    assert found == palette.CONTINUOUS


# ---------------------------------------------------------------- what is refused


def one(draw, controls=None, panels=None, title="Figure", **options):
    controls = controls or [Slider("k", [0, 1])]
    return Explorer.precomputed(draw, controls, panels, title=title, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: one(lambda k: [], [Slider("k", range(60))]), "60 values, the limit is 50"),
        (
            lambda: one(lambda a, b: [], [Slider("a", range(30)), Slider("b", range(30))]),
            "30 a × 30 b = 900 states, the limit is 400",
        ),
        (
            lambda: one(
                lambda k: [marks.points(*np.linspace(0, [1, 7], 9000).T ** 0.5)], max_bytes=10_000
            ),
            "weighs .* bytes, the limit is 10,000",
        ),
        (lambda: one(lambda k: [marks.points([0], [np.nan])]), "state k=0, .*mark number 1"),
        (lambda: one(lambda k: [marks.points([0, 1], [0])]), "lengths differ"),
        (lambda: one(lambda k: [marks.points([0], [0], color="mauve")]), "no colour 'mauve'"),
        (lambda: one(lambda k: [{"mark": "pie"}]), "is not a mark"),
        (lambda: one(lambda k: {"side": []}), "returned panels"),
        (lambda: one(lambda k: [marks.images(np.zeros((1, 2, 2)))]), "images in a plane"),
        (lambda: one(lambda k: [], title=""), "needs a title"),
        (lambda: one(lambda k: [], [Slider("k", [1]), Slider("k", [2])]), "different names"),
        (lambda: Slider("a b", [1]), "identifier"),
        (lambda: Slider("a", []), "no values"),
        (lambda: Slider("a", ["x"]), "needs numbers"),
        (lambda: Slider("a", min=0, max=1, log=True), "min > 0"),
        (lambda: Slider("a", min=0, max=1, step=1e-6), "positions"),
        (lambda: Slider("a", min=1, max=2, log=True, points=1), "points must lie"),
        (lambda: one(lambda k: [marks.points([0], [0], color='#"><i>x')]), "no colour"),
        (lambda: one(lambda k: [marks.text(0, 0, "a", anchor='"x')]), "no anchor"),
        (lambda: one(lambda k: [marks.heat([[0, -1]], (0, 1, 0, 1))]), "class labels"),
        (lambda: one(lambda k: [marks.heat([[0]], (0, 1, 0, 1), palette=["red"])]), "#rrggbb"),
        (
            lambda: one(
                lambda k: [marks.images(np.zeros((1, 2, 2)), outline=["mauve"])],
                panels=Panel(kind="images"),
            ),
            "no colour 'mauve'",
        ),
        (lambda: Choice("a", ["x"], start="y"), "no value 'y'"),
        (lambda: Panel(xlim=(1, 0)), "low < high"),
        (lambda: Explorer.formula("no such"), "no formula"),
        (lambda: Explorer.formula("export default () => ({})"), "needs python="),
        (lambda: Explorer.formula("posterior_1d", data={}), "points"),
        (lambda: setattr(stairs(), "state", {"depth": 1}), "no control depth"),
    ],
)  # fmt: skip
def test_bad_figures_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------- JavaScript against Python


def node():
    """The system's node, or the one that playwright brings along."""
    if found := shutil.which("node"):
        return found
    spec = importlib.util.find_spec("playwright")
    bundled = Path(spec.origin).parent / "driver" / "node" if spec else None
    return str(bundled) if bundled and bundled.exists() else None


NODE = node()
SCRIPT = """
import { readFileSync } from "node:fs";
import formula from "./formula.mjs";
const revive = (v) => Array.isArray(v) ? v.map(revive)
  : v && typeof v === "object" ? ("f8" in v ? Float64Array.from(v.f8)
  : Object.fromEntries(Object.entries(v).map(([k, u]) => [k, revive(u)]))) : v;
const plain = (k, v) => ArrayBuffer.isView(v) ? Array.from(v) : v;
const cases = JSON.parse(readFileSync("cases.json", "utf8"));
console.log(JSON.stringify(cases.map(([state, data]) => formula(state, revive(data))), plain));
"""
EXAMPLES = {
    "affine_variance": lambda rng: {"eigenvalues": np.exp(rng.uniform(-6, 3, rng.integers(1, 30)))},
    "ellipse_2d": lambda rng: {
        "targets": {
            "blob": rng.normal(size=(50, 2)) @ rng.normal(size=(2, 2)) + rng.normal(size=2),
            "line": rng.normal(size=(30, 1)) * [1.0, 2.0],
        }
    },
    "posterior_1d": lambda rng: {
        "points": rng.uniform(-2, 2, rng.integers(1, 8)),
        "variance": float(rng.choice([0.0, 0.04])),
    },
    "bayes_2d": lambda rng: {"points": rng.normal(size=(rng.integers(2, 40), 2))},
}


def as_json(value):
    """Data as the browser gets it: arrays of one axis typed, of two axes lists of typed rows."""
    if isinstance(value, dict):
        return {k: as_json(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return {"f8": value.tolist()} if value.ndim < 2 else [as_json(row) for row in value]
    return value.item() if isinstance(value, np.generic) else value


def in_node(folder, source, cases):
    (folder / "formula.mjs").write_text(source, encoding="utf-8")
    (folder / "run.mjs").write_text(SCRIPT, encoding="utf-8")
    (folder / "cases.json").write_text(
        json.dumps([[s, as_json(d)] for s, d in cases]), encoding="utf-8"
    )
    done = subprocess.run([NODE, "run.mjs"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


NUMBER = re.compile(r"−?\d+(?:\.\d+)?")


def defaults(mark):
    parameters = inspect.signature(getattr(marks, mark["mark"])).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def assert_same(js, py, where):
    """Equal structure and text; numbers to 1e-6, rounded ones to one unit of their last digit."""
    if isinstance(py, dict):
        js = defaults(js) | js if "mark" in js else js  # the browser draws these by itself
        py, js = ({k: v for k, v in d.items() if v is not None} for d in (py, js))
        assert js.keys() == py.keys(), where
        for key in py:
            assert_same(js[key], py[key], f"{where}.{key}")
    elif isinstance(py, str):
        assert NUMBER.sub("#", js) == NUMBER.sub("#", py), where
        for a, b in zip(NUMBER.findall(js), NUMBER.findall(py), strict=True):
            unit = 10.0 ** -len(b.partition(".")[2])
            assert abs(float(a.replace("−", "-")) - float(b.replace("−", "-"))) < 1.01 * unit, where
    elif isinstance(py, list | tuple) and not all(np.isscalar(v) for v in py):
        assert len(js) == len(py), where
        for i, (a, b) in enumerate(zip(js, py, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    else:
        a, b = np.asarray(js, float), np.asarray(py, float)
        assert a.shape == b.shape, where
        scale = np.abs(b).max(initial=0)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9 * scale + 1e-12, err_msg=where)


@pytest.mark.parametrize("name", formulas.NAMES)
def test_javascript_computes_what_python_computes(name, tmp_path):
    if NODE is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("node is needed to run the JavaScript of the formulas")
        pytest.skip("node is not installed: the JavaScript of the formulas was not run")
    rng = np.random.default_rng(1)
    known, cases = formulas.get(name), []
    for _ in range(25):
        data = known.prepare(EXAMPLES[name](rng))
        controls = known.controls(data)
        for _ in range(4):
            cases.append(({c.name: c.values[rng.integers(len(c))] for c in controls}, data))
    computed = in_node(tmp_path, formulas.source(name), cases)
    for (state, data), js in zip(cases, computed, strict=True):
        py = json.loads(json.dumps(known.python(state, data), default=lambda a: a.tolist()))
        assert_same(js, py, f"{name} at {state}")


def test_a_wrong_formula_is_noticed(tmp_path):
    """The comparison can fail: a twin that is off by one part in 10,000 is not the same."""
    if NODE is None:
        pytest.skip("node is not installed")
    source = formulas.source("posterior_1d").replace("(score)", "(1.0001 * score)", 1)
    source = source.replace("x_hat = denoise(y)", "x_hat = 1.0001 * denoise(y)")
    data = formulas.get("posterior_1d").prepare({"points": np.array([1.0, 2.0])})
    state = {"sigma": 0.5, "y": 1.2}
    js = in_node(tmp_path, source, [(state, data)])[0]
    py = json.loads(
        json.dumps(formulas.get("posterior_1d").python(state, data), default=lambda a: a.tolist())
    )
    with pytest.raises(AssertionError):
        assert_same(js, py, "posterior_1d")


def test_known_answers_of_the_finite_schedule():
    known = formulas.get("affine_variance")
    data = known.prepare({"eigenvalues": np.array([1.7])})
    for steps, variance in {5: 0.4593, 10: 0.9800, 18: 1.2698, 50: 1.5361, 200: 1.6577}.items():
        drawn = known.python({"steps": steps, "sigma_max": 80, "rho": 7, "ridge": 0}, data)
        generated = next(m for m in drawn["spectrum"] if m.get("label") == "generated")
        assert generated["y"][0] == pytest.approx(variance, abs=5e-5)


def test_panels_keep_the_authors_order_on_a_saved_page():
    """Saved pages sort the keys of JSON objects, so the order is stored beside them."""

    def draw(n):
        return {name: [marks.bars([0], [n])] for name in ("y", "x_hat", "a")}

    panels = {name: Panel() for name in ("y", "x_hat", "a")}
    figure = Explorer.precomputed(draw, [Slider("n", [1, 2])], panels, title="Order of panels")
    saved = json.loads(json.dumps(figure.scene, sort_keys=True))
    assert saved["order"] == ["y", "x_hat", "a"]
    assert "scene.order" in figure._esm  # what the browser goes by
