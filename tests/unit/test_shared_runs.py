"""Runs that several processes share: as one process would, whatever kills which of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffusion_creativity import __main__ as command_line
from diffusion_creativity import experiments
from diffusion_creativity.experiments import launch, ledger, registry, results, sharing
from diffusion_creativity.experiments.workers import work_together

from . import shared_experiment
from .shared_experiment import SAVE_EVERY, STEPS, notes

LEARN = registry._experiments.pop("learn")  # known to these tests alone
TESTS = Path(__file__).parents[1]
UNITS = ["narrow-0", "wide-0", "narrow-1", "wide-1"]  # in their order
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
          "--main_process_port", "0"]  # fmt: skip
PATIENCE = 400.0  # seconds until a test gives up: a busy machine may take long to start a process


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where processes note what they do; they wait for one another a short time only."""
    monkeypatch.setattr(registry, "_experiments", {"learn": LEARN})
    monkeypatch.syspath_prepend(TESTS)  # workers import the experiment from there
    monkeypatch.setenv("NOTES", str(tmp_path))
    monkeypatch.setattr(sharing, "POLL", 0.01)
    return tmp_path


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The result of one process that never stopped."""
    out = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTES", str(out))
        patch.setattr(registry, "_experiments", {"learn": LEARN})
        return experiments.run("learn", out=out, say=lambda _: None)


def until(condition):
    """Wait for what other processes do."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def finished(out):
    return {path.stem for path in (out / ".units" / "learn" / "smoke").glob("*.safetensors")}


