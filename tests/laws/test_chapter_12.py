"""Certificates of chapter 12: what metrics see, and what they cannot, each with controls."""

import math

import numpy as np
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity import metrics
from diffusion_creativity.data import faces

LEVEL = 1e-5  # of every test below: a true statement fails once in a hundred thousand
BOUND = stats.norm.isf(LEVEL / 2)
DIGITS = dc.data.load("digits").x


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def z_of(values, expected):
    """How many standard errors the mean of independent values is from what it should be."""
    values = np.asarray(values, dtype=float)
    return (values.mean() - expected) / (values.std(ddof=1) / math.sqrt(len(values)))


def with_moments(x, mean, cov):
    """The same cloud, moved and stretched until mean and covariance are exactly those."""
    x = x - x.mean(0)
    whiten = torch.linalg.cholesky(x.T @ x / len(x))
    return (
        mean
        + torch.linalg.solve_triangular(whiten, x.T, upper=False).T @ torch.linalg.cholesky(cov).T
    )


def test_lem_oracle_way():
    """Nearer to t exactly below one half; under noise the way is normal, of this width."""
    t, s = draw(2, 40, seed=1)
    y = t + 2 * draw(5000, 40, seed=2)
    way = (y - t) @ (s - t) / (s - t).square().sum()
    nearer = (y - t).norm(dim=1) < (y - s).norm(dim=1)
    assert torch.equal(nearer, way < 0.5)
    assert 100 < nearer.sum() < 4990
    width = 2 / (s - t).norm().item()
    assert stats.kstest(way.numpy(), "norm", args=(0, width)).pvalue > LEVEL
    assert stats.kstest(way.numpy(), "norm", args=(0, 1.3 * width)).pvalue < LEVEL


def test_prop_oracle_noise():
    """Parts of noisy faces are malformed or misread no more often than the sum of tails says."""
    family, n = faces.Faces(), 6000
    chosen = torch.randint(len(family), (n,), generator=torch.Generator().manual_seed(4))
    clean, truth = family.render(chosen), family.traits(chosen)
    cells = [int(mask.sum()) for mask in faces.drawing.masks(16).values()]
    cells.append(256 - sum(cells))
    gaps = [g.sqrt().numpy() for g in faces.distances.gaps(family).values()]

    def bound(sigma):
        total = 512 * stats.norm.sf(0.5 / sigma)
        total += sum(stats.chi2.sf(c / (4 * sigma) ** 2, c) for c in cells)
        for gap in gaps:
            tails = stats.norm.sf(0.4 * gap / sigma)
            total += (tails - np.diag(np.diag(tails))).sum(1).max()
        return total

    def failures(sigma):
        verdicts = family.oracle()(clean + sigma * draw(*clean.shape, seed=5).float())
        return int(((verdicts.used > 1).any(1) | (verdicts.traits != truth).any(1)).sum())

    for sigma in (0.05, 0.1, 0.13):
        found = failures(sigma)
        assert stats.binom.sf(found - 1, n, bound(sigma)) > LEVEL
    assert failures(0.05) == 0
    # The bound is no more than needed: that of two thirds of the noise is refused.
    assert stats.binom.sf(found - 1, n, bound(0.13 / 1.5)) < LEVEL


def test_prop_base_rate():
    """A generator that does not know which images were for training copies N of M, on average."""
    rng, m, n = np.random.default_rng(0), 200, 50
    law = rng.dirichlet(np.full(m, 0.3))  # some images far more often than others
    order = rng.random((20_000, m)).argsort(1)
    copied = law[order[:, :n]].sum(1)
    share = n / m
    variance = share * (1 - share) * (m * (law**2).sum() - 1) / (m - 1)
    assert abs(z_of(copied, share)) < BOUND
    assert abs(z_of((copied - share) ** 2, variance)) < BOUND
    assert abs(z_of((copied - share) ** 2, share * (1 - share) / m)) > 9  # not that of coins
    # A generator that leans towards its training images by a tenth copies more.
    inside = np.zeros((len(order), m))
    np.put_along_axis(inside, order[:, :n], 1, 1)
    leaning = law * (1 + 0.1 * inside)
    tilted = (leaning * inside).sum(1) / leaning.sum(1)
    assert abs(z_of(tilted, share)) > 9


