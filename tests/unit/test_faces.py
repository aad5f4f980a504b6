"""The family of faces: numbers, drawings, distances, splits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_creativity.data import faces
from diffusion_creativity.data.faces import Faces, drawing

FAMILIES = [
    Faces(),
    Faces(channels=3, positions=2),
    Faces(size=32, positions=1),
    Faces(size=64, channels=3, long_range_rules=0),
    Faces(long_range_rules=("ears", "gaze")),
]
family_and_number = st.sampled_from(FAMILIES).flatmap(
    lambda f: st.tuples(st.just(f), st.integers(0, len(f) - 1))
)


def mixed(n=300, family=FAMILIES[0], seed=0):
    return family.split(n, held_out=0, seed=seed).train


def test_the_number_of_valid_faces():
    shared = 3 * 3 * 3 * 3 * 3 * 3 * 4 * 3 * 2  # head hair hat colour eyes gaze mouth ears cheeks
    assert [len(Faces(positions=p)) for p in (1, 2, 3)] == [shared, 4 * shared, 9 * shared]
    assert len(Faces()) == 157_464
    # Each rule that is lifted frees one more trait: eyes, gaze, colour, ears, cheeks, head.
    counts = [len(Faces(long_range_rules=k)) // len(Faces()) for k in range(7)]
    assert counts == [
        3 * 3 * 3 * 3 * 2 * 3,
        3 * 3 * 3 * 2 * 3,
        3 * 3 * 2 * 3,
        3 * 2 * 3,
        2 * 3,
        3,
        1,
    ]


@given(family_and_number)
def test_numbers_and_attributes_are_inverse(case):
    family, number = case
    attributes = family.attributes([number])
    assert family.index(attributes).tolist() == [number]
    assert family.number(family.traits([number])).tolist() == [number]
    words = family.describe(number)
    for (name, names), k in zip(family.values.items(), attributes[0].tolist(), strict=True):
        assert words[name] == names[k]


def test_every_number_of_a_family_is_one_combination():
    family = Faces(positions=1)
    every = family.attributes(torch.arange(len(family)))
    assert len(every.unique(dim=0)) == len(family)
    assert every.amax(0).tolist() == [len(names) - 1 for names in family.values.values()]


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_images_are_float32_in_range_and_distinct(family):
    x = family.render(mixed(60, family))
    assert x.shape == (60, family.channels, family.size, family.size)
    assert x.dtype == torch.float32
    assert x.abs().max() <= 1
    assert len(x.flatten(1).unique(dim=0)) == 60


@pytest.mark.parametrize("channels", [1, 3])
def test_smaller_sizes_are_means_of_larger_ones(channels):
    numbers = mixed(40)
    small, middle, large = (Faces(size=s, channels=channels).render(numbers) for s in (16, 32, 64))
    pool = torch.nn.functional.avg_pool2d
    torch.testing.assert_close(pool(large, 2), middle, atol=1e-5, rtol=0)
    torch.testing.assert_close(pool(large, 4), small, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [16, 64])
def test_pixels_are_means_of_the_fine_drawing(size):
    # Independent of the averaging code: each pixel as a float64 sum over its samples.
    ids = drawing.raster("mouth", ("grin",))
    grey = torch.tensor([grey for grey, _ in drawing.MATERIALS.values()], dtype=torch.float64)
    fine = grey[torch.from_numpy(ids).long()]
    step = drawing.FINE * 16 // size
    look = drawing.templates(size, 1)["mouth"][3, 0]
    for pixel, (i, j) in zip(look, drawing.masks(size)["mouth"].nonzero().tolist(), strict=True):
        samples = fine[i * step : (i + 1) * step, j * step : (j + 1) * step]
        assert pixel.item() == pytest.approx(samples.mean().item(), abs=1e-6)


def test_slots_share_the_frame_out():
    for size in (16, 32, 64):
        assert (torch.stack(list(drawing.masks(size).values())).sum(0) == 1).all()


@settings(max_examples=60)
@given(family_and_number, st.sampled_from(faces.TRAITS), st.integers(1, 2))
def test_a_trait_changes_its_own_slot_alone(case, trait, step):
    family, number = case
    traits = family.traits([number])
    other, column = traits.clone(), 2 + faces.TRAITS.index(trait)
    other[:, column] = (other[:, column] + step) % len(faces.VALUES[trait])
    changed = (family.draw(traits) - family.draw(other)).abs().amax((0, 1)) > 0
    slot = next(name for name, slot in faces.SLOTS.items() if trait in slot.traits)
    allowed = torch.zeros_like(changed)
    top, left = family.corners()[int(traits[0, 0] * family.positions + traits[0, 1])]
    mask = drawing.masks(family.size)[slot]
    allowed[top : top + len(mask), left : left + len(mask)] = mask
    assert not (changed & ~allowed).any()
    assert bool(changed.any()) == bool((traits != other).any())


@given(st.integers(0, len(FAMILIES[0]) - 1), st.sampled_from([1, 3]))
def test_a_mirrored_face_is_the_face_that_looks_the_other_way(number, channels):
    family = Faces(channels=channels)
    names = list(family.values)
    other = family.attributes([number])
    for name in ("column", "gaze"):
        other[:, names.index(name)] = 2 - other[:, names.index(name)]
    mirrored = family.render([number]).flip(3)
    torch.testing.assert_close(mirrored, family.render(family.index(other)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("family", [Faces(positions=1), Faces(positions=1, channels=3)], ids=str)
def test_no_two_valid_faces_at_one_place_are_nearer_than_said(family):
    said = faces.separation(family)["valid"]
    every = family.render(torch.arange(len(family))).flatten(1)
    numbers = mixed(150, family)
    distances = torch.cdist(every[numbers].double(), every.double())
    distances[torch.arange(150), numbers] = math.inf
    assert distances.min() >= said - 1e-6
    # It is attained: change one attribute at a time.
    sizes = [len(names) for names in family.values.values()]
    attributes, near = family.attributes(mixed(400, family)), math.inf
    for k, count in enumerate(sizes):
        for step in range(1, count):
            other = attributes.clone()
            other[:, k] = (other[:, k] + step) % count
            pair = family.render(family.index(attributes)) - family.render(family.index(other))
            near = min(near, pair.double().flatten(1).norm(dim=1).min().item())
    assert near == pytest.approx(said, abs=1e-5)


def test_faces_at_different_places_are_farther_apart():
    family = Faces()
    said = faces.separation(family)["valid"]
    place = family.attributes(torch.arange(len(family)))[:, :2]
    for corner in ([0, 0], [0, 2]):  # the other offsets are these, mirrored
        here = (place == torch.tensor(corner)).all(1)
        some = here.nonzero()[mixed(60, Faces(positions=1)), 0]
        for others in (~here).nonzero()[:, 0][torch.randperm(int((~here).sum()))].split(40_000)[:2]:
            apart = torch.cdist(family.render(some).flatten(1), family.render(others).flatten(1))
            assert apart.min() > 2 * said


@pytest.mark.parametrize("rule", [*faces.RULES, "missing"])
@pytest.mark.parametrize("channels", [1, 3])
def test_faces_that_break_a_rule_are_as_far_from_valid_ones_as_said(rule, channels):
    family = Faces(positions=1, channels=channels)
    said = faces.separation(family)[rule]
    broken = faces.break_rule(family, mixed(60, family), rule).flatten(1).double()
    every = family.render(torch.arange(len(family))).flatten(1).double()
    nearest = torch.cdist(broken, every).min(1).values
    assert nearest.min() >= said - 1e-6
    assert nearest.min() <= 2 * said  # and not far from it


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_faces_are_clearly_apart_at_every_size(size, channels):
    said = faces.separation(Faces(size=size, channels=channels))
    assert set(said) == {"valid", *faces.RULES, "missing"}
    assert min(said.values()) >= size / 16 * (1.0 if channels == 1 else 1.4)


def test_splits_are_disjoint_and_depend_on_the_seed_alone():
    family = Faces()
    train, held_out = family.split(500, held_out=700, seed=3)
    assert len(torch.cat([train, held_out]).unique()) == 1200
    again, other = family.split(500, held_out=700, seed=3), family.split(500, seed=4)
    assert torch.equal(again.train, train)
    assert torch.equal(again.held_out, held_out)
    assert not torch.equal(other.train, train)


def test_a_split_can_take_every_face():
    family = Faces(positions=1)
    train, held_out = family.split(17_000, held_out=496)
    assert len(torch.cat([train, held_out]).unique()) == len(family)


def test_a_split_uses_every_value_about_equally():
    family = Faces()
    attributes = family.attributes(family.split(3000, held_out=0).train)
    for k, names in enumerate(family.values.values()):
        share = 1 / len(names)
        error = attributes[:, k].bincount(minlength=len(names)) / 3000 - share
        assert error.abs().max() < 5 * math.sqrt(share * (1 - share) / 3000)


def test_a_combination_can_be_kept_from_training():
    family = Faces()
    never = {"hat": "top hat", "mouth": ("smile", "grin")}
    train, held_out = family.split(2000, held_out=500, never=never)
    train, held_out = ([family.describe(i) for i in each.tolist()] for each in (train, held_out))
    assert all(f["hat"] == "top hat" and f["mouth"] in ("smile", "grin") for f in held_out)
    assert not any(f["hat"] == "top hat" and f["mouth"] in ("smile", "grin") for f in train)
    assert {f["mouth"] for f in train if f["hat"] == "top hat"} == {"frown", "open"}
    assert len({tuple(f.values()) for f in held_out}) == 500


def test_all_of_a_small_forbidden_set_can_be_held_out():
    family = Faces(positions=1)
    never = {name: family.values[name][0] for name in ("hair", "hat", "colour", "eyes", "gaze")}
    found = family.split(10, held_out=3 * 4 * 3 * 2, never=never).held_out
    assert len(found.unique()) == 72
    with pytest.raises(ValueError, match="held_out must be at most 72"):
        family.split(10, held_out=73, never=never)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_default_set(split):
    x = faces.image_set(split)
    assert len(x) == {"train": 600, "test": 1000}[split]
    assert x.name == "faces"
    torch.testing.assert_close(x.x, Faces().render(x.labels))
    other = faces.image_set("test" if split == "train" else "train")
    assert not torch.isin(x.labels, other.labels).any()


def test_the_gallery_shows_every_value():
    family = Faces(size=16, channels=1)
    shown = faces.gallery(family, index=777)
    assert {name: names for name, (_, names) in shown.items()} == family.values
    for name, (images, names) in shown.items():
        assert len(images.flatten(1).unique(dim=0)) == len(names), name
        assert (images == family.render([777])).flatten(1).all(1).sum() == 1


def test_the_figure_names_every_attribute_and_value():
    import matplotlib.pyplot as plt

    figure = faces.figure()
    titles = {ax.get_title() for ax in figure.axes}
    names = {text.get_text() for ax in figure.axes for text in ax.texts}
    plt.close(figure)
    assert names == set(Faces().values)
    assert {value for values in Faces().values.values() for value in values} <= titles


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: Faces(size=20), "size"),
        (lambda: Faces(channels=2), "channels"),
        (lambda: Faces(channels=True), "channels"),
        (lambda: Faces(positions=4), "positions"),
        (lambda: Faces(long_range_rules=7), "long_range_rules"),
        (lambda: Faces(long_range_rules=-1), "long_range_rules"),
        (lambda: Faces(long_range_rules=("brows",)), "long_range_rules"),
        (lambda: Faces().render([157_464]), "indices"),
        (lambda: Faces().render([-1]), "indices"),
        (lambda: Faces().render([0.5]), "indices"),
        (lambda: Faces().render([[1, 2]]), "indices"),
        (lambda: Faces().index([[0] * 10]), "attributes"),
        (lambda: Faces().index([[9] + [0] * 10]), "attributes"),
        (lambda: Faces().index([[0.0] * 11]), "attributes"),
        (lambda: Faces().split(0), "n must"),
        (lambda: Faces().split(10, held_out=-1), "held_out"),
        (lambda: Faces(positions=1).split(17_000, held_out=497), "held_out must be at most"),
        (lambda: Faces().split(5, never={}), "never"),
        (lambda: Faces().split(5, never={"nose": "long"}), "never"),
        (lambda: Faces().split(5, never={"hat": "crown"}), "never"),
        (lambda: Faces().split(5, never={"hat": ()}), "never"),
        (lambda: faces.break_rule(Faces(), [0], "nose"), "rule"),
        (lambda: faces.break_rule(Faces(long_range_rules=0), [0], "eyes"), "rule"),
        (lambda: faces.image_set("validation"), "split"),
        (lambda: faces.chimeras(Faces(), [0], [1], axis="diagonal"), "axis"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
