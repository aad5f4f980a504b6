"""Each switch of the UNet changes what it says, seen from outside: by Jacobians and behaviour."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from diffusion_creativity.networks import (
    UNet,
    UNetConfig,
    effective_receptive_field,
    equivariance_error,
)
from diffusion_creativity.networks._unet_checks import CHOICES

from .unet_networks import awake

SMALL = UNetConfig(side=16, depth=2, widths=(8, 12, 16), embedding=16)
PLAIN = replace(SMALL, norm="none", activation="identity", conditioning="none")


def images(config, n=2, seed=0, side=None, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    side = side or config.side
    return torch.randn(n, config.channels, side, side, generator=generator, dtype=dtype)


def labels(n=2, seed=1):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def jacobian(network, x, label=None):
    """Return ∂F/∂x of one image as a (d, d) matrix."""
    label = torch.zeros(1, dtype=x.dtype) if label is None else label
    J = torch.autograd.functional.jacobian(lambda v: network(v, label), x[:1], vectorize=True)
    return J.reshape(x[0].numel(), x[0].numel())


# --- as a whole ---------------------------------------------------------------------------------


def test_a_new_network_returns_zeros_and_learns():
    network, x, label = UNet(SMALL), images(SMALL, dtype=torch.float32), labels().float()
    assert not network(x, label).any()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = (network(x, label) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_examples_do_not_see_each_other():
    network, x, label = awake(SMALL), images(SMALL, 5), labels(5)
    alone = torch.cat([network(x[i : i + 1], label[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(network(x, label), alone)


def test_a_batch_norm_sees_the_batch_in_training_only():
    config = replace(SMALL, norm="batch")
    network, x, label = awake(config), images(config, 5), labels(5)
    pair = network(x, label)[:2]
    assert (pair - network(x[:2], label[:2])).abs().max() > 1e-3
    network.eval()
    torch.testing.assert_close(network(x, label)[:2], network(x[:2], label[:2]))


def test_layout_of_memory_does_not_matter():
    network, x, label = awake(SMALL), images(SMALL), labels()
    expected = network(x, label)
    torch.testing.assert_close(network(x.contiguous(memory_format=torch.channels_last), label),
                               expected)  # fmt: skip
    plain = network.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(plain(x, label), expected)


def test_what_json_keeps_is_the_same_configuration():
    config = replace(SMALL, skips=(8,), attention=(4,), blocks=(1, 2, 1))
    assert UNetConfig(**json.loads(json.dumps(asdict(config)))) == config
    assert hash(config) == hash(replace(config))


def test_other_sides_and_oblong_images_pass():
    network = awake(SMALL)
    for shape in ((2, 1, 32, 32), (2, 1, 8, 24)):
        x = torch.randn(shape, dtype=torch.float64)
        assert network(x, labels()).shape == shape


def test_autocast_stays_near():
    network = awake(SMALL, dtype=torch.float32)
    x, label = images(SMALL, dtype=torch.float32), labels().float()
    expected = network(x, label)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(x, label)
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_the_graph_is_whole():
    """No branch depends on data: exported in one piece, so it compiles and captures."""
    network, x, label = awake(SMALL, dtype=torch.float32), images(SMALL).float(), labels().float()
    exported = torch.export.export(network, (x, label)).module()
    torch.testing.assert_close(exported(x, label), network(x, label))


@pytest.mark.parametrize("changes", [{}, {"attention": (4,), "padding": "circular"}])
def test_seeds_run_together(changes):
    """Under vmap, which torch's own group norm does not take on a CPU."""
    config = replace(SMALL, norm="pixel", **changes)
    networks, x, label = [awake(config, seed) for seed in range(3)], images(config), labels()
    parameters, buffers = torch.func.stack_module_state(networks)
    together = torch.func.vmap(
        lambda p, b: torch.func.functional_call(networks[0], (p, b), (x, label))
    )(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([network(x, label) for network in networks]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same():
    config = replace(SMALL, attention=(4,))
    network, x, label = awake(config), images(config), labels()
    expected = network(x, label)
    torch.testing.assert_close(network.cuda()(x.cuda(), label.cuda()).cpu(), expected)


# --- switch by switch ---------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_kernel_one_without_depth_is_pixelwise(depth):
    """A pixel sees the block of 2**depth that the strided 1×1 kernels pick it from, no more."""
    config = replace(SMALL, side=8, depth=depth, widths=(8,) * (depth + 1), kernel=1, norm="pixel")
    J = jacobian(awake(config), images(config)).reshape(8, 8, 8, 8)
    seen = {(a - c, b - d) for a, b, c, d in J.nonzero().tolist()}
    reach = 2**depth - 1
    assert (0, 0) in seen
    assert all(0 <= dy <= reach and 0 <= dx <= reach for dy, dx in seen)
    assert (len(seen) == 1) == (depth == 0)


@pytest.mark.parametrize("activation", ["identity", "silu", "relu", "square"])
def test_identity_is_the_one_affine_activation(activation):
    config = replace(PLAIN, depth=0, widths=(8,), activation=activation)
    network, x, t = awake(config), images(config, 3), labels(3)
    chord = network(0.3 * x[:1] + 0.7 * x[1:2], t[:1])
    mean = 0.3 * network(x[:1], t[:1]) + 0.7 * network(x[1:2], t[:1])
    error = ((chord - mean).norm() / mean.norm()).item()
    assert error < 1e-12 if activation == "identity" else error > 1e-3


def test_activations_are_what_they_are_called():
    """A square makes a polynomial: third differences of a one-block network of degree 4 vanish."""
    config = replace(PLAIN, depth=0, widths=(8,), activation="square", blocks=(0,))
    network, x = awake(config), images(config, 2)
    line = torch.stack([x[0] + s * x[1] for s in range(5)])
    values = network(line, torch.zeros(5, dtype=torch.float64))
    assert values.diff(n=3, dim=0).abs().max() < 1e-9 * values.abs().max()  # degree 2: the head
    assert values.diff(n=2, dim=0).abs().max() > 1e-3 * values.abs().max()


@pytest.mark.parametrize("down", ["stride", "average", "max", "unshuffle"])
@pytest.mark.parametrize("up", ["nearest", "bilinear", "transposed"])
def test_circles_commute_with_shifts_by_the_coarsest_pixel(down, up):
    config = replace(SMALL, padding="circular", down=down, up=up, attention=(4,))
    network = awake(config)
    assert equivariance_error(network, (1, 16, 16), step=4) < 1e-12
    assert equivariance_error(network, (1, 16, 16), step=2) > 1e-3


@pytest.mark.parametrize("norm", ["group", "pixel", "batch", "none"])
def test_circles_without_depth_commute_with_all_shifts(norm):
    config = replace(SMALL, depth=0, widths=(8,), padding="circular", norm=norm, kernel=5)
    assert equivariance_error(awake(config), (1, 16, 16)) < 1e-12


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_borders_break_shifts(padding):
    config = replace(SMALL, depth=0, widths=(8,), padding=padding)
    assert equivariance_error(awake(config), (1, 16, 16)) > 1e-3


@pytest.mark.parametrize("padding", ["zeros", "circular", "reflect"])
def test_what_lies_beyond_the_border(padding):
    """Interior alike; at the border as torch's own padded convolution of the same weights."""
    config = replace(PLAIN, depth=0, widths=(3,), blocks=0, kernel=5, padding=padding)
    network, x = awake(config), images(config)
    h = x
    mode = "constant" if padding == "zeros" else padding
    for conv in (network.stem, network.head[-1]):
        h = nn.functional.conv2d(nn.functional.pad(h, (2,) * 4, mode), conv.weight, conv.bias)
    torch.testing.assert_close(network(x, labels()), h)


def receptive_side(config):
    """Reach of a central pixel: every layer's radius in pixels of the input, upper bound."""
    r, radius = config.kernel // 2, 0
    for i, blocks in enumerate(config.blocks_at):
        radius += 2**i * 2 * r * blocks * 2  # two convolutions a block, down and up
    return 2 * (radius + 2 * r) + 1  # stem and head


@pytest.mark.parametrize(("kernel", "blocks"), [(1, 2), (3, 0), (3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("norm", ["pixel", "none"])
def test_reach_without_depth_is_the_sum_of_the_kernels(kernel, blocks, norm):
    config = replace(SMALL, side=64, depth=0, widths=(8,), kernel=kernel, blocks=blocks, norm=norm,
                     conditioning="none")  # fmt: skip
    field = effective_receptive_field(awake(config), (1, 64, 64))
    assert field.reach == receptive_side(config)
    assert field.effective <= field.reach


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("depth", [1, 2])
def test_reach_with_depth_covers_that_of_each_resolution(kernel, depth):
    config = replace(
        PLAIN, side=64, depth=depth, widths=(4,) * (depth + 1), blocks=1, kernel=kernel
    )
    reach = effective_receptive_field(awake(config), (1, 64, 64)).reach
    least = receptive_side(config)
    resampling = 2 * sum(2**i * (kernel // 2) for i in range(depth))  # strided convolutions
    assert least <= reach + 2**depth
    assert reach <= least + resampling + 2 * (2**depth - 1)  # the block a pixel falls in


@pytest.mark.parametrize(
    ("changes", "whole"),
    [({"norm": "pixel"}, False), ({"norm": "group"}, True), ({"norm": "batch"}, False),
     ({"norm": "pixel", "attention": (32,)}, True)],
)  # fmt: skip
def test_group_norm_and_attention_see_the_whole_image(changes, whole):
    config = replace(SMALL, side=32, depth=0, widths=(8,), **changes)
    field = effective_receptive_field(awake(config), (1, 32, 32))
    assert (field.reach == 32) == whole
    assert field.reach == (32 if whole else 13)


@pytest.mark.parametrize("narrow", [1, 3])
def test_without_skips_all_passes_the_bottleneck(narrow):
    """The Jacobian of an affine network has the rank of what passes: channels × coarse pixels."""
    config = replace(PLAIN, skips="none", bottleneck=narrow)
    network, x = awake(config), images(config)
    passing = narrow * 4 * 4
    assert torch.linalg.matrix_rank(jacobian(network, x)) == passing
    open_ = awake(replace(config, skips="all"))
    assert torch.linalg.matrix_rank(jacobian(open_, x)) > 128


@pytest.mark.parametrize("combine", ["sum", "concatenate"])
@pytest.mark.parametrize("side", [16, 8])
def test_a_skip_carries_its_own_resolution(combine, side):
    """With the bottleneck cut, what is left is the skips: none, or as many as its pixels carry."""
    for skips, alive in (("none", False), ((side,), True)):
        network = awake(replace(PLAIN, skips=skips, combine=combine, bottleneck=1))
        network.bottleneck[1].weight.data.zero_()
        J = jacobian(network, images(PLAIN))
        assert J.any() == alive
    rank = torch.linalg.matrix_rank(J).item()
    assert rank > (128 if side == 16 else 16)
    assert rank <= {16: 256, 8: 12 * 64}[side]


def test_sum_and_concatenation_differ_as_they_say():
    """Concatenating widens the first block of the way up, and its 1×1 shortcut."""
    summed, joined = UNet(SMALL), UNet(replace(SMALL, combine="concatenate"))
    for i, width in enumerate((8, 12)):
        assert summed.decoder[i][0].conv1.in_channels == width
        assert joined.decoder[i][0].conv1.in_channels == 2 * width
    assert joined.decoder[2][0].conv1.in_channels == 16


@pytest.mark.parametrize("conditioning", ["film", "concatenate", "none"])
@pytest.mark.parametrize("norm", ["group", "none"])
def test_the_noise_level_is_told_or_not(conditioning, norm):
    network, x = awake(replace(SMALL, conditioning=conditioning, norm=norm)), images(SMALL)
    a, b = (network(x, torch.full((2,), t, dtype=torch.float64)) for t in (-0.5, 0.7))
    assert torch.equal(a, b) == (conditioning == "none")


def test_the_noise_level_is_each_images_own():
    network, x = awake(SMALL), images(SMALL, 3)
    label = torch.tensor([-1.0, 0.2, 0.2], dtype=torch.float64)
    changed = network(x, label.clone().index_fill_(0, torch.tensor([0]), 0.5)) - network(x, label)
    assert changed[0].any()
    assert changed[1:].abs().max() < 1e-12


@pytest.mark.parametrize("conditioning", ["film", "none"])
@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_bias_free_networks_scale_with_their_input(activation, conditioning):
    config = replace(SMALL, norm="none", activation=activation, conditioning=conditioning)
    x, label = images(config), labels()
    for bias in (False, True):
        network = awake(replace(config, bias=bias))
        error = (network(3 * x, label) - 3 * network(x, label)).abs().max()
        assert error < 1e-11 * network(x, label).abs().max() if not bias else error > 1e-3


@pytest.mark.parametrize("norm", ["group", "pixel", "batch", "none"])
@pytest.mark.parametrize("conditioning", ["film", "concatenate", "none"])
def test_bias_free_networks_keep_nothing_to_nothing(norm, conditioning):
    config = replace(SMALL, norm=norm, bias=False, conditioning=conditioning, attention=(4,))
    label = torch.zeros(2, dtype=torch.float64)
    x = torch.zeros_like(images(config))
    assert not awake(config)(x, label).any()
    assert awake(replace(config, bias=True))(x, label).any()


@pytest.mark.parametrize("norm", ["group", "pixel"])
def test_norms_forget_the_scale_and_none_does_not(norm):
    """``F(x)`` for large x: the first block's branch stays bounded under a norm."""
    config = replace(SMALL, depth=0, widths=(8,), conditioning="none", bias=False)
    sizes = {}
    for kind in (norm, "none"):
        network, x = awake(replace(config, norm=kind)), images(config)
        sizes[kind] = [network(s * x, labels()).norm().item() for s in (1e3, 1e6)]
    assert sizes[norm][1] == pytest.approx(sizes[norm][0], rel=1e-3)
    assert sizes["none"][1] > 100 * sizes["none"][0]


def test_pixel_norm_is_layer_norm_over_channels():
    config = replace(SMALL, depth=0, widths=(8,), blocks=0, norm="pixel",
                     conditioning="none", activation="identity")  # fmt: skip
    network, x = awake(config), images(config)
    h = network.stem(x)
    norm, conv = network.head[0], network.head[-1]
    centred = h - h.mean(1, keepdim=True)
    h = centred / (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
    h = h * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(network(x, labels()), conv(h))


@pytest.mark.parametrize(("width", "groups"), [(12, 4), (10, 2), (7, 1), (8, 4)])
def test_groups_that_do_not_divide_the_width_give_way(width, groups):
    network = UNet(replace(SMALL, depth=0, widths=(width,)))
    assert network.head[0].num_groups == groups


def test_attention_is_the_softmax_of_all_pixels():
    config = replace(SMALL, side=4, depth=0, widths=(8,), attention=(4,), heads=2)
    attention, x = awake(config).encoder[0][0].attention, torch.randn(2, 8, 4, 4).double()
    q, k, v = attention.qkv(attention.norm(x)).flatten(2).unflatten(1, (3, 2, 4)).unbind(1)
    weights = torch.softmax(q.mT @ k / 2, -1)  # (B, heads, pixel, pixel), √(8 / 2) = 2
    mixed = (v @ weights.mT).flatten(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(attention(x), x + attention.proj(mixed))


@pytest.mark.parametrize("down", ["average", "max", "unshuffle"])
def test_halving_reads_the_block_of_four(down):
    network = awake(replace(PLAIN, down=down))
    halve, x = network.down[0], torch.randn(1, 8, 6, 6, dtype=torch.float64)
    block = x.unfold(2, 2, 2).unfold(3, 2, 2)  # (1, 8, 3, 3, 2, 2)
    pooled = {
        "average": lambda: block.mean((-1, -2)),
        "max": lambda: block.amax((-1, -2)),
        "unshuffle": lambda: block.permute(0, 1, 4, 5, 2, 3).reshape(1, 32, 3, 3),
    }[down]()
    torch.testing.assert_close(halve(x), halve[1](pooled))


@pytest.mark.parametrize("up", ["nearest", "bilinear"])
@pytest.mark.parametrize("axis", [2, 3])
def test_doubling_repeats_or_interpolates(up, axis):
    """Along one axis, with nothing changing along the other."""
    double = awake(replace(PLAIN, up=up, padding="reflect")).up[0]
    x = torch.randn(2, 12, 1, 5, dtype=torch.float64).expand(-1, -1, 5, -1).movedim(3, axis)
    found, h = (t.movedim(axis, 3)[:, :, 4] for t in (double(x), double[0](x)))
    if up == "nearest":
        torch.testing.assert_close(found, h.repeat_interleave(2, 2))
    else:
        torch.testing.assert_close(found[..., 1:-1:2], 0.75 * h[..., :-1] + 0.25 * h[..., 1:])
        torch.testing.assert_close(found[..., 2:-1:2], 0.25 * h[..., :-1] + 0.75 * h[..., 1:])


def test_transposed_doubling_paints_a_block_for_each_pixel():
    double = awake(replace(PLAIN, up="transposed")).up[0]
    x = torch.randn(2, 12, 3, 3, dtype=torch.float64)
    painted = torch.einsum("bcyx,cdij->bdyixj", x, double.weight).reshape(2, 8, 6, 6)
    torch.testing.assert_close(double(x), painted + double.bias[:, None, None])


# --- sizes --------------------------------------------------------------------------------------


def size(**changes):
    return sum(p.numel() for p in UNet(replace(SMALL, **changes)).parameters())


@pytest.mark.parametrize(
    "chain",
    [
        [{"widths": (w, 12, 16)} for w in (4, 8, 12)],
        [{"widths": (8, 12, w)} for w in (8, 16, 24)],
        [{"depth": d, "widths": (8, 12, 16)[: d + 1]} for d in (0, 1, 2)],
        [{"blocks": b} for b in ((0, 0, 1), 1, (1, 2, 1), 2)],
        [{"kernel": k} for k in (1, 3, 5)],
        [{"bottleneck": b} for b in (None, 1, 4, 16)],
        [{"combine": c} for c in ("sum", "concatenate")],
        [{"attention": a} for a in ((), (4,), (4, 8), (4, 8, 16))],
        [{"bias": b} for b in (False, True)],
        [{"conditioning": c} for c in ("none", "concatenate", "film")],
        [{"embedding": e} for e in (8, 16, 32)],
        [{"norm": n} for n in ("none", "group")],
        [{"channels": n} for n in (1, 3)],
    ],
    ids=lambda chain: next(iter(chain[0])),
)
def test_more_of_anything_has_more_parameters(chain):
    sizes = [size(**changes) for changes in chain]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("chain", [
    [{"skips": s} for s in ("all", "none", (16,), (8,))],
    [{"padding": p} for p in ("zeros", "circular", "reflect")],
    [{"activation": a} for a in ("silu", "relu", "identity", "square")],
    [{"norm": n} for n in ("group", "pixel", "batch")],
    [{"up": u} for u in ("nearest", "bilinear")],
], ids=lambda chain: next(iter(chain[0])))  # fmt: skip
def test_switches_without_weights_keep_the_size(chain):
    assert len({size(**changes) for changes in chain}) == 1


# --- any configuration --------------------------------------------------------------------------


@st.composite
def switches(draw):
    """Every switch at any of its values; not all go together."""
    depth = draw(st.integers(0, 2))
    side = draw(st.sampled_from([2, 3, 4])) * 2**depth
    sides = [side // 2**i for i in range(depth + 1)]
    several = st.lists(st.integers(0, 2), min_size=depth + 1, max_size=depth + 1)
    some_sides = st.sets(st.sampled_from(sides)).map(tuple)
    return {
        "side": side,
        "depth": depth,
        "channels": draw(st.integers(1, 3)),
        "widths": tuple(draw(st.lists(st.integers(1, 9), min_size=depth + 1, max_size=depth + 1))),
        "blocks": draw(st.one_of(st.integers(0, 2), several)),
        "bottleneck": draw(st.one_of(st.none(), st.none(), st.integers(1, 4))),
        "skips": draw(st.one_of(st.sampled_from(["all", "none"]), some_sides)),
        "kernel": draw(st.sampled_from([1, 3, 5])),
        "groups": draw(st.integers(1, 4)),
        "heads": draw(st.integers(1, 4)),
        "attention": draw(st.one_of(st.just(()), some_sides)),
        "bias": draw(st.booleans()),
        "embedding": draw(st.integers(1, 8)),
    } | {name: draw(st.sampled_from(choices)) for name, choices in CHOICES.items()}


@settings(max_examples=150, deadline=None)
@given(changes=switches(), n=st.integers(2, 3), seed=st.integers(0, 2**20))
def test_whatever_is_accepted_runs_and_the_rest_is_refused(changes, n, seed):
    reason = ""
    try:
        config = UNetConfig(**changes)
    except ValueError as error:
        reason = str(error)
    if reason:
        assert reason.split()[0] in changes
        return
    torch.manual_seed(seed)
    network = UNet(config)
    x = torch.randn(n, config.channels, config.side, config.side).requires_grad_()
    label = torch.randn(n)
    bounded = (config.activation, config.norm) != ("square", "none")  # squares of squares overflow
    for step in range(1 + bounded):  # as it starts, and with the zero layers awake
        out = network(x, label)
        assert out.shape == x.shape
        assert out.dtype == x.dtype
        assert torch.isfinite(out).all()
        if step == 0:
            assert not out.any()
        (out - 1).square().mean().backward()
        for parameter in network.parameters():
            assert parameter.grad is None or torch.isfinite(parameter.grad).all()
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    assert torch.isfinite(x.grad).all()


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"side": 18}, r"^side must be divisible by 2\*\*depth = 4, got 18"),
        ({"side": 0}, r"^side must be an integer >= 1, got 0"),
        ({"depth": -1}, r"^depth must be an integer >= 0, got -1"),
        ({"depth": 1}, r"^widths must hold depth \+ 1 = 2 numbers, got \(8, 12, 16\)"),
        ({"widths": 32}, r"^widths must hold depth \+ 1 = 3 numbers, got 32"),
        ({"widths": (8, 0, 8)}, r"^widths must be an integer >= 1, got 0"),
        ({"blocks": (1, 1)}, r"^blocks must hold depth \+ 1 = 3 numbers"),
        ({"blocks": -1}, r"^blocks must be an integer >= 0, got -1"),
        ({"kernel": 4}, r"^kernel must be odd, to have a centre, got 4"),
        ({"bottleneck": 0}, r"^bottleneck must be an integer >= 1, got 0"),
        ({"bottleneck": 17}, r"^bottleneck must be at most the lowest width, 16, or it narrows"),
        ({"skips": (4,)}, r"^skips must be .* sides above the lowest \(16, 8\), got 4"),
        ({"skips": "some"}, r"^skips must be 'all', 'none' or .*, got 'some'"),
        ({"skips": 8}, r"^skips must be 'all', 'none' or a tuple of sides .*, got 8"),
        ({"depth": 0, "widths": (8,), "skips": (16,)}, r"^skips .* \(there is none\), got 16"),
        ({"attention": (32,)}, r"^attention must be .* of the network \(16, 8, 4\), got 32"),
        ({"attention": 8}, r"^attention must be a tuple of sides .*, got 8"),
        ({"attention": (8,), "blocks": (1, 0, 1)}, r"^blocks must be >= 1 at side 8, for attent"),
        ({"combine": "concatenate", "blocks": 0}, r"^blocks must be >= 1 at side 16, for a conca"),
        ({"blocks": 0}, r"^blocks must be >= 1 somewhere, for conditioning 'film', got 0"),
        ({"padding": "reflect", "kernel": 9}, r"^padding 'reflect' by 4 needs a side of at least"),
        ({"padding": "circular", "kernel": 11}, r"^padding 'circular' by 5 needs a side .* got 4"),
        ({"padding": "reflect", "kernel": 1, "up": "bilinear", "side": 4},
         r"^padding 'reflect' by 1 needs a side of at least 2 at the lowest resolution, got 1"),
        ({"bias": 1}, r"^bias must be True or False, got 1"),
        ({"groups": 0}, r"^groups must be an integer >= 1"),
        *(({name: "other"}, rf"^{name} must be one of .*, got 'other'")
          for name in ("combine", "padding", "down", "up", "norm", "activation", "conditioning")),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_the_reason(changes, reason):
    with pytest.raises(ValueError, match=reason):
        replace(SMALL, **changes)


def test_what_does_not_fit_is_refused():
    network = UNet(SMALL)
    for shape in ((2, 3, 16, 16), (2, 1, 18, 16), (1, 16, 16)):
        with pytest.raises(ValueError, match=r"^x must have shape \(B, 1, H, W\) with H and W div"):
            network(torch.zeros(shape), torch.zeros(2))
    with pytest.raises(ValueError, match=r"^noise_label must have shape \(2,\), got \(\)"):
        network(images(SMALL), torch.tensor(1.0))


# --- the measures -------------------------------------------------------------------------------


def test_receptive_field_of_a_known_filter():
    """A fixed 5×5 filter: the squared gradient is the squared filter, turned about its centre."""
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(1, 1, 5, 5, generator=generator)
    field = effective_receptive_field(
        lambda x, _: nn.functional.conv2d(x, kernel, padding=2), (1, 17, 17)
    )
    torch.testing.assert_close(field.gradient[6:11, 6:11].float(), kernel[0, 0].square())
    assert field.gradient.sum() == pytest.approx(kernel.double().square().sum().item(), rel=1e-6)
    assert field.reach == 5


@pytest.mark.parametrize(("share", "side"), [(0.5, 1), (0.6, 3), (0.91, 5), (1.0, 5)])
def test_effective_side_holds_the_share(share, side):
    """Mass 0.5 at the centre, 0.4 in the ring of 8, 0.1 in the ring of 16."""
    mass = torch.full((5, 5), 0.1 / 16)
    mass[1:4, 1:4] = 0.4 / 8
    mass[2, 2] = 0.5
    kernel = mass.sqrt()[None, None]
    found = effective_receptive_field(
        lambda x, _: nn.functional.conv2d(x, kernel, padding=2), (1, 9, 9), share=share - 1e-6
    )
    assert found.effective == side


def test_receptive_field_says_when_there_is_none():
    with pytest.raises(ValueError, match=r"^network must depend on its input .* until it is tr"):
        effective_receptive_field(UNet(SMALL), (1, 16, 16))
    with pytest.raises(ValueError, match=r"^share must be at most 1, got 2"):
        effective_receptive_field(awake(SMALL), (1, 16, 16), share=2)
    with pytest.raises(ValueError, match=r"^shape must be \(C, H, W\)"):
        effective_receptive_field(awake(SMALL), (16, 16))


def test_equivariance_error_of_known_maps():
    x_scale = torch.rand(16, 16, dtype=torch.float64)
    assert equivariance_error(lambda x, _: x.square(), (1, 16, 16)) == 0
    assert equivariance_error(lambda x, _: 0 * x, (1, 16, 16)) == 0
    chance = equivariance_error(lambda x, _: torch.randn_like(x), (1, 16, 16), shifts=32)
    # 32 shifts of 4 · 256 independent normals: sqrt(2), to within 5 standard errors.
    assert chance == pytest.approx(math.sqrt(2), abs=5 * math.sqrt(2) / math.sqrt(4 * 256))
    assert 0.1 < equivariance_error(lambda x, _: x * x_scale, (1, 16, 16)) < 1.5
    with pytest.raises(ValueError, match=r"^step must be below the image's side 16, got 16"):
        equivariance_error(lambda x, _: x, (1, 16, 16), step=16)


def test_measuring_leaves_the_mode_of_training():
    network = awake(replace(SMALL, norm="batch"))
    before = network.state_dict()["head.0.running_mean"].clone()
    effective_receptive_field(network, (1, 16, 16))
    equivariance_error(network, (1, 16, 16))
    assert network.training
    assert torch.equal(network.state_dict()["head.0.running_mean"], before)
    assert all(p.grad is None for p in network.parameters())
