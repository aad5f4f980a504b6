"""The study of the UNet's switches: its networks, its protocol, and how hypotheses are judged."""

from dataclasses import asdict, replace

import pytest
import torch

from diffusion_creativity.experiments import unet_study as module
from diffusion_creativity.experiments._study_designs import CONTROL, MOST, SMALL, design, flops
from diffusion_creativity.experiments._study_designs import names as names_of
from diffusion_creativity.experiments.hypotheses import HYPOTHESES, SAME, Hypothesis, judge
from diffusion_creativity.experiments.registry import Unit, get
from diffusion_creativity.experiments.results import Result
from diffusion_creativity.networks.describe import parameters
from diffusion_creativity.networks.variants import variants


@pytest.mark.parametrize("full", [True, False], ids=["book", "gpu"])
def test_one_switch_apart_and_of_the_same_size(full):
    baseline = module.BOOK if full else module.GPU
    names = names_of(baseline)
    assert len(names) - len(SMALL) - 1 >= 28
    if not full:  # building them takes long
        names = ("kernel 1", *SMALL, *names[-len(SMALL) :])
    wanted = {name: parameters(baseline) for name in names}
    for name in SMALL:
        wanted[name] = parameters(design(name, baseline))
        assert wanted[name] < 0.9 * parameters(baseline)
        wanted[CONTROL + name] = wanted[name]
    switched = variants(baseline)
    for name in names:
        config = design(name, baseline)
        assert abs(parameters(config) / wanted[name] - 1) <= 0.1, name
        assert flops(config) <= MOST * flops(baseline), name
        one = baseline if name.startswith(CONTROL) else switched[name]
        assert replace(config, widths=one.widths) == one, name


def test_unknown_design_is_refused():
    with pytest.raises(ValueError, match=r"name must be one of baseline, .*got 'depth 9'"):
        design("depth 9", module.SMOKE)


@pytest.fixture
def smoke():
    return replace(get("unet_study").config("smoke"), seeds=1)


def unit(folder, variant, progress=lambda _: None):
    folder.mkdir(exist_ok=True)
    return Unit(variant, 0, torch.device("cpu"), folder, progress)


def test_measures_one_network(tmp_path, smoke):
    seen = []
    outcome = module.unet_study(smoke, unit(tmp_path, "faces-many-bias-free", seen.append))
    found = outcome.metrics
    assert found["copy"] + found["creative"] + found["invalid"] == pytest.approx(1)
    assert found["design"] == asdict(design("bias-free", module.SMOKE))
    assert found["training_images"] == 100
    assert found["rate"] == min(zip(found["trial_losses"], smoke.rates, strict=True))[1]
    assert outcome.sheets["samples"].shape == (20, 1, 16, 16)
    assert 0 < seen[0] < seen[-1] <= 0.9 + 1e-9
    assert seen == sorted(seen)


def test_goes_on_bit_by_bit_after_an_interruption(tmp_path, smoke):
    """Neither finished trials nor the steps up to the last checkpoint are done again."""
    whole = module.unet_study(smoke, unit(tmp_path / "whole", "faces-few-baseline")).metrics

    class Stop(Exception):
        pass

    for limit in (0.2, 0.7):  # between two trials, and in the run itself

        def stop(done, limit=limit):
            if done > limit:
                raise Stop

        with pytest.raises(Stop):
            module.unet_study(smoke, unit(tmp_path / "parts", "faces-few-baseline", stop))
    assert (tmp_path / "parts" / "trials.json").is_file()
    parts = module.unet_study(smoke, unit(tmp_path / "parts", "faces-few-baseline")).metrics
    changed = {name for name in whole if whole[name] != parts[name]}
    assert changed <= {"images_per_s"}


def test_few_images_are_the_first_of_the_many(smoke):
    few, held_out = module._images("faces", "few", smoke)
    many, same = module._images("faces", "many", smoke)
    assert torch.equal(few, many[:8])
    assert torch.equal(held_out, same)
    judged = [module._verdicts(few, size, smoke) for size in ("few", "many")]
    assert [one["copy"] for one in judged] == [1, 1]
    assert judged[1]["base_rate"] == pytest.approx(100 / 17_496)


def test_hypotheses_speak_of_networks_and_measures_that_exist():
    names = set(names_of(module.BOOK)) - {"baseline"}
    assert {h.network for h in HYPOTHESES} == names
    keys = [(h.network, h.size, h.measure) for h in HYPOTHESES]
    assert len(set(keys)) == len(keys)
    assert {h.expected for h in HYPOTHESES} == {"more", "less", "same"}


def made_up(shares, size="many", measure="invalid"):
    units = [
        {"variant": f"faces-{size}-{name}".replace(" ", "_"), "metrics": {measure: value}}
        for name, values in shares.items()
        for value in values
    ]
    return Result(None, {"units": units}, "")


@pytest.mark.parametrize(
    ("values", "outcomes"),
    [
        ((0.80, 0.81), {"more": "hit", "less": "miss", "same": "miss"}),
        ((0.30, 0.31), {"more": "miss", "less": "hit", "same": "miss"}),
        ((0.50, 0.51), {"more": "miss", "less": "miss", "same": "hit"}),
    ],
)
def test_judges_by_the_interval(values, outcomes):
    others = {f"other {k}": (0.5, 0.51) for k in range(8)}
    result = made_up({"baseline": (0.5, 0.51), "changed": values, **others})
    for expected, outcome in outcomes.items():
        (verdict,) = judge(result, [Hypothesis("changed", "many", "invalid", expected, "")])
        assert verdict.outcome == outcome, expected
        assert verdict.value == pytest.approx(sum(values) / 2)
        assert verdict.low < verdict.value - verdict.baseline < verdict.high
    wide = made_up({"baseline": (0.2, 0.8), "changed": (0.3, 0.9)})
    (verdict,) = judge(wide, [Hypothesis("changed", "many", "invalid", "more", "")])
    assert verdict.outcome == "open"


def test_leaves_out_what_was_not_run():
    guess = [Hypothesis("skips only 16", "many", "invalid", "more", "")]
    assert judge(made_up({"baseline": (0.5, 0.6), "another": (0.5, 0.6)}), guess) == []
    assert judge(made_up({"baseline": (0.5,), "skips only 16": (0.5, 0.4)}), guess) == []


def test_differences_are_found_by_chance_in_one_study_of_twenty():
    """Of 40 studies without a difference, more than 8 with a "hit" have a chance below 1e-3."""
    draw = torch.Generator().manual_seed(0)
    names = [f"network {k}" for k in range(5)]
    signs = [(name, sign) for name in names for sign in ("more", "less")]
    guesses = [Hypothesis(name, "many", "invalid", sign, "") for name, sign in signs]
    wrong = 0
    for _ in range(40):
        shares = 0.5 + 0.03 * torch.randn(6, 2, generator=draw, dtype=torch.float64)
        table = dict(zip(["baseline", *names], shares.tolist(), strict=True))
        wrong += any(v.outcome == "hit" for v in judge(made_up(table), guesses))
    assert wrong <= 8
    assert SAME == 0.1
