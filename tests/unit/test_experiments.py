"""Experiments: runs that can be stopped, resumed, found stale, and never half written."""

import importlib.util
import io
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion_creativity import __main__ as command_line
from diffusion_creativity import _files, experiments
from diffusion_creativity.experiments import registry, results, sources, store

SOURCE = '''
"""An experiment in a module of its own."""
from dataclasses import dataclass

import torch

from diffusion_creativity.experiments.registry import Config, Outcome, experiment


@dataclass(frozen=True)
class WalkConfig(Config):
    variants: tuple[str, ...] = ("short", "long")
    seeds: int = 3
    steps: int = 100


STEP = 1.0
calls, begun = [], []
stop_at = None


def helper(n):
    return STEP * torch.randn(n)  # the global generator: seeded anew for each unit


def unrelated():
    return 1


@experiment(
    "walk at random",
    profiles={"smoke": WalkConfig(steps=5, seeds=1), "book": WalkConfig()},
    cost={"smoke": "no time", "book": "no time"},
)
def walk(config, unit):
    calls.append(unit.name)
    begun.append((unit.scratch / "checkpoint").exists())
    (unit.scratch / "checkpoint").write_text("half of it")
    if len(calls) == stop_at:
        raise KeyboardInterrupt
    unit.progress(0.5)
    path = helper(config.steps * (1 if unit.variant == "short" else 2)).cumsum(0)
    return Outcome(
        {"end": path[-1], "sign": "+" if path[-1] > 0 else "-", "path": path[:3]},
        tensors={"path": path},
        sheets={"walk": path[:4].reshape(1, 1, 2, 2).tanh()},
    )
'''


@pytest.fixture
def walk(tmp_path, monkeypatch):
    """The module of an experiment that can be edited, registered for one test."""
    monkeypatch.setattr(registry, "_experiments", {})
    path = tmp_path / "walking.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("walking", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "walking", module)
    spec.loader.exec_module(module)
    return module


def edit(module, old, new):
    path = Path(module.__file__)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def lasting(record):
    """A record without what differs from run to run."""
    units = [{k: v for k, v in unit.items() if k != "wall_s"} for unit in record["units"]]
    return units, record["summary"], record["config"], record["files"]


def test_stopped_and_resumed_it_is_as_if_it_had_never_stopped(walk, tmp_path, capsys):
    whole = experiments.run("walk", out=tmp_path / "whole")
    assert walk.calls == ["short-0", "long-0", "short-1", "long-1", "short-2", "long-2"]
    walk.calls.clear()
    walk.stop_at = 4
    arguments = ["run", "walk", "--out", str(tmp_path / "parts")]
    assert command_line.main(arguments) == 130
    assert "--resume" in capsys.readouterr().err
    assert not (tmp_path / "parts" / "walk" / "metrics.json").exists()
    walk.calls.clear()
    walk.stop_at = None
    assert command_line.main([*arguments, "--resume"]) == 0
    assert walk.calls == ["long-1", "short-2", "long-2"]
    assert "3 of 6 units were finished earlier" in capsys.readouterr().out
    parts = experiments.load("walk", out=tmp_path / "parts")
    assert lasting(parts.record) == lasting(whole.record)
    for name in whole.record["files"]:
        assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert not list((tmp_path / "parts").rglob("checkpoint"))  # scratch folders are gone


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_unit_is_computed_again(walk, tmp_path, share):
    whole = experiments.run("walk", out=tmp_path)
    file = tmp_path / ".units" / "walk" / "book" / "short-1.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    (tmp_path / "walk" / "metrics.json").unlink()  # else it would come back from there
    walk.calls.clear()
    lines = []
    again = experiments.run("walk", out=tmp_path, resume=True, say=lines.append)
    assert walk.calls == ["short-1"]
    assert "unit short-1 is computed again: its file is damaged" in lines
    assert lasting(again.record) == lasting(whole.record)