def test_thm_frechet_blind():
    """Zero for equal moments, however different the clouds; else the distance of two ellipsoids."""
    x = metrics.features.pca(DIGITS, components=12)(DIGITS).double()  # affine in the pixels
    mean, cov = x.mean(0), (x - x.mean(0)).T @ (x - x.mean(0)) / len(x)
    gaussian = with_moments(draw(len(x), 12, seed=2), mean, cov)
    assert metrics.frechet_distance(gaussian, x) < 1e-9 * cov.trace()
    assert metrics.energy_test(gaussian[:900], x[:900], permutations=199).p_value == 0.005
    # Stretched along one eigenvector by 5 %, the distance is the change of that deviation, squared.
    values, vectors = torch.linalg.eigh(cov)
    stretched = mean + (gaussian - mean) @ (
        torch.eye(12, dtype=torch.float64) + 0.05 * vectors[:, -1:] @ vectors[:, -1:].T
    )
    expected = (0.05 * values[-1].sqrt()).square() * len(x) / (len(x) - 1)
    assert abs(metrics.frechet_distance(stretched, x) / expected - 1) < 1e-6
    # The least over rotations: no rotation of the square roots does better, the polar one does it.
    turned = torch.linalg.qr(draw(12, 12, seed=9))[0]
    s, t = cov, turned @ cov @ turned.T
    root = [v @ e.sqrt().diag() @ v.T for e, v in map(torch.linalg.eigh, (s, t))]
    left, _, right = torch.linalg.svd(root[1] @ root[0])
    best = (root[0] - root[1] @ (left @ right)).square().sum()
    a, b = (with_moments(draw(400, 12, seed=k), mean, c) for k, c in ((3, s), (4, t)))
    assert abs(metrics.frechet_distance(a, b) - best * 400 / 399) < 1e-8 * best
    for seed in range(50):
        turn = torch.linalg.qr(draw(12, 12, seed=seed + 10))[0]
        assert (root[0] - root[1] @ turn).square().sum() > best


def test_prop_frechet_bias():
    """Two samples of one Gaussian: the mean distance falls like 1/n, with this constant."""
    variances = torch.tensor([3.0, 1.0, 0.5, 0.2], dtype=torch.float64)
    sums = variances[:, None] + variances
    products = torch.outer(variances, variances)
    location = variances.sum().item()
    spread = 0.5 * ((products + products.diag().diag()) / sums).sum().item()
    for n, m in ((1000, 1000), (1000, 4000)):
        values = [
            metrics.frechet_distance(
                draw(n, 4, seed=2 * k) * variances.sqrt(),
                draw(m, 4, seed=2 * k + 1) * variances.sqrt(),
            )
            for k in range(1500)
        ]
        expected = (1 / n + 1 / m) * (location + spread)
        slack = 10 / n * expected  # the next order
        off = abs(np.mean(values) - expected)
        assert off < BOUND * np.std(values) / math.sqrt(len(values)) + slack
        assert abs(z_of(values, (1 / n + 1 / m) * location)) > 9  # the means alone are not all
        assert abs(z_of(values, 0)) > 9


def test_thm_kernel_moments():
    """The kernel distance is a weighted sum of gaps between moments of order one to three."""
    p, q = draw(5, 3, seed=0), draw(4, 3, seed=1)

    def kernel(a, b):
        return (a @ b.T / 3 + 1) ** 3

    squared = kernel(p, p).mean() + kernel(q, q).mean() - 2 * kernel(p, q).mean()
    moment = {
        1: lambda x: x.mean(0),
        2: lambda x: torch.einsum("ni,nj->ij", x, x) / len(x),
        3: lambda x: torch.einsum("ni,nj,nk->ijk", x, x, x) / len(x),
    }
    gaps = {r: (f(p) - f(q)).square().sum() / 3**r for r, f in moment.items()}
    assert abs(squared - (3 * gaps[1] + 3 * gaps[2] + gaps[3])) < 1e-12 * squared
    assert abs(squared - (gaps[1] + gaps[2] + gaps[3])) > 0.01 * squared

    rng = np.random.default_rng(0)
    laws = {
        "three atoms": lambda n: rng.choice([-(3**0.5), 0, 3**0.5], n, p=[1 / 6, 2 / 3, 1 / 6]),
        "coin": lambda n: rng.choice([-1.0, 1.0], n),  # moments to order 3 agree, not the fourth
        "skewed": lambda n: rng.exponential(size=n) - 1,
    }
    for name, law in laws.items():
        values = [
            metrics.kernel_distance(
                torch.from_numpy(law(300))[:, None],
                torch.from_numpy(rng.standard_normal(300))[:, None],
            )
            for _ in range(300)
        ]
        assert (abs(z_of(values, 0)) < BOUND) == (name != "skewed")
    assert abs(z_of(values, (2.0) ** 2)) < BOUND  # the third moments differ by 2, all else agrees


