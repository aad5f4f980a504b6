"""The training loop: what it draws, what it minimises, and what it tells on the way."""

import functools
import io
import json
import math
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import nn
from torch._dynamo.utils import counters

import diffusion_creativity as dc
from diffusion_creativity.networks import Preconditioned, constrained
from diffusion_creativity.training import Trainer, objectives, train

from .training_runs import SmallNet
from .training_runs import data as pictures

SIGMAS = dc.noise.karras(5, sigma_min=0.05, sigma_max=10.0)
LEVEL = 1e-4  # of a false alarm of a statistical test
SGD = functools.partial(torch.optim.SGD, lr=0.3, momentum=0.9)


def data(n=200, d=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, d, generator=generator) * torch.tensor([2.0, 1.0, 0.5])[:d] + 1


def stack(**changes):
    """Affine maps that start at 0, in units of `scale`."""
    return constrained.Affine((3,), SIGMAS, **{"scale": 1.5, "gain": 0, "skip": False} | changes)


def trained(steps=600, seed=0, **changes):
    settings = {"optimizer": SGD, "schedule": dc.training.linear_decay(steps), "log_every": 1}
    return train(stack(), data(), steps=steps, seed=seed, **settings | changes)


def small(**settings):
    """A small convolutional denoiser, trained."""
    torch.manual_seed(0)
    network = Preconditioned(SmallNet(dropout=0.0, norm=False), sigma_data=0.8)
    return train(network, pictures(), **{"steps": 20, "batch": 8, "log_every": 1} | settings)


class TestLevels:
    def draw(self, levels, n=4000):
        return levels(n, torch.Generator().manual_seed(0), torch.device("cpu"))

    def test_log_normal(self):
        found = self.draw(dc.training.LogNormal(-1.0, 0.5))
        assert found.dtype == torch.float32
        assert stats.kstest(found.log().numpy(), "norm", (-1.0, 0.5)).pvalue > LEVEL
        assert stats.kstest(found.log().numpy(), "norm", (-1.2, 0.5)).pvalue < LEVEL

    def test_log_uniform(self):
        found = self.draw(dc.training.LogUniform(0.1, 10.0))
        scaled = (found.log10().numpy() + 1) / 2
        assert stats.kstest(scaled, "uniform").pvalue > LEVEL
        assert stats.kstest(scaled**1.2, "uniform").pvalue < LEVEL

    def test_levels_of_a_schedule(self):
        found = self.draw(dc.training.Levels(SIGMAS))
        values, counts = found.unique(return_counts=True)
        torch.testing.assert_close(values.flip(0), SIGMAS[:-1].float())
        assert stats.chisquare(counts.numpy()).pvalue > LEVEL

    @pytest.mark.parametrize(
        ("make", "name"),
        [
            (lambda: dc.training.LogNormal(std=-1), "std"),
            (lambda: dc.training.LogNormal(mean=math.nan), "mean"),
            (lambda: dc.training.LogUniform(0.0, 1.0), "low"),
            (lambda: dc.training.LogUniform(2.0, 1.0), "high"),
            (lambda: dc.training.Levels([1.0, 2.0, 0.0]), "sigmas"),
        ],
    )
    def test_bad_arguments(self, make, name):
        with pytest.raises(ValueError, match=name):
            make()