def test_a_unit_finds_its_own_checkpoint_and_no_other(walk, tmp_path):
    def stopped(*, resume):
        walk.begun.clear()
        walk.stop_at = len(walk.calls) + 1
        with pytest.raises(KeyboardInterrupt):
            experiments.run("walk", "smoke", out=tmp_path, resume=resume)
        return walk.begun

    assert stopped(resume=False) == [False]
    assert stopped(resume=True) == [True]
    assert stopped(resume=False) == [False]
    edit(walk, "STEP = 1.0", "STEP = 2.0")
    assert stopped(resume=True) == [False]
    walk.stop_at = None
    experiments.run("walk", "smoke", out=tmp_path, resume=True)
    assert walk.begun == [False, True, False]


def test_units_of_other_code_or_configuration_are_computed_again(walk, tmp_path, monkeypatch):
    experiments.run("walk", out=tmp_path, seeds=1)
    edit(walk, "STEP = 1.0", "STEP = 2.0")
    lines = []
    experiments.run("walk", out=tmp_path, seeds=1, resume=True, say=lines.append)
    assert "unit long-0 is computed again: the source has changed since" in lines
    other = dict(registry.get("walk").profiles, book=walk.WalkConfig(steps=7, seeds=1))
    monkeypatch.setattr(
        registry, "_experiments", {"walk": registry.Experiment(
            "walk", "", walk.walk, other, {"smoke": "", "book": ""}, "book")}
    )  # fmt: skip
    lines.clear()
    experiments.run("walk", out=tmp_path, resume=True, say=lines.append)
    assert "unit long-0 is computed again: the configuration has changed since" in lines


def test_more_seeds_keep_the_finished_ones_and_fewer_do_not_replace_them(walk, tmp_path):
    experiments.run("walk", out=tmp_path, seeds=1)
    walk.calls.clear()
    result = experiments.run("walk", out=tmp_path, seeds=2, resume=True)
    assert walk.calls == ["short-1", "long-1"]
    assert len(result.values("end", "long")) == 2
    before = (tmp_path / "walk" / "metrics.json").read_bytes()
    with pytest.raises(ValueError, match="seeds must be at least 2"):
        experiments.run("walk", out=tmp_path, seeds=1)
    assert (tmp_path / "walk" / "metrics.json").read_bytes() == before


def test_without_resume_all_is_computed_and_said(walk, tmp_path):
    experiments.run("walk", out=tmp_path, seeds=1)
    walk.calls.clear()
    lines = []
    experiments.run("walk", out=tmp_path, seeds=1, say=lines.append)
    assert walk.calls == ["short-0", "long-0"]
    assert lines == ["walk: computes 2 finished units again; --resume would have kept them"]


def test_a_smaller_profile_never_touches_the_full_result(walk, tmp_path):
    full = experiments.run("walk", out=tmp_path)
    before = {p: p.read_bytes() for p in full.folder.iterdir()}
    small = experiments.run("walk", "smoke", out=tmp_path)
    assert small.folder == full.folder / "smoke"
    assert {p: p.read_bytes() for p in full.folder.iterdir() if p.is_file()} == before
    assert experiments.load("walk", out=tmp_path).record["provenance"]["profile"] == "book"
    assert experiments.load("walk", "smoke", tmp_path).record["config"]["steps"] == 5


def test_what_an_earlier_run_left_behind_is_removed(walk, tmp_path):
    result = experiments.run("walk", "smoke", out=tmp_path)
    (result.folder / "mine.txt").write_text("kept")
    record = dict(result.record, files=[*result.record["files"], "old-0.png"])
    (result.folder / "old-0.png").write_bytes(b"")
    store.write_json(result.folder / "metrics.json", record)
    experiments.run("walk", "smoke", out=tmp_path)
    assert not (result.folder / "old-0.png").exists()
    assert (result.folder / "mine.txt").exists()


