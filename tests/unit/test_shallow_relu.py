"""The min-norm shallow ReLU denoiser: against explicit networks, interpolation and simulation."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffusion_creativity as dc
from diffusion_creativity.denoisers import ShallowReLU

LINE = torch.tensor([[-1.0], [0.5], [2.0], [2.9]], dtype=torch.float64)


def box(d=6, lengths=(1.0, 2.0, 1.5), seed=0, corner=0.3):
    """A corner and orthogonal edges in random directions, float64: (N + 1, d)."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
    edges = turn[:, : len(lengths)].T * torch.tensor(lengths, dtype=torch.float64)[:, None]
    return corner + torch.cat([torch.zeros(1, d, dtype=torch.float64), edges])


def network(x, radius, y):
    """The closed form as a sum of ReLUs, the corner first: x (N + 1, d)."""
    out = x[0].expand_as(y).clone()
    for edge in x[1:] - x[0]:
        length = edge.norm()
        t = (y - x[0]) @ edge / length
        slope = length / (length - 2 * radius)
        rise = slope * ((t - radius).relu() - (t - length + radius).relu())
        out += rise[:, None] * edge / length
    return out


class TestFunction:
    @settings(deadline=None, max_examples=40)
    @given(
        gaps=st.lists(st.floats(0.2, 5), min_size=1, max_size=6),
        share=st.floats(0.05, 0.45),
        seed=st.integers(0, 1000),
    )
    def test_on_a_line_it_is_linear_interpolation(self, gaps, share, seed):
        sites = np.cumsum([-3.0, *gaps])
        radius = share * min(gaps)
        order = np.random.default_rng(seed).permutation(len(sites))
        denoise = ShallowReLU.fit(torch.tensor(sites[order])[:, None], radius=radius)
        y = np.linspace(sites[0] - 3, sites[-1] + 3, 501)
        knots = np.stack([sites - radius, sites + radius], 1).ravel()
        expected = np.interp(y, knots, np.repeat(sites, 2))
        found = denoise(torch.tensor(y)[:, None], 1.0)[:, 0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-9)

    @settings(deadline=None, max_examples=30)
    @given(
        lengths=st.lists(st.floats(0.5, 5), min_size=1, max_size=5),
        share=st.floats(0.05, 0.45),
        seed=st.integers(0, 1000),
    )
    def test_on_a_box_it_is_the_network(self, lengths, share, seed):
        x = box(7, tuple(lengths), seed)
        radius = share * min(lengths)
        shuffled = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))]
        denoise = ShallowReLU.fit(shuffled, radius=radius)
        generator = torch.Generator().manual_seed(seed)
        y = x[0] + 4 * torch.randn(50, 7, generator=generator, dtype=torch.float64)
        # With one edge either end may be the corner: the function is the same.
        torch.testing.assert_close(denoise(y, 0.3), network(x, radius, y), atol=1e-9, rtol=0)

    def test_fits_the_balls(self):
        for x in (LINE, box()):
            denoise = ShallowReLU.fit(x, radius=0.4)
            away = torch.randn(50, *x.shape[1:], dtype=torch.float64)
            away = 0.4 * away / away.norm(dim=1, keepdim=True)
            for point in x:
                assert (denoise(point + away, 1.0) - point).abs().max() < 1e-12

    def test_radius_follows_the_level(self):
        denoise = ShallowReLU.fit(LINE, radius=0.2, per_sigma=0.5)
        sigma = torch.tensor([0.0, 0.1, 0.4, 7.0])
        expected = torch.tensor([0, 0.05, 0.2, 0.2], dtype=torch.float64)
        torch.testing.assert_close(denoise.radius_at(sigma), expected, atol=1e-8, rtol=0)
        y = torch.linspace(-2, 4, 4, dtype=torch.float64)[:, None]
        one_each = denoise(y, sigma)
        alone = torch.cat([denoise(y[k : k + 1], sigma[k].item()) for k in range(4)])
        torch.testing.assert_close(one_each, alone, atol=1e-7, rtol=0)

    def test_at_radius_zero_it_projects(self):
        denoise = ShallowReLU.fit(LINE, radius=0.2, per_sigma=1.0)
        y = torch.linspace(-5, 5, 101)[:, None]
        torch.testing.assert_close(denoise(y, 0.0), y.clamp(-1, 2.9))

    def test_cost_is_the_total_variation_of_the_slope(self):
        for x in (LINE, box()):
            denoise = ShallowReLU.fit(x, radius=0.3)
            total = 0.0
            for direction, sites in zip(denoise.directions.T, denoise.sites, strict=True):
                t = torch.linspace(sites[0] - 1, sites[-1] + 1, 200_001, dtype=torch.float64)
                y = denoise.corner + t[:, None] * direction
                along = denoise.coordinates(denoise(y, 1.0)) @ (denoise.directions.T @ direction)
                total += (along.diff() / t.diff()).diff().abs().sum().item()
            assert denoise.cost(1.0) == pytest.approx(total, rel=1e-3)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64])
    def test_dtypes(self, dtype):
        denoise = ShallowReLU.fit(box())
        y = (2 * torch.ones(3, 6)).to(dtype)
        found = denoise(y, 0.5)
        assert found.dtype == (dtype if dtype.is_floating_point else torch.float32)
        expected = denoise(y.double(), 0.5)
        tolerance = 2e-3 if dtype == torch.float16 else 1e-6
        torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=0)

    def test_images_keep_their_shape(self):
        x = torch.zeros(3, 1, 2, 2)
        x[1, 0, 0], x[2, 0, 1] = 1.0, -2.0
        denoise = ShallowReLU.fit(x)
        assert denoise(torch.randn(5, 1, 2, 2), 1.0).shape == (5, 1, 2, 2)
        assert denoise.vertices().shape == (4, 1, 2, 2)

    def test_one_point_and_equal_points(self):
        for x in (torch.ones(1, 1), torch.ones(3, 1), torch.ones(2, 4)):
            denoise = ShallowReLU.fit(x)
            torch.testing.assert_close(
                denoise(torch.randn(3, x.shape[1]), 1.0), x[:1].expand(3, -1)
            )
            assert len(denoise.law(dc.noise.karras(5)).atoms) == 1
        doubled = ShallowReLU.fit(torch.cat([LINE, LINE]))
        assert torch.equal(doubled.sites, ShallowReLU.fit(LINE).sites)
        assert ShallowReLU.fit(torch.cat([box(), box()[:1], box()[2:]])).sites.shape == (3, 2)


