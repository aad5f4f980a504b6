"""Certificates of chapter 13: what a UNet is given, what it can pass on, and what it is held to."""

import math
from dataclasses import replace

import pytest
import torch
from scipy import optimize, stats
from torch import nn

import diffusion_creativity as dc
from diffusion_creativity.networks import Preconditioned, UNet, UNetConfig, equivariance_error

from ..unit.unet_networks import awake

LEVEL = 1e-5  # of every test below: a true statement fails once in a hundred thousand
BOUND = stats.norm.isf(LEVEL / 2)
DIGITS = dc.data.load("digits").x.double()
SMALL = UNetConfig(side=16, depth=2, widths=(8, 12, 16), embedding=16)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def z_of(values, expected):
    """How many standard errors the mean of independent values is from what it should be."""
    return ((values.mean() - expected) / (values.std() / math.sqrt(len(values)))).item()


def jacobian(network, x):
    """∂F/∂x of one image (1, C, H, W) as a matrix."""
    label = torch.zeros(1, dtype=x.dtype)
    J = torch.autograd.functional.jacobian(lambda v: network(v, label), x)
    return J.reshape(x.numel(), x.numel())


def rank(matrix):
    """Singular values above rounding."""
    values = torch.linalg.svdvals(matrix)
    return int((values > 1e-9 * values[0]).sum())


@pytest.mark.parametrize("sigma", [0.05, 0.5, 3.0, 40.0])
def test_prop_unet_precondition(sigma):
    """Input and target of variance 1, no smaller c_out, and the loss of a network that is new."""
    s, mean, n = DIGITS.std(correction=0).item(), DIGITS.mean().item(), 20_000
    config = UNetConfig(side=8, depth=1, widths=(4, 4), embedding=4)
    denoiser = Preconditioned(UNet(config).double(), sigma_data=s)
    level = torch.full((n,), sigma, dtype=torch.float64)
    c_skip, c_out, c_in = (c[0].item() for c in denoiser.scalings(level))
    x = DIGITS[torch.randint(len(DIGITS), (n,), generator=torch.Generator().manual_seed(1))]
    noise = draw(*x.shape, seed=2)
    y = x + sigma * noise

    def variances(values, centre):  # one for each image: independent
        return (values - centre).square().flatten(1).mean(1)

    target = (x - c_skip * y) / c_out
    assert abs(z_of(variances(c_in * y, c_in * mean), 1)) < BOUND
    assert abs(z_of(variances(target, (1 - c_skip) * mean / c_out), 1)) < BOUND
    new = 1 + mean**2 / s**2 * sigma**2 / (s**2 + sigma**2)
    loss = denoiser.loss(x[:4000], level[:4000], noise[:4000]).detach()
    assert abs(z_of(loss, new)) < BOUND

    def spread(c):  # of x - c y
        return (1 - c) ** 2 * s**2 + c**2 * sigma**2

    best = optimize.minimize_scalar(spread, bounds=(0, 1), method="bounded",
                                    options={"xatol": 1e-12})  # fmt: skip
    assert c_skip == pytest.approx(best.x, abs=1e-6)
    assert c_out**2 == pytest.approx(spread(c_skip))
    # Controls: another skip or the input of another process are refused.
    assert spread(0.9 * c_skip) > c_out**2 < spread(1.1 * c_skip)
    if sigma < 10:  # beyond, there is nothing to skip, and both inputs are noise over its level
        other = x - 0.5 * c_skip * y
        assert abs(z_of(variances(other / c_out, (1 - 0.5 * c_skip) * mean / c_out), 1)) > BOUND
        vp = (1 + sigma**2) ** -0.5
        assert abs(z_of(variances(vp * y, vp * mean), 1)) > BOUND