def test_result_says_where_it_comes_from(walk, tmp_path):
    result = experiments.run("walk", out=tmp_path, device="cpu")
    provenance = result.record["provenance"]
    assert {"date", "device", "profile", "units", "seeds", "wall_s", "package", "python", "torch",
            "source_hash", "config_hash"} == set(provenance)  # fmt: skip
    assert provenance["torch"] == [torch.__version__]
    assert provenance["seeds"] == 3
    ends = np.array(result.values("end", "short"))
    for seed, end in enumerate(ends):  # what a unit computes follows from its seed alone
        torch.manual_seed(seed)
        assert end == torch.randn(100).cumsum(0)[-1].item()
    summary = result.record["summary"]["short"]["end"]
    half = 4.302652729696142 * ends.std(ddof=1) / 3**0.5  # 97.5 % of Student's t, 2 degrees
    expected = {"mean": ends.mean(), "low": ends.mean() - half, "high": ends.mean() + half}
    assert summary == pytest.approx(expected | {"n": 3})
    assert set(result.record["summary"]["short"]) == {"end"}  # words and lists are not averaged
    with pytest.raises(ValueError, match=r"variant and metric must be among .*'long'"):
        result.values("start", "short")


def test_numbers_that_are_not_finite_are_null_and_say_so():
    record = {"variant": "a", "metrics": store.plain({"loss": float("nan"), "n": np.int64(3)})}
    assert record["metrics"] == {"loss": None, "n": 3}
    assert results.summary([record])["a"]["loss"] == {"mean": None, "n": 1}


