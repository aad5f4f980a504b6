"""Targets that share moments: against exact sums and integrals, and the next order differs."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion_creativity.data import toy, twins


def corners(target):
    return target.sample(4000, seed=1).double().unique(dim=0)


@pytest.mark.parametrize(
    "target",
    [
        toy.polygon(5, 2.0, 0.3),
        toy.board(2),
        toy.board(3, dark=False),
        toy.gauss(4),
        toy.gauss(3, "uniform"),
    ],
    ids=lambda t: t.name,
)
def test_stated_moments_are_the_population_moments(target):
    n = 200_000
    x = target.sample(n, seed=4)
    assert x.dtype == torch.float32
    centred = x.double() - target.mean
    assert (centred.mean(0).abs() <= 5 * (target.cov.diagonal() / n).sqrt() + 1e-7).all()
    products = centred.T @ centred / n
    spread = ((centred**2).T @ centred**2 / n - products**2).clamp(min=0)
    assert ((products - target.cov).abs() <= 5 * (spread / n).sqrt() + 1e-6).all()


@pytest.mark.parametrize("k", [3, 5, 8])
def test_polygon_has_the_moments_of_the_circle_up_to_its_corners(k):
    few, many = corners(toy.polygon(k, phase=0.3)), corners(toy.polygon(64))
    assert (len(few), len(many)) == (k, 64)
    same = twins.moments(few, k - 1) - twins.moments(many, k - 1)
    assert same.abs().max() < 1e-6  # drawn in float32
    next_order = twins.moments(few, k) - twins.moments(many, k)
    assert next_order.abs().max() > 1e-3


@pytest.mark.parametrize("k", [1, 2, 3])
def test_board_in_integers(k):
    """Sums over dark minus light fields, exactly: zero when a < k or b < k, and only then."""
    size = 2**k
    sign = [(-1) ** bin(i).count("1") for i in range(size)]
    for a, b in itertools.product(range(2 * k + 1), repeat=2):
        gap = sum(
            sign[i] * sign[j] * i**a * j**b for i, j in itertools.product(range(size), repeat=2)
        )
        assert (gap == 0) == (a < k or b < k)
    dark, light = toy.board(k), toy.board(k, dark=False)
    torch.testing.assert_close(dark.cov, light.cov) if k > 1 else None
    fields = ((dark.sample(20_000, seed=1) + 1) * size / 2).floor().long().unique(dim=0)
    assert len(fields) == size**2 / 2
    assert all(sign[i] * sign[j] == 1 for i, j in fields.tolist())
    fields = ((light.sample(20_000, seed=1) + 1) * size / 2).floor().long().unique(dim=0)
    assert all(sign[i] * sign[j] == -1 for i, j in fields.tolist())


@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
@pytest.mark.parametrize("density", ["normal", "uniform"])
def test_gauss_shares_moments_with_its_density(nodes, density):
    rule = {
        "normal": np.polynomial.hermite_e.hermegauss,
        "uniform": np.polynomial.legendre.leggauss,
    }
    points, weights = rule[density](nodes)
    drawn = corners(toy.gauss(nodes, density))
    torch.testing.assert_close(drawn.flatten(), torch.from_numpy(points).sort()[0], atol=1e-6,
                               rtol=1e-6)  # fmt: skip

    def moment(k):
        if k % 2:
            return 0.0
        return math.prod(range(1, k, 2)) if density == "normal" else float(Fraction(1, k + 1))

    found = [(weights @ points**k) / weights.sum() for k in range(2 * nodes + 1)]
    for k in range(2 * nodes):
        assert found[k] == pytest.approx(moment(k), abs=1e-10)
    assert abs(found[2 * nodes] - moment(2 * nodes)) > 1e-3


def test_three_atoms_of_chapter_six():
    target = toy.gauss(3)
    x = target.sample(60_000, seed=2).flatten().double()
    values, counts = x.round(decimals=4).unique(return_counts=True)
    np.testing.assert_allclose(values, [-(3**0.5), 0, 3**0.5], atol=1e-4)
    np.testing.assert_allclose(counts / 60_000, [1 / 6, 2 / 3, 1 / 6], atol=0.01)


def test_moments_are_plain_means_in_the_order_of_the_exponents():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    which = twins.exponents(3, 3)
    assert len(which) == math.comb(6, 3) - 1 == len(which.unique(dim=0))
    for e, found in zip(which.tolist(), twins.moments(x, 3).tolist(), strict=True):
        direct = math.fsum(math.prod(v**k for v, k in zip(p, e, strict=True)) for p in x.tolist())
        assert found == pytest.approx(direct / 50, rel=1e-12, abs=1e-14)


SPIRAL = toy.spiral().sample(300, seed=1)
BOARD = 3 * toy.checkerboard().sample(250, seed=2) + 5


@pytest.mark.parametrize("order", [1, 2, 4, 6])
def test_moment_twin_shares_moments_and_keeps_its_look(order):
    twin = twins.moment_twin(SPIRAL, BOARD, order)
    assert twin.shape == BOARD.shape
    gap = twins.moments(twin, order) - twins.moments(SPIRAL, order)
    assert gap.abs().max() < 1e-12
    after = twins.moments(twin, order + 2) - twins.moments(SPIRAL, order + 2)
    assert after.abs().max() > 1e-4
    if order >= 2:  # near the board under the affine map that matches two moments
        near = twins.moment_twin(SPIRAL, BOARD, 2)
        assert (twin - near).square().sum(1).mean().sqrt() < 0.5 * near.std()


def test_moment_twin_far_from_the_origin_and_in_other_dimensions():
    generator = torch.Generator().manual_seed(3)
    for d, order in ((1, 6), (3, 4)):
        x = 1e3 + 0.01 * torch.rand(200, d, generator=generator, dtype=torch.float64) ** 2
        start = torch.randn(150, d, generator=generator, dtype=torch.float64)
        twin = (twins.moment_twin(x, start, order) - x.mean(0)) / 0.01
        gap = twins.moments(twin, order) - twins.moments((x - x.mean(0)) / 0.01, order)
        assert gap.abs().max() < 1e-8  # of 1e3 with 16 digits


def test_moment_twin_says_when_it_fails():
    with pytest.raises(ValueError, match=r"up to order 6.*more points \(got 4 for 27 moments\)"):
        twins.moment_twin(SPIRAL, BOARD[:4], 6)


@given(n=st.integers(2, 30), d=st.integers(1, 6), seed=st.integers(0, 99))
def test_second_twin_has_mean_and_covariance_and_no_shape(n, d, seed):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    twin = twins.second_twin(x)
    assert len(twin) == 2 * min(d, n - 1)
    torch.testing.assert_close(twin.mean(0), x.mean(0), rtol=0, atol=1e-10)
    torch.testing.assert_close(
        torch.cov(twin.T, correction=0), torch.cov(x.T, correction=0), rtol=0, atol=1e-10
    )


def test_second_twin_of_images_with_a_rank():
    x = torch.randn(40, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    twin = twins.second_twin(x, rank=2)
    assert twin.shape == (4, 1, 3, 3)
    values, vectors = torch.linalg.eigh(torch.cov(x.double().flatten(1).T, correction=0))
    top = (vectors[:, -2:] * values[-2:]) @ vectors[:, -2:].T
    torch.testing.assert_close(torch.cov(twin.flatten(1).T, correction=0), top)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: toy.polygon(2), "corners"),
        (lambda: toy.polygon(5, 0.0), "radius"),
        (lambda: toy.polygon(5, phase=math.nan), "phase"),
        (lambda: toy.board(0), "halvings"),
        (lambda: toy.gauss(0), "nodes"),
        (lambda: toy.gauss(3, "cauchy"), "density"),
        (lambda: twins.exponents(0, 2), "order"),
        (lambda: twins.moments(torch.zeros(2, 3, 4), 2), "x must hold points"),
        (lambda: twins.moment_twin(SPIRAL, BOARD[:, :1], 2), "start must have shape"),
        (lambda: twins.moment_twin(SPIRAL, [[math.nan, 1.0]], 2), "start"),
        (lambda: twins.moment_twin(SPIRAL, BOARD, 2.5), "order"),
        (lambda: twins.second_twin(SPIRAL, rank=3), "rank"),
        (lambda: twins.second_twin(torch.zeros(3)), "x must"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
