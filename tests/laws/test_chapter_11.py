"""Certificates of chapter 11: what an excess loss means, and what training does to linear maps."""

import itertools
import math

import numpy as np
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine
from diffusion_creativity.experiments.deviations import CHANGES, build, optimizer_of, path, scale_of

LEVEL = 1e-5  # of every test below: a true statement fails once in a hundred thousand
BOUND = stats.norm.isf(LEVEL / 2)
DIGITS = dc.data.load("digits").x


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_prop_training_excess():
    """A distance for linear classes, at least one for convex ones, none for others."""
    points, share = draw(6, 2, seed=1), torch.tensor([0.3, 0.1, 0.1, 0.2, 0.2, 0.1]).double()
    sigma = 0.7
    grid = np.polynomial.hermite_e.hermegauss(40)
    at = torch.tensor(list(itertools.product(grid[0], repeat=2))).double()
    weight = torch.tensor(list(itertools.product(grid[1], repeat=2))).double().prod(1)
    x = points.repeat_interleave(len(at), 0)
    y = x + sigma * at.repeat(len(points), 1)
    mass = (share[:, None] * (weight / weight.sum())).flatten()  # exact for polynomials

    def mean(values):
        return (mass * values).sum().item()

    def loss(x_hat):
        return mean((x - x_hat).square().sum(1))

    features = torch.cat([torch.ones(len(y), 1), y, y**2], 1)  # quadratic in each coordinate
    gram, right = features.T @ (mass[:, None] * features), features.T @ (mass[:, None] * x)
    best = features @ torch.linalg.solve(gram, right)
    for seed in range(5):
        other = best + features @ draw(5, 2, seed=seed)
        excess = loss(other) - loss(best)
        assert abs(excess - mean((other - best).square().sum(1))) < 1e-9 * excess
    # Convex: a segment whose better end is its minimiser. More than the distance, never less.
    for seed in range(5):
        end = features @ draw(5, 2, seed=10 + seed)
        line = end - best
        t = torch.linspace(0.2, 1, 9).tolist()  # the class: best + t line, t between 0.2 and 1
        nearest = best + 0.2 * line
        for other in (best + k * line for k in t[1:]):
            excess = loss(other) - loss(nearest)
            distance = mean((other - nearest).square().sum(1))
            assert excess > distance * (1 + 1e-9)
    # Neither: rank 1 in a target with two equal eigenvalues. Far apart, and the loss is the same.
    closed = Affine(torch.zeros(2), torch.eye(2).double())
    axes = [torch.diag(torch.tensor(a).double()) for a in ((1.0, 0.0), (0.0, 1.0))]
    maps = [axis @ closed.maps(sigma)[0] for axis in axes]
    losses = [
        torch.trace((torch.eye(2) - A) @ (torch.eye(2) - A).T + sigma**2 * A @ A.T) for A in maps
    ]
    apart = torch.trace((maps[0] - maps[1]) @ (maps[0] - maps[1]).T) * (1 + sigma**2)
    assert abs(losses[0] - losses[1]) < 1e-12 < 0.1 < apart


def trained(change, x, sigmas, steps, seeds):
    """The stacks of the experiment, with plain SGD."""
    closed = Affine.fit(x)
    network = build(closed, sigmas, list(range(seeds)))
    dc.training.train(
        network, x, steps=steps, batch=change.batch, bar=False,
        optimizer=lambda p: optimizer_of(change, p),
    )  # fmt: skip
    return closed, network


def test_prop_training_path():
    """Expected weights of SGD with weight decay: a ridge and a stopping time for each level."""
    x, sigmas = DIGITS[:300], dc.noise.karras(3, 0.3, 20.0)
    change, steps, seeds = CHANGES["decay-0.01"], 60, 60
    closed, network = trained(change, x, sigmas, steps, seeds)
    V, lam, d = closed.eigenvectors, closed.eigenvalues, 64
    controls = {"no ridge": [], "no end": []}
    for sigma in network.levels.tolist():
        learnt = torch.stack([network.maps(sigma, s)[0] for s in range(seeds)])
        gains = torch.einsum("ai,sab,bi->si", V, learnt, V)  # along the eigenvectors
        size2 = scale_of(closed) ** 2 + sigma**2
        ridge = change.weight_decay * d / 2 * size2
        total = lam + sigma**2 + ridge
        shares = 1 - (1 - 2 * change.rate / (d * size2) * total) ** steps
        assert total.max() * 2 * change.rate / (d * size2) < 1

        def worst(expected, gains=gains):
            off = (gains.mean(0) - expected) / (gains.std(0) / math.sqrt(seeds))
            return off[lam > 1e-3].abs().max().item()

        count = int((lam > 1e-3).sum())
        bound = stats.t.isf(LEVEL / 2 / count, seeds - 1)
        assert worst(lam / total * shares) < bound
        controls["no ridge"].append(worst(lam / (total - ridge) * shares) / bound)
        controls["no end"].append(worst(lam / total) / bound)
        # What the experiment uses is the limit of small steps.
        flow = path(closed, sigma, change.rate / 1e4, steps * 1e4, change.weight_decay).gain(sigma)
        fine = 1 - (1 - 2e-4 * change.rate / (d * size2) * total) ** (steps * 1e4)
        assert torch.allclose(flow, lam / total * fine, rtol=1e-4, atol=1e-12)
    assert min(max(found) for found in controls.values()) > 1  # each is refused at some level


