"""Certificates of chapter 8: independent parts and orbits, each with controls that must fail."""

import math

import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Bayes, Blockwise, Equivariant, Pixelwise
from diffusion_creativity.laws import Orbit

LEVEL = 1e-5  # of every test below: a true law fails once in a hundred thousand
DIGITS = dc.data.load("digits").x
FEW = DIGITS[:40]
NOISE = dc.sampling.initial_noise(4000, (1, 8, 8), seed=2)
SHIFTS = [(a, b) for a in range(8) for b in range(8)]


def excess(best, other, x, sigma, seed, moved=None):
    """Loss of `other` beyond `best`, less E|other − best|² at `moved`, in standard errors."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).double()
    y = x + sigma * noise
    z = y if moved is None else moved(y)
    gain = (x - other(y)).square().flatten(1).sum(1) - (x - best(y)).square().flatten(1).sum(1)
    gap = gain - (other(z) - best(z)).square().flatten(1).sum(1)
    return (gap.mean() / (gap.std() / math.sqrt(len(gap)))).item()


def test_thm_product():
    """Best of the factorised ones; and independent parts for any weights and 4 steps."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(30, 6, generator=generator, dtype=torch.float64)
    x = points[torch.randint(30, (40_000,), generator=generator)]
    matrix = torch.block_diag(*torch.randn(2, 3, 3, generator=generator, dtype=torch.float64))
    for k, sigma in enumerate((0.3, 1.0)):
        best = Blockwise.fit(points, block=3)
        z = excess(
            lambda y, b=best, s=sigma: b(y, s), lambda y: torch.tanh(y @ matrix), x, sigma, seed=k
        )
        assert abs(z) < stats.norm.isf(LEVEL / 4)
        # The split needs the posterior mean: with another map in its place it fails.
        worse = excess(
            lambda y, b=best, s=sigma: 0.8 * b(y, s), lambda y: torch.tanh(y @ matrix), x, sigma, k
        )
        assert abs(worse) > 9
        whole = Bayes.fit(points)
        # Part 2: the perfect denoiser of all recombinations, which are 900 points.
        pairs = torch.cartesian_prod(torch.arange(30), torch.arange(30))
        chimeras = torch.cat([points[pairs[:, 0], :3], points[pairs[:, 1], 3:]], 1)
        y = points[:20] + sigma * torch.randn(20, 6, generator=generator, dtype=torch.float64)
        torch.testing.assert_close(best(y, sigma), Bayes.fit(chimeras)(y, sigma))
        assert (whole(y, sigma) - best(y, sigma)).abs().max() > 0.05

    def wild(y, sigma, wire=0.0):  # no optimal denoiser: any weights that keep parts apart
        out = torch.tanh(y @ (matrix + wire).to(y)) * 2
        return out + torch.sin(y)

    noise = dc.sampling.initial_noise(20_000, (6,), seed=4).double()

    def p_value(wire):
        s = dc.sampling.ddim(lambda y, t: wild(y, t, wire), noise, dc.noise.karras(4))
        n, r = len(s), torch.corrcoef(torch.cat([s, s.square()], 1).T)
        left, right = torch.tensor([0, 1, 2, 6, 7, 8]), torch.tensor([3, 4, 5, 9, 10, 11])
        p = 2 * stats.norm.sf(math.sqrt(n) * r[left][:, right].abs().max().item())
        return min(1.0, 36 * p)

    assert p_value(0.0) > LEVEL
    assert p_value(0.1) < LEVEL


def test_thm_chimeras():
    """The law at N = 40, B = 4; copies, 2 % copies, favourites and other blocks fail."""
    quarters = Blockwise.fit(FEW, block=4)
    law = quarters.law()
    samples = dc.sampling.ddim(quarters, NOISE, dc.noise.karras(300))
    assert law.agreement(samples, alpha=LEVEL).ok
    assert law.agreement(law.sample(4000, seed=1), alpha=LEVEL).ok
    assert dc.metrics.copied_fraction(samples, FEW) < 0.01

    copies = Bayes.fit(FEW).law().sample(4000, seed=3)
    assert not law.agreement(copies, alpha=LEVEL).ok
    slightly = torch.where((torch.arange(4000) % 50 == 0)[:, None, None, None], copies, samples)
    found = law.agreement(slightly, alpha=LEVEL)
    assert [s.ok for s in found.statistics] == [True, True, True, False]
    favoured = samples.clone()
    favoured[::5, :, :4, :4] = FEW[:4].repeat(200, 1, 1, 1)[:, :, :4, :4]
    assert not law.agreement(favoured, alpha=LEVEL).ok
    assert not Blockwise.fit(FEW, block=(4, 8)).law().agreement(samples, alpha=LEVEL).ok
    assert not Blockwise.fit(FEW[:39], block=4).law().agreement(samples, alpha=LEVEL).ok

    # Few points: every one of the N^B chimeras is seen, equally often.
    points = torch.tensor([[-2.0, 1.5], [0.3, -1.8], [2.2, 0.4]])
    denoise = Blockwise.fit(points, block=1)
    noise = dc.sampling.initial_noise(9000, (2,), sigma_max=800.0, seed=5)
    end = dc.sampling.ddim(denoise, noise, dc.noise.karras(400, sigma_max=800.0))
    indices = [(end[:, k, None] - points[:, k]).abs().argmin(1) for k in (0, 1)]
    counts = torch.bincount(indices[0] * 3 + indices[1], minlength=9).numpy()
    assert stats.chisquare(counts).pvalue > LEVEL
    assert stats.chisquare(counts[[0, 4, 8]].repeat(3)).pvalue > LEVEL
    assert abs(counts[[0, 4, 8]].sum() / 9000 - 1 / 3) < 4.5 * math.sqrt(2 / 9 / 9000)