def test_thm_copies_invisible():
    """Distinct copies are fresh data to every metric that is not shown the training set."""
    rng = np.random.default_rng(1)

    def population(n):
        centres = np.array([[-2, 0], [2, 0], [0, 3]])[rng.integers(3, size=n)]
        return torch.from_numpy(centres + 0.5 * rng.standard_normal((n, 2)))

    def row(samples, reference):
        values = metrics.precision_recall(samples, reference, k=3)
        return (
            metrics.frechet_distance(samples, reference),
            metrics.kernel_distance(samples, reference),
            values.precision + 1e-9 * rng.random(),  # ties would spoil the test's level
            values.recall + 1e-9 * rng.random(),
            metrics.vendi(samples),
        )

    sets = {"copies": [], "fresh": [], "drawn twice": []}
    for _ in range(250):
        train, reference = population(40), population(60)
        some = {
            "copies": train[rng.permutation(40)],
            "fresh": population(40),
            "drawn twice": train[rng.integers(12, size=40)],
        }
        assert metrics.copied_fraction(some["copies"], train) == 1
        assert metrics.copied_fraction(some["fresh"], train) < 0.2
        for name, samples in some.items():
            sets[name].append(row(samples, reference))
    sets = {name: np.array(rows) for name, rows in sets.items()}
    for k in range(5):
        fresh, copies = sets["fresh"][:, k], sets["copies"][:, k]
        assert stats.ks_2samp(fresh, copies).pvalue > LEVEL / 5
    # Copies that repeat themselves are seen: as fewer samples.
    assert stats.ks_2samp(sets["fresh"][:, 0], sets["drawn twice"][:, 0]).pvalue < LEVEL


def test_prop_copies_perfect():
    """Held against its own training set, a copying machine is perfect."""
    train = DIGITS[:300]
    for k in (1, 3, 5):
        values = metrics.precision_recall(train, train, k=k)
        assert (values.precision, values.recall) == (1, 1)
    noise = train + 3 * draw(*train.shape).float()
    assert metrics.precision_recall(noise, train, k=3).precision < 0.1
    rng, n, size = np.random.default_rng(2), 400, 300
    covered = [
        metrics.density_coverage(train[rng.integers(size, size=n)], train, k=1).coverage
        for _ in range(200)
    ]
    least = 1 - (1 - 1 / size) ** n  # each image is at least in its own ball
    assert z_of(covered, least) > -BOUND


def test_prop_third_rule():
    """Within a quarter of the gap a copy, beyond half of it never; near twins hide copies."""
    train = draw(200, 20, seed=3)
    gaps = metrics.neighbour_ratio  # the rule compares it with a third
    distance = torch.cdist(train, train).fill_diagonal_(torch.inf).min(1).values
    step = draw(200, 20, seed=4)
    step = step / step.norm(dim=1, keepdim=True) * distance[:, None]
    for share in (0.01, 0.1, 0.2499):
        assert (gaps(train + share * step, train) < 1 / 3).all()
    for share in (0.5, 0.55):
        moved = train + share * step
        own = metrics.nearest(moved, train)[1] == torch.arange(200)
        assert own.sum() > 100
        assert (gaps(moved, train)[own] >= 1 / 3).all()
    assert (gaps(train + 0.3 * step, train) < 1 / 3).any()  # between the bounds it depends
    # A training set of near twins: D is small, and what anybody calls a copy is none to the rule.
    twins = torch.cat([train, train + 1e-3 * step])
    close = train + 7e-4 * step
    assert (gaps(close, twins) >= 1 / 3).all()
    assert (gaps(close, train) < 1 / 3).all()


def test_prop_vendi_range():
    """One for one image, n for n orthogonal ones; noise in many dimensions looks most diverse."""
    one = draw(1, 30).expand(25, 30)
    assert abs(metrics.vendi(one) - 1) < 1e-9
    basis = torch.linalg.qr(draw(30, 30))[0]
    for n in (1, 7, 30):
        copies = basis[torch.arange(210) % n]
        assert abs(metrics.vendi(copies) - n) < 1e-6 * n
    real = DIGITS[:300].flatten(1).double()
    noise = draw(300, 64, seed=5)
    assert 1 < metrics.vendi(real) < metrics.vendi(noise) < 64