class TestDraws:
    def numbers(self, seed=0, step=0, member=0):
        generator = objectives.streams(seed, step, torch.device("cpu"))(member)
        return torch.randn(20_000, generator=generator)

    def test_depend_on_seed_member_and_step_alone(self):
        assert torch.equal(self.numbers(1, 2, 3), self.numbers(1, 2, 3))
        for other in ((0, 2, 3), (1, 3, 3), (1, 2, 4)):
            pair = torch.stack([self.numbers(1, 2, 3), self.numbers(*other)])
            assert abs(torch.corrcoef(pair)[0, 1]) < 4 / math.sqrt(20_000)

    def test_no_two_steps_share_a_seed(self):
        seeds = {
            objectives.streams(0, step, torch.device("cpu"))(0).initial_seed()
            for step in range(20_000)
        }
        assert len(seeds) == 20_000
        assert max(seeds) < 2**32

    def test_examples_are_drawn_evenly_and_noise_is_white(self):
        x = torch.arange(10.0)[:, None]
        objective = objectives.Denoising(Preconditioned(nn.Identity(), sigma_data=1.0))
        stream = objectives.streams(0, 0, torch.device("cpu"))
        chosen, sigma, noise = objective.draw(x, 5000, stream)
        assert stats.chisquare(np.bincount(chosen[:, 0].int())).pvalue > LEVEL
        assert stats.kstest(noise[:, 0].numpy(), "norm").pvalue > LEVEL
        both = torch.stack([chosen[:, 0], sigma.log(), noise[:, 0]])
        off = torch.corrcoef(both) - torch.eye(3)
        assert off.abs().max() < 4 / math.sqrt(5000)


class TestStack:
    def test_reaches_the_closed_form(self):
        trainer = trained()
        closed = dc.denoisers.Affine.fit(data())
        cov = closed.law().cov
        for k, sigma in enumerate(SIGMAS[:-1].tolist()):
            A, b = trainer.network.maps(sigma)
            best, offset = closed.maps(sigma)
            noisy = cov + sigma**2 * torch.eye(3)
            off = A - best
            gap = (off @ noisy @ off.T).trace() + (off @ closed.mean + b - offset).square().sum()
            lam = closed.eigenvalues
            least = (lam * sigma**2 / (lam + sigma**2)).sum()
            assert gap < 0.05 * least, sigma
            assert trainer.history[-1].members[0][k] < trainer.history[0].members[0][k]

    def test_first_loss_is_that_of_zero(self):
        """In units of the scale: E x² / (d scale²), the same at all levels."""
        trainer = train(stack(scale=2.0, seeds=2), data(50), steps=200, batch=100, log_every=1,
                        optimizer=functools.partial(torch.optim.SGD, lr=0.0))  # fmt: skip
        losses = torch.tensor([entry.members for entry in trainer.history])  # (200, 2, 5)
        assert (losses - losses[..., :1]).abs().max() < 1e-5
        expected = data(50).square().mean().item() / 4
        assert losses.mean((0, 2)).tolist() == pytest.approx([expected] * 2, rel=0.05)
        assert not torch.equal(losses[:, 0], losses[:, 1])  # each seed draws its own examples

    def test_a_seed_trains_the_same_alone_and_beside_others(self):
        beside, alone = (
            train(stack(seeds=seeds), data(), steps=30, optimizer=SGD).network
            for seeds in ([0, 7, 3], [7])
        )
        torch.testing.assert_close(beside.weight[1], alone.weight[0], rtol=1e-5, atol=1e-6)
        assert (beside.weight[0] - beside.weight[1]).abs().max() > 1e-3

    def test_a_member_sees_its_own_loss_only(self):
        """A level whose loss explodes leaves the others as they were."""
        networks = [stack(), stack()]
        with torch.no_grad():
            networks[1].weight[0, 2] = 1e6
        for network in networks:
            train(network, data(), steps=10, optimizer=torch.optim.AdamW)
        same = [0, 1, 3, 4]
        assert torch.equal(networks[0].weight[0, same], networks[1].weight[0, same])

    def test_gradients_are_not_clipped_together(self):
        with pytest.raises(ValueError, match="clip must be None for networks"):
            Trainer(stack(), data(), steps=1, clip=1.0)

    def test_has_levels_of_its_own(self):
        with pytest.raises(ValueError, match="sigmas must be None"):
            Trainer(stack(), data(), steps=1, sigmas=dc.training.LogNormal())


