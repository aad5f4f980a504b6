"""Certificates of chapter 3: each statement holds where it should and is seen to fail elsewhere."""

import math

import pytest
import torch
from scipy import stats

import diffusion_creativity as dc

LEVEL = 1e-5  # of the statistical tests below: how often a true law fails


def by_hand(points):
    def denoise(y, sigma):
        gaps = (y[:, None] - points).square().sum(-1)
        return torch.softmax(-gaps / (2 * sigma**2), 1) @ points

    return denoise


def cloud(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def lengths(x):
    """Smallest and largest distance between two points, and the critical noise level."""
    apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    delta = (apart + torch.diag(torch.full((len(x),), torch.inf))).min().item()
    largest = apart.max().item()
    return delta, largest, delta / (2 * math.sqrt(math.log(4 * len(x) * largest / delta)))


def start_bound(x, m, sigma):
    z = x - m
    return 0.5 * torch.expm1(z @ z.T / sigma**2).mean().sqrt().item()


def follow_from_the_border(x, sigma_start):
    """Start on every ball's border, aimed at the nearest other point; yield (σ, y)."""
    delta, *_ = lengths(x)
    apart = torch.cdist(x, x) + torch.diag(torch.full((len(x),), torch.inf))
    aim = x[apart.argmin(1)] - x
    y = x + delta / 4 * aim / aim.norm(dim=1, keepdim=True)
    path = dc.noise.log_linear(300, sigma_start / 100, sigma_start)
    for step in dc.sampling.steps(by_hand(x), y, path, second_order=True):
        if step.sigma_next > 0:
            yield step.sigma_next, step.y


@pytest.mark.parametrize(("n", "d"), [(2, 1), (5, 2), (40, 2), (40, 10)])
def test_lem_basin(n, d):
    x = cloud(n, d, seed=n + d)
    delta, _, critical = lengths(x)
    own = torch.arange(n)
    for sigma, y in follow_from_the_border(x, critical):
        r = (y - x).norm(dim=1)
        assert (r <= delta / 4).all()
        assert (r / sigma <= delta / (4 * critical) + 0.25).all()
        gaps = (y[:, None] - x).square().sum(-1)
        weights = torch.softmax(-gaps / (2 * sigma**2), 1)[own, own]
        assert (1 - weights <= n * math.exp(-(delta**2) / (4 * sigma**2)) + 1e-12).all()


def test_lem_basin_fails_above_the_critical_level():
    # Control: at twenty times the critical level the same balls do not hold their trajectories.
    x = cloud(40, 2, seed=42)
    delta, _, critical = lengths(x)
    outside = [
        ((y - x).norm(dim=1) > delta / 4).any() for _, y in follow_from_the_border(x, 20 * critical)
    ]
    assert any(outside)


@pytest.fixture(scope="module")
def digits():
    return dc.data.load("digits").subset(150, seed=3)


@pytest.fixture(scope="module")
def start(digits):
    noise = dc.sampling.initial_noise(6000, (1, 8, 8), seed=0)
    return digits.x[torch.arange(6000) % 150] + noise  # p at sigma_max, exactly


def test_thm_perfect_copies(digits, start):
    perfect = dc.denoisers.Bayes.fit(digits.x)
    law = perfect.law()
    assert law.agreement(dc.sampling.heun(perfect, start, dc.noise.karras(25)), alpha=LEVEL).ok

    # Controls: a denoiser that does not copy, one that copies unevenly, and too few steps.
    linear = dc.denoisers.Affine.fit(digits.x)
    report = law.agreement(dc.sampling.heun(linear, start, dc.noise.karras(25)), alpha=LEVEL)
    assert not report["largest RMS distance to an atom"].ok
    twice = dc.denoisers.Bayes.fit(torch.cat([digits.x, digits.x[:40]]))
    report = law.agreement(dc.sampling.heun(twice, start, dc.noise.karras(25)), alpha=LEVEL)
    assert report["largest RMS distance to an atom"].ok
    assert not report["counts, χ²"].ok
    assert not law.agreement(dc.sampling.ddim(perfect, start, dc.noise.karras(5)), alpha=LEVEL).ok


def test_thm_perfect_copies_with_weights():
    # The remark after the theorem: prior probabilities pass through.
    x, prior = cloud(6, 2, seed=5), torch.tensor([0.3, 0.3, 0.2, 0.1, 0.06, 0.04]).double()

    def denoise(y, sigma):
        gaps = (y[:, None] - x).square().sum(-1)
        return torch.softmax(prior.log() - gaps / (2 * sigma**2), 1) @ x

    noise = x.T @ prior + 30 * cloud(6000, 2, seed=6)
    ends = dc.sampling.heun(denoise, noise, dc.noise.karras(40, sigma_max=30.0))
    assert dc.laws.Discrete(x, prior).agreement(ends, alpha=LEVEL).ok
    assert not dc.laws.Discrete(x).agreement(ends, alpha=LEVEL).ok


def test_prop_finite_sigma_max():
    # The integral of p²/q in closed form, against quadrature on a line.
    x, sigma = torch.tensor([[0.3], [1.0], [2.5]], dtype=torch.float64), 1.3
    grid = torch.linspace(-15, 20, 20001, dtype=torch.float64)
    p = torch.exp(-((grid - x) ** 2) / (2 * sigma**2)).mean(0)
    for m in (0.0, x.mean().item()):
        q = torch.exp(-((grid - m) ** 2) / (2 * sigma**2))
        chi2 = torch.trapezoid(p**2 / q - q, grid) / torch.trapezoid(q, grid)
        distance = 0.5 * torch.trapezoid((p - q).abs(), grid) / torch.trapezoid(q, grid)
        assert start_bound(x, m, sigma) == pytest.approx(0.5 * chi2.sqrt().item(), rel=1e-6)
        assert distance <= start_bound(x, m, sigma)

    # Two points on a line: the nearer one wins, so the probabilities are exact.
    pair = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    for sigma in (3.0, 10.0, 80.0):
        off = stats.norm.cdf(2 / sigma) - 0.5
        assert 0.3 < off / start_bound(pair, 0.0, sigma) <= 1
        assert start_bound(pair, 0.0, sigma) == pytest.approx(2 / (2 * sigma), rel=0.3)
        # Control: the bound of the centred start, used for the wrong one, is broken.
        assert off > start_bound(pair, pair.mean(), sigma)
        centred = (pair - pair.mean()).square().mean().item() / (2 * math.sqrt(2) * sigma**2)
        assert start_bound(pair, pair.mean(), sigma) == pytest.approx(centred, rel=0.1)


def test_prop_finite_sigma_max_in_the_plane():
    x, n = cloud(8, 2, seed=8) + 2, 20_000
    noise = 4 * cloud(n, 2, seed=9)
    slack = 0.5 * math.sqrt(7 / n) + math.sqrt(math.log(1e6) / (2 * n))
    off = {}
    for name, m in (("origin", torch.zeros(2)), ("mean", x.mean(0))):
        ends = dc.sampling.heun(by_hand(x), m + noise, dc.noise.log_linear(50, 0.01, 4.0))
        share = dc.metrics.nearest(ends, x)[1].bincount(minlength=8) / n
        off[name] = 0.5 * (share - 1 / 8).abs().sum().item()
        assert off[name] <= start_bound(x, m, 4.0) + slack
    assert off["origin"] > start_bound(x, x.mean(0), 4.0) + slack  # control, as above


def margins(y, x):
    nearest = (y[:, None] - x).square().sum(-1).topk(2, largest=False)
    return nearest.values.diff(dim=1)[:, 0], nearest.indices[:, 0]


def test_cor_last_step():
    x = cloud(30, 3, seed=12)
    _, largest, _ = lengths(x)
    broken = 0
    for sigma in (0.05, 0.2, 0.6):
        y = x.repeat(20, 1) + sigma * cloud(600, 3, seed=13)
        gap, index = margins(y, x)
        error = (by_hand(x)(y, sigma) - x[index]).norm(dim=1)
        assert (error <= 29 * largest * torch.exp(-gap / (2 * sigma**2)) + 1e-12).all()
        broken += (error > 29 * largest * torch.exp(-gap / sigma**2) + 1e-12).sum().item()
    assert broken > 0  # control: without the factor 2 the bound is false


def test_cor_last_step_for_every_sampler(digits, start):
    perfect = dc.denoisers.Bayes.fit(digits.x)
    for steps in (2, 5):
        schedule = dc.noise.karras(steps)
        for sampler in (dc.sampling.ddim, dc.sampling.heun, dc.sampling.ancestral):
            ends = sampler(perfect, start[:200], schedule)
            assert dc.metrics.copied_fraction(ends, digits.x) == 1
    # Control: a sampler that stops before its last step leaves noise on the copy.
    early = dc.sampling.heun(perfect, start[:200], dc.noise.karras(20), return_trajectory=True)[-2]
    assert dc.metrics.copied_fraction(early, digits.x) < 1


def test_prop_minibatch_average():
    x = cloud(24, 4, seed=14)
    _, largest, _ = lengths(x)
    y = 1.5 * cloud(300, 4, seed=15)
    for count in (2, 3, 4):
        batches = x.chunk(count)

        def averaged(y, sigma, batches=batches):
            return sum(by_hand(b)(y, sigma) for b in batches) / len(batches)

        def merged(y, sigma, batches=batches):
            evidence = torch.stack(
                [
                    (-(y[:, None] - b).square().sum(-1) / (2 * sigma**2)).logsumexp(1)
                    for b in batches
                ]
            )
            answers = torch.stack([by_hand(b)(y, sigma) for b in batches])
            return (torch.softmax(evidence, 0)[..., None] * answers).sum(0)

        for sigma in (2.0, 0.3, 0.05):
            # 1: weighted by evidence, the batches give the whole; equally weighted they do not.
            whole = by_hand(x)(y, sigma)
            assert (merged(y, sigma) - whole).abs().max() < 1e-10
            assert (averaged(y, sigma) - whole).abs().max() > 1e-2
            # 2: at low noise the average is that of the nearest points of each batch.
            found = [margins(y, b) for b in batches]
            blend = sum(b[index] for b, (_, index) in zip(batches, found, strict=True)) / count
            gap = torch.stack([g for g, _ in found]).amin(0)
            error = (averaged(y, sigma) - blend).norm(dim=1)
            assert (error <= 24 * largest * torch.exp(-gap / (2 * sigma**2)) + 1e-12).all()
            assert (whole - blend).norm(dim=1).median() > 0.1  # control: the perfect one is not
        # 3: no sample is a copy, and with the right weights all are.
        noise = 80 * cloud(200, 4, seed=16)
        ends = dc.sampling.heun(averaged, noise, dc.noise.karras(40))
        assert dc.metrics.copied_fraction(ends, x) == 0
        ends = dc.sampling.heun(merged, noise, dc.noise.karras(40))
        assert dc.metrics.copied_fraction(ends, x) == 1


def test_prop_minibatch_average_moves_away_from_training_points():
    # Part 3 near x_k itself: the average pulls towards (x_k + x') / 2.
    x = cloud(10, 2, seed=17)
    first, second = x.chunk(2)
    pulled = (by_hand(first)(first, 0.01) + by_hand(second)(first, 0.01)) / 2
    other = second[dc.metrics.nearest(first, second)[1]]
    assert torch.allclose(pulled, (first + other) / 2, atol=1e-6)
    assert torch.allclose(by_hand(x)(first, 0.01), first, atol=1e-6)  # control: the perfect one
