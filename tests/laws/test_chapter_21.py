"""Certificates of chapter 21: least norms by linear programs, laws by samples, and controls."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import ShallowReLU

LEVEL = 1e-5  # of every test below: a true law fails once in a hundred thousand
SITES = np.array([-1.0, 0.5, 2.0, 2.9])
LINE = torch.tensor(SITES)[:, None]


def right_corner(d=6, lengths=(1.0, 1.2, 1.1), corner=-0.4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
    edges = turn[: len(lengths)] * torch.tensor(lengths, dtype=torch.float64)[:, None]
    return corner + torch.cat([torch.zeros(1, d, dtype=torch.float64), edges])


def line_program(sites, radius, knots, weight=None):
    """Least Σ|a| over Σ a_k [y - knot_k]_+ + vy + c that fits the balls; the values at `at`."""
    y = np.concatenate([sites - radius, sites, sites + radius])
    relu = np.maximum(y[:, None] - knots, 0)
    free = np.stack([y, np.ones_like(y)], 1)
    cost = np.concatenate([np.tile(np.ones(len(knots)) if weight is None else weight, 2), [0] * 4])
    A = np.hstack([relu, -relu, free, -free])
    found = optimize.linprog(cost, A_eq=A, b_eq=np.tile(sites, 3), bounds=(0, None))
    k = len(knots)
    at = np.linspace(sites[0] - 1, sites[-1] + 1, 400)
    slopes, rest = found.x[:k] - found.x[k : 2 * k], found.x[2 * k :]
    rest = rest[:2] - rest[2:]
    return found.fun, at, np.maximum(at[:, None] - knots, 0) @ slopes + rest[0] * at + rest[1]


def test_lem_relu_cost():
    """Rescaling finds Σ|a||w|, and any network's is at least the total variation of its slope."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        w, b, a = rng.normal(size=(3, 12))
        b[6:], w[6:] = b[:6], w[:6]  # shared knots, where neurons may cancel
        scale = optimize.minimize(
            lambda t, a=a, w=w: 0.5 * np.sum((a / np.exp(t)) ** 2 + (w * np.exp(t)) ** 2),
            np.zeros(12),
        )
        assert scale.fun == pytest.approx(np.abs(a * w).sum(), rel=1e-5)
        far = np.abs(b / w).max() + 1
        t = np.unique(np.concatenate([-b / w, [-far, far]]))
        ends = np.stack([t[:-1] * 0.7 + t[1:] * 0.3, t[:-1] * 0.3 + t[1:] * 0.7])
        h = np.maximum(ends[..., None] * w + b, 0) @ a
        variation = np.abs(np.diff((h[1] - h[0]) / (ends[1] - ends[0]))).sum()
        merged = {}
        for k in range(12):
            knot = round(-b[k] / w[k], 9)
            merged[knot] = merged.get(knot, 0) + a[k] * abs(w[k])
        assert variation == pytest.approx(sum(map(abs, merged.values())), rel=1e-6)
        assert variation < 0.999 * np.abs(a * w).sum()  # the control: neurons do cancel


@pytest.mark.parametrize("radius", [0.05, 0.2, 0.4])
def test_thm_relu_line(radius):
    """A linear program over 350 knots finds the closed form, value and function."""
    denoise = ShallowReLU.fit(LINE, radius=radius)
    own = np.concatenate([SITES - radius, SITES + radius])
    knots = np.unique(np.concatenate([np.linspace(-2, 4, 350), own]))
    least, at, h = line_program(SITES, radius, knots)
    assert least == pytest.approx(denoise.cost(1.0), rel=1e-7)
    assert least == pytest.approx(sum(2 * g / (g - 2 * radius) for g in np.diff(SITES)))
    closed = denoise(torch.tensor(at)[:, None], 1.0)[:, 0].numpy()
    np.testing.assert_allclose(h, closed, atol=1e-6)
    # Controls: without its knots more is paid; with other prices another function is best.
    assert line_program(SITES, radius, np.linspace(-2, 4, 350))[0] > least * (1 + 1e-6)
    dear = 1 + 9 * (np.abs(knots[:, None] - own).min(1) < 1e-9)
    assert np.abs(line_program(SITES, radius, knots, dear)[2] - closed).max() > 1e-3


