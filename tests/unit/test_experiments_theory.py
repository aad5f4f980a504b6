"""The experiment that holds networks against theories: calibration, controls, and going on."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from diffusion_creativity import data, experiments, noise, sampling
from diffusion_creativity.denoisers import Bayes, DataLocality, LocalScore
from diffusion_creativity.experiments import _theories as theories
from diffusion_creativity.experiments import theory_vs_network as module
from diffusion_creativity.experiments.registry import Unit, get
from diffusion_creativity.networks import describe, equivariance_error
from diffusion_creativity.networks.describe import parameters

from .unet_networks import awake

DIGITS = data.load("digits").x


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    return experiments.run("theory_vs_network", "smoke", out=out, say=lambda _: None)


@pytest.fixture(scope="module")
def path():
    """Of a local machine, whose windows grow with the noise as the table says."""
    table = {20.0: 7, 4.0: 5, 1.0: 5, 0.3: 3}
    machine = LocalScore.fit(DIGITS[:80], window=table)
    start = sampling.initial_noise(3, (1, 8, 8), 20.0, seed=1)
    levels = torch.tensor([*table, 0.0], dtype=torch.float64)
    return table, theories.follow(machine, start, levels)[1]


def test_the_record_is_that_of_the_samples(smoke):
    config = get("theory_vs_network").config("smoke")
    for unit in smoke.record["units"]:
        kept = load_file(smoke.folder / f"{unit['variant']}-0.safetensors")
        assert kept["network"].shape == (config.noises, 1, config.side, config.side)
        for row, theory in enumerate(theories.THEORIES):
            drawn, r = kept[theory].float(), kept["r"][row].float()
            again = module.agreement(drawn, kept["network"][: len(drawn)].float())
            assert torch.allclose(again[0].float(), r[: len(drawn)], atol=5e-3)
            known = unit["metrics"]["agreement"][theory]
            assert known["r"]["value"] == pytest.approx(r.quantile(0.5).item(), abs=1e-2)
            assert known["r"]["low"] <= known["r"]["value"] <= known["r"]["high"]
            assert known["r2"]["q25"] <= known["r2"]["q75"]
        assert set(unit["metrics"]["copied"]) == {"network", *theories.THEORIES}
        assert unit["metrics"]["copied"]["IS"] > 0.8


def test_the_sheet_has_a_row_for_each(smoke):
    from PIL import Image

    unit = smoke.record["units"][0]["variant"]
    picture = Image.open(smoke.folder / f"{unit}-0-same_noise.png")
    n = len(theories.THEORIES) + 1
    assert picture.size == (2 * (9 * n - 1), 2 * (9 * n - 1))


def test_path_is_that_of_the_sampler(path):
    table, walked = path
    machine = LocalScore.fit(DIGITS[:80], window=table)
    levels = torch.tensor([*table, 0.0], dtype=torch.float64)
    states = sampling.ddim(machine, walked.states[0], levels, return_trajectory=True)
    assert torch.equal(walked.states, states[:-1])
    for sigma, state, answer in zip(*walked, strict=True):
        assert torch.equal(machine(state, sigma), answer)


def test_calibration_finds_the_windows_of_a_local_machine(path):
    table, walked = path
    found = theories.calibrated_window(
        lambda window: LocalScore.fit(DIGITS[:80], window=window), (3, 5, 7, 9), walked
    )
    assert found.setting == list(table.values())
    assert max(found.error) < 1e-9
    assert len(found.tried) == 4
    by_hand = LocalScore.fit(DIGITS[:80], window=3)(walked.states[0], 20.0) - walked.answers[0]
    variance = walked.answers[0].double().var()
    assert found.tried[0][0] == pytest.approx((by_hand.double().square().mean() / variance).item())


def test_calibration_finds_the_threshold():
    machine = DataLocality.fit(DIGITS[:80], threshold=0.1)
    start = sampling.initial_noise(2, (1, 8, 8), 20.0, seed=1)
    _, walked = theories.follow(machine, start, noise.karras(4, 0.1, 20.0))
    found = theories.calibrated_threshold(DIGITS[:80], walked)
    assert found.setting == 0.1
    assert max(found.error) < 1e-9


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 10**6))
def test_monotone_is_the_best_of_all_choices(rows, columns, seed):
    costs = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).double()
    ways = itertools.combinations_with_replacement(range(columns), rows)
    best = min(ways, key=lambda way: sum(costs[i, k].item() for i, k in enumerate(way)))
    assert theories.monotone(costs) == list(best)


def test_batches_average_posterior_means():
    x, y = DIGITS[:60].double(), DIGITS[100:104].double() + 0.3
    averaged = theories.batch_averaged(x, 20)(y, 0.8)
    expected = 0.0
    for part in x.split(20):
        logits = -(y[:, None] - part).square().sum((2, 3, 4)) / (2 * 0.8**2)
        expected = expected + torch.einsum("ni,icab->ncab", logits.softmax(1), part) / 3
    assert torch.allclose(averaged, expected, atol=1e-9)
    assert torch.allclose(theories.batch_averaged(x, 60)(y, 0.8), Bayes.fit(x)(y, 0.8))


def test_pictures_are_averages(monkeypatch):
    class Set:
        x = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(2))

    monkeypatch.setattr(module, "load", lambda name, split: Set)
    config = replace(get("theory_vs_network").config("book"), images=5, held_out=2)
    x, held_out = module.images("fashion_mnist", config)
    assert x.shape == (5, 1, 16, 16)
    assert held_out.shape == (2, 1, 16, 16)
    assert torch.allclose(x[:, 0, 1, 1], Set.x[:5, 0, :2, :2].mean((1, 2)))  # 2 pixels of frame
    assert (x[:, 0, 0] == -1).all()
    full = module.images("fashion_mnist", replace(config, side=32))[0]
    assert torch.equal(full[..., 2:30, 2:30], Set.x[:5])


def test_calibration_has_noise_of_its_own():
    compared, other = module.noises(DIGITS, get("theory_vs_network").config("book"))
    assert (compared[:, None] - other).abs().flatten(2).amax(2).min() > 1


@pytest.mark.parametrize("profile", ["book", "gpu"])
def test_networks_are_what_their_names_say(profile):
    config = get("theory_vs_network").config(profile)
    designs = {name: module.design_of(name, config) for name in module.NETWORKS}
    convolutions = 4 * config.resnet_blocks + 2
    for name, design in designs.items():
        assert design.padding == ("circular" if name.endswith("circular") else "zeros")
        assert bool(design.attention) == (name == "unet_attention")
        if name.startswith("resnet"):
            field = describe(design).field
            assert field.reach == min(1 + 2 * convolutions, config.side)
        assert parameters(replace(design, channels=3)) < 6e6


def test_a_circular_resnet_knows_no_place():
    config = get("theory_vs_network").config("book")
    resnet, unet = (
        awake(module.design_of(name, config)) for name in ("resnet_circular", "unet_circular")
    )
    assert equivariance_error(resnet, (1, 16, 16)) < 1e-5
    assert equivariance_error(unet, (1, 16, 16), step=8) < 1e-5
    assert equivariance_error(unet, (1, 16, 16)) > 1e-3


def test_goes_on_where_it_was_stopped(tmp_path):
    config = replace(get("theory_vs_network").config("smoke"), steps=20, save_every=10)

    def unit(folder, progress=lambda _: None):
        folder.mkdir(exist_ok=True)
        torch.manual_seed(0)
        return Unit("faces-unet_attention", 0, torch.device("cpu"), folder, progress)

    def stop(fraction):
        if fraction > 0.75:
            raise KeyboardInterrupt

    whole = module.theory_vs_network(config, unit(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        module.theory_vs_network(config, unit(tmp_path / "parts", stop))
    assert list((tmp_path / "parts").glob("samples-*"))
    resumed = module.theory_vs_network(config, unit(tmp_path / "parts"))
    assert all(torch.equal(whole.tensors[k], resumed.tensors[k]) for k in whole.tensors)
    assert whole.metrics["path_error"] == resumed.metrics["path_error"]