class TestLoop:
    def test_is_reproducible_and_seeds_differ(self):
        a, b, c = trained(20), trained(20), trained(20, seed=1)
        assert torch.equal(a.network.weight, b.network.weight)
        assert a.history[-1].loss == b.history[-1].loss
        assert not torch.equal(a.network.weight, c.network.weight)

    def test_double_data_train_as_single_ones(self):
        a, b = (train(stack(), x, steps=3, optimizer=SGD) for x in (data(), data().double()))
        assert torch.equal(a.network.weight, b.network.weight)

    def test_can_be_left_and_entered_again(self):
        trainer = Trainer(stack(), data(), steps=20, optimizer=SGD)
        first = [progress for progress, _ in zip(trainer, range(3), strict=False)]
        assert [progress.step for progress in first] == [1, 2, 3]
        assert first[0].loss.shape == (1, 5)
        assert not first[0].loss.requires_grad
        assert not trainer.network.training
        list(trainer)
        whole = train(stack(), data(), steps=20, optimizer=SGD)
        assert trainer.step == 20
        assert torch.equal(trainer.network.weight, whole.network.weight)

    def test_minimises_the_denoising_loss(self):
        """Least squares by SGD on one number, against the same sum in float64."""

        class Gain(nn.Module):
            def __init__(self):
                super().__init__()
                self.gain = nn.Parameter(torch.zeros(()))

            def forward(self, x, noise_label):
                return self.gain * x

        network = Preconditioned(Gain(), sigma_data=1.0, prediction="clean")
        levels, x = dc.training.Levels([2.0, 0.5, 0.0]), data(20)
        train(network, x, steps=5, batch=6, seed=4, sigmas=levels, precision="float32",
              optimizer=lambda p: torch.optim.SGD(p, lr=0.1))  # fmt: skip
        gain = 0.0
        objective = objectives.Denoising(network, levels)
        for step in range(5):
            stream = objectives.streams(4, step, torch.device("cpu"))
            chosen, sigma, noise = (v.double() for v in objective.draw(x, 6, stream))
            z = (chosen + sigma[:, None] * noise) / (1 + sigma**2).sqrt()[:, None]
            gain -= 0.1 * (2 * (gain * z - chosen) * z).mean().item()
        assert network.network.gain.item() == pytest.approx(gain, rel=1e-5)

    def test_an_instance_of_an_optimiser_is_as_good_as_its_recipe(self):
        network = stack()
        train(network, data(), steps=5, optimizer=SGD(network.parameters()))
        other = train(stack(), data(), steps=5, optimizer=SGD).network
        assert torch.equal(network.weight, other.weight)

    def test_adamw_is_the_default(self):
        a = small().network.network.last.weight
        b = small(optimizer=lambda p: torch.optim.AdamW(p, lr=1e-3)).network.network.last.weight
        assert torch.equal(a, b)

    def test_the_schedule_is_a_factor_on_the_rate(self):
        rates = []
        trainer = Trainer(stack(), data(), steps=4, schedule=lambda t: [1, 0.5, 0, 2][t],
                          optimizer=functools.partial(torch.optim.SGD, lr=0.2))  # fmt: skip
        still = None
        for progress in trainer:
            rates.append(trainer.optimizer.param_groups[0]["lr"])
            if progress.step == 2:
                still = trainer.network.weight.clone()
            if progress.step == 3:
                assert torch.equal(trainer.network.weight, still)
        assert rates == [0.2, 0.1, 0.0, 0.4]

    def test_schedules(self):
        linear, cosine = dc.training.linear_decay(4), dc.training.cosine_decay(6, warmup=2)
        assert [linear(t) for t in range(5)] == [1, 0.75, 0.5, 0.25, 0]
        expected = [1 / 3, 2 / 3, 1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]
        assert [cosine(t) for t in range(7)] == pytest.approx(expected)
        with pytest.raises(ValueError, match="warmup must be below steps = 3"):
            dc.training.cosine_decay(3, warmup=3)

    def test_average_is_the_recursion_that_it_says(self):
        torch.manual_seed(0)
        network = Preconditioned(SmallNet(dropout=0.0, norm=False), sigma_data=0.8)
        trainer = Trainer(network, pictures(), steps=30, batch=4, ema=0.6)
        expected = network.network.last.weight.detach().double()
        for progress in trainer:
            beta = min(0.6, progress.step / (progress.step + 9))
            new = network.network.last.weight.detach().double()
            expected = beta * expected + (1 - beta) * new
        average = trainer.average
        torch.testing.assert_close(average.network.last.weight.double(), expected,
                                   rtol=1e-5, atol=1e-6)  # fmt: skip
        assert not average.network.last.weight.requires_grad
        assert (expected - new).abs().max() > 1e-4
        assert small().average is None

    def test_average_has_the_buffers_of_the_network(self):
        network = Preconditioned(SmallNet(), sigma_data=0.8)
        average = train(network, pictures(), steps=3, batch=8, ema=0.9).average
        assert torch.equal(average.network.norm.running_mean, network.network.norm.running_mean)
        assert network.network.norm.running_mean.abs().max() > 0

    def test_clip_bounds_the_gradient(self):
        """With SGD at rate 1 a step is as long as the gradient."""
        torch.manual_seed(0)
        network = Preconditioned(SmallNet(dropout=0.0, norm=False), sigma_data=0.8)
        before = [p.clone() for p in network.parameters()]
        train(network, pictures(), steps=1, clip=0.01,
              optimizer=functools.partial(torch.optim.SGD, lr=1.0))  # fmt: skip
        moved = [(p - b).square().sum() for p, b in zip(network.parameters(), before, strict=True)]
        assert sum(moved).sqrt().item() == pytest.approx(0.01, rel=1e-3)

    def test_bf16_is_near_float32_and_not_the_default_on_a_cpu(self):
        exact, default, half = (small(precision=p).history for p in ("float32", None, "bf16"))
        losses = [torch.tensor([entry.loss for entry in h]) for h in (exact, default, half)]
        assert torch.equal(losses[0], losses[1])
        off = ((losses[2] - losses[0]).abs() / losses[0]).max()
        assert 1e-6 < off < 0.05

    def test_convolutions_lie_channels_last(self):
        weight = small(steps=1).network.network.last.weight
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert not weight.is_contiguous()

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"steps": 0}, "steps"),
            ({"batch": 0}, "batch"),
            ({"batch": 2.5}, "batch"),
            ({"seed": -1}, "seed"),
            ({"ema": 1.0}, "ema"),
            ({"clip": 0.0}, "clip"),
            ({"precision": "fp16"}, "precision"),
            ({"log_every": 0}, "log_every"),
            ({"save_every": 0}, "save_every"),
            ({"sheet_every": 0}, "sheet_every"),
            ({"sheet_every": 5}, "folder"),
            ({"x": torch.empty(0, 3)}, "x"),
            ({"x": torch.zeros(4, 2)}, "x"),
            ({"x": torch.full((4, 3), math.nan)}, "x"),
            ({"network": nn.Linear(3, 3)}, "network"),
        ],
    )
    def test_bad_arguments(self, change, name):
        arguments = {"network": stack(), "x": data(), "steps": 2} | change
        network, x = arguments.pop("network"), arguments.pop("x")
        with pytest.raises(ValueError, match=name):
            train(network, x, **arguments)


