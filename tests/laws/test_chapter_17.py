"""Certificates of chapter 17: which rules reach which architecture, and when creativity pays."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.data.faces import TRAITS, Faces
from diffusion_creativity.denoisers import Bayes, Blockwise, LocalScore, PatchPosterior
from diffusion_creativity.experiments._parts import groups, population, rule_gaps

LEVEL = 1e-5  # of every test below: a true statement fails once in a hundred thousand
LEVELS = dc.noise.karras(20)
SHARES = torch.tensor([0.5, 0.3, 0.2])


def moat(width=3):
    """Twenty images of two parts that always agree, with `width` grey columns between them."""
    looks = torch.tensor([[[1.0, -1, 1]] * 3, [[-1.0, 1, 1]] * 3, [[-1.0, -1, -1]] * 3])
    values = torch.repeat_interleave(torch.arange(3), (20 * SHARES).round().long())
    part = looks[values][:, None]  # (20, 1, 3, 3)
    return torch.cat([part, 0.25 * torch.ones(20, 1, 3, width), part], 3), looks


def shown(samples, looks, columns):
    """Which look each sample shows there; all are within rounding of one."""
    apart = (samples[:, 0, :, columns][:, None] - looks).abs().amax((2, 3))
    assert apart.amin(1).max() < 1e-2
    return apart.argmin(1)


def ddim(denoise, noise):
    return dc.sampling.ddim(denoise, noise, LEVELS)


def heun(denoise, noise):
    return dc.sampling.heun(denoise, noise, LEVELS)


def ancestral(denoise, noise):
    return dc.sampling.ancestral(denoise, noise, LEVELS, seed=3)


@pytest.mark.parametrize("sample", [ddim, heun])
def test_prop_align_sight(sample):
    """Closed sets do not hear of each other, at any number of steps; sets that see do."""
    x, _ = moat()
    noise = dc.sampling.initial_noise(8, x.shape[1:], seed=1).double()
    other = noise.clone()
    other[..., 3:] = dc.sampling.initial_noise(8, (1, 3, 6), seed=2)

    def moved(window):
        denoise = LocalScore.fit(x.double(), window=window)
        return (sample(denoise, noise) - sample(denoise, other))[..., :3].abs().max().item()

    # Window 7 reaches 3 pixels: from one part over the moat, and not to the other part.
    assert rule_distance(x) == 4
    assert moved(7) < 1e-9 < 1e-2 < moved(9)


@pytest.mark.parametrize("sample", [heun, ancestral])
def test_prop_align_sight_independent(sample):
    """Parts that cannot see each other are independent, with fresh noise in each step too."""
    x, looks = moat()
    noise = dc.sampling.initial_noise(700, x.shape[1:], seed=4)
    for window, independent in ((7, True), (17, False)):
        made = sample(LocalScore.fit(x, window=window), noise)
        pair = [shown(made, looks, columns).numpy() for columns in (slice(0, 3), slice(-3, None))]
        p = stats.chi2_contingency(stats.contingency.crosstab(*pair).count).pvalue
        assert (p > LEVEL) == independent


def rule_distance(x):
    """Least distance between pixels that vary, on either side of the middle column."""
    columns = (x != x[:1]).any(0).any(0).any(0).nonzero()[:, 0]
    middle = x.shape[-1] // 2
    return int(columns[columns > middle].min() - columns[columns < middle].max())


def test_prop_align_rate():
    """Parts drawn alone agree with probability Σ a_v b_v, and at most with the largest a_v."""
    x, looks = moat()
    n = 3000
    noise = dc.sampling.initial_noise(n, x.shape[1:], seed=5)
    made = dc.sampling.ddim(LocalScore.fit(x, window=7), noise, dc.noise.karras(30))
    a, b = (shown(made, looks, columns) for columns in (slice(0, 3), slice(-3, None)))
    kept, predicted = int((a == b).sum()), float(SHARES.square().sum())
    assert stats.binomtest(kept, n, predicted).pvalue > LEVEL
    assert predicted <= SHARES.max()
    # Controls: equal shares would be kept less often; equal values always.
    assert stats.binomtest(kept, n, 1 / 3).pvalue < LEVEL
    assert stats.binomtest(kept, n, 0.5).pvalue < LEVEL  # the bound is not reached
    # Several rules between closed sets: the product. Four blocks make two pairs that agree.
    four = torch.stack([torch.tensor([u, v, u, v]) for u in (-1.0, 1) for v in (-1.0, 0, 1)])
    sampled = dc.sampling.ddim(
        Blockwise.fit(four, block=1), dc.sampling.initial_noise(n, (4,), seed=6), LEVELS
    )
    close = sampled.round()
    both = int(((close[:, 0] == close[:, 2]) & (close[:, 1] == close[:, 3])).sum())
    assert stats.binomtest(both, n, 1 / 6).pvalue > LEVEL > stats.binomtest(both, n, 1 / 3).pvalue


@pytest.mark.parametrize("window", [9, 31])
@pytest.mark.parametrize("machine", [LocalScore, PatchPosterior])
def test_prop_align_local(machine, window):
    """The best local denoiser of all 17,496 faces, from at most 27 images of each group."""
    if machine is PatchPosterior and window > 16:
        window = 15  # windows must fit into the image
    family = Faces(positions=1)
    every = family.render(torch.arange(len(family)))
    few = population(family, lambda x: machine.fit(x, window=window))
    assert max(len(group.images) for group in groups(family)) == 27
    whole = machine.fit(every, window=window)
    sigma = 0.6
    noise = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    y = every[[11, 12_345]] + sigma * noise
    assert (few(y, sigma) - whole(y, sigma)).abs().max() < 1e-4
    # Control: where two groups are tied, what is seen of one says something about the other.
    if window == 31:
        traits = family.attributes(torch.arange(len(family)))
        names = list(family.values)
        tied = traits[:, names.index("mouth")] % 3 == traits[:, names.index("hair")]
        other = machine.fit(every[tied], window=window)
        assert (few(y, sigma) - other(y, sigma)).abs().max() > 1e-2


@pytest.mark.parametrize(("rule", "side"), [("eyes", "left eye"), ("cheeks", "left cheek")])
def test_prop_align_local_threshold(rule, side):
    """A part hears of its twin exactly from the window on that reaches over the gap."""
    family = Faces(positions=1)
    gap = rule_gaps(family)[rule]
    group = next(g for g in groups(family) if side in g.slots)
    own = group.mask & (torch.arange(16) < 8)
    noise = dc.sampling.initial_noise(4, (1, 16, 16), seed=7)
    other = torch.where(own, noise, dc.sampling.initial_noise(4, (1, 16, 16), seed=8))

    def moved(window):
        denoise = population(family, lambda x: LocalScore.fit(x, window=window))
        made = [dc.sampling.ddim(denoise, start, dc.noise.karras(12)) for start in (noise, other)]
        return (made[0] - made[1])[..., own].abs().max().item()

    assert moved(2 * gap - 1) < 1e-3 < 0.05 < moved(2 * gap + 1)


def test_prop_align_blocks():
    """Valid, copied and shared with the target: counted over all recombinations."""
    rng = np.random.default_rng(0)
    # Faces of four slots with 3, 3, 2 and 4 looks; slots 0 and 1 must agree: 24 valid ones.
    valid = [s for s in itertools.product(range(3), range(3), range(2), range(4)) if s[0] == s[1]]
    train = [valid[i] for i in rng.choice(len(valid), 7, replace=False)]
    n = len(train)
    for blocks in ([[0], [1], [2], [3]], [[0, 1], [2], [3]], [[0, 2], [1, 3]], [[0, 1, 2, 3]]):
        law = {}  # by brute force: each block from a training face of its own
        for chosen in itertools.product(train, repeat=len(blocks)):
            face = [0] * 4
            for source, block in zip(chosen, blocks, strict=True):
                for slot in block:
                    face[slot] = source[slot]
            law[tuple(face)] = law.get(tuple(face), 0) + n ** -len(blocks)

        def count(face, block):
            return sum(all(t[s] == face[s] for s in block) for t in train)

        def q(face, blocks=blocks):
            return math.prod(count(face, block) / n for block in blocks)

        assert sum(law.values()) == pytest.approx(1)
        assert all(law[face] == pytest.approx(q(face)) for face in law)
        assert sum(q(face) for face in valid) == pytest.approx(
            sum(p for face, p in law.items() if face in valid)
        )
        whole = any({0, 1} <= set(block) for block in blocks)
        share = [sum(t[0] == v for t in train) / n for v in range(3)]
        kept = sum(p for face, p in law.items() if face in valid)
        assert kept == pytest.approx(1 if whole else sum(a * a for a in share))
        copies = sum(q(face) for face in train)
        assert copies >= n ** (1 - len(blocks)) - 1e-12
        assert (copies == pytest.approx(1)) == (len(blocks) == 1)


def test_prop_align_blocks_sampled():
    """The law of the proposition is what the denoiser draws, with faces and the oracle."""
    family = Faces(positions=1)
    train, _ = family.split(40, held_out=0, seed=2)
    x, n = family.render(train), 1500
    found = groups(Faces(positions=1, long_range_rules=0))
    eye = next(g for g in found if "left eye" in g.slots)
    left = torch.arange(16) < 8
    y = x[:1].repeat(n, 1, 1, 1)
    for seed, mask in enumerate((eye.mask & left, eye.mask & ~left)):
        denoise = Bayes.fit(x[..., mask])
        noise = dc.sampling.initial_noise(n, x[..., mask].shape[1:], seed=seed)
        y[..., mask] = dc.sampling.ddim(denoise, noise, dc.noise.karras(60))
    verdicts = family.oracle(train)(y)
    columns = [len(("row", "column")) + TRAITS.index(name) for name in ("left eye", "left gaze")]
    looks = family.traits(train)[:, columns]
    shares = torch.unique(looks, dim=0, return_counts=True)[1] / len(train)
    kept = int((~(verdicts.breaks("eyes") | verdicts.breaks("gaze"))).sum())
    predicted = float(shares.square().sum())
    assert not verdicts.of_kind("local").any()
    assert stats.binomtest(kept, n, predicted).pvalue > LEVEL
    assert stats.binomtest(kept, n, 1.5 * predicted).pvalue < LEVEL  # control


def test_prop_align_pays():
    """Distance to the target: copies 1 - N/M; a creator at least 1 - v, and that if it is even."""
    rng = np.random.default_rng(1)
    m, invalid = 40, 15
    target = np.r_[np.full(m, 1 / m), np.zeros(invalid)]

    def distance(law):  # total variation, from its definition: the largest difference of an event
        return np.clip(law - target, 0, None).sum()

    for n in (1, 10, 40):
        copier = np.zeros(m + invalid)
        copier[rng.choice(m, n, replace=False)] = 1 / n
        assert distance(copier) == pytest.approx(1 - n / m)
    for _ in range(50):
        law = rng.dirichlet(np.full(m + invalid, rng.choice([0.1, 1, 50])))
        v, overlap = law[:m].sum(), np.minimum(law[:m], 1 / m).sum()
        assert distance(law) == pytest.approx(1 - overlap)
        assert distance(law) >= 1 - v - 1e-12
        even = bool((law[:m] <= 1 / m).all())
        assert even == (abs(distance(law) - (1 - v)) < 1e-12)
    for v in (0.2, 0.3):
        law = np.r_[np.full(m, v / m), np.full(invalid, (1 - v) / invalid)]
        assert (distance(law) < 1 - 10 / m) == (v > 10 / m)
    # Control: one that is always valid, but draws one image only, does not pay.
    assert distance(np.r_[1, np.zeros(m + invalid - 1)]) > 1 - 10 / m
