"""Certificates of the patch machines, each with a control that fails.

Labels: thm-local-window, prop-local-fixed-points, prop-local-majority, prop-local-count.
"""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Bayes, EquivariantLocalScore, LocalScore

LEVEL = 1e-5  # of each statistical test below
DIGITS = dc.data.load("digits").x


def shared(y, weights, padding):
    """A map that sees 3×3 windows, the same everywhere: two layers, as in a network."""
    hidden = F.conv2d(F.pad(y, (1,) * 4, mode=padding), weights[0])
    return F.conv2d(torch.tanh(hidden), weights[1])


def excess(best, other, x, sigma, seed):
    """Loss of `other` beyond `best`, less E|other − best|², in standard errors."""
    generator = torch.Generator().manual_seed(seed)
    y = x + sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    x, f, g = x.double(), best(y).double(), other(y).double()
    gap = (x - g).square() - (x - f).square() - (g - f).square()
    gap = gap.flatten(1).sum(1)
    return (gap.mean() / (gap.std() / math.sqrt(len(gap)))).item()


@pytest.mark.parametrize("sigma", [0.3, 1.0])
@pytest.mark.parametrize("machine", ["own", "torus", "borders"])
def test_thm_local_window(machine, sigma):
    """E[x_p | window] is best: any other map of windows loses E|other − best|² more.

    The identity needs the other map to see no more than the window: a map with weights of its own
    at each place breaks it where weights are shared, and so does one that sees the whole image.
    """
    points = DIGITS[:12, :, 1:7, 1:7]
    generator = torch.Generator().manual_seed(5)
    x = points[torch.randint(12, (3000,), generator=generator)]
    weights = (torch.randn(4, 1, 3, 3, generator=generator),
               torch.randn(1, 4, 1, 1, generator=generator))  # fmt: skip
    padding = "circular" if machine == "torus" else "constant"
    best = {
        "own": LocalScore.fit(points, window=3),
        "torus": EquivariantLocalScore.fit(points, window=3, padding="circular"),
        "borders": EquivariantLocalScore.fit(points, window=3),
    }[machine]

    def denoise(y):
        return best(y, sigma)

    fair = abs(excess(denoise, lambda y: shared(y, weights, padding), x, sigma, seed=1))
    assert fair < stats.norm.isf(LEVEL / 2)
    # With another map in the place of the best one, the identity fails.
    assert abs(excess(lambda y: 0.9 * denoise(y),
                      lambda y: shared(y, weights, padding), x, sigma, seed=1)) > 9  # fmt: skip
    more = Bayes.fit(points) if machine == "own" else LocalScore.fit(points, window=3)
    assert excess(denoise, lambda y: more(y, sigma), x, sigma, seed=1) < -9


