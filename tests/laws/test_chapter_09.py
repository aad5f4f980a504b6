"""Certificates of chapter 9: windows, mosaics, the majority rule, reach; each with a control."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Bayes, EquivariantLocalScore, LocalScore

LEVEL = 1e-5  # of each statistical test below
DIGITS = dc.data.load("digits").x.double()


def draw(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def two_layers(y, weights, mode):
    """A network that sees 3×3 windows, with shared weights."""
    hidden = F.conv2d(F.pad(y, (1,) * 4, mode=mode), weights[0])
    return F.conv2d(torch.tanh(hidden), weights[1])


def excess(best, other, x, sigma, seed):
    """Loss of `other` beyond `best`, less E|other − best|², in standard errors."""
    y = x + sigma * draw(*x.shape, seed=seed)
    f, g = best(y), other(y)
    gap = ((x - g).square() - (x - f).square() - (g - f).square()).flatten(1).sum(1)
    return (gap.mean() / (gap.std() / math.sqrt(len(gap)))).item()


@pytest.mark.parametrize("sigma", [0.3, 1.0])
@pytest.mark.parametrize("kind", ["own", "torus", "borders"])
def test_thm_local_window(kind, sigma):
    """Part 3, the split of the loss, for a network of windows; wrong machines break it."""
    points = DIGITS[:12]
    x = points[torch.randint(12, (6000,), generator=torch.Generator().manual_seed(5))]
    weights = draw(4, 1, 3, 3, seed=6), draw(1, 4, 1, 1, seed=7)
    best = {
        "own": LocalScore.fit(points, window=3),
        "torus": EquivariantLocalScore.fit(points, window=3, padding="circular"),
        "borders": EquivariantLocalScore.fit(points, window=3),
    }[kind]

    def denoise(y):
        return best(y, sigma)

    def network(y):
        return two_layers(y, weights, "circular" if kind == "torus" else "constant")

    assert abs(excess(denoise, network, x, sigma, seed=1)) < stats.norm.isf(LEVEL / 2)
    assert abs(excess(lambda y: 0.9 * denoise(y), network, x, sigma, seed=1)) > 9
    # A rival that sees more (all of the image, or where it is) is no denoiser of this kind.
    more = Bayes.fit(points) if kind == "own" else LocalScore.fit(points, window=3)
    assert excess(denoise, lambda y: more(y, sigma), x, sigma, seed=1) < -9


def windows_of(x, k):
    return F.unfold(F.pad(x, (k // 2,) * 4, mode="circular"), k).mT  # (n, places, k²)


def nearest(x, y, k):
    """Centre of the nearest window on the torus (n, places), and the gap."""
    bank, centres = windows_of(x, k).flatten(0, 1), x.flatten()
    squares = torch.cdist(
        windows_of(y, k), bank[None], compute_mode="donot_use_mm_for_euclid_dist"
    ).square()
    least, which = squares.min(2, keepdim=True)
    centre = centres[which[..., 0]]
    other = centres != centre[..., None]
    return centre, torch.where(other, squares - least, torch.inf).amin(2)


@pytest.mark.parametrize("k", [3, 5])
def test_prop_local_fixed_points(k):
    """The bound of part 1, sharp in the gap; where samples end, and that mosaics attract."""
    x = DIGITS[:30]
    y = DIGITS[50:60] + 0.3 * draw(10, 1, 8, 8, seed=0)
    denoise = EquivariantLocalScore.fit(x, window=k, padding="circular")
    centre, gap = nearest(x, y, k)
    largest, sharper = 30 * 64 * (x.max() - x.min()), 0
    for sigma in (0.3, 0.1, 0.03):
        off = (denoise(y, sigma).flatten(1) - centre).abs()
        assert (off <= largest * torch.exp(-gap / (2 * sigma**2)) + 1e-9).all()
        sharper += (off > largest * torch.exp(-gap / sigma**2) + 1e-6).sum()
    assert sharper > 20  # with twice the gap the bound would be wrong

    # Parts 2 and 3: from a mosaic with a margin, disturbed, the flow returns to it.
    start = dc.sampling.initial_noise(20, (1, 8, 8), seed=1).double()
    ends = dc.sampling.ddim(denoise, start, dc.noise.karras(60))
    rounded = ends
    for _ in range(30):  # follow the nearest centres to the end
        rounded = denoise(rounded, 0.0)
    centre, gap = nearest(x, rounded, k)
    rest = ((rounded.flatten(1) - centre).abs() < 1e-9).all(1) & (gap > 1e-6).all(
        1
    )  # grey levels are 1/8 apart: at least 1/64
    mosaics = rounded[rest]
    assert len(mosaics) >= 3
    fine = torch.cat([torch.logspace(-2.5, -4, 40, dtype=torch.float64), torch.zeros(1).double()])
    disturbed = mosaics + 2e-4 * draw(*mosaics.shape, seed=2).clamp(-1, 1)
    torch.testing.assert_close(
        dc.sampling.ddim(denoise, disturbed, fine), mosaics, rtol=0, atol=1e-6
    )
    # Controls: with another window these are not at rest, and noise attracts nothing.
    other = EquivariantLocalScore.fit(x, window=8 - k, padding="circular")
    moved = dc.sampling.ddim(other, disturbed, fine)
    assert (moved - mosaics).abs().flatten(1).amax(1).max() > 0.1
    noise = draw(5, 1, 8, 8, seed=3)
    assert (dc.sampling.ddim(denoise, noise, fine) - noise).abs().max() > 0.1


def black_and_white(n):
    return torch.tensor([-1.0, 1.0]).double().reshape(2, 1, 1, 1).expand(2, 1, n, n)


def all_binary(n):
    bits = torch.arange(2 ** (n * n))[:, None] >> torch.arange(n * n) & 1
    return (bits.double() * 2 - 1).reshape(-1, 1, n, n)


def obeys(images, k=3):
    return (windows_of(images, k).sum(2).sign() == images.flatten(1)).all(1)


def test_prop_local_majority():
    """The tanh; on a 4×4 torus the images at rest are those of the rule; samples obey."""
    denoise = EquivariantLocalScore.fit(black_and_white(4), window=3, padding="circular")
    own = LocalScore.fit(black_and_white(4), window=3, padding="circular")
    y = draw(50, 1, 4, 4, seed=0)
    for sigma in (0.5, 2.0, 10.0):
        closed = torch.tanh(windows_of(y, 3).sum(2) / sigma**2).reshape(y.shape)
        for machine in (denoise, own):
            torch.testing.assert_close(machine(y, sigma), closed, rtol=0, atol=1e-6)
        wrong = torch.tanh(windows_of(y, 3).sum(2) / (2 * sigma**2)).reshape(y.shape)
        assert (denoise(y, sigma) - wrong).abs().max() > 1e-3
    everything = all_binary(4)
    rest = (denoise(everything, 0.0) == everything).flatten(1).all(1)
    assert torch.equal(rest, obeys(everything))
    assert rest.sum() == 188
    # Each of the 188 attracts what is near; images that break the rule do not.
    fine = torch.cat([torch.logspace(-0.5, -3, 40, dtype=torch.float64), torch.zeros(1).double()])
    near = everything + 0.05 * draw(*everything.shape, seed=1).clamp(-2, 2)
    ends = dc.sampling.ddim(denoise, near[rest], fine)
    torch.testing.assert_close(ends, everything[rest], rtol=0, atol=1e-9)
    broken = near[~rest][::97]
    assert (dc.sampling.ddim(denoise, broken, fine) - broken).flatten(1).abs().amax(1).min() > 0.5
    noise = dc.sampling.initial_noise(1000, (1, 4, 4), seed=2).double()
    samples = dc.sampling.ddim(denoise, noise, dc.noise.karras(30))
    torch.testing.assert_close(samples.abs(), torch.ones_like(samples), rtol=0, atol=1e-6)
    assert obeys(samples.sign()).all()
    assert not obeys(noise.sign()).all()
    copies = Bayes.fit(black_and_white(4))
    assert (copies(everything[rest], 0.0) == everything[rest]).flatten(1).all(1).sum() == 2


@pytest.mark.parametrize("n", [10, 15])
def test_prop_local_count(n):
    """Islands in any of the cells are at rest: 2^((n/5)²) images. With corners they are not."""
    denoise = EquivariantLocalScore.fit(black_and_white(n), window=3, padding="circular")
    cells = (n // 5) ** 2
    chosen = (torch.arange(2**cells)[:, None] >> torch.arange(cells) & 1).double()
    island = torch.zeros(5, 5).double()
    island[:4, :4] = 1

    def images():
        grid = chosen.reshape(-1, n // 5, n // 5)
        return torch.stack([torch.kron(one, island) for one in grid])[:, None] * 2 - 1

    squares = images()
    island[[0, 0, 3, 3], [0, 3, 0, 3]] = 0
    islands = images()
    assert len(islands.flatten(1).unique(dim=0)) == 2**cells
    assert torch.equal(denoise(islands, 0.0), islands)
    assert (denoise(squares, 0.0) == squares).flatten(1).all(1).sum() == 1  # the empty one


def test_prop_local_reach():
    """After K steps a pixel feels noise within K·r and a border within K·r, no farther."""
    x = draw(20, 1, 12, 12, seed=0)
    edge = torch.minimum(torch.arange(12), torch.arange(12).flip(0))
    depth = torch.minimum(edge[:, None], edge)
    far = (torch.arange(12) - 2).abs()
    far = torch.maximum(far[:, None], far)  # distance to pixel (2, 2)
    depth = torch.minimum(depth, depth.roll((-1, -1), (0, 1)))
    noise = draw(10, 1, 12, 12, seed=1) * 2
    poked = noise.clone()
    poked[:, :, 2, 2] += 1.0
    for steps, k in itertools.product((1, 2, 3), (3, 5)):
        sigmas = torch.cat([torch.linspace(2.0, 1.0, steps).double(), torch.zeros(1).double()])
        r = k // 2
        for machine in (LocalScore.fit(x, window=k), EquivariantLocalScore.fit(x, window=k)):
            end = dc.sampling.ddim(machine, noise, sigmas)
            change = (dc.sampling.ddim(machine, poked, sigmas) - end).abs().amax((0, 1))
            assert change[far > steps * r].max() < 1e-12
            assert change[far == steps * r].max() > 1e-9
        moved = dc.sampling.ddim(machine, noise.roll((1, 1), (2, 3)), sigmas)
        change = (moved.roll((-1, -1), (2, 3)) - end).abs().amax((0, 1))
        if (depth >= steps * r).any():
            assert change[depth >= steps * r].max() < 1e-9
        assert change[depth == min(steps * r, 5) - 1].max() > 1e-4
        # A machine that knows the place treats all depths differently.
        own = LocalScore.fit(x, window=k)
        gap = dc.sampling.ddim(own, noise.roll((1, 1), (2, 3)), sigmas).roll((-1, -1), (2, 3))
        gap = (gap - dc.sampling.ddim(own, noise, sigmas)).abs().amax((0, 1))
        assert gap.min() > 1e-4


def test_prop_local_r_squared():
    """The identity, its two ends, and that r alone does not give R²."""
    t = draw(50, 1, 6, 6, seed=0)
    scale = torch.linspace(0.1, 3, 50).double()[:, None, None, None]
    e = scale * (t + draw(50, 1, 6, 6, seed=1)) + draw(50, 1, 1, 1, seed=2)
    r, found = dc.metrics.pearson_r(e, t), dc.metrics.r_squared(e, t)
    flat_e, flat_t = e.flatten(1), t.flatten(1)
    ratio = flat_e.std(1, correction=0) / flat_t.std(1, correction=0)
    offset = (flat_e.mean(1) - flat_t.mean(1)) / flat_t.std(1, correction=0)
    torch.testing.assert_close(found, r**2 - (r - ratio) ** 2 - offset**2)
    assert (found <= r**2 + 1e-12).all()
    assert (found - r**2).abs().max() > 1  # R² is not r²
    assert (found - (r**2 - (r - ratio) ** 2)).abs().max() > 0.1  # nor is contrast all
    line = (r / ratio)[:, None, None, None] * (e - e.mean((1, 2, 3), keepdim=True))
    best = line + t.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(dc.metrics.r_squared(best, t), r**2)
    torch.testing.assert_close(dc.metrics.pearson_r(best, t), r.abs())
