"""The oracle of the faces: against brute force in float64, and against what was drawn."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_creativity.data import faces
from diffusion_creativity.data.faces import Faces, calibration, distances
from diffusion_creativity.data.faces import oracle as oracle_module
from diffusion_creativity.data.faces.chimeras import valid_difference

SMALL = Faces(positions=1)
KINDS = [
    Faces(),
    Faces(channels=3),
    Faces(size=32, positions=2),
    Faces(size=64, channels=3),
    Faces(long_range_rules=2),
    Faces(long_range_rules=0),
]


def numbers(family, n, seed=0):
    return family.split(n, held_out=0, seed=seed).train


def noise(x, sigma, seed=0):
    return x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def every():
    """All 17,496 faces of the small family, in float64."""
    return SMALL.render(torch.arange(len(SMALL))).double()


def test_all_valid_faces_are_decoded_exactly(every):
    verdicts = SMALL.oracle()(every)
    assert torch.equal(verdicts.nearest, torch.arange(len(SMALL)))
    assert torch.equal(verdicts.traits, SMALL.traits(torch.arange(len(SMALL))))
    assert not verdicts.broken.any()
    assert (verdicts.distance == 0).all()
    assert verdicts.margin.min() > 0.99


@pytest.mark.parametrize("family", KINDS, ids=str)
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_copies_and_new_faces_are_told_apart(family, sigma):
    n = 300 if family.size == 16 else 60
    train, held_out = family.split(n, held_out=n)
    verdicts = family.oracle(train)(noise(family.render(torch.cat([train, held_out])), sigma))
    assert verdicts.label.tolist() == [0] * n + [1] * n
    assert torch.equal(verdicts.nearest, torch.cat([train, held_out]))
    assert torch.equal(verdicts.traits, family.traits(torch.cat([train, held_out])))
    assert verdicts.base_rate == n / len(family)


def test_noise_of_a_tenth_errs_in_less_than_a_thousandth():
    family = Faces()
    train, held_out = family.split(10_000, held_out=10_000)
    verdicts = family.oracle(train)(noise(family.render(torch.cat([train, held_out])), 0.1))
    expected = torch.arange(20_000) // 10_000
    assert (verdicts.label != expected).sum() < 20
    assert torch.equal(verdicts.nearest, torch.cat([train, held_out]))


@pytest.mark.parametrize("family", [SMALL, Faces(positions=2, channels=3)], ids=str)
def test_the_nearest_valid_face_is_that_of_brute_force(family):
    some = family.render(numbers(family, 24))
    blends, chimera = (some + some.roll(1, 0)) / 2, some.clone()
    chimera[..., :8] = some.roll(1, 0)[..., :8]
    y = torch.cat([noise(some, 0.4), blends, chimera, noise(0 * some, 0.5), -some])
    verdicts = family.oracle()(y)
    best, nearest = torch.full((len(y),), math.inf).double(), torch.zeros(len(y)).long()
    for part in torch.arange(len(family)).split(8000):
        apart = torch.cdist(y.flatten(1).double(), family.render(part).flatten(1).double())
        least, where = apart.min(1)
        nearest = torch.where(least < best, part[where], nearest)
        best = torch.minimum(best, least)
    torch.testing.assert_close(verdicts.distance.double(), best, rtol=1e-5, atol=1e-5)
    # Two faces at one distance, as in a blend, are both right; noise decides.
    own = (y - family.render(verdicts.nearest)).double().flatten(1).norm(dim=1)
    torch.testing.assert_close(own, best, rtol=1e-5, atol=1e-5)
    clear = [*range(24), *range(72, 96)]
    assert torch.equal(verdicts.nearest[clear], nearest[clear])


@given(st.integers(0, len(SMALL) - 1), st.integers(0, len(SMALL) - 1), st.floats(0, 1))
@settings(max_examples=40)
def test_the_way_to_another_look_is_the_projection(a, b, share):
    family = SMALL
    gap = distances.gaps(family)
    y = (1 - share) * family.render([a]) + share * family.render([b])
    costs = distances.costs(family, y)
    for name, cost in costs.looks.items():
        look = cost[:, 0].argmin(1)
        looks = faces.drawing.templates(16, 1)[name].flatten(1).double()
        mask = faces.drawing.masks(16)[name]
        pixels = y[0, :, 1:15, 1:15][:, mask].flatten().double()
        t = looks[look[0]]
        ways = [((pixels - t) @ (s - t) / (s - t).square().sum()).item()
                for k, s in enumerate(looks) if k != look[0]]  # fmt: skip
        found = distances.way(cost[:, 0], look, gap[name]).item()
        assert found == pytest.approx(max(0.0, *ways), abs=1e-4)


@pytest.mark.parametrize(
    "family", [Faces(), Faces(channels=3), Faces(size=32, positions=2)], ids=str
)
def test_every_rule_that_was_broken_is_found_broken(family):
    oracle = family.oracle()
    for rule in oracle.rules:
        verdicts = oracle(faces.break_rule(family, numbers(family, 100), rule, seed=1))
        assert (verdicts.label == 2).all(), rule
        assert verdicts.breaks(rule).float().mean() >= (0.9 if rule == "missing" else 0.99), rule
        if rule in faces.RULES:  # nothing else is wrong with it
            assert verdicts.broken.sum() == 100, rule


def test_what_is_drawn_with_two_values_is_decoded_with_two():
    family = Faces(channels=3)
    traits = family.traits(numbers(family, 200))
    column = 2 + faces.TRAITS.index("right eye")
    traits[:, column] = (traits[:, column] + 1) % 3
    verdicts = family.oracle()(noise(family.draw(traits), 0.05))
    assert torch.equal(verdicts.traits, traits)
    assert verdicts.breaks("eyes").all()


def test_a_rule_that_is_lifted_is_not_broken():
    strict, free = Faces(), Faces(long_range_rules=("gaze", "ears", "cheeks", "head", "colour"))
    odd = faces.break_rule(strict, numbers(strict, 50), "eyes")
    assert (strict.oracle()(odd).label == 2).all()
    assert (free.oracle()(odd).label == 1).all()
    assert "eyes" not in free.oracle().rules


@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_the_truth_about_chimeras_is_that_of_brute_force(every, axis):
    first, second = numbers(SMALL, 6, seed=1), numbers(SMALL, 6, seed=2)
    cut = faces.chimeras(SMALL, first, second, axis=axis)
    a, b = SMALL.render(first), SMALL.render(second)
    for k, image in enumerate(cut.images):
        pair, at = k // 15, k % 15 + 1
        by_hand = b[pair].clone()
        where = (..., slice(at)) if axis == "columns" else (slice(None), slice(at))
        by_hand[where] = a[pair][where]
        assert torch.equal(image, by_hand)
    # At size 16 in grey a cell is a pixel: the largest pixel difference, least over all faces.
    for image, said in zip(cut.images[::9].double(), cut.difference[::9], strict=True):
        least = (every - image).abs().amax((1, 2, 3)).min().item()
        assert said.item() == pytest.approx(least, abs=1e-6)


def test_what_is_known_of_chimeras_follows_the_attributes():
    # Cut in the middle, one place: every right part comes from the second face.
    first, second = numbers(SMALL, 80, seed=1), numbers(SMALL, 80, seed=2)
    cut = faces.chimeras(SMALL, first, second)
    middle = cut.broken.reshape(80, 15, -1)[:, 7]
    names, a, b = list(SMALL.values), SMALL.attributes(first), SMALL.attributes(second)
    for k, rule in enumerate(cut.rules[:-1]):
        differ = a[:, names.index(rule)] != b[:, names.index(rule)]
        if rule == "colour":  # the cut goes through hat and tie
            assert (middle[:, k] == -1).all()
        else:
            assert torch.equal(middle[:, k].bool(), differ)
    assert (cut.broken[..., -1] == -1).all()  # one place only


def test_cuts_of_two_faces_are_found():
    """At least 99 % of the broken rules; every visible cut is invalid, every face made valid."""
    family = Faces()
    cut = calibration.cut(family, 80)
    verdicts = family.oracle()(cut.images)
    visible, equal = cut.difference > calibration.VISIBLE, cut.difference < 1e-6
    assert (verdicts.label[visible] == 2).float().mean() > 0.99
    assert (verdicts.label[equal] == 1).all()
    assert equal.sum() > 100
    rows = calibration.rule_table(family, cut)
    assert sum(r.found for r in rows) > 0.99 * sum(r.broken for r in rows)
    assert sum(r.false_alarms for r in rows) < 0.005 * sum(r.kept for r in rows)
    assert all(r.broken >= 40 for r in rows)
    assert all(r.found > 0.97 * r.broken for r in rows)


@given(st.integers(0, len(Faces()) - 1), st.sampled_from(["columns", "rows"]))
@settings(max_examples=8)
def test_a_face_cut_with_itself_is_that_face(number, axis):
    family = Faces()
    cut = faces.chimeras(family, [number], [number], axis=axis)
    assert (cut.difference <= 1e-6).all()
    assert not (cut.broken == 1).any()
    assert (family.oracle([number])(cut.images).label == 0).all()


def test_the_confusion_table():
    family = Faces()
    rows = {row.kind: row for row in calibration.table(family, n=300)}
    for row in rows.values():
        assert row.copy + row.creative + row.invalid == row.total
    for kind, row in rows.items():
        exact = kind.startswith(("training, noise 0.05", "held out, noise 0.05", "chimeras"))
        if exact or kind in ("inverted contrast", "1/f textures", "digits", "blends of two faces"):
            assert not row.wrong, row
    assert rows["held out, noise 0.3"].invalid == 300  # beyond its tolerance it says so
    assert rows["held out, blur 0.2 cells"].wrong == 0
    assert {row.kind for row in rows.values() if row.expected == ""} >= {
        "held out, half a pixel off"
    }


def test_blur_keeps_constants_and_means():
    constant = torch.full((1, 1, 16, 16), 0.3)
    torch.testing.assert_close(calibration._blur(constant, 0.4), constant)
    dot = torch.zeros(1, 1, 32, 32).double()
    dot[..., 16, 16] = 1
    blurred = calibration._blur(dot.float(), 0.5)[0, 0]
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)
    spread = (blurred.sum(0) * (torch.arange(32) - 16.0) ** 2).sum().sqrt().item()
    assert spread == pytest.approx(1.0, rel=0.01)  # half a cell is one pixel


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "cells"), [(16, 0.4), (32, 0.2), (64, 0.15)])
def test_the_blur_that_it_tolerates(size, cells, channels):
    family = Faces(size=size, channels=channels)
    train = numbers(family, 60)
    assert (family.oracle(train)(calibration._blur(family.render(train), cells)).label == 0).all()


def test_batches_of_any_size_agree(monkeypatch):
    family = Faces()
    y = torch.cat([noise(family.render(numbers(family, 20)), 0.2), torch.randn(7, 1, 16, 16)])
    whole = family.oracle([1, 2])(y)
    for images in (1, 4, 26, 27):
        monkeypatch.setattr(oracle_module, "BATCH", images * 256)
        parts = family.oracle([1, 2])(y)
        for name in ("label", "broken", "traits", "nearest"):
            assert torch.equal(getattr(parts, name), getattr(whole, name))
        torch.testing.assert_close(parts.used, whole.used, atol=1e-4, rtol=1e-4)
    assert len(family.oracle()(y[:0])) == 0
    assert torch.equal(family.oracle([1, 2])(y.double()).label, whole.label)


def test_counts_and_intervals():
    family = Faces()
    train, held_out = family.split(40, held_out=25)
    odd = faces.break_rule(family, held_out[:15], "ears")
    verdicts = family.oracle(train)(torch.cat([family.render(torch.cat([train, held_out])), odd]))
    counts = verdicts.counts()
    assert [counts[k] for k in faces.CLASSES] == [40, 25, 15]
    assert (counts["long-range"], counts["ears"], counts["local"], counts["eyes"]) == (15, 15, 0, 0)
    summary = verdicts.summary(0.9)
    assert summary["base_rate"] == 40 / len(family)
    assert summary["copied_of_valid"].value == 40 / 65
    copy, z, n = summary["copy"], 1.6448536269514722, 80
    centre = (0.5 + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(0.25 / n + z * z / (4 * n * n))
    assert copy[:2] == (40, 0.5)
    assert (copy.low, copy.high) == pytest.approx((centre - half, centre + half))
    none = family.oracle(train)(odd).summary()
    assert "copied_of_valid" not in none


def test_the_margin_falls_with_noise_and_is_negative_when_malformed():
    family = Faces()
    x = family.render(numbers(family, 100))
    margins = [family.oracle()(noise(x, s)).margin.mean().item() for s in (0, 0.05, 0.1, 0.2)]
    assert margins == sorted(margins, reverse=True)
    malformed = family.oracle()(faces.break_rule(family, numbers(family, 100), "mouth"))
    assert (malformed.margin < 0).all()


def test_distances_mean_the_same_at_all_sizes():
    some = numbers(Faces(), 30)
    for size in (16, 32, 64):
        family = Faces(size=size)
        y = family.render(some)
        assert valid_difference(family, y).max() < 1e-6
        y = y + 0.3
        torch.testing.assert_close(valid_difference(family, y).max().item(), 0.3, atol=0.02, rtol=0)
        used = family.oracle()(y).used[:, -1]
        torch.testing.assert_close(used, torch.full((30,), 0.3 / oracle_module.SPREAD))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: Faces().oracle()(torch.zeros(3, 3, 16, 16)), "images"),
        (lambda: Faces().oracle()(torch.zeros(1, 16, 16)), "images"),
        (lambda: Faces().oracle()(torch.full((1, 1, 16, 16), math.nan)), "images"),
        (lambda: Faces().oracle()("face"), "images"),
        (lambda: Faces().oracle([-1]), "indices"),
        (lambda: Faces().oracle()(torch.zeros(0, 1, 16, 16)).summary(), "no images"),
        (lambda: Faces().oracle()(torch.zeros(1, 1, 16, 16)).breaks("nose"), "rule"),
        (lambda: Faces().oracle()(torch.zeros(1, 1, 16, 16)).of_kind("soft"), "kind"),
        (lambda: calibration.table(Faces(), n=5), "n must"),
        (lambda: calibration.cut(Faces(), 1), "pairs"),
    ],
)
def test_bad_input_is_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