def box_program(lengths, radius, mark=None, directions=16):
    """Least Σ‖a‖ over networks in the plane with neurons and outputs in many directions."""
    corners = np.array([[0, 0], [lengths[0], 0], [0, lengths[1]]])
    turn = 2 * np.pi * np.arange(8) / 8
    around = np.concatenate([[[0, 0]], radius * np.stack([np.cos(turn), np.sin(turn)], 1)])
    points = (corners[:, None] + around).reshape(-1, 2)
    values = np.repeat(corners, len(around), 0)
    if mark is not None:  # more constraints than the theorem has
        points, values = np.vstack([points, mark[0]]), np.vstack([values, mark[1]])
    turn = 2 * np.pi * np.arange(directions) / directions
    W = np.stack([np.cos(turn), np.sin(turn)], 1)
    offsets = np.unique(np.concatenate([np.linspace(-1, 2, 25), [radius], lengths - radius]))
    relu = np.maximum((points @ W.T)[:, :, None] - offsets, 0).reshape(len(points), -1)
    affine = np.hstack([points, np.ones((len(points), 1))])
    free = np.kron(np.eye(2), affine)
    A = np.hstack([np.vstack([np.kron(relu, W[:, j]) for j in range(2)]), free, -free])
    cost = np.concatenate([np.ones(relu.shape[1] * directions), np.zeros(12)])
    return optimize.linprog(cost, A_eq=A, b_eq=values.T.ravel(), bounds=(0, None)).fun


def test_thm_relu_box():
    """No network of a large dictionary is cheaper; asking for less creativity costs more."""
    lengths, radius = np.array([1.0, 1.5]), 0.2
    x = torch.tensor([[0, 0], [1.0, 0], [0, 1.5]], dtype=torch.float64)
    denoise = ShallowReLU.fit(x, radius=radius)
    least = (2 * lengths / (lengths - 2 * radius)).sum()
    assert denoise.cost(1.0) == pytest.approx(least)
    assert box_program(lengths, radius) == pytest.approx(least, rel=1e-7)
    sum_of_both = np.array([[1.0, 1.5]])
    assert box_program(lengths, radius, (sum_of_both, sum_of_both)) == pytest.approx(least)
    # Control: a network that sends the virtual point back to a training point is dearer.
    assert box_program(lengths, radius, (sum_of_both, sum_of_both * [1, 0])) > 1.05 * least

    # Uniqueness, on the way: other functions that fit the balls exist, and cost more.
    fitted = right_corner()
    for point in fitted:
        away = torch.randn(40, 6, dtype=torch.float64)
        away = 0.3 * away / away.norm(dim=1, keepdim=True)
        closed = ShallowReLU.fit(fitted, radius=0.3)
        assert (closed(point + away, 1.0) - point).abs().max() < 1e-12


def flow_end(denoise, y, top, bottom):
    """The exact flow by scipy, then one denoising: y (d,)."""
    shape = y.shape

    def slope(tau, flat):
        state = torch.from_numpy(flat).reshape(1, *shape)
        return (denoise(state, top * math.exp(-tau)) - state).flatten().numpy()

    end = integrate.solve_ivp(
        slope, (0, math.log(top / bottom)), y.numpy().ravel(), rtol=1e-8, atol=1e-10, max_step=0.05
    ).y[:, -1]
    return denoise(torch.from_numpy(end).reshape(1, *shape), bottom)[0]