def test_prop_unet_predictions():
    """Four targets, one denoiser: each loss is that of D times a weight, whatever D is."""
    x, noise, s = DIGITS[:300], draw(300, 1, 8, 8, seed=3), 0.7
    sigma = torch.logspace(-2, 1.5, 300, dtype=torch.float64)
    column = sigma[:, None, None, None]
    y, root = x + column * noise, (1 + column**2).sqrt()
    skip = s**2 / (s**2 + column**2)
    targets = {
        "clean": x,
        "noise": noise,
        "velocity": (noise - column * x) / root,
        "edm": (x - skip * y) * (s**2 + column**2).sqrt() / (s * column),
    }
    weights = {
        "clean": torch.ones_like(sigma),
        "noise": sigma**-2,
        "velocity": 1 + sigma**-2,
        "edm": s**-2 + sigma**-2,
    }
    x_hat = torch.tanh(y) + 0.3 * y.roll(1, -1)  # any denoiser
    error = (x_hat - x).square().flatten(1).mean(1)
    for name, target in targets.items():
        network = nn.Identity()
        denoiser = Preconditioned(network, sigma_data=s, prediction=name)
        c_skip, c_out, _ = (c[:, None, None, None] for c in denoiser.scalings(sigma))
        raw = (x_hat - c_skip * y) / c_out  # what the network must say to be this denoiser
        network.forward = lambda _input, _label, raw=raw: raw
        assert (denoiser(y, sigma) - x_hat).abs().max() < 1e-9
        of_network = (raw - target).square().flatten(1).mean(1)
        torch.testing.assert_close(of_network, weights[name] * error, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(denoiser.loss(x, sigma, noise), of_network)
        for other, weight in weights.items():  # no two weights are the same
            assert (other == name) == torch.allclose(weight * error, of_network, rtol=1e-3)
    # At s = 1 the fourth is the third with its sign changed.
    one = torch.ones(1, dtype=torch.float64)
    a, b = (
        Preconditioned(nn.Identity(), sigma_data=1.0, prediction=p).scalings(2.3 * one)
        for p in ("edm", "velocity")
    )
    assert torch.stack(a).squeeze().tolist() == pytest.approx(
        [b.c_skip.item(), -b.c_out.item(), b.c_in.item()]
    )


def test_prop_unet_held_out():
    """The perfect denoiser of other images stays in their hull, and ends on the nearest one."""
    train, x = draw(30, 20, seed=4), draw(1, 20, seed=5)
    apart = (train - x).square().sum(1)
    best = dc.denoisers.Bayes.fit(train)
    # The nearest point of the hull: non-negative weights, their sum held at 1 by a large penalty.
    design = torch.cat([train.T, 1e4 * torch.ones(1, 30, dtype=torch.float64)]).numpy()
    weights, _ = optimize.nnls(design, torch.cat([x[0], 1e4 * torch.ones(1)]).numpy())
    hull = (torch.from_numpy(weights) @ train - x).square().sum().item()
    assert 0.1 < hull < apart.min() - 0.1

    def losses(sigma, n=400):
        y = x + sigma * draw(n, 20, seed=6)
        return [(d - x).square().sum(1) for d in (best(y, sigma), y)]

    for sigma in (0.05, 0.3, 1.0, 3.0, 30.0):
        assert losses(sigma)[0].min() > hull * (1 - 1e-6)
    assert losses(3.0)[0].min() < 0.9 * apart.min()  # the limit is no lower bound, the hull is
    for sigma in (1e-3, 1e-4):
        perfect, nothing = losses(sigma)
        assert abs(perfect.mean() - apart.min()) < 1e-6
        assert abs(z_of(nothing, 20 * sigma**2)) < BOUND
    # Control: on one of its own points its loss goes to zero, faster than that of doing nothing.
    y = train[:1] + 1e-2 * draw(400, 20, seed=6)
    assert (best(y, 1e-2) - train[:1]).abs().max() < 1e-12


@pytest.mark.parametrize("narrow", [1, 2])
def test_prop_unet_rank(narrow):
    """Without skips the rank is what the narrowest place lets pass; one skip can undo that."""
    x = draw(1, 1, 16, 16, seed=7)
    passing = narrow * 4 * 4
    closed = awake(replace(SMALL, skips="none", bottleneck=narrow))
    assert rank(jacobian(closed, x)) == passing
    # The denoiser still passes all 256 directions, but bends no more than these.
    denoiser = Preconditioned(closed, sigma_data=0.5)
    J = torch.autograd.functional.jacobian(lambda v: denoiser(v, 1.0), x).reshape(256, 256)
    c_skip = denoiser.scalings(torch.ones(1, dtype=torch.float64)).c_skip
    assert rank(J) == 256
    assert rank(J - c_skip * torch.eye(256)) == passing
    assert rank(jacobian(awake(replace(SMALL, skips="all", bottleneck=narrow)), x)) > 2 * passing
    # The weights of the proof: all that the coarse grids send up is 0, and rank d is reached.
    full = awake(replace(SMALL, skips=(16,), norm="none", bottleneck=narrow))
    with torch.no_grad():
        for block in (*full.encoder[0], *full.decoder[0]):
            block.conv2.weight.zero_(), block.conv2.bias.zero_()
        for part in (full.stem, full.head[-1], full.up[0][0]):
            part.weight.zero_(), part.bias.zero_()
        full.stem.weight[0, 0, 1, 1] = full.head[-1].weight[0, 0, 1, 1] = 1
    assert torch.allclose(full(x, torch.zeros(1).double()), nn.functional.silu(x))
    assert rank(jacobian(full, x)) == 256


@pytest.mark.parametrize("down", ["stride", "average", "max", "unshuffle"])
def test_prop_unet_shifts(down):
    """On a torus the network moves with its input, by shifts of the coarsest grid and no others."""
    x = draw(1, 1, 16, 16, seed=8)
    shifts = [(a, b) for a in range(16) for b in range(16)]
    moved = torch.cat([x.roll(by, (2, 3)) for by in shifts])

    def errors(config):
        network = awake(config)
        label = torch.zeros(256, dtype=torch.float64)
        with torch.no_grad():
            answers, plain = network(moved, label), network(x, label[:1])
        back = torch.cat([a[None].roll((-r, -c), (2, 3))
                          for a, (r, c) in zip(answers, shifts, strict=True)])  # fmt: skip
        return (back - plain).flatten(1).norm(dim=1) / plain.norm()

    on_grid = torch.tensor([a % 4 == 0 and b % 4 == 0 for a, b in shifts])
    found = errors(replace(SMALL, padding="circular", down=down))
    assert found[on_grid].max() < 1e-12
    assert found[~on_grid].min() > 1e-4
    assert errors(replace(SMALL, padding="zeros", down=down))[on_grid][1:].min() > 1e-4
    network = awake(replace(SMALL, padding="circular", down=down))
    assert equivariance_error(network, (1, 16, 16), step=4) < 1e-12
    # The network of the proof: constant on the cells of the coarsest grid, so no other shift works.
    blocky = replace(SMALL, padding="circular", down=down, skips="none", kernel=1)
    assert errors(blocky)[~on_grid].min() > 1e-4


def test_prop_unet_reach():
    """A chain of convolutions needs exactly R pixels for one output, and reads the outer ones."""
    chains = (
        [(3, 1)] * 4,
        [(3, 1), (3, 2), (3, 1), (3, 2), (3, 1)],
        [(2, 2), (1, 1), (5, 1), (2, 2), (3, 1)],
        [(1, 2), (3, 1)],
    )
    for chain in chains:
        reach, step = 1, 1
        for kernel, stride in chain:
            reach += (kernel - 1) * step
            step *= stride
        kernels = [draw(1, 1, kernel, seed=9 + i) for i, (kernel, _) in enumerate(chain)]
        x = draw(1, 1, reach, seed=1).requires_grad_()
        h = x
        for (_, stride), weight in zip(chain, kernels, strict=True):
            h = torch.tanh(nn.functional.conv1d(h, weight, stride=stride))
        assert h.shape == (1, 1, 1)
        (gradient,) = torch.autograd.grad(h.sum(), x)
        assert gradient[0, 0, 0] != 0 != gradient[0, 0, -1]
        # One pixel less leaves no output: the last layer's kernel does not fit.
        length = reach - 1
        for kernel, stride in chain:
            length = (length - kernel) // stride + 1
        assert length == 0
        assert reach != 1 + sum(kernel - 1 for kernel, _ in chain) or step == 1  # strides count
