"""Training that is killed, cut off or spread over processes is the training that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffusion_creativity import training
from diffusion_creativity.networks import Preconditioned
from diffusion_creativity.training.state import fingerprint

from .training_runs import (
    SAVE_EVERY,
    STEPS,
    SmallNet,
    data,
    share,
    small_run,
    small_trainer,
    weights,
)

RUNS = Path(__file__).with_name("training_runs.py")
ALONE = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing stopped."""
    return small_run(tmp_path_factory.mktemp("whole"))


def same(a, b):
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def lasting(history):
    """Entries without what the clock says."""
    return [(entry.step, entry.loss, entry.members) for entry in history]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_killed_at_any_moment_it_goes_on_bit_by_bit(whole, tmp_path):
    """SIGKILL at points of writing (in a file, before and after a rename), and at random ones."""
    command = [sys.executable, RUNS, "kill", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=ALONE, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["points"]["deaths"] == 7
    assert found["random"]["deaths"] >= 1
    assert len(set(found["points"]["starts"] + found["random"]["starts"])) >= 5
    for folder in (tmp_path / "points", tmp_path / "random"):
        resumed = small_run(folder)  # reads the last checkpoint and finds nothing left to do
        assert resumed.step == STEPS
        assert same(resumed, whole)
        assert lasting(resumed.history) == lasting(whole.history)
        assert names(folder) == names(whole.folder)  # no drafts left


def test_the_last_two_checkpoints_are_kept(whole):
    kept = [f"checkpoint-{step:09}.safetensors" for step in (STEPS - SAVE_EVERY, STEPS)]
    assert names(whole.folder) == [*kept, "metrics.jsonl"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_truncated_checkpoint_falls_back_to_the_one_before(whole, tmp_path, share):
    half = small_run(tmp_path, steps=20)
    del half
    last = tmp_path / "checkpoint-000000020.safetensors"
    content = last.read_bytes()
    last.write_bytes(content[: int(share * len(content))])
    seen = []
    resumed = small_run(tmp_path, progress=seen.append)
    assert seen[0] == (20 - SAVE_EVERY + 1) / STEPS
    assert same(resumed, whole)
    assert lasting(resumed.history)[-3:] == lasting(whole.history)[-3:]


def test_where_all_are_truncated_it_begins_anew(whole, tmp_path):
    small_run(tmp_path, steps=8)
    for path in tmp_path.glob("checkpoint-*"):
        path.write_bytes(path.read_bytes()[:100])
    assert same(small_run(tmp_path), whole)


def test_a_line_that_was_cut_off_is_dropped(whole, tmp_path):
    small_run(tmp_path, steps=20)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 21, "loss": 0.')
    small_run(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert set(range(3, STEPS, 3)) <= set(steps)


class TestFullDisk:
    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_the_checkpoints_before_stay(self, whole, tmp_path, monkeypatch, call):
        """The error names the file and what is safe; with room again the run goes on from there."""
        function, calls = getattr(os, call), []

        def full(*arguments):
            calls.append(arguments)
            if len(calls) >= 5:  # the probe, then three checkpoints
                raise OSError(28, "No space left on device")
            return function(*arguments)

        with monkeypatch.context() as context:
            context.setattr(os, call, full)
            with pytest.raises(OSError, match=r"cannot write .*16.safetensors \(No space left.*"
                               r"goes on from checkpoint-000000012.safetensors"):  # fmt: skip
                small_run(tmp_path)
        kept = [f"checkpoint-{step:09}.safetensors" for step in (8, 12)]
        assert names(tmp_path) == [*kept, "metrics.jsonl"]
        assert same(small_run(tmp_path), whole)

    def test_the_weights_in_memory_are_those_of_the_last_step(self, tmp_path, monkeypatch):
        trainer = training.Trainer(Preconditioned(SmallNet(), sigma_data=0.8), data(), steps=9,
                                   batch=8, folder=tmp_path, save_every=3)  # fmt: skip
        full = OSError(28, "No space left on device")
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(full))
        with pytest.raises(OSError, match=r"no checkpoint is there.*weights after step 3"):
            list(trainer)
        assert trainer.step == 3
        assert names(tmp_path) == []

    def test_metrics_that_cannot_be_written(self, whole, tmp_path, monkeypatch):
        opened = Path.open

        def full(self, mode="r", *arguments, **options):
            if mode == "a" and len(self.read_text().splitlines()) >= 4:
                raise OSError(28, "No space left on device")
            return opened(self, mode, *arguments, **options)

        (tmp_path / "metrics.jsonl").touch()
        with monkeypatch.context() as context:
            context.setattr(Path, "open", full)
            with pytest.raises(OSError, match=r"metrics.jsonl \(No space left.*after step 15"):
                small_run(tmp_path)
        assert same(small_run(tmp_path), whole)

    def test_sheets_that_cannot_be_written(self, tmp_path, monkeypatch):
        """Of four writes (probe, checkpoint, sheet, checkpoint) the third fails."""
        function, calls = os.replace, []

        def full(*arguments):
            calls.append(arguments)
            if len(calls) == 3:
                raise OSError(28, "No space left on device")
            return function(*arguments)

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(OSError, match=r"samples-000000004.png \(No space left.*after step 4"):
            small_run(tmp_path, sheet_every=4)
        assert names(tmp_path) == ["checkpoint-000000004.safetensors", "metrics.jsonl"]


def test_a_folder_that_cannot_be_written_fails_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    seen = []
    with pytest.raises(OSError, match=r"cannot write in .*file.*choose another folder"):
        small_run(tmp_path / "file" / "run", progress=seen.append)
    assert not seen


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 4}, "seed"),
        ({"batch": 10}, "batch"),
        ({"ema": 0.5}, "ema"),
        ({"clip": None}, "clip"),
        ({"precision": "bf16"}, "precision"),
        ({"optimizer": torch.optim.SGD}, "optimizer"),
        ({"sigmas": training.LogUniform(0.1, 1.0)}, "objective"),
    ],
)
def test_another_run_does_not_go_on_from_it(tmp_path, change, name):
    small_run(tmp_path, steps=4)
    with pytest.raises(ValueError, match=f"checkpoints of another run: its {name} is"):
        small_run(tmp_path, **change)


