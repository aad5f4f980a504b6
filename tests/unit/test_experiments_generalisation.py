"""The experiment on copying and generalising: its sets, its moments, going on, and its curves."""

import importlib
import math
from dataclasses import replace

import pytest
import torch

from diffusion_creativity import experiments
from diffusion_creativity.data.faces import Faces
from diffusion_creativity.experiments import onsets
from diffusion_creativity.experiments.registry import Unit, get

module = importlib.import_module("diffusion_creativity.experiments.generalisation")
SMOKE = get("generalisation").config("smoke")


def unit(folder, variant="pair-16", progress=lambda done: None):
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    return Unit(variant, 0, torch.device("cpu"), folder, progress)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    return experiments.run("generalisation", "smoke", out=out, say=lambda _: None)


def test_writes_a_row_for_every_moment_and_network(smoke):
    units = {u["variant"]: u["metrics"] for u in smoke.record["units"]}
    assert set(units) == set(SMOKE.variants)
    for variant, m in units.items():
        networks = 2 if variant.startswith("pair") else 1
        assert m["steps"] == list(SMOKE.pace.moments)
        for copy, creative, invalid in zip(m["copy"], m["creative"], m["invalid"], strict=True):
            assert [sum(x) for x in zip(copy, creative, invalid, strict=True)] == [1, 1]
        assert torch.tensor(m["seen"]).shape == (networks, 2, len(SMOKE.pace.levels))
        assert len(m["third_rule_held_out"]) == networks
        assert ("agreement" in m) == (networks == 2)
        assert m["base_rate"] == 16 / 17496


def test_the_two_halves_and_what_is_held_out_are_disjoint_and_nested():
    family, halves, held_out = module.faces(get("generalisation").config("book"), 3)
    sets = [set(part.tolist()) for part in (*halves, held_out)]
    assert len(set.union(*sets)) == sum(map(len, sets)) == 2 * 4096 + 256
    assert len(family) == 17496
    again = module.faces(get("generalisation").config("book"), 4)[1][0]
    assert set(again.tolist()) != sets[0]  # another seed, other faces


def test_only_the_images_differ_within_a_pair(tmp_path, monkeypatch):
    """On one set twice, the two networks are one network, and agree entirely."""
    family, halves, held_out = module.faces(SMOKE, 0)
    same = (family, (halves[0], halves[0]), held_out)
    monkeypatch.setattr(module, "faces", lambda config, seed: same)
    out = module.generalisation(SMOKE, unit(tmp_path / "a"))
    assert torch.equal(*out.tensors["last"])
    assert out.metrics["agreement"][-1]["r"] == pytest.approx([1, 1, 1], abs=1e-9)
    assert out.metrics["agreement"][-1]["same_face"] == 1
    other = module.generalisation(SMOKE, unit(tmp_path / "b", "reseeded-16"))
    assert not torch.equal(other.tensors["last"][0], out.tensors["last"][1])


def test_goes_on_where_it_was_stopped(tmp_path):
    whole = module.generalisation(SMOKE, unit(tmp_path / "whole"))

    def stop(fraction):
        if fraction > 0.8:  # between two checkpoints of the second network
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module.generalisation(SMOKE, unit(tmp_path / "parts", progress=stop))
    assert (tmp_path / "parts" / "half-1" / "moment-5.safetensors").exists()
    resumed = module.generalisation(SMOKE, unit(tmp_path / "parts"))
    assert all(torch.equal(whole.tensors[k], resumed.tensors[k]) for k in whole.tensors)
    assert whole.metrics == resumed.metrics


def test_a_moment_lost_between_its_checkpoint_and_its_file_is_taken_again(tmp_path):
    whole = module.generalisation(SMOKE, unit(tmp_path / "run"))
    (tmp_path / "run" / "half-1" / "moment-10.safetensors").unlink()
    again = module.generalisation(SMOKE, unit(tmp_path / "run"))
    assert again.metrics == whole.metrics


