"""Certificates of chapter 14: what circular padding forgets."""

import pytest
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.networks import Preconditioned, UNetConfig

from ..unit.unet_networks import awake

SIDE = 16


def network(padding, depth, seed=0):
    """A denoiser whose every layer acts, in float64: new ones return c_skip y."""
    config = UNetConfig(side=SIDE, depth=depth, widths=(4,) * (depth + 1), embedding=8,
                        padding=padding)  # fmt: skip
    return Preconditioned(awake(config, seed=seed).double(), sigma_data=0.6).double()


def noise(n, seed=0):
    return dc.sampling.initial_noise(n, (1, SIDE, SIDE), seed=seed).double()


def all_shifts(step):
    return [(i, j) for i in range(0, SIDE, step) for j in range(0, SIDE, step)]


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("sampler", ["heun", "ddim"])
def test_prop_study_places(depth, sampler):
    """Samples move with the noise; with zero padding, or by less than the grid, they do not."""
    sample = getattr(dc.sampling, sampler)
    schedule = dc.noise.karras(6)
    start = noise(3)
    circular = network("circular", depth)
    made = sample(circular.denoise, start, schedule)
    grid = 2**depth
    for shift in ((grid, 0), (0, 3 * grid % SIDE), (grid, grid)):
        moved = sample(circular.denoise, start.roll(shift, (2, 3)), schedule)
        gap = (moved - made.roll(shift, (2, 3))).abs().max() / made.abs().max()
        assert gap < 1e-9
    for other, shift in ((circular, (1, 0)), (network("zeros", depth), (grid, 0))):
        plain = sample(other.denoise, start, schedule)
        moved = sample(other.denoise, start.roll(shift, (2, 3)), schedule)
        assert (moved - plain.roll(shift, (2, 3))).abs().max() / plain.abs().max() > 1e-4


def test_prop_study_places_bounds_the_probability():
    """The largest of 16 places has at most 1/16: events that exclude each other's shifts.

    The event: among the 16 coarse shifts of a sample, the sum over a fixed quarter-sized window
    is largest at the sample itself. Exactly one shift has it, so its probability is 1/16.
    """
    depth, n = 2, 4000
    circular = network("circular", depth)
    made = dc.sampling.ddim(circular.denoise, noise(n, seed=1), dc.noise.karras(4))
    sums = torch.stack([made.roll(s, (2, 3))[..., :5, :7].sum((1, 2, 3)) for s in all_shifts(4)], 1)
    hits = int((sums.argmax(1) == 0).sum())
    low, high = stats.binom.ppf([5e-6, 1 - 5e-6], n, 1 / 16)
    assert low <= hits <= high
    fixed = network("zeros", depth)
    made = dc.sampling.ddim(fixed.denoise, noise(n, seed=1), dc.noise.karras(4))
    sums = torch.stack([made.roll(s, (2, 3))[..., :5, :7].sum((1, 2, 3)) for s in all_shifts(4)], 1)
    counts = sums.argmax(1).bincount(minlength=16).double()
    assert stats.chisquare(counts.numpy()).pvalue < 1e-9  # the border tells where one is


def test_valid_faces_are_such_a_set():
    """No face of the family, moved by four pixels or more, is another valid face."""
    family = dc.data.faces.Faces(positions=1)
    faces = family.render(family.split(300, held_out=0, seed=3).train)
    judge = family.oracle()
    for shift in all_shifts(4)[1:]:
        assert not (judge(faces.roll(shift, (2, 3))).label < 2).any()
    assert (judge(faces).label < 2).all()