def test_thm_pixelwise():
    """Own and pooled histograms, each fails as the other; a wrong histogram fails."""
    x, sigmas = DIGITS[:300], dc.noise.karras(40)
    noise = NOISE[:3000]
    own, shared = Pixelwise.fit(x), Pixelwise.fit(x, shared=True)
    laws = {"own": own.law(sigmas), "shared": shared.law(sigmas)}
    for name, denoise in (("own", own), ("shared", shared)):
        samples = dc.sampling.ddim(denoise, noise, sigmas)
        for other, law in laws.items():
            report = law.agreement(samples, alpha=LEVEL, tolerance=1 / 16)
            assert report.ok == (name == other), (name, other)
    samples = dc.sampling.ddim(own, noise, sigmas)
    zeros = Pixelwise.fit(DIGITS[dc.data.load("digits").labels == 0]).law(sigmas)
    assert not zeros.agreement(samples, alpha=LEVEL, tolerance=1 / 16).ok
    copies = Bayes.fit(x).law().sample(3000, seed=1)
    assert not laws["own"].agreement(copies, alpha=LEVEL, tolerance=1 / 16).ok
    # The limits are the marginals themselves.
    torch.testing.assert_close(own.law().mean, x.double().mean(0))
    variance = own.law().cov.diagonal().reshape(1, 8, 8)
    torch.testing.assert_close(variance, x.double().var(0, correction=0))
    torch.testing.assert_close(shared.law().mean, x.double().mean().expand(1, 8, 8))
    # One function for all pixels: no other point of the pool is left out, none counts twice.
    y = torch.linspace(-2, 2, 64, dtype=torch.float64).reshape(1, 1, 8, 8)
    values, counts = x.double().flatten().unique(return_counts=True)
    weights = counts * torch.exp(-((y.reshape(-1, 1) - values) ** 2) / (2 * 0.7**2))
    expected = (weights @ values / weights.sum(1)).reshape(y.shape)
    torch.testing.assert_close(shared(y, 0.7), expected)
    assert (own(y, 0.7) - expected).abs().max() > 0.1


def test_prop_pixel_steps():
    """Exact probabilities against evenly spread starts; the limit and other schedules fail."""
    x = DIGITS[:200]
    denoise = Pixelwise.fit(x)
    grid = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    start = (80 * torch.special.ndtri(grid))[:, None, None, None].expand(-1, 1, 8, 8)
    for steps in (4, 18):
        sigmas = dc.noise.karras(steps)
        end = dc.sampling.ddim(denoise, start, sigmas)
        assert (end.diff(dim=0) >= -1e-12).all()  # increasing
        worst = {}
        for name, law in (
            ("steps", denoise.law(sigmas)), ("limit", denoise.law()),
            ("others", denoise.law(dc.noise.karras(steps + 2))),
        ):  # fmt: skip
            gaps = []
            for factor, place in zip(law.factors, law.places, strict=True):
                index = factor.nearest(end.flatten(1)[:, place])[1]
                found = torch.bincount(index, minlength=len(factor.atoms)).double() / len(end)
                gaps.append((found - factor.probabilities).abs().max().item())
            worst[name] = max(gaps)
        assert worst["steps"] < 1.5e-4  # two ends of an interval, a start each
        assert worst["limit"] > 3e-3
        assert worst["others"] > 3e-3