@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler for torch.compile"
)
class TestCompiled:
    """A few steps in compiled code: the same up to rounding, and nothing of it in what is kept."""

    @pytest.fixture(autouse=True)
    def _afresh(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
        torch.compiler.reset()
        counters.clear()
        yield
        torch.compiler.reset()

    def test_a_network(self, tmp_path):
        folder = tmp_path / "run"
        eager = small(steps=6, ema=0.5)
        small(steps=4, ema=0.5, compile=True, folder=folder)
        assert counters["stats"]["unique_graphs"] == 1  # the objective as a whole, in one piece
        assert not counters["graph_break"]
        compiled = small(steps=6, ema=0.5, folder=folder)  # goes on without
        assert compiled.network.state_dict().keys() == eager.network.state_dict().keys()
        for found, expected in [(compiled.network, eager.network),
                                (compiled.average, eager.average)]:  # fmt: skip
            for a, b in zip(found.parameters(), expected.parameters(), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        losses = [[entry.loss for entry in t.history] for t in (compiled, eager)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert len(set(losses[1])) == 6

    def test_a_stack(self):
        settings = {"steps": 4, "optimizer": SGD, "log_every": 1}
        eager, compiled = (
            train(stack(seeds=2), data(), compile=mode, **settings) for mode in (False, "default")
        )
        assert counters["stats"]["unique_graphs"] == 1
        torch.testing.assert_close(
            compiled.network.weight, eager.network.weight, rtol=1e-4, atol=1e-5
        )
        assert (eager.network.weight - stack(seeds=2).weight).abs().max() > 0.01


class TestJournal:
    def test_entries_are_means_and_the_file_holds_them(self, tmp_path):
        fine, coarse = small(steps=10), small(steps=10, log_every=4, folder=tmp_path)
        losses = [entry.loss for entry in fine.history]
        expected = [sum(losses[:4]) / 4, sum(losses[4:8]) / 4, sum(losses[8:]) / 2]
        assert [entry.loss for entry in coarse.history] == pytest.approx(expected, rel=1e-6)
        assert [entry.step for entry in coarse.history] == [4, 8, 10]
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == [e._asdict() for e in coarse.history]
        assert all(entry.images_per_s > 0 for entry in coarse.history)
        seconds = [entry.seconds for entry in coarse.history]
        assert seconds == sorted(seconds)

    def test_a_diverged_run_is_valid_json(self, tmp_path):
        train(stack(), data(), steps=60, optimizer=functools.partial(torch.optim.SGD, lr=1e9),
              folder=tmp_path, log_every=60)  # fmt: skip
        (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert json.loads(line, parse_constant=pytest.fail)["loss"] is None

    def test_the_bar_shows_loss_speed_and_time_left(self, capsys):
        small(bar=True)
        shown = capsys.readouterr().err
        assert "20/20" in shown
        assert "left, loss 0." in shown or "left, loss 1." in shown
        assert "images/s" in shown
        small(bar=False)
        small()
        assert capsys.readouterr().err == ""

    def test_progress_is_told(self):
        told = []
        small(steps=4, progress=told.append)
        assert told == [0.25, 0.5, 0.75, 1.0]

    @pytest.mark.parametrize("kind", ["network", "stack"])
    def test_sheets_are_samples_of_the_average(self, tmp_path, kind):
        x = pictures()
        if kind == "network":
            trainer = small(steps=6, ema=0.5, folder=tmp_path, sheet_every=4)
            denoise, sigmas = trainer.average.denoise, dc.noise.karras(18)
        else:
            sigmas = dc.noise.karras(4)
            network = constrained.Affine((1, 6, 6), sigmas, scale=0.8, seeds=2)
            trainer = train(network, x, steps=6, folder=tmp_path, sheet_every=4)
            denoise = trainer.network.denoise
        assert sorted(p.name for p in tmp_path.glob("*.png")) == [
            "samples-000000004.png", "samples-000000006.png"]  # fmt: skip
        noise = dc.sampling.initial_noise(16, (1, 6, 6), float(sigmas[0]))
        expected = dc.sampling.ddim(denoise, noise, sigmas)[0, 0]
        page = np.array(Image.open(io.BytesIO((tmp_path / "samples-000000006.png").read_bytes())))
        found = page[0:12:2, 0:12:2] / 127.5 - 1
        assert np.abs(found - expected.clamp(-1, 1).numpy()).max() < 1 / 127
