"""The description of a UNet and its named variants, against independent counts."""

from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from diffusion_creativity.networks import (
    VARIANTS,
    UNet,
    UNetConfig,
    describe,
    effective_receptive_field,
    matched,
    variants,
)

SMALL = UNetConfig(side=16, depth=2, widths=(8, 12, 16), embedding=16)
HARD = replace(SMALL, attention=(4,), bottleneck=4, combine="concatenate", up="transposed",
               down="unshuffle", blocks=(1, 2, 1))  # fmt: skip


def size(config):
    return sum(p.numel() for p in UNet(config).parameters())


def flops_by_hand(config):
    """Two for each weight and output pixel of convolutions and linear layers, and attention."""
    network, total = UNet(config).eval(), 0

    def count(module, _inputs, output):
        nonlocal total
        if isinstance(module, nn.ConvTranspose2d):
            pixels = output.shape[2:].numel() // module.stride[0] ** 2
            total += 2 * module.weight.numel() * pixels
        elif isinstance(module, nn.Conv2d):
            total += 2 * module.weight.numel() * output.shape[2:].numel()
        elif isinstance(module, nn.Linear):
            total += 2 * module.weight.numel()
        elif type(module).__name__ == "_Attention":
            channels, pixels = output.shape[1], output.shape[2:].numel()
            total += 2 * 2 * channels * pixels**2

    for module in network.modules():
        module.register_forward_hook(count)
    network(torch.zeros(1, config.channels, config.side, config.side), torch.zeros(1))
    return total


# --- describe -----------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [SMALL, HARD, replace(SMALL, conditioning="none", norm="batch")])
def test_sums_over_layers_are_those_of_the_network(config):
    found = describe(config, baseline=SMALL)
    assert found.parameters == size(config)
    assert found.flops == flops_by_hand(config)


def test_the_baseline_itself_alters_nothing():
    found = describe(SMALL, baseline=SMALL)
    assert found.altered == {}
    assert found.switches == {}
    assert found.field.effective == found.baseline_field.effective


def test_layers_come_in_order_with_their_shapes():
    found = describe(SMALL, baseline=SMALL)
    assert [layer.name for layer in found.layers] == [
        "noise", "stem", "encoder 16.1", "down 16 → 8", "encoder 8.1", "down 8 → 4", "encoder 4.1",
        "bottleneck", "decoder 4.1", "up 4 → 8", "decoder 8.1", "up 8 → 16", "decoder 16.1", "head",
    ]  # fmt: skip
    shapes = {layer.name: layer.output for layer in found.layers}
    assert shapes["stem"] == (8, 16, 16)
    assert shapes["down 16 → 8"] == (12, 8, 8)
    assert shapes["bottleneck"] == (16, 4, 4)
    assert shapes["head"] == (1, 16, 16)


@pytest.mark.parametrize(
    ("changes", "altered"),
    [
        ({"bottleneck": 4}, {"bottleneck": "was nothing"}),
        ({"attention": (4,)}, {"encoder 4.1": "was", "decoder 4.1": "was"}),
        ({"blocks": (1, 1, 2)}, {"encoder 4.2": "new", "decoder 4.2": "new", "noise": "was"}),
        ({"blocks": (1, 1, 0)},
         {"encoder 4.1": "absent", "decoder 4.1": "absent", "noise": "was"}),
        ({"up": "bilinear"}, {"up 4 → 8": "was conv 1×1, UpsamplingNearest2d", "up 8 → 16": "was"}),
        ({"down": "max"}, {"down 16 → 8": "was conv 3×3 / 2 zeros", "down 8 → 4": "was"}),
        ({"combine": "concatenate"}, {"decoder 8.1": "was", "decoder 16.1": "was"}),
        ({"conditioning": "none"}, {"noise": "was linear"}),
    ],
)  # fmt: skip
def test_exactly_the_altered_layers_are_named(changes, altered):
    found = describe(replace(SMALL, **changes), baseline=SMALL)
    assert found.altered.keys() == altered.keys()
    for name, start in altered.items():
        assert found.altered[name].startswith(start)
    ((name, (old, new)),) = found.switches.items()
    assert changes == {name: new}
    assert old == asdict(SMALL)[name]