def is_running(pid):
    """Whether a process lives; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def stop_in_the_middle(folder, unit):
    (folder / f"stop {unit}").touch()


def kill_the_one_that_stands_still(out, after):
    """Kill it when these units are finished, so that the others have nothing left but its own."""
    until(lambda: notes("still") and finished(out) >= set(after))
    os.kill(int(notes("still")[-1]), signal.SIGKILL)


@contextmanager
def meanwhile(function, *arguments):
    """Do something beside the main thread; an error there is an error here."""
    errors = []

    def do():
        try:
            function(*arguments)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=do)
    thread.start()
    yield
    thread.join()
    assert not errors


def assert_same(out, alone):
    """The same numbers and tensors, bit for bit."""
    found = experiments.load("learn", out=out)
    assert found.missing == []
    for one, other in zip(found.record["units"], alone.record["units"], strict=True):
        assert {**one, "wall_s": 0} == {**other, "wall_s": 0}
    assert found.record["summary"] == alone.record["summary"]
    assert found.record["files"] == sorted(f"{unit}.safetensors" for unit in UNITS)
    for name in found.record["files"]:
        assert (found.folder / name).read_bytes() == (alone.folder / name).read_bytes()


def assert_none_was_lost_nor_done_twice(killed, failed=()):
    assert sorted(notes("begun")) == sorted([*UNITS, killed])
    half = STEPS // 2 // SAVE_EVERY * SAVE_EVERY
    went_on = [f"{u} {half if u == killed else 0}" for u in UNITS if u not in failed]
    assert sorted(notes("from")) == sorted(went_on)


def test_workers_compute_what_one_would(folder, alone, capsys):
    """Though one of them is killed in the middle of a unit, and another unit fails."""
    stop_in_the_middle(folder, "narrow-0")
    (folder / "fail wide-1").touch()
    arguments = ["run", "learn", "--out", str(folder)]
    with (
        meanwhile(kill_the_one_that_stands_still, folder, {"narrow-1", "wide-0"}),
        pytest.raises(RuntimeError, match="unit wide-1 failed; the others are kept"),
    ):
        command_line.main([*arguments, "--workers", "2"])
    said = capsys.readouterr().out
    assert f"a worker ended with status -{signal.SIGKILL.value}" in said
    assert said.count("Traceback") == said.count("ArithmeticError: no luck with wide-1") == 1
    assert finished(folder) == set(UNITS[:3])
    assert experiments.collect("learn", out=folder).missing == ["wide-1"]
    assert_none_was_lost_nor_done_twice("narrow-0", failed=["wide-1"])
    (folder / "fail wide-1").unlink()
    assert command_line.main([*arguments, "--resume"]) == 0
    assert_same(folder, alone)


def test_accelerate_launch_shares_units_not_batches(folder, alone, monkeypatch, capsys):
    """The launcher ends all processes when one is killed; the next launch loses nothing."""
    stop_in_the_middle(folder, "narrow-1")
    arguments = ["run", "learn", "--out", str(folder)]
    command = [sys.executable, *LAUNCH, shared_experiment.__file__, *arguments]
    with meanwhile(kill_the_one_that_stands_still, folder, {*UNITS} - {"narrow-1"}):
        launched = subprocess.run(command, capture_output=True, text=True)
    assert launched.returncode != 0
    assert "2 processes share the units" in launched.stdout
    assert not (folder / "learn" / "metrics.json").exists()
    for rank in ("1", "0"):
        for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}.items():
            monkeypatch.setenv(name, value)
        assert command_line.main(arguments) == 0
        assert ("source_hash" in capsys.readouterr().out) == (rank == "0")  # it shows the result
    assert_same(folder, alone)
    assert_none_was_lost_nor_done_twice("narrow-1")


class Interrupted:
    """A reader who presses Ctrl-C when a unit has begun."""

    def say(self, line):
        raise AssertionError(line)

    def progress(self, unit, fraction):
        if notes("still"):
            raise KeyboardInterrupt


def test_ctrl_c_ends_the_workers(folder):
    stop_in_the_middle(folder, "narrow-0")
    with pytest.raises(KeyboardInterrupt):
        work_together(LEARN, "smoke", book(folder), [torch.device("cpu")], Interrupted())
    assert not is_running(int(notes("still")[0]))


PARENT = """
import sys, unittest.mock, unit.test_shared_runs as tests
folder = tests.book(tests.Path(sys.argv[1]))
tests.work_together(tests.LEARN, "smoke", folder, [tests.torch.device("cpu")], unittest.mock.Mock())
"""


def test_workers_end_when_the_process_that_started_them_is_killed(folder):
    stop_in_the_middle(folder, "narrow-0")
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder)], env=environment)
    until(lambda: notes("still"))
    parent.kill()
    parent.wait()
    until(lambda: not is_running(int(notes("still")[0])))


def book(out, **changes):
    """The ledger of a run in this process."""
    config = LEARN.config("smoke")
    work = [(variant, seed) for variant in config.variants for seed in range(config.seeds)]
    stamp = results.stamp(LEARN, config)
    folder = out / ".units" / "learn" / "smoke"
    folder.mkdir(parents=True, exist_ok=True)
    return ledger.Ledger(folder, work, **{"stamp": stamp, "begun": time.time()} | changes)


def test_a_run_waits_for_a_unit_that_another_holds_and_takes_what_it_left(folder):
    other = book(folder)
    lines, waiting = [], threading.Event()

    def say(line):
        lines.append(line)
        if "waits" in line:
            waiting.set()

    with other.claim(("wide", 0)) as mine:
        assert mine
        scratch = other.scratch(("wide", 0))
        scratch.mkdir()
        (scratch / "checkpoint").touch()
        for resume in (True, False):
            book(folder).clear(resume=resume)
            assert (scratch / "checkpoint").exists()  # it is in use

        thread = threading.Thread(
            target=experiments.run, args=("learn",), kwargs={"out": folder, "say": say}
        )
        thread.start()
        assert waiting.wait(PATIENCE)
        assert finished(folder) == {"narrow-0", "narrow-1", "wide-1"}
        assert (scratch / "checkpoint").exists()
    thread.join()
    assert lines == ["learn: waits for other processes with wide-0"]
    assert experiments.load("learn", out=folder).missing == []
    assert not scratch.exists()


def test_what_others_finish_meanwhile_is_not_computed_again(folder, monkeypatch):
    """Also without --resume: only what was there before is replaced."""
    experiments.run("learn", out=folder, say=lambda _: None)
    path = book(folder).path(("wide", 1))

    def beside(config, unit):
        if unit.name == "narrow-0":
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)  # another process has finished it anew
        return LEARN.compute(config, unit)

    known = {"learn": replace(LEARN, compute=beside)}
    stamp = results.stamp(LEARN, LEARN.config("smoke"))
    monkeypatch.setattr(registry, "_experiments", known)
    monkeypatch.setattr(results, "stamp", lambda *_: stamp)
    (folder / "begun").unlink()
    experiments.run("learn", out=folder, say=lambda _: None)
    assert notes("begun") == UNITS[:3]


def test_the_run_that_began_later_is_right_where_sources_differ(folder):
    experiments.run("learn", out=folder, say=lambda _: None)
    old = {"source_hash": "0" * 16, "config_hash": "0" * 16}
    before = book(folder, stamp=old, begun=0.0)
    with pytest.raises(RuntimeError, match=r"a run that began later .* another source"):
        before.finished(("narrow", 0))
    after = book(folder, stamp=old)
    assert after.verdict(("narrow", 0)) == "the source has changed since"
    assert after.missing() == after.work


def test_processes_that_end_together_write_the_result_once(folder):
    first = experiments.run("learn", out=folder, say=lambda _: None)
    times = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    again = experiments.run("learn", out=folder, resume=True, say=lambda _: None)
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == times
    assert again.record == first.record
    (first.folder / "wide-1.safetensors").unlink()
    experiments.run("learn", out=folder, resume=True, say=lambda _: None)
    assert (first.folder / "wide-1.safetensors").exists()


def test_no_worker_is_no_number_of_workers(folder):
    with pytest.raises(ValueError, match="workers must be an integer >= 1, got 0"):
        experiments.run("learn", out=folder, workers=0)


def test_a_process_leaves_the_group_of_its_launcher(monkeypatch):
    group = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4",
             "MASTER_ADDR": "elsewhere", "MASTER_PORT": "1", "OMPI_COMM_WORLD_SIZE": "8",
             "ACCELERATE_MIXED_PRECISION": "bf16"}  # fmt: skip
    monkeypatch.setattr(os, "environ", {"HOME": "/", **group})
    assert launch.leave_group() == (5, 8, launch.default_device(1))
    assert os.environ == {"HOME": "/"}
    assert launch.leave_group() == (0, 1, None)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert launch.leave_group().device.type == "cpu"


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: 3)
    devices = [str(launch.default_device(index)) for index in range(4)]
    assert devices == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