def test_other_data_and_another_network_do_not_go_on_from_it(tmp_path):
    network = Preconditioned(SmallNet(), sigma_data=0.8)
    settings = {"steps": 2, "batch": 4, "folder": tmp_path}
    training.train(network, data(), **settings)
    with pytest.raises(ValueError, match="its data is"):
        training.train(network, data() * 0.5, **settings)
    other = Preconditioned(SmallNet(norm=False), sigma_data=0.8)
    with pytest.raises(ValueError, match="its network is"):
        training.train(other, data(), **settings)
    with pytest.raises(ValueError, match="steps must be at least 2"):
        training.train(network, data(), **settings | {"steps": 1})


@pytest.mark.parametrize("optimizer", [
    lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    lambda p: torch.optim.SGD(p, lr=0.01),
    lambda p: torch.optim.RMSprop(p, lr=0.001, momentum=0.5),
    lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
])  # fmt: skip
def test_every_optimiser_goes_on(tmp_path, optimizer):
    """The fused one reads its state in the parameters' own order of memory: channels last."""
    straight = small_run(tmp_path / "a", optimizer=optimizer)
    small_run(tmp_path / "b", optimizer=optimizer, steps=12)
    assert same(small_run(tmp_path / "b", optimizer=optimizer), straight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_network_of_another_precision_goes_on_bit_by_bit(tmp_path, dtype):
    straight = small_run(tmp_path / "a", dtype=dtype)
    for done in small_trainer(tmp_path / "b", dtype=dtype):
        if done.step == 2 * SAVE_EVERY + 3:
            break  # three steps are lost
    seen = []
    resumed = small_run(tmp_path / "b", dtype=dtype, progress=seen.append)
    assert seen[0] == (2 * SAVE_EVERY + 1) / STEPS
    assert same(resumed, straight)
    assert lasting(resumed.history) == lasting(straight.history)
    assert all(w.dtype == dtype for w in resumed.network.parameters())
    with pytest.raises(ValueError, match="another run: its data is"):
        small_run(tmp_path / "b")  # in float32


class TestFingerprint:
    @pytest.mark.parametrize(
        "dtype",
        [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.uint8, torch.bool],
    )
    def test_tells_values_shapes_and_types_apart(self, dtype):
        x = torch.arange(12).reshape(3, 1, 2, 2).to(dtype)
        other = x.clone()
        other[2, 0, 1, 1] = 0
        as_integers = x.to(torch.int8)  # the bytes of bool and uint8
        different = [x, other, x.reshape(3, 4), x.roll(1, 0), x[:2], as_integers]
        assert len({fingerprint(y) for y in different}) == len(different)
        assert fingerprint(x.clone()) == fingerprint(x)

    def test_is_of_the_values_not_of_their_layout(self):
        x = torch.randn(3, 2, 4, 4).bfloat16()
        layouts = [x.to(memory_format=torch.channels_last), x.mT.contiguous().mT]
        assert {fingerprint(y) for y in layouts} == {fingerprint(x)}
        assert fingerprint(x.mT) != fingerprint(x)

    def test_sees_the_last_bit(self):
        """Also the sign of zero: it is of the bytes."""
        x = torch.zeros(4, 3, dtype=torch.bfloat16)
        other = x.clone()
        other[3, 2] = -0.0
        assert torch.equal(x, other)
        assert fingerprint(x) != fingerprint(other)


def test_two_processes_give_the_curves_of_one(tmp_path):
    """`accelerate launch` with two processes on the CPU: the same batches, each takes a half."""
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
              "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
              "--main_process_port", "0"]  # fmt: skip
    environment = {**ALONE, "ACCELERATE_USE_CPU": "true"}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    share(tmp_path / "one")
    done = subprocess.run([sys.executable, *launch, RUNS, "share", tmp_path / "two"],
                          capture_output=True, text=True, env=environment, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / n / "curves.json").read_text()) for n in ("one", "two"))
    assert (one["processes"], two["processes"]) == (1, 2)
    for key in ("network", "stack", "average"):
        a, b = (torch.tensor(record[key], dtype=torch.float64) for record in (one, two))
        assert ((a - b).abs() / a.abs().clamp(min=0.01)).max() < 1e-5, key
    assert names(tmp_path / "two" / "net") == names(tmp_path / "one" / "net")