def windows_of(x, k):
    return F.unfold(F.pad(x, (k // 2,) * 4, mode="circular"), k).mT  # (n, places, k²)


def nearest(x, y, k):
    """Centre of the nearest window, (n, places), and by how much the next other one is farther."""
    bank, centres = windows_of(x, k).flatten(0, 1), x.flatten()
    squares = torch.cdist(windows_of(y, k), bank[None],
                          compute_mode="donot_use_mm_for_euclid_dist").square()  # fmt: skip
    least, which = squares.min(2, keepdim=True)
    centre = centres[which[..., 0]]
    other = centres != centre[..., None]
    gap = torch.where(other, squares - least, torch.inf).amin(2)
    return centre, gap


@pytest.mark.parametrize("k", [3, 5])
def test_prop_local_fixed_points(k):
    """Every pixel tends to the centre of its nearest window, as fast as the gap to others says.

    |D_σ(y)_p − centre| <= M · range · exp(−gap/2σ²) for M windows, gap over those of other centres.
    """
    x = DIGITS[:30].double()
    y = DIGITS[50:60].double() + 0.3 * torch.randn(
        10, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    denoise = EquivariantLocalScore.fit(x, window=k, padding="circular")
    centre, gap = nearest(x, y, k)
    span, count = (x.max() - x.min()).item(), 30 * 64
    tight = 0
    for sigma in (0.3, 0.1, 0.002):
        off = (denoise(y, sigma).flatten(1) - centre).abs()
        bound = count * span * torch.exp(-gap / (2 * sigma**2))
        assert (off <= bound + 1e-12).all()
        tight += (off > count * span * torch.exp(-gap / sigma**2) + 1e-9).sum()
    assert tight > 20  # with twice the gap the bound would be wrong
    torch.testing.assert_close(denoise(y, 0.0).flatten(1), centre, rtol=0, atol=1e-12)


def test_prop_local_fixed_points_of_samples():
    """A sample on which the flow has come to rest is a mosaic: each pixel has its nearest centre.

    Not every sample comes to rest: windows may go on correcting one another, however small σ is.
    """
    x = DIGITS[:30]
    levels = torch.cat([dc.noise.karras(40)[:-1].double(), torch.logspace(-2.8, -7, 60).double(),
                        torch.zeros(1).double()])  # fmt: skip
    noise = dc.sampling.initial_noise(60, (1, 8, 8), seed=1)
    denoise = LocalScore.fit(x, window=5, padding="circular")
    path = dc.sampling.ddim(denoise, noise, levels, return_trajectory=True)
    samples = path[-1]
    rests = (samples - path[-2]).flatten(1).abs().amax(1) < 1e-3
    assert rests.float().mean() > 0.7
    for k, mosaic in ((5, True), (3, False)):
        bank, windows = windows_of(x.double(), k), windows_of(samples.double(), k)
        squares = (windows[:, None] - bank).square().sum(3)  # (n, N, places)
        off = (samples.flatten(1)[:, None] - x.flatten(1)).abs()  # to the centres of all windows
        nearest_ones = squares <= squares.amin(1, keepdim=True) + 1e-9  # several, on a tie
        off = torch.where(nearest_ones, off, torch.inf).amin(1).amax(1)
        assert (off[rests] < 1e-5).all() == mosaic
    assert dc.metrics.copied_fraction(samples[rests], x) < 0.9


def majority(images):
    """Whether each pixel of ±1 images (n, 1, H, W) has the sign of its 3×3 window, on the torus."""
    sums = windows_of(images, 3).sum(2)
    return (sums.sign() == images.flatten(1)).all(1)


def black_and_white(*size):
    return torch.stack([-torch.ones(1, *size), torch.ones(1, *size)])


def test_prop_local_majority():
    """Two images, black and white: a binary image is generated if and only if it obeys the rule."""
    x = black_and_white(4, 4)
    denoise = EquivariantLocalScore.fit(x, window=3, padding="circular")
    y = torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for sigma in (0.5, 2.0, 10.0):
        closed = torch.tanh(windows_of(y.double(), 3).sum(2) / sigma**2)
        torch.testing.assert_close(denoise(y, sigma).flatten(1).double(), closed, rtol=0, atol=1e-5)
    bits = (torch.arange(2**16)[:, None] >> torch.arange(16)) & 1
    everything = (2 * bits - 1).float().reshape(-1, 1, 4, 4)
    obeys = majority(everything)
    fixed = (denoise(everything, 0.0) == everything).flatten(1).all(1)
    assert torch.equal(fixed, obeys)
    assert obeys.sum() == 188
    noise = dc.sampling.initial_noise(4000, (1, 4, 4), seed=2)
    levels = dc.noise.karras(30)
    samples = dc.sampling.ddim(denoise, noise, levels)
    assert (samples.abs() - 1).abs().max() < 1e-5  # all are binary
    assert majority(samples.sign()).all()  # and obey
    assert not majority(noise.sign()).all()
    assert len(samples.sign().unique(dim=0)) > 10
    # Each of those that obey is generated: whole neighbourhoods flow into it, and so, the exact
    # flow being invertible, does an open set of starting noise. The others let go.
    late = levels[levels < 0.5]
    near = everything + 0.02 * torch.randn(
        everything.shape, generator=torch.Generator().manual_seed(3)
    )
    for chosen, kept in ((obeys, True), (~obeys, False)):
        ended = dc.sampling.ddim(denoise, near[chosen][:2000], late)
        assert torch.equal((ended - everything[chosen][:2000]).flatten(1).abs().amax(1) < 1e-5,
                           torch.full((len(ended),), kept))  # fmt: skip
    local = LocalScore.fit(x, window=3, padding="circular")  # both images are the same everywhere
    torch.testing.assert_close(local(y, 1.0), denoise(y, 1.0), rtol=0, atol=1e-5)
    assert not torch.equal(Bayes.fit(x)(everything, 0.0), everything * obeys[:, None, None, None])


@pytest.mark.parametrize("n", range(3, 11))
def test_prop_local_count(n):
    """Two training images make Σ over cyclic words without single letters of stripes: c(n) grows.

    c(n) is the trace of the n-th power of a transfer matrix over pairs of neighbours, in which the
    letters ``+-+`` and ``-+-`` may not follow one another.
    """
    words = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=n)))
    stripes = words[:, None, :, None].expand(-1, 1, n, n).contiguous()
    denoise = EquivariantLocalScore.fit(black_and_white(n, n), window=3, padding="circular")
    fixed = (denoise(stripes, 0.0) == stripes).flatten(1).all(1)
    no_singles = ((words == words.roll(1, 1)) | (words == words.roll(-1, 1))).all(1)
    assert torch.equal(fixed, no_singles)
    transfer = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1]]).double()
    assert fixed.sum() == torch.linalg.matrix_power(transfer, n).trace().round()
    across = (denoise(stripes.mT.contiguous(), 0.0) == stripes.mT).flatten(1).all(1)
    assert torch.equal(across, fixed)
    assert fixed.sum() > 2 or n == 3