def test_skips_alter_no_layer_but_show_among_the_switches():
    found = describe(replace(SMALL, skips=(8,)), baseline=SMALL)
    assert found.altered == {}
    assert found.switches == {"skips": ("all", (8,))}


def test_it_prints_and_shows_what_it_found():
    found = describe(HARD, baseline=SMALL)
    text, page = str(found), found._repr_html_()
    numbers = [f"{found.parameters:,}", f"{found.flops / 1e6:,.1f}", "effective receptive field"]
    for part in [*numbers, "attention", "bottleneck", "transposed conv 2×2 / 2", "PixelUnshuffle"]:
        assert part in text
        assert part in page
    assert page.count("<table") == 2


def test_a_trained_network_is_measured_as_it_is():
    network = UNet(replace(SMALL, norm="pixel"))
    with pytest.raises(ValueError, match="until it is trained"):
        describe(network, baseline=SMALL)
    nn.init.ones_(network.head[-1].weight)
    field = describe(network, baseline=SMALL).field
    expected = effective_receptive_field(network, (1, 16, 16))
    assert (field.effective, field.reach) == (expected.effective, expected.reach)


def test_describing_draws_nothing_from_the_readers_random_numbers():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    describe(replace(SMALL, groups=2), baseline=SMALL)
    assert torch.equal(torch.get_rng_state(), before)


# --- variants -----------------------------------------------------------------------------------

WANTED = [
    "baseline", "skips none", "skips only 32", "skips only 16", "skips only 8",
    "bottleneck 1", "bottleneck 4", "bottleneck 16", "depth 0", "depth 1", "depth 2",
    "kernel 1", "kernel 5", "padding circular", "padding reflect",
    "down average", "down max", "down unshuffle", "up bilinear", "up transposed",
    "norm none", "norm pixel", "norm batch", "attention 16", "attention 8",
    "activation relu", "activation identity", "activation square",
    "conditioning none", "conditioning concatenate", "bias-free", "combine concatenate",
]  # fmt: skip


def test_the_study_has_its_variants():
    assert set(WANTED) <= set(VARIANTS)
    assert next(iter(VARIANTS)) == "baseline"
    assert len(set(VARIANTS.values())) == len(VARIANTS) >= 21


@pytest.mark.parametrize("baseline", [UNetConfig(), SMALL, HARD])
def test_a_variant_alters_one_switch(baseline):
    for name, config in variants(baseline).items():
        old, new = asdict(baseline), asdict(config)
        differ = {key for key in new if old[key] != new[key]}
        if name == "baseline":
            assert not differ
        elif name.startswith("depth"):
            follow = {"widths", "blocks", "attention", "bottleneck", "skips"}
            assert {"depth", "widths"} <= differ <= {"depth", *follow}
        else:
            assert len(differ) == 1, name


def test_variants_follow_the_sides_of_the_baseline():
    names = set(variants(SMALL))
    assert {"skips only 16", "skips only 8", "attention 8", "attention 4", "depth 3"} <= names
    assert not {"skips only 32", "skips only 4", "attention 16", "depth 2"} & names
    assert "combine sum" in variants(HARD)  # back to what the default is


@pytest.mark.parametrize("name", VARIANTS)
def test_matched_variants_have_the_size_of_the_baseline(name):
    target = size(UNetConfig())
    config = matched(VARIANTS[name], target)
    assert abs(size(config) - target) <= 0.1 * target
    kept = asdict(replace(config, widths=VARIANTS[name].widths))
    assert kept == asdict(VARIANTS[name])
    if abs(size(VARIANTS[name]) - target) <= 0.1 * target:
        assert config == VARIANTS[name]


@pytest.mark.parametrize("target", [3_000, 30_000, 300_000])
@pytest.mark.parametrize("config", [SMALL, replace(SMALL, kernel=1, skips="none")])
def test_matching_reaches_other_sizes(config, target):
    found = matched(config, target, tolerance=0.05)
    assert abs(size(found) - target) <= 0.05 * target


def test_what_cannot_be_matched_comes_as_near_as_it_can():
    found = matched(SMALL, 10)
    assert found.widths == (1, 1, 1)
    narrow = matched(replace(SMALL, bottleneck=10), 1_000)
    assert narrow.widths[-1] == 10
    with pytest.raises(ValueError, match=r"^parameters must be an integer >= 1, got 0"):
        matched(SMALL, 0)
