"""Equivariant, its law, and distances modulo a group, against orbits written out."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffusion_creativity as dc
from diffusion_creativity import _groups, _shifts
from diffusion_creativity.denoisers import Bayes, Equivariant, _orbit, equivariant
from diffusion_creativity.laws import Orbit

SIGMAS = [0.002, 0.02, 0.1, 0.5, 2.0, 80.0]
GROUPS = [
    "translations", "flips", "quarter_turns", ("flips", "quarter_turns"),
    ("translations", "flips"), ("translations", "quarter_turns"),
    ("translations", "flips", "quarter_turns"),
]  # fmt: skip


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def orbit(x, group):
    """Every moved image, by roll, flip and rot90 alone, duplicates from the group kept once."""
    names = (group,) if isinstance(group, str) else group
    moved = [x]
    if "quarter_turns" in names:
        moved = [torch.rot90(m, k, (-2, -1)) for m in moved for k in range(4)]
    if "flips" in names and "quarter_turns" in names:
        moved = [f for m in moved for f in (m, m.flip(-1))]
    elif "flips" in names:
        moved = [m.flip(axes) for m in moved for axes in ((), (-1,), (-2,), (-2, -1))]
    if "translations" in names:
        h, w = x.shape[-2:]
        moved = [m.roll(by, (-2, -1)) for m in moved
                 for by in itertools.product(range(h), range(w))]  # fmt: skip
    return torch.cat(moved)


def direct(x, y, sigma):
    points, query = x.double().flatten(1), y.double().flatten(1)
    squares = torch.stack([(q - points).square().sum(1) for q in query])
    return ((-squares / (2 * sigma**2)).softmax(1) @ points).reshape(y.shape)


@pytest.fixture(params=["fft", "built"])
def route(request, monkeypatch):
    monkeypatch.setattr(equivariant, "SMALL", 0 if request.param == "fft" else 10**9)
    return request.param


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_agrees_with_sums_over_the_orbit(sigma, group, route):
    x = draw(9, 2, 6, 6).clamp(-1, 1)
    everything = orbit(x, group)
    denoise = Equivariant.fit(x, group=group)
    assert len(everything) == len(x) * denoise.group.order
    y = everything[::7][:6] + sigma * draw(6, 2, 6, 6, seed=1)
    middle = (everything[:6] + everything[-6:]) / 2 + sigma / 20 * draw(6, 2, 6, 6, seed=2)
    for noisy in (y, middle):
        exact = direct(everything, noisy, sigma)
        assert (denoise(noisy, sigma) - exact).abs().max() < 2e-5
        exact = direct(everything, noisy.double(), sigma)
        torch.testing.assert_close(denoise(noisy.double(), sigma), exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [(7,), (2, 6), (1, 3, 5), (3, 4, 4)])
def test_every_shape(shape, route):
    x, y = draw(5, *shape), draw(4, *shape, seed=1)
    space = shape[1:] if len(shape) > 1 else shape
    axes = tuple(range(-len(space), 0))
    moved = [x.roll(by, axes) for by in itertools.product(*map(range, space))]
    exact = direct(torch.cat(moved), y, 0.4)
    assert (Equivariant.fit(x)(y, 0.4) - exact).abs().max() < 1e-5


def test_digits_in_float32_at_the_smallest_noise(route):
    x = dc.data.load("digits").x[:100]
    everything = orbit(x, "translations")
    for sigma in (0.002, 0.01, 0.05, 0.2):
        y = (x[:8] + x[8:16].roll(1, -1)) / 2 + sigma / 10 * draw(8, 1, 8, 8, seed=3)
        gap = Equivariant.fit(x)(y, sigma) - direct(everything, y, sigma)
        assert gap.abs().max() < 2e-4  # 1e-4 of the data's range


@pytest.mark.parametrize("felt", [0.0, 1e-12, 1e9])
@pytest.mark.parametrize("limit", [1, 64])
def test_every_route_gives_the_same_answer(felt, limit, monkeypatch):
    monkeypatch.setattr(equivariant, "SMALL", 0)
    monkeypatch.setattr(_orbit, "FELT", felt)
    monkeypatch.setattr(_orbit, "LIMIT", limit)
    x = draw(12, 1, 4, 5)
    y = x[:6] + 0.5 * draw(6, 1, 4, 5, seed=1)
    exact = direct(orbit(x, "translations"), y, 0.5)
    assert (Equivariant.fit(x)(y, 0.5) - exact).abs().max() < 1e-5


@pytest.mark.parametrize("room", [0.0, 1.0, 40.0])
@pytest.mark.parametrize("size", [1, 100, 1 << 19])
def test_any_tile_and_any_reference(size, room, monkeypatch):
    monkeypatch.setattr(equivariant, "SMALL", 0)
    monkeypatch.setattr(_orbit, "ROOM", room)
    monkeypatch.setattr(_shifts, "PAIRS", size)
    monkeypatch.setattr(_orbit, "ROWS", 2)
    x, y = draw(11, 1, 4, 4), draw(5, 1, 4, 4, seed=1)
    exact = direct(orbit(x, "translations"), y, 0.7)
    assert (Equivariant.fit(x)(y, 0.7) - exact).abs().max() < 1e-5


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 9), seed=st.integers(0, 500), shape=st.sampled_from([(7,), (2, 6), (3, 4, 5)]),
    sigma=st.sampled_from([0.0, 0.1, 1.0]), reach=st.sampled_from([0.0, 0.3, 5.0]),
)  # fmt: skip
def test_no_image_in_reach_is_ruled_out(n, seed, shape, sigma, reach):
    """The bound from moduli of spectra holds, and is of use: a nearly exact shift stands alone."""
    x, noise = draw(n, *shape, seed=seed), draw(n, *shape, seed=seed + 1)
    space = shape[1:] if len(shape) > 1 else shape
    axes = tuple(range(-len(space), 0))
    y = x.roll([1] * len(space), axes) + sigma * noise
    shifts = _shifts.Shifts(x, space)
    wanted, some = shifts.candidates(y.flatten(1), torch.full((n,), reach, dtype=torch.float64))
    mean = shifts.mean if len(shape) > 1 else shifts.mean.flatten()
    images, queries = (x.double() - mean).flatten(1), y.double() - mean
    scores = torch.stack(
        [queries.roll([-b for b in by], axes).flatten(1) @ images.T for by in
         itertools.product(*map(range, space))], 2,
    ) - 0.5 * images.square().sum(1)[:, None]  # fmt: skip
    best, tops = scores.amax((1, 2)), scores.amax(2)
    assert (some <= best + 1e-4).all()
    needed = torch.nn.functional.pad(tops > best[:, None] - reach, (0, n % 2))
    assert wanted[needed.unflatten(1, (-1, 2)).any(2)].all()
    if sigma == 0 and reach == 0:
        assert wanted.sum() == n


def test_symmetric_images_tie_with_themselves(route):
    """A constant image equals all its shifts; stripes equal half of them."""
    constant, stripes = torch.zeros(1, 12, 12), torch.ones(1, 12, 12)
    stripes[:, ::2] = -1
    x = torch.stack([constant, stripes])
    denoise = Equivariant.fit(x)
    for sigma in (0.0, 1e-12, 1e-6, 0.002, 0.1):
        y = x + sigma / 10 * draw(2, 1, 12, 12)
        torch.testing.assert_close(denoise(y, sigma), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.02, 0.3, 5.0])
@pytest.mark.parametrize("group", ["translations", ("translations", "flips")], ids=str)
def test_the_gradient_is_exact(sigma, group, route):
    x = draw(6, 1, 3, 4, dtype=torch.float64)
    y = (x[:2] + x[2:4]) / 2 + sigma * draw(2, 1, 3, 4, seed=1, dtype=torch.float64)
    denoise = Equivariant.fit(x, group=group)
    y.requires_grad_()
    assert torch.autograd.gradcheck(lambda y: denoise(y, sigma), y, eps=1e-6, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 500), sigma=st.sampled_from([0.01, 0.3, 4.0]),
    group=st.sampled_from(GROUPS), by=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)  # fmt: skip
def test_it_commutes_with_its_group(seed, sigma, group, by):
    x, y = draw(7, 1, 6, 6, seed=seed), draw(4, 1, 6, 6, seed=seed + 1)
    denoise = Equivariant.fit(x, group=group)
    moves = []
    if "translations" in group:
        moves.append(lambda t: t.roll(by, (-2, -1)))
    if "flips" in group:
        moves.append(lambda t: t.flip(-1))
    if "quarter_turns" in group:
        moves.append(lambda t: torch.rot90(t, 1, (-2, -1)))
    for move in moves:
        torch.testing.assert_close(denoise(move(y), sigma), move(denoise(y, sigma)),
                                   rtol=0, atol=3e-5)  # fmt: skip
    free = Bayes.fit(x)
    assert not torch.allclose(free(y.roll(1, -1), 0.3), free(y, 0.3).roll(1, -1), atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(0, 3), seed=st.integers(0, 500),
    shape=st.sampled_from([(5,), (2, 4), (1, 4, 4)]),
    sigma=st.sampled_from([0, 5e-324, 1e-30, 0.002, 80.0, 1e30]),
    dtype=st.sampled_from([torch.float16, torch.float32, torch.float64, torch.uint8]),
    small=st.sampled_from([0, 10**9]),
)  # fmt: skip
def test_whatever_is_fitted_denoises(n, seed, shape, sigma, dtype, small):
    before, equivariant.SMALL = equivariant.SMALL, small
    try:
        x, y = draw(4, *shape, seed=seed).to(dtype), draw(n, *shape, seed=seed + 1).to(dtype)
        out = Equivariant.fit(x)(y, torch.full((n,), sigma, dtype=torch.float64))
    finally:
        equivariant.SMALL = before
    assert out.shape == y.shape
    assert out.dtype == (dtype if dtype.is_floating_point else torch.float32)
    assert torch.isfinite(out).all()
    if n:
        assert out.max() <= x.max() + 1e-2
        assert out.min() >= x.min() - 1e-2


def test_bad_arguments_are_named():
    x = draw(5, 1, 4, 6)
    for group in ("turns", "", (), 3, ("flips", "shears"), None):
        with pytest.raises(ValueError, match=r"^group must be one or several of translations"):
            Equivariant.fit(x, group=group)
    with pytest.raises(ValueError, match="square"):
        Equivariant.fit(x, group="quarter_turns")
    with pytest.raises(ValueError, match="shape"):
        Equivariant.fit(draw(2, 1, 2, 2, 2))
    with pytest.raises(ValueError, match="modulo must be"):
        dc.metrics.nearest(x, x, modulo="turns")
    denoise = Equivariant.fit(x)
    with pytest.raises(ValueError, match="y must"):
        denoise(draw(5, 1, 6, 4), 1.0)
    with pytest.raises(ValueError, match="sigma must"):
        denoise(x, [1.0, 2.0])
    with pytest.raises(ValueError, match="sigmas must"):
        denoise.law([1.0, 1.0])


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_distances_modulo_a_group(group):
    x = draw(20, 2, 5, 5)
    moved = orbit(x, group)
    y = moved[torch.randperm(len(moved), generator=torch.Generator().manual_seed(1))[:30]]
    distances, indices = dc.metrics.nearest(y, x, modulo=group)
    assert distances.abs().max() == 0
    _, images, elements = dc.metrics.nearest_in_orbit(y, x, group)
    assert torch.equal(images, indices)
    moves = _groups.parse(group, x.shape[1:])
    for sample, image, element in zip(y, images.tolist(), elements.tolist(), strict=True):
        shift, point = element % moves.shifts, element // moves.shifts
        placed = moves.move(x[image], point).roll((shift // 5, shift % 5), (-2, -1))
        assert torch.equal(placed, sample)
    other = y + 0.3 * draw(30, 2, 5, 5, seed=2)
    exact = torch.stack([(moved.double() - o.double()).flatten(1).norm(dim=1).min() for o in other])
    found = dc.metrics.nearest(other.double(), x, modulo=group)[0]
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=0)
    assert dc.metrics.copied_fraction(y, x, modulo=group) == 1
    assert dc.metrics.copied_fraction(other, x, modulo=group) == 0


def test_ties_modulo_shifts_go_to_the_first():
    x = torch.cat([torch.zeros(1, 1, 10, 10), torch.ones(2, 1, 10, 10)])
    distances, indices, elements = dc.metrics.nearest_in_orbit(x, x, "translations")
    assert distances.tolist() == [0, 0, 0]
    assert indices.tolist() == [0, 1, 1]
    assert elements.tolist() == [0, 0, 0]


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_law_has_the_moments_of_the_orbit(group):
    x = draw(6, 2, 4, 4)
    law, everything = Orbit(x, group), orbit(x, group).flatten(1).double()
    torch.testing.assert_close(law.mean.flatten(), everything.mean(0), rtol=0, atol=1e-7)
    cov = torch.cov(everything.T, correction=0)
    torch.testing.assert_close(law.cov, cov, rtol=0, atol=1e-7)
    samples = law.sample(600, seed=1)
    assert dc.metrics.copied_fraction(samples, x, modulo=group) == 1
    assert law.agreement(samples, alpha=1e-5).ok
    assert not torch.equal(samples, law.sample(600, seed=2))


def test_law_sees_what_is_wrong():
    x = dc.data.load("digits").x[:100]
    law = Orbit(x)
    n = 3000
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(100, (n,), generator=generator)

    def moved(rows, columns):
        return torch.stack([x[i].roll((int(r), int(c)), (-2, -1))
                            for i, r, c in zip(image, rows, columns, strict=True)])  # fmt: skip

    right = torch.randint(8, (2, n), generator=generator)
    assert law.agreement(moved(*right), alpha=1e-5).ok
    near = torch.randint(7, (n,), generator=generator)
    assert (
        law.agreement(moved(near, right[0]), alpha=1e-5)["shifts along axis 0: counts, χ²"].ok
        is False
    )
    assert not law.agreement(moved(image % 8, image // 8 % 8), alpha=1e-5)[
        "pairs of equal samples"
    ].ok
    assert not law.agreement(x[image], alpha=1e-5).ok
    assert not law.agreement(law.sample(n) + 0.01, alpha=1e-5).ok
    half = moved(*right)[image < 50]
    assert not law.agreement(half, alpha=1e-5)["images: counts, χ²"].ok


def test_symmetric_and_repeated_images_are_counted_once():
    """A blank page, stripes, and an image with its own shift among the training images."""
    base = draw(3, 1, 6, 6)
    stripes = torch.ones(1, 1, 6, 6)
    stripes[..., ::2] = 0
    x = torch.cat([base, base[:1].roll((2, 3), (-2, -1)), torch.zeros(1, 1, 6, 6), stripes])
    law = Orbit(x)
    first, free = law.classes()
    assert first.tolist() == [0, 1, 2, 0, 4, 5]
    assert free.tolist() == [True, True, True, True, False, False]
    assert all(law.agreement(law.sample(2000, seed=s), alpha=1e-3).ok for s in range(5))
    mirrored = torch.cat([base, base[:1].flip(-1)])
    assert Orbit(mirrored, ("flips", "translations")).classes()[0].tolist() == [0, 1, 2, 0]
    assert Orbit(mirrored).classes()[0].tolist() == [0, 1, 2, 3]


def test_nothing_is_built_for_large_images():
    x = draw(50, 1, 28, 28)
    denoise = Equivariant.fit(x)
    assert isinstance(denoise._target, _shifts.Shifts)
    size = sum(t.numel() * t.element_size() for t in vars(denoise._target).values()
               if isinstance(t, torch.Tensor))  # fmt: skip
    assert size < 4 * x.numel() * 4
    assert math.isfinite(float(denoise(x[:3], 0.5).sum()))
