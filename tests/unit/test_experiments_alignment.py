"""The alignment study: what it counts, what its machines see, and that it runs and resumes."""

import pytest
import torch
from scipy import ndimage

from diffusion_creativity import experiments
from diffusion_creativity.data.faces import RULES, SLOTS, Faces, break_rule
from diffusion_creativity.denoisers import Bayes
from diffusion_creativity.experiments._parts import groups, population, rule_gaps
from diffusion_creativity.experiments.alignment import NETWORKS, AlignmentConfig, chance, judged
from diffusion_creativity.networks.describe import describe, layers


def test_smoke(tmp_path):
    result = experiments.run("alignment", "smoke", out=tmp_path, say=lambda line: None)
    assert not result.stale
    for unit in result.record["units"]:
        m = unit["metrics"]
        assert m["copy"] + m["creative"] + m["invalid"] == pytest.approx(1)
        assert all(0 <= m["disagree"][r] <= m["judged"][r] <= m["samples"] for r in RULES)
        assert all(0 <= m["chance"][r] <= m["judged"][r] for r in RULES)
    assert result.values("reach", "rules6-flat1") == [13]


def test_counts_what_was_broken():
    """One rule broken in every face: that one disagrees everywhere, and no other one does."""
    family = Faces(positions=1)
    numbers = torch.arange(0, len(family), 200)
    oracle = family.oracle(numbers[:10])
    for rule in RULES:
        found = judged(oracle(break_rule(family, numbers, rule, seed=1)))
        assert found["judged"][rule] == found["disagree"][rule] == len(numbers)
        assert sum(found["disagree"].values()) == len(numbers)
        assert found["invalid"] == 1
    valid = judged(oracle(family.render(numbers)))
    assert valid["copy"] == 10 / len(numbers)
    assert valid["distinct"] == valid["drawn"] == len(numbers)
    assert sum(valid["disagree"].values()) == 0


def test_chance_is_over_all_pairs():
    a, b = torch.tensor([0, 0, 1, 2]), torch.tensor([2, 1, 1, 1])
    pairs = [x != y for x in a.tolist() for y in b.tolist()]
    assert chance(a, b) == pytest.approx(sum(pairs) / len(pairs))
    assert chance(a[:0], b[:0]) in (0, 1)  # of no images: it is multiplied by 0


def test_groups_cover_the_frame_once_and_multiply_to_the_family():
    for rules in (0, 2, 6):
        family = Faces(positions=1, long_range_rules=rules)
        found = groups(family)
        assert torch.stack([g.mask for g in found]).sum(0).max() == 1
        assert sum(len(g.slots) for g in found) == len(SLOTS)
        product = 1
        for group in found:
            product *= len(group.images)
            differs = (group.images != group.images[:1]).any(0).any(0)
            assert not (differs & ~group.mask).any()
        assert product == len(family)
    with pytest.raises(ValueError, match="positions=1"):
        groups(Faces())


def test_population_draws_every_state_of_a_group():
    """With everything seen its answer at no noise is the face itself, whichever it is."""
    family = Faces(positions=1)
    x = family.render(torch.arange(7, len(family), 3001))
    assert (population(family, Bayes.fit)(x, 0.01) - x).abs().max() < 1e-6


@pytest.mark.parametrize("size", [16, 32])
def test_gaps_from_pictures(size):
    """The gap is the growth at which one part's varying pixels touch the other's."""
    family = Faces(size, positions=1, long_range_rules=0)
    plain = family.traits(torch.tensor([0]))
    from diffusion_creativity.data.faces import TRAITS, VALUES

    def varying(slot):
        out = torch.zeros(size, size, dtype=torch.bool)
        for trait in SLOTS[slot].traits:
            for value in range(len(VALUES[trait])):
                other = plain.clone()
                other[0, 2 + TRAITS.index(trait)] = value
                out |= (family.draw(other) != family.draw(plain))[0, 0]
        return out.numpy()

    for rule, pair in RULES.items():
        slots = [name for t in pair for name, slot in SLOTS.items() if t in slot.traits]
        a, b = map(varying, slots)
        away = ndimage.distance_transform_cdt(~a, metric="chessboard")
        # Looks that differ by two traits together may vary in more pixels, never in fewer.
        assert rule_gaps(family)[rule] <= away[b].min()
        assert rule_gaps(family)[rule] >= away[b].min() - 1


def test_networks_cost_about_the_same_and_see_what_they_should():
    side = AlignmentConfig().size
    sized = {name: describe(type(c)(**{**vars(c), "side": side})) for name, c in NETWORKS.items()}
    flat, whole = sized["flat1"].field.reach, side
    assert flat == 13
    assert all(d.field.reach == whole for name, d in sized.items() if name != "flat1")
    plain = [n for n in NETWORKS if "." not in n]
    flops = [sum(layer.flops for layer in layers(sized[n].config)) for n in plain]
    assert max(flops) < 1.5 * min(flops)