def hovering(h, rate, batch, laws, steps, runs, seed):
    """Mean excess of SGD on a linear layer with targets of unit noise, over late steps; by run."""
    d, k = len(h), 3
    generator = torch.Generator().manual_seed(seed)
    off, kept = torch.zeros(runs, k, d, dtype=torch.float64), []
    for t in range(steps):
        z = laws((runs, batch, d), generator) * h.sqrt()
        rest = torch.randn(runs, batch, k, generator=generator, dtype=torch.float64)
        off = off - rate / batch * (z @ off.mT - rest).mT @ z
        if t >= steps // 2:
            kept.append((off.square() * h).sum((1, 2)))
    return torch.stack(kept).mean(0) / k  # relative to the least loss, k


def predicted(h, rate, batch):
    q = rate / batch * (h / (2 - rate * h * (1 + 1 / batch))).sum().item()
    return q / (1 - q)


def gaussian(shape, generator):
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def signs(shape, generator):
    return torch.randint(2, shape, generator=generator).double() * 2 - 1


def test_prop_training_hover():
    """The excess at which SGD hovers, exact for Gaussian inputs and wrong for others."""
    h = torch.tensor([1.0, 0.5, 0.3, 0.2, 0.1], dtype=torch.float64)
    for k, (rate, batch) in enumerate([(0.3, 1), (0.4, 4), (0.05, 2)]):
        found = hovering(h, rate, batch, gaussian, 1200, 500, seed=k)
        error = found.std().item() / math.sqrt(len(found))
        assert abs(found.mean().item() - predicted(h, rate, batch)) < BOUND * error
    found = hovering(h, 0.3, 1, gaussian, 1200, 500, seed=0)
    error = found.std().item() / math.sqrt(len(found))
    small = 0.3 * h.sum().item() / 2  # the rule of thumb, at a rate that is not small
    assert abs(found.mean().item() - small) > BOUND * error
    other = hovering(h, 0.3, 1, signs, 1200, 500, seed=0)  # fourth moment 1 in place of 3
    error = other.std().item() / math.sqrt(len(other))
    assert abs(other.mean().item() - predicted(h, 0.3, 1)) > BOUND * error
    # Where q passes 1 there is no level to hover at.
    least = 1.05 * rate_of_no_return(h, 2)
    assert hovering(h, least * 1.2, 2, gaussian, 1500, 50, seed=3).mean() > 1e3


def rate_of_no_return(h, batch):
    """The learning rate at which q = 1."""
    low, high = 0.0, 2 / (h.max().item() * (1 + 1 / batch))
    for _ in range(60):
        middle = (low + high) / 2
        q = middle / batch * (h / (2 - middle * h * (1 + 1 / batch))).sum().item()
        low, high = (middle, high) if q < 1 else (low, middle)
    return low


def test_prop_training_sample():
    """Each step's error, damped by the steps after it, adds up to the error of the sample."""
    x = DIGITS[:500].double()
    closed, sigmas = Affine.fit(x), dc.noise.karras(9)
    weights = draw(64, 64, seed=3)

    def wrong(y, sigma):
        bent = (y.flatten(1) @ weights / (1 + sigma)).sin().reshape(y.shape)
        return closed(y, sigma) + 0.02 * (1 + sigma) ** 0.5 * bent

    start = dc.sampling.initial_noise(30, (1, 8, 8), seed=1).double()
    made = [(s.sigma, s.sigma_next, s.y) for s in dc.sampling.steps(wrong, start, sigmas)]
    ends = dc.sampling.ddim(wrong, start, sigmas) - dc.sampling.ddim(closed, start, sigmas)
    states = [start, *(y for _, _, y in made[:-1])]
    lam, V = torch.linalg.eigh(closed.law().cov)  # with the directions in which x does not vary
    lam = lam.clamp(min=0)
    total, undamped, bound = 0, 0, torch.zeros(30).double()
    for j, (sigma, sigma_next, _) in enumerate(made):
        error = (1 - sigma_next / sigma) * (wrong(states[j], sigma) - closed(states[j], sigma))
        damping = torch.ones_like(lam)
        for now, then, _ in made[j + 1 :]:
            damping = damping * (lam + now * then) / (lam + now**2)
        if j < len(made) - 1:
            limit = (lam / (lam + sigma_next**2)).sqrt()
            assert (damping <= limit * (1 + 1e-12) + 1e-15).all()
        passed = error.flatten(1) @ V * damping @ V.T
        total, undamped = total + passed, undamped + error.flatten(1)
        bound = bound + damping.max() * error.flatten(1).norm(dim=1)
    assert torch.allclose(total, ends.flatten(1), atol=1e-9)
    assert not torch.allclose(undamped, ends.flatten(1), rtol=0.5)
    assert (ends.flatten(1).norm(dim=1) <= bound).all()