def test_no_moment_depends_on_the_last_one(tmp_path):
    """So the curves over time are those of runs of any length."""
    short = replace(SMOKE, pace=replace(SMOKE.pace, moments=(5,)))
    a = module.generalisation(SMOKE, unit(tmp_path / "long"))
    b = module.generalisation(short, unit(tmp_path / "short"))
    assert a.metrics["seen"][0][0] == b.metrics["seen"][0][0]
    assert torch.equal(a.tensors["film"][:, 0], b.tensors["film"][:, 0])


def test_shuffling_is_undone():
    x = torch.randn(3, 2, 4, 4)
    order = module.pixel_order(4, seed=1)
    moved = module.shuffle(x, order)
    assert not torch.equal(moved, x)
    assert torch.equal(moved[0, 0].flatten(), x[0, 0].flatten()[order])
    assert torch.equal(module.shuffle(moved, order, back=True), x)
    assert module.shuffle(x, None) is x


def test_agreement_of_known_pairs():
    """The same faces, faces that share all traits but one, and faces of others."""
    family = Faces(positions=1)
    train, held_out = family.split(200, held_out=200)
    x, others = family.render(train), family.render(held_out)
    found = module.agreement(x[:50], x[:50], x, others, family)
    assert found["r"] == found["r_train"] == pytest.approx([1, 1, 1])
    assert found["apart"] == found["apart_train"] == 0 < found["apart_others"]
    assert found["same_face"] == 1 > found["same_face_others"]
    assert found["same_traits"] == 1
    assert abs(found["r_others"][0]) < 0.2
    # By hand: a pair agrees in 11 of 12 attributes where one digit was changed.
    digits = family.attributes(train[:50])
    mouth = list(family.values).index("mouth")
    digits[:, mouth] = (digits[:, mouth] + 1) % 4
    changed = family.render(family.index(digits))
    found = module.agreement(x[:50], changed, x, others, family)
    assert found["same_traits"] == pytest.approx(1 - 1 / digits.shape[1])
    assert found["same_face"] == 0
    assert found["apart_others"] > found["apart"] > 0


def test_onset_is_interpolated_in_the_logarithm():
    steps = (10, 100, 1000)
    assert onsets.onset(steps, (0, 0.5, 1), 0.25) == pytest.approx(10**1.5)
    assert onsets.onset(steps, (0, 0.5, 1), 0.5) == pytest.approx(100)
    assert onsets.onset(steps, (0, 0.6, 0), 0.5) == pytest.approx(10 ** (1 + 5 / 6))
    assert onsets.onset(steps, (0.7, 0.8, 0.9), 0.5) == 10
    assert math.isnan(onsets.onset(steps, (0, 0.1, 0.2), 0.5))
    with pytest.raises(ValueError, match="as many as steps = 3, got 2"):
        onsets.onset(steps, (0, 1), 0.5)


def test_exponent_of_a_power_law():
    sizes = [16, 32, 64, 128, 256]
    exact = onsets.exponent(sizes, [3 * n**0.7 for n in sizes])
    assert exact == pytest.approx((0.7, 0.7, 0.7))
    assert onsets.exponent([*sizes, 1], [*(n**2 for n in sizes), math.nan])[0] == pytest.approx(2)
    with pytest.raises(ValueError, match="three finite"):
        onsets.exponent([1, 2, 3], [1, math.nan, math.nan])


def test_interval_of_the_exponent_covers():
    """Of 400 fits to noisy points, 95 % cover: 4 standard errors are 4.4 %."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([16.0, 32, 64, 128, 256]).repeat(2)
    noise = 0.3 * torch.randn(400, 10, generator=generator)
    hits = 0
    for row in noise:
        low, high = onsets.exponent(sizes.tolist(), (sizes * row.exp()).tolist())[1:]
        hits += low <= 1 <= high
    assert abs(hits / 400 - 0.95) < 0.044