def test_thm_equivariant():
    """Best of the equivariant ones, by the split of the loss; and averaging is projecting."""
    x = DIGITS[:50].double()
    best, generator = Equivariant.fit(x), torch.Generator().manual_seed(1)
    kernel = torch.randn(1, 1, 3, 3, generator=generator, dtype=torch.float64) / 3

    def network(y):
        padded = torch.nn.functional.pad(y, (1, 1, 1, 1), mode="circular")
        return torch.tanh(torch.nn.functional.conv2d(padded, kernel))

    def uneven(y):  # not equivariant
        return network(y) * torch.linspace(0.0, 2.0, 8, dtype=torch.float64)

    draws = x[torch.randint(50, (4000,), generator=generator)]
    sigma = 1.0

    def somewhere(y):
        by = torch.randint(64, (len(y),), generator=torch.Generator().manual_seed(2))
        moved = [one.roll(SHIFTS[k], (-2, -1)) for one, k in zip(y, by.tolist(), strict=True)]
        return torch.stack(moved)

    def denoise(y):
        return best(y, sigma)

    assert abs(excess(denoise, network, draws, sigma, 3, somewhere)) < stats.norm.isf(LEVEL / 2)
    assert abs(excess(denoise, uneven, draws, sigma, 3, somewhere)) > 9

    y = draws[:30] + torch.randn(30, 1, 8, 8, generator=generator, dtype=torch.float64)

    def project(f, y):
        moved = [f(y.roll(s, (-2, -1))).roll((-s[0], -s[1]), (-2, -1)) for s in SHIFTS]
        return sum(moved) / 64

    torch.testing.assert_close(project(denoise, y), denoise(y))
    torch.testing.assert_close(project(network, y), network(y))
    averaged = project(uneven, y.roll((3, 1), (-2, -1)))
    torch.testing.assert_close(averaged, project(uneven, y).roll((3, 1), (-2, -1)))
    # Orthogonal: over the orbit of finitely many y, where the average is a sum.
    orbit = torch.cat([y.roll(s, (-2, -1)) for s in SHIFTS])
    rest = uneven(orbit) - project(uneven, orbit)
    scale = (uneven(orbit).norm() * network(orbit).norm()).item()
    assert abs((rest * network(orbit)).sum().item()) < 1e-12 * scale
    assert abs((rest * uneven(orbit)).sum().item()) > 1e-3 * scale
    # Neither the perfect denoiser of the data nor its plain average is the best one.
    perfect = Bayes.fit(x)
    assert (project(lambda t: perfect(t, sigma), y) - denoise(y)).abs().max() > 0.05
    everything = torch.cat([x.roll(s, (-2, -1)) for s in SHIFTS])
    torch.testing.assert_close(denoise(y), Bayes.fit(everything)(y, sigma))


def test_thm_orbit():
    """Uniform over the orbit; invariant after 3 steps of any network; controls fail."""
    x = DIGITS[:100]
    denoise, law = Equivariant.fit(x), Orbit(x)
    samples = dc.sampling.ddim(denoise, NOISE[:1500], dc.noise.karras(60))
    assert law.agreement(samples, alpha=LEVEL).ok
    assert law.agreement(law.sample(1500, seed=2), alpha=LEVEL).ok
    assert dc.metrics.copied_fraction(samples, x) < 0.1
    assert dc.metrics.copied_fraction(samples, x, modulo="translations") > 0.999

    generator = torch.Generator().manual_seed(3)
    image = torch.randint(100, (1500,), generator=generator)
    down, along = torch.randint(8, (2, 1500), generator=generator)
    every = torch.stack([x.roll(s, (-2, -1)) for s in SHIFTS], 1)
    assert law.agreement(every[image, 8 * down + along], alpha=LEVEL).ok
    assert not law.agreement(x[image], alpha=LEVEL).ok
    assert not law.agreement(every[image, 8 * (down % 7) + along], alpha=LEVEL).ok
    tied = every[image, 8 * (image % 8) + image // 8 % 8]
    assert not law.agreement(tied, alpha=LEVEL).ok
    assert not law.agreement(every[image // 2, 8 * down + along], alpha=LEVEL).ok
    assert not Orbit(x, "flips").agreement(samples, alpha=LEVEL).ok

    turned = Equivariant.fit(x, group=("flips", "quarter_turns"))
    flips = dc.sampling.ddim(turned, NOISE[:1500], dc.noise.karras(60))
    assert turned.law().agreement(flips, alpha=LEVEL).ok
    assert not turned.law().agreement(x[image], alpha=LEVEL).ok

    # Part 1, any equivariant network, three steps: the brightest place is uniform. (Atoms would
    # not do here: their brightest grey level has ties.)
    kernel = torch.randn(1, 1, 3, 3, generator=generator)
    ramp = torch.linspace(0.9, 1.1, 8)

    def network(y, sigma, gain=1.0):
        padded = torch.nn.functional.pad(y / (1 + sigma), (1, 1, 1, 1), mode="circular")
        return gain * torch.tanh(torch.nn.functional.conv2d(padded, kernel)) + 0.1 * y

    def p_value(denoise):
        end = dc.sampling.ddim(denoise, NOISE, dc.noise.karras(3))
        return stats.chisquare(torch.bincount(end.flatten(1).argmax(1), minlength=64)).pvalue

    assert p_value(network) > LEVEL
    assert p_value(lambda y, sigma: network(y, sigma, ramp)) < LEVEL