def test_thm_relu_vertices():
    """Samples lie on the vertices with the stated probabilities, on a line and on a box."""
    sigmas = dc.noise.log_linear(150, sigma_min=1e-6, sigma_max=4.0)
    n = 20_000
    for x in (LINE, right_corner()):
        denoise = ShallowReLU.fit(x, radius=0.42)
        noise = dc.sampling.initial_noise(n, x.shape[1:], 4.0, seed=3).double()
        made = dc.sampling.ddim(denoise, noise, sigmas)
        law = denoise.law(sigmas)
        if x.shape[1] == 1:
            borders = np.concatenate([[-np.inf], (SITES[1:] + SITES[:-1]) / 2, [np.inf]])
            chances = np.diff(stats.norm.cdf(borders / 4.0))
            wrong = dc.laws.Discrete(x)  # each training point equally often, as Bayes would
        else:
            units = (x[1:] - x[0]) / (x[1:] - x[0]).norm(dim=1, keepdim=True)
            on = stats.norm.cdf(-(units * (x[0] + x[1:])).sum(1).numpy() / 8.0)
            chances = [
                math.prod(p if bit else 1 - p for p, bit in zip(on, bits, strict=True))
                for bits in itertools.product((0, 1), repeat=3)
            ]
            wrong = denoise.law(None)  # all 2³ equally likely: only as σ_max → ∞
        np.testing.assert_allclose(law.probabilities.numpy(), chances, atol=1e-3)
        assert law.agreement(made, alpha=LEVEL).ok
        assert not wrong.agreement(made, alpha=LEVEL).ok
        assert not dc.laws.Discrete(x[:-1]).agreement(made, alpha=LEVEL).ok

    # The exact flow ends where the theorem says, and the probabilities do depend on the start.
    x = right_corner()
    denoise = ShallowReLU.fit(x, radius=0.42)
    units, lengths = denoise.directions, denoise.sites[:, 1]
    for y in dc.sampling.initial_noise(8, (6,), 4.0, seed=9).double():
        along = (y - x[0]) @ units
        expected = x[0] + ((along > lengths / 2) * lengths) @ units.T
        assert (flow_end(denoise, y, 4.0, 1e-4) - expected).abs().max() < 1e-3

    far = denoise.chances(dc.noise.karras(60, sigma_max=1e6))[0]
    torch.testing.assert_close(far, torch.full((3, 2), 0.5).double(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("per_sigma", [None, 0.5])
def test_prop_relu_steps(per_sigma):
    """Few steps: the shares on sites and between them, and the law in between, exactly."""
    denoise = ShallowReLU.fit(LINE, radius=0.15, per_sigma=per_sigma)
    sigmas = dc.noise.karras(6, sigma_min=0.05, sigma_max=2.0)
    n = 60_000
    noise = dc.sampling.initial_noise(n, (1,), 2.0, seed=1).double()
    made = dc.sampling.ddim(denoise, noise, sigmas).flatten().numpy()
    ends, between = (part.numpy()[0] for part in denoise.chances(sigmas))
    assert between.sum() > 0.1
    cells = np.zeros(2 * len(SITES) - 1)
    cells[::2] = [(abs(made - s) < 1e-9).sum() for s in SITES]
    for i in range(len(SITES) - 1):
        cells[2 * i + 1] = ((made > SITES[i] + 1e-9) & (made < SITES[i + 1] - 1e-9)).sum()
    assert cells.sum() == n
    expected = np.empty_like(cells)
    expected[::2], expected[1::2] = ends, between
    assert stats.chisquare(cells, n * expected).pvalue > LEVEL
    assert stats.chisquare(cells, n * (expected + np.roll(expected, 1)) / 2).pvalue < LEVEL
    # In a gap: a normal law cut off and stretched, by the growth over the steps.
    for i in range(len(SITES) - 1):
        middle, length = SITES[i : i + 2].mean(), np.diff(SITES)[i]
        slopes = [length / (length - 2 * denoise.radius_at(s).item()) for s in sigmas[:-1].tolist()]
        ratios = (sigmas[1:] / sigmas[:-1]).tolist()
        growth = math.prod(s + w * (1 - s) for s, w in zip(slopes, ratios, strict=True))
        inside = made[(made > SITES[i] + 1e-9) & (made < SITES[i + 1] - 1e-9)]
        cut = stats.norm.cdf((middle + length / 2 * np.array([-1, 1]) / growth) / 2.0)
        assert cut[1] - cut[0] == pytest.approx(between[i], rel=1e-9)
        place = stats.norm.cdf((middle + (inside - middle) / growth) / 2.0)
        place = (place - cut[0]) / (cut[1] - cut[0])
        assert stats.kstest(place, "uniform").pvalue > LEVEL / 3


def test_cor_relu_clock():
    """The time that decides, and one step is as good as many while the radius follows σ."""
    length, r = 2.0, 0.3
    denoise = ShallowReLU.fit(torch.tensor([[-1.0], [1.0]], dtype=torch.float64), radius=r)
    for z in (0.05, 0.3, 0.6):
        tau = (length - 2 * r) / (2 * r) * math.log((length / 2 - r) / z)
        for factor, decided in ((1.02, True), (0.98, False)):
            end = flow_end(denoise, torch.tensor([z]).double(), 1.0, math.exp(-factor * tau))
            assert (end.item() > 1 - 1e-6) == decided

    for x in (LINE, right_corner()):
        follows = ShallowReLU.fit(x, radius=0.4, per_sigma=0.25)
        y = 1.2 * dc.sampling.initial_noise(500, x.shape[1:], 1.0, seed=4).double()
        once = follows(y, 1.6)  # radius 0.4
        for K in (1, 3, 20):
            sigmas = dc.noise.karras(K, sigma_max=1.6, sigma_min=0.01)
            made = dc.sampling.ddim(follows, y, sigmas)
            torch.testing.assert_close(made, once, atol=1e-9, rtol=0)
        fixed = ShallowReLU.fit(x, radius=0.4)
        assert (dc.sampling.ddim(fixed, y, sigmas) - once).abs().max() > 0.1  # the control