class TestLaw:
    def test_chances_match_the_sampler(self):
        for x, options in itertools.product(
            (LINE, box()), ({"radius": 0.1}, {"radius": 0.4}, {"radius": 0.4, "per_sigma": 0.8})
        ):
            denoise = ShallowReLU.fit(x, **options)
            sigmas = dc.noise.karras(7, sigma_max=3.0)
            n = 40_000
            noise = dc.sampling.initial_noise(n, x.shape[1:], 3.0, seed=5).double()
            t = denoise.coordinates(dc.sampling.ddim(denoise, noise, sigmas))
            ends, between = denoise.chances(sigmas)
            torch.testing.assert_close(ends.sum(1) + between.sum(1), torch.ones(len(ends)).double())
            at = ((t[:, :, None] - denoise.sites).abs() < 1e-9).double().mean(0)
            bound = 4.9 * (ends * (1 - ends) / n).sqrt() + 5 / n
            assert ((at - ends).abs() < bound).all()

    def test_no_gap_falls_short_of_flat_parts(self):
        """DDIM keeps flat parts flat, so what ends between two sites always was between them."""
        denoise = ShallowReLU.fit(LINE, radius=0.4, per_sigma=0.7)
        y = torch.linspace(-4, 6, 4001, dtype=torch.float64)[:, None]
        near = (y - LINE.T).abs().min(1).values <= denoise.radius_at(2.0)
        for sigma, after in itertools.pairwise(dc.noise.karras(9, sigma_max=2.0).tolist()[:-1]):
            y = denoise(y, sigma).lerp(y, after / sigma)
            now = (y - LINE.T).abs().min(1).values <= denoise.radius_at(after) + 1e-12
            assert now[near].all()
            near = now

    def test_discrete_where_decided_and_reference_draws_elsewhere(self):
        slow = ShallowReLU.fit(box(), radius=0.01)
        sigmas = dc.noise.karras(12, sigma_max=4.0)
        assert slow.undecided(sigmas) > 0.1
        assert isinstance(slow.law(sigmas), dc.laws.Empirical)
        quick = ShallowReLU.fit(box(lengths=(1.0, 1.1, 1.2)), radius=0.45)
        law = quick.law(dc.noise.karras(60))
        assert isinstance(law, dc.laws.Discrete)
        assert len(law.atoms) == 8

    def test_limits(self):
        limit = ShallowReLU.fit(LINE).law()
        assert limit.atoms.flatten().tolist() == pytest.approx([-1.0, 2.9])
        assert limit.probabilities.tolist() == [0.5, 0.5]
        cube = ShallowReLU.fit(box()).law()
        assert len(cube.atoms) == 8
        assert cube.probabilities.tolist() == pytest.approx([1 / 8] * 8)
        torch.testing.assert_close(cube.mean, box().double()[1:].sum(0) / 2 - box()[0] / 2)

    def test_too_many_vertices_to_list(self):
        x = torch.cat([torch.zeros(1, 16), torch.eye(16)])
        denoise = ShallowReLU.fit(x, radius=0.49)
        assert isinstance(denoise.law(dc.noise.karras(30)), dc.laws.Empirical)
        with pytest.raises(ValueError, match="2\\^16"):
            denoise.law()


class TestBadInput:
    def test_not_orthogonal(self):
        x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]])
        with pytest.raises(ValueError, match=r"x\[\d\] and x\[\d\] have inner product"):
            ShallowReLU.fit(x)
        with pytest.raises(ValueError, match="orthogonal"):
            ShallowReLU.fit(torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))
        y = box()
        y[3] += 1e-3 * (y[1] - y[0])
        with pytest.raises(ValueError, match=r"x\[1\] and x\[3\]"):
            ShallowReLU.fit(y)

    @pytest.mark.parametrize("radius", [0, -1, math.nan, math.inf, 0.45, 3.0, "a"])
    def test_radius(self, radius):
        with pytest.raises(ValueError, match="radius"):
            ShallowReLU.fit(LINE, radius=radius)

    @pytest.mark.parametrize("per_sigma", [0, -1, math.nan, math.inf, True])
    def test_per_sigma(self, per_sigma):
        with pytest.raises(ValueError, match="per_sigma"):
            ShallowReLU.fit(LINE, per_sigma=per_sigma)

    def test_calls(self):
        denoise = ShallowReLU.fit(box())
        with pytest.raises(ValueError, match="shape"):
            denoise(torch.zeros(2, 5), 1.0)
        with pytest.raises(ValueError, match="sigma"):
            denoise(torch.zeros(2, 6), -1.0)
        with pytest.raises(ValueError, match="finite"):
            denoise(torch.full((2, 6), math.nan), 1.0)
        with pytest.raises(ValueError, match="sigmas"):
            denoise.law([1.0, 2.0, 0.0])
        with pytest.raises(ValueError, match="x must"):
            ShallowReLU.fit(torch.zeros(0, 3))