def test_list_and_show(walk, tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    assert command_line.main(["list", *out]) == 0
    listed = capsys.readouterr().out
    assert "walk: walk at random" in listed
    assert listed.count("no result") == 2
    assert command_line.main(["show", "walk", *out]) == 1
    assert "run walk --profile book writes it" in capsys.readouterr().err
    result = experiments.run("walk", out=tmp_path, seeds=1)
    command_line.main(["list", *out])
    listed = capsys.readouterr().out
    assert "up to date, 2 finished units kept" in listed
    edit(walk, "return STEP", "return -STEP")
    assert experiments.load("walk", out=tmp_path).stale
    command_line.main(["list", *out])
    assert "stale: the source has changed since" in capsys.readouterr().out
    assert command_line.main(["show", "walk", *out]) == 0
    shown = capsys.readouterr().out
    assert "STALE" in shown
    assert f"{result.values('end', 'long')[0]:.4g}" in shown
    (result.folder / "metrics.json").write_text('{"half": ')
    command_line.main(["list", *out])
    assert "damaged result" in capsys.readouterr().out
    assert command_line.main(["show", "walk", *out]) == 2
    assert "is damaged" in capsys.readouterr().err
    assert command_line.main(["run", "walk", "--seeds", "1", *out]) == 0
    assert command_line.main(["show", "walk", *out]) == 0


def test_unknown_names_list_the_known_ones(walk, capsys):
    assert command_line.main(["run", "wlak"]) == 2
    assert "name must be one of the experiments walk, got 'wlak'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="profile of walk must be one of smoke, book, got 'gpu'"):
        experiments.run("walk", "gpu")


def test_a_folder_that_cannot_be_written_is_said_before_anything_runs(walk, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert command_line.main(["run", "walk", "--out", str(tmp_path / "file")]) == 1
    error = capsys.readouterr().err
    assert f"cannot write in {tmp_path / 'file' / 'walk'}" in error
    assert "--out" in error
    assert walk.calls == []


def test_units_that_fail_are_named_and_the_others_are_computed(walk, tmp_path, monkeypatch, capsys):
    arguments = ["run", "walk", "--out", str(tmp_path)]
    with monkeypatch.context() as broken:
        broken.setattr(walk, "helper", lambda n: torch.zeros(n) if n == 200 else 1 / 0)
        with pytest.raises(RuntimeError, match="unit short-0, short-1, short-2 failed") as failed:
            command_line.main(arguments)
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    said = capsys.readouterr().out
    assert said.count("failed; the others go on\nTraceback") == 3
    units = (tmp_path / ".units" / "walk" / "book").glob("*.safetensors")
    assert sorted(unit.stem for unit in units) == ["long-0", "long-1", "long-2"]
    assert not (tmp_path / "walk" / "metrics.json").exists()
    walk.calls.clear()
    assert command_line.main([*arguments, "--resume"]) == 0
    assert walk.calls == ["short-0", "short-1", "short-2"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    _files.write(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match="disk full"):
        _files.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_results_go_to_the_checkout_around_or_to_the_folder_itself(tmp_path, monkeypatch):
    checkout = tmp_path / "checkout"
    (checkout / "src" / "diffusion_creativity").mkdir(parents=True)
    (checkout / "src" / "diffusion_creativity" / "__init__.py").touch()
    (checkout / "notebooks").mkdir()
    monkeypatch.chdir(checkout / "notebooks")
    assert store.results_root() == checkout / "results"
    monkeypatch.chdir(tmp_path)
    assert store.results_root() == tmp_path / "results"
    assert store.results_root("there") == Path("there")


def test_load_finds_the_result_of_the_checkout_that_holds_the_package(walk, tmp_path, monkeypatch):
    package = tmp_path / "checkout" / "src" / "diffusion_creativity"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr(sources, "PACKAGE", package)
    experiments.run("walk", "smoke", out=tmp_path / "checkout" / "results")
    monkeypatch.chdir(tmp_path)
    assert experiments.load("walk", "smoke").folder.is_relative_to(tmp_path / "checkout")


def test_sheets_hold_the_pixels():
    images = torch.arange(3 * 2 * 2, dtype=torch.uint8).reshape(3, 1, 2, 2)
    page = np.array(Image.open(io.BytesIO(_files.sheet(images, columns=2, enlarge=1))))
    white = 255
    assert page.tolist() == [
        [0, 1, white, 4, 5],
        [2, 3, white, 6, 7],
        [white] * 5,
        [8, 9, white, white, white],
        [10, 11, white, white, white],
    ]
    colour = np.array(Image.open(io.BytesIO(_files.sheet(images.reshape(1, 3, 2, 2)))))
    assert colour.shape == (4, 4, 3)
    with pytest.raises(ValueError, match="a sheet must hold images"):
        _files.pixels(torch.zeros(3, 2, 4, 4))


def test_what_cannot_be_registered(walk):
    smoke, book = walk.WalkConfig(), walk.WalkConfig()
    with pytest.raises(ValueError, match="profiles must have 'book'"):
        experiments.experiment("", profiles={"smoke": smoke}, cost={"smoke": ""})
    with pytest.raises(ValueError, match="profiles must be among"):
        experiments.experiment("", profiles={"smoke": smoke, "book": book, "big": book}, cost={})
    with pytest.raises(ValueError, match="cost must have"):
        experiments.experiment("", profiles={"smoke": smoke, "book": book}, cost={"book": ""})

    @dataclass(frozen=True)
    class Odd(experiments.Config):
        value: object = torch.zeros(1)

    odd = walk.WalkConfig(variants=("a/b",))
    with pytest.raises(ValueError, match="variants must be fit for names of files, got 'a/b'"):
        experiments.experiment("", profiles={"smoke": smoke, "book": odd}, cost={
            "smoke": "", "book": ""})  # fmt: skip
    with pytest.raises(TypeError):
        experiments.experiment("", profiles={"smoke": Odd(), "book": book}, cost={
            "smoke": "", "book": ""})  # fmt: skip

    def walk(config, unit): ...

    both = {"smoke": smoke, "book": book}
    with pytest.raises(ValueError, match="'walk' is taken"):
        experiments.experiment("", profiles=both, cost={"smoke": "", "book": ""})(walk)


# What a result depends on


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the same name, with the ways in which code reaches code."""
    root = tmp_path / "diffusion_creativity"
    files = {
        "__init__.py": "",
        "_validate.py": "def check(x): return x",
        "shapes/__init__.py": "from .round import circle\nfrom .flat import square as box",
        "shapes/round.py": "PI = 3.1\nTABLE = {}\nTABLE['a'] = 1\n"
        "def circle(r): return PI * r\ndef ellipse(r): return r",
        "shapes/flat.py": "def square(x): return x\ndef oblong(x): return x",
        "numbers.py": "def one(): return 1\ndef two(): return 2",
        "base.py": "class Base:\n    def f(self): return 1\nclass Other: pass",
        "annotated.py": "class Big: pass",
        "study.py": "import diffusion_creativity as dc\n"
        "from . import shapes, numbers as n\nfrom .shapes import box\n"
        "from .base import Base\nfrom ._validate import check\nfrom .annotated import Big\n"
        "class Mine(Base):\n    pass\n"
        "def decorate(f): return f\n@decorate\ndef inner(): return n.one()\n"
        "def study(config: Big, unit) -> Big:\n"
        '    """Say it."""\n'
        "    from .numbers import two  # late\n"
        "    return check(shapes.circle(1)) + box(2) + Mine().f() + inner()\n"
        "def later(): return dc.shapes.round.ellipse(1)\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    monkeypatch.setattr(sources, "PACKAGE", root)
    monkeypatch.setattr(sources, "ASIDE", {root / "_validate.py"})
    sources._module.cache_clear()
    return root


def changed(package, file, old, new, name="study"):
    path = package / file
    before = sources.source_hash(package / "study.py", name)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    after = sources.source_hash(package / "study.py", name)
    path.write_text(text)
    return before != after


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("study.py", "box(2)", "box(3)"),
        ("study.py", "def decorate(f): return f", "def decorate(f): return None"),
        ("study.py", "@decorate\n", ""),
        ("study.py", "return n.one()", "return n.two()"),
        ("shapes/round.py", "PI * r", "PI + r"),
        ("shapes/round.py", "3.1", "3.2"),
        ("shapes/round.py", "TABLE['a'] = 1", "TABLE['a'] = 2"),
        ("shapes/flat.py", "square(x): return x", "square(x): return -x"),
        ("numbers.py", "return 1", "return 11"),
        ("base.py", "return 1", "return 11"),
    ],
)
def test_code_that_is_reached_changes_the_hash(package, file, old, new):
    assert changed(package, file, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("study.py", '"""Say it."""', '"""Say it\n\n    in other words."""'),
        ("study.py", "  # late", "   # later\n\n"),
        ("study.py", "ellipse(1)", "ellipse(2)"),
        ("shapes/round.py", "ellipse(r): return r", "ellipse(r): return 2 * r"),
        ("shapes/flat.py", "oblong(x): return x", "oblong(x): return -x"),
        ("base.py", "class Other: pass", "class Other: x = 1"),
        ("annotated.py", "pass", "x = 1"),
        ("_validate.py", "return x", "return x + 0"),
    ],
)
def test_other_code_and_words_do_not(package, file, old, new):
    assert not changed(package, file, old, new)


def test_a_dotted_name_from_the_package_itself_is_followed(package):
    assert changed(package, "shapes/round.py", "(r): return r", "(r): return 3 * r", "later")
    with pytest.raises(ValueError, match="a function at the top of its module"):
        sources.source_hash(package / "study.py", "missing")


def test_the_same_code_in_another_file_has_the_same_hash(package):
    before = sources.source_hash(package / "study.py", "study")
    (package / "shapes" / "flat.py").rename(package / "shapes" / "straight.py")
    init = package / "shapes" / "__init__.py"
    init.write_text(init.read_text().replace(".flat", ".straight"))
    assert sources.source_hash(package / "study.py", "study") == before


def test_strings_that_are_data_are_code():
    text = 'def f():\n    """Doc."""\n    return """# not a comment"""\n\nx = "a"\n"b"\n'
    expected = 'def f():\n    return """# not a comment"""\nx = "a"'
    assert sources._stripped(text) == expected


def test_the_configuration_counts_without_its_units(walk):
    config = walk.WalkConfig()
    assert sources.config_hash(config) == sources.config_hash(walk.WalkConfig(("a",), 9))
    assert sources.config_hash(config) != sources.config_hash(walk.WalkConfig(steps=99))


# The command itself


def test_the_command_lists_the_experiments_of_the_package(tmp_path):
    command = [sys.executable, "-m", "diffusion_creativity", "list", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in experiments.registered():
        assert f"{name}: " in done.stdout


def test_committed_results_can_be_read():
    root = Path(__file__).resolve().parents[2] / "results"
    for name, experiment in experiments.registered().items():
        if (root / name / "metrics.json").is_file():
            result = experiments.load(name, out=root)
            assert result.record["provenance"]["profile"] == experiment.full
            sheets = [file for file in result.record["files"] if file.endswith(".png")]
            assert all((root / name / file).is_file() for file in sheets)
            assert str(experiments.table(result))
            assert experiments.text(result)


def stopped_at(walk, call, out):
    """Let a run stop in that unit."""
    walk.calls.clear()
    walk.stop_at = call
    with pytest.raises(KeyboardInterrupt):
        experiments.run("walk", out=out, resume=True, say=lambda _: None)
    walk.calls.clear()
    walk.stop_at = None


def test_collect_publishes_what_is_finished_and_computes_nothing(walk, tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    assert command_line.main(["collect", "walk", *out]) == 2
    assert "holds no finished unit of the present sources" in capsys.readouterr().err
    stopped_at(walk, 5, tmp_path)
    assert command_line.main(["collect", "walk", *out]) == 0
    assert walk.calls == []
    absent = "2 of 6 units missing"
    assert f"INCOMPLETE: {absent}: short-2, long-2" in capsys.readouterr().out
    result = experiments.load("walk", out=tmp_path)
    assert result.missing == ["short-2", "long-2"]
    assert not result.stale
    assert result.record["provenance"]["units"] == 4
    assert (result.seeds("short"), result.seeds("long")) == ([0, 1], [0, 1])
    assert {n: v["end"]["n"] for n, v in result.record["summary"].items()} == {
        "short": 2,
        "long": 2,
    }
    assert not [name for name in result.record["files"] if "long-2" in name]
    command_line.main(["list", *out])
    assert f"{absent}, up to date, 4 finished units kept" in capsys.readouterr().out
    assert command_line.main(["run", "walk", "--resume", *out]) == 0
    assert experiments.load("walk", out=tmp_path).missing == []
    assert "INCOMPLETE" not in capsys.readouterr().out


def test_collect_leaves_out_what_other_sources_computed(walk, tmp_path):
    complete = experiments.run("walk", out=tmp_path, seeds=3)
    edit(walk, "STEP = 1.0", "STEP = 2.0")
    lines = []
    with pytest.raises(ValueError, match="holds no finished unit of the present sources"):
        experiments.collect("walk", out=tmp_path, say=lines.append)
    assert "unit long-2 does not count: the source has changed since" in lines
    stopped_at(walk, 3, tmp_path)
    assert experiments.load("walk", out=tmp_path).record == complete.record  # nobody asked yet
    partial = experiments.collect("walk", out=tmp_path, say=lines.append)
    assert [(u["variant"], u["seed"]) for u in partial.record["units"]] == [
        ("short", 0),
        ("long", 0),
    ]
    assert partial.missing == ["short-1", "long-1", "short-2", "long-2"]
    assert sorted(p.name for p in partial.folder.glob("*.safetensors")) == [
        "long-0.safetensors", "short-0.safetensors"]  # fmt: skip


def test_collect_refuses_to_lose_units_of_the_same_sources(walk, tmp_path):
    experiments.run("walk", out=tmp_path)
    before = (tmp_path / "walk" / "metrics.json").read_bytes()
    (tmp_path / ".units" / "walk" / "book" / "short-1.safetensors").unlink()
    (tmp_path / "walk" / "short-1-walk.png").unlink()  # so that it does not come back
    with pytest.raises(ValueError, match="holds short-1, which are not among the finished units"):
        experiments.collect("walk", out=tmp_path)
    assert (tmp_path / "walk" / "metrics.json").read_bytes() == before


def test_units_come_back_from_the_result_in_another_clone(walk, tmp_path):
    stopped_at(walk, 5, tmp_path)
    partial = experiments.collect("walk", out=tmp_path)
    units = tmp_path / ".units" / "walk" / "book"
    before = {path.name: store.read_unit(path) for path in units.glob("*.safetensors")}
    shutil.rmtree(tmp_path / ".units")
    assert experiments.collect("walk", out=tmp_path).record == partial.record
    assert walk.calls == []
    after = {path.name: store.read_unit(path) for path in units.glob("*.safetensors")}
    assert set(after) == set(before)
    assert len(after) == 4
    for name, unit in after.items():
        assert unit.record | {"begun": 0} == before[name].record | {"begun": 0}
        assert torch.equal(unit.tensors["path"], before[name].tensors["path"])
        assert torch.equal(unit.sheets["walk"], before[name].sheets["walk"])
    shutil.rmtree(tmp_path / ".units")
    whole = experiments.run("walk", out=tmp_path, resume=True)
    assert walk.calls == ["short-2", "long-2"]
    assert whole.missing == []


@pytest.mark.parametrize("gone", ["short-1-walk.png", "short-1.safetensors"])
def test_a_unit_that_a_result_no_longer_holds_whole_is_computed_again(walk, tmp_path, gone):
    whole = experiments.run("walk", out=tmp_path)
    shutil.rmtree(tmp_path / ".units")
    path = tmp_path / "walk" / gone
    path.write_bytes(path.read_bytes()[:50])
    walk.calls.clear()
    assert lasting(experiments.run("walk", out=tmp_path, resume=True).record) == lasting(
        whole.record
    )
    assert walk.calls == ["short-1"]


def test_units_of_other_sources_do_not_come_back(walk, tmp_path):
    experiments.run("walk", out=tmp_path)
    shutil.rmtree(tmp_path / ".units")
    edit(walk, "STEP = 1.0", "STEP = 2.0")
    walk.calls.clear()
    experiments.run("walk", out=tmp_path, resume=True)
    assert len(walk.calls) == 6


def test_the_bar_can_be_left_out(walk, tmp_path, capsys):
    experiments.run("walk", "smoke", out=tmp_path, bar=False, say=lambda _: None)
    assert capsys.readouterr() == ("", "")


def test_collect_counts_the_seeds_that_it_finds_or_is_given(walk, tmp_path):
    experiments.run("walk", out=tmp_path / "more", seeds=4)
    (tmp_path / "more" / "walk" / "metrics.json").unlink()
    more = experiments.collect("walk", out=tmp_path / "more")
    assert (more.missing, more.record["provenance"]["seeds"]) == ([], 4)
    more = experiments.collect("walk", out=tmp_path / "more", seeds=5)
    assert more.missing == ["short-4", "long-4"]


def test_results_without_a_word_on_missing_units_are_complete(walk, tmp_path):
    result = experiments.run("walk", out=tmp_path)
    record = {key: value for key, value in result.record.items() if key != "missing"}
    del record["provenance"]["units"]
    store.write_json(result.folder / "metrics.json", record)
    assert experiments.load("walk", out=tmp_path).missing == []
    assert "INCOMPLETE" not in experiments.text(experiments.load("walk", out=tmp_path))


@pytest.mark.parametrize(("n", "channels"), [(1, 1), (7, 1), (12, 3)])
def test_images_of_a_sheet_come_back(tmp_path, n, channels):
    images = torch.randint(256, (n, channels, 5, 5), dtype=torch.uint8)
    (tmp_path / "only-0-made.png").write_bytes(_files.sheet(images))
    result = results.Result(tmp_path, {}, "")
    found = result.sheet("made", size=5)
    assert torch.equal(found[:n], images)
    assert (found[n:] == 255).all()
    with pytest.raises(ValueError, match=r"size must divide the sheet .*, got 4"):
        result.sheet("made", size=4)


def test_largest_result_and_where_it_comes_from(walk, tmp_path):
    assert experiments.largest("walk", out=tmp_path) is None
    experiments.run("walk", "smoke", out=tmp_path, say=lambda _: None)
    assert experiments.largest("walk", out=tmp_path) is None
    experiments.run("walk", out=tmp_path, say=lambda _: None)
    found = experiments.largest("walk", out=tmp_path)
    assert found.record["provenance"]["profile"] == "book"
    said = experiments.origin(found)
    assert said.startswith("Profile book, 20")
    assert "3 seeds, 0 min for all units together. Up to date with this code." in said
    edit(walk, "STEP = 1.0", "STEP = 2.0")
    stopped_at(walk, 3, tmp_path)
    experiments.collect("walk", out=tmp_path, say=lambda _: None)
    edit(walk, "STEP = 2.0", "STEP = 3.0")
    said = experiments.origin(experiments.largest("walk", out=tmp_path))
    assert "1 seed, " in said
    assert "Incomplete: 4 of 6 units missing. Stale: the source has changed since." in said
