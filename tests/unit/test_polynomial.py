"""The polynomial denoiser: against 60-digit arithmetic, least squares, and bad input."""

import itertools
import math
import re
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, Polynomial
from diffusion_creativity.denoisers._joint import exponents
from diffusion_creativity.denoisers._twofold import Twofold, gauss_hermite, solve

SIGMAS = (0.0001, 0.002, 0.05, 0.7, 6.0, 80.0)
TARGETS = {
    "two atoms": ([-1.0, 1.0], [0.5, 0.5]),
    "three atoms": ([-math.sqrt(3), 0.0, math.sqrt(3)], [1 / 6, 2 / 3, 1 / 6]),
    "lopsided": ([-1.3, 0.2, 0.9, 2.0], [0.1, 0.2, 0.3, 0.4]),
    "grey values": ([k / 7 for k in range(17)], [1.0 + k % 3 for k in range(17)]),
    "rare values": ([k / 16 for k in range(16)], [1785.0] + [1.0] * 15),
    "far from zero": ([100.0, 100.5, 101.0], [0.2, 0.3, 0.5]),
    "one value": ([0.7], [1.0]),
}


def exact(points, weights, degree, sigma, ys):
    """The normal equations in monomials, with as many digits as they cost."""
    with mpmath.workdps(120):
        points, weights = [mpmath.mpf(v) for v in points], [mpmath.mpf(v) for v in weights]
        total, s = sum(weights), mpmath.mpf(sigma)
        raw = [sum(w * x**k for w, x in zip(weights, points, strict=True)) / total
               for k in range(2 * degree + 2)]  # fmt: skip
        noise = [mpmath.fac2(k - 1) * s**k if k % 2 == 0 else mpmath.mpf(0)
                 for k in range(2 * degree + 2)]  # fmt: skip
        noise[0] = mpmath.mpf(1)
        m = [sum(mpmath.binomial(k, j) * raw[k - j] * noise[j] for j in range(k + 1))
             for k in range(2 * degree + 2)]  # fmt: skip
        n = degree + 1
        gram = mpmath.matrix(n, n)
        right = mpmath.matrix(n, 1)
        for i, j in itertools.product(range(n), repeat=2):
            gram[i, j] = m[i + j]
        for j in range(n):
            right[j] = m[j + 1] - (s**2 * j * m[j - 1] if j else 0)
        c = mpmath.lu_solve(gram, right)
        values = [sum(c[k] * mpmath.mpf(y) ** k for k in range(n)) for y in ys]
        return torch.tensor([float(v) for v in values], dtype=torch.float64)


class TestAccuracy:
    @pytest.mark.parametrize("name", TARGETS)
    @pytest.mark.parametrize("degree", [1, 2, 3, 5, 7, 9])
    def test_one_variable(self, name, degree):
        points, weights = TARGETS[name]
        denoise = Polynomial.from_atoms(
            torch.tensor(points, dtype=torch.float64),
            torch.tensor(weights, dtype=torch.float64),
            degree=degree,
        )
        size = max(abs(p) for p in points)
        for sigma in SIGMAS:
            reach = float(denoise._spread[0]) + sigma
            ys = [float(denoise.mean[0]) + reach * k / 2 for k in range(-6, 7)]
            found = denoise(torch.tensor(ys, dtype=torch.float64)[:, None], sigma)[:, 0]
            expected = exact(points, weights, degree, sigma, ys)
            gap = (found - expected).abs() / expected.abs().clamp(min=size)
            assert gap.max() < 1e-12, (sigma, gap.max())

    def test_the_limit_without_noise(self):
        """With p + 1 values or more it is the identity; with fewer, flat at the values."""
        many = Polynomial.from_atoms(torch.linspace(-1, 1, 7), degree=5)
        y = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
        torch.testing.assert_close(many(y, 0.0), y, rtol=0, atol=1e-12)
        few = Polynomial.from_atoms([-1.0, 1.0], degree=3)
        torch.testing.assert_close(few(y, 0.0), (3 * y - y**3) / 2, rtol=0, atol=1e-9)

    @pytest.mark.parametrize("degree", [1, 3, 6, 9])
    def test_moments_are_enough(self, degree):
        points, weights = [Fraction(-3, 2), Fraction(1, 3), Fraction(2)], [Fraction(1, 4)] * 2
        weights = [*weights, Fraction(1, 2)]
        moments = [
            sum(w * x**k for w, x in zip(weights, points, strict=True))
            for k in range(1, 2 * degree + 1)
        ]
        a = Polynomial.from_moments(moments, degree=degree)
        b = Polynomial.from_atoms([float(x) for x in points], [1, 1, 2], degree=degree)
        y = torch.linspace(-3, 3, 11, dtype=torch.float64)[:, None]
        for sigma in (0.01, 0.5, 20.0):
            torch.testing.assert_close(a(y, sigma), b(y, sigma), rtol=1e-6, atol=1e-6)

    def test_normal_moments_give_the_affine_denoiser(self):
        moments = [0 if k % 2 else math.prod(range(1, k, 2)) for k in range(1, 19)]
        y = torch.linspace(-4, 4, 9, dtype=torch.float64)[:, None]
        for degree, sigma in itertools.product((1, 2, 5, 9), (0.01, 1.0, 80.0)):
            found = Polynomial.from_moments(moments, degree=degree)(y, sigma)
            torch.testing.assert_close(found, y / (1 + sigma**2), rtol=1e-11, atol=1e-13)
            mixed = Polynomial.from_atoms([0.0], degree=degree, width=1.0)(y, sigma)
            torch.testing.assert_close(mixed, y / (1 + sigma**2), rtol=1e-11, atol=1e-13)

    @pytest.mark.parametrize("degree", [1, 2, 3, 5, 7])
    def test_joint_against_least_squares_on_quadrature_nodes(self, degree):
        generator = torch.Generator().manual_seed(degree)
        x = torch.rand(80, 2, generator=generator, dtype=torch.float64) ** 2
        denoise = Polynomial.fit(x, degree=degree, basis="joint")
        code = (x - denoise.mean) @ denoise.vectors
        t, w = np.polynomial.hermite_e.hermegauss(degree + 1)
        nodes = torch.tensor(list(itertools.product(t, repeat=2)))
        mass = torch.tensor(list(itertools.product(w / w.sum(), repeat=2))).prod(1)
        powers = exponents(degree, 2)
        for sigma in (0.002, 0.05, 0.5, 80.0):
            y = (code[:, None] + sigma * nodes).reshape(-1, 2)
            root = (mass.expand(len(x), -1).reshape(-1, 1) / len(x)).sqrt()
            c = (code.square().mean(0) + sigma**2).sqrt()
            A = (y[:, None] / c).pow(powers).prod(-1)
            truth = code[:, None].expand(-1, len(nodes), -1).reshape(-1, 2)
            q = torch.linalg.lstsq(A * root, truth * root).solution
            expected = (A[:40] @ q) @ denoise.vectors.T + denoise.mean
            found = denoise(y[:40] @ denoise.vectors.T + denoise.mean, sigma)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)

    def test_the_three_bases_meet(self):
        x = torch.randn(300, 1, generator=torch.Generator().manual_seed(0)).double()
        y = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
        for sigma in (0.002, 0.3, 10.0):
            pixel, pca, joint = (
                Polynomial.fit(x, degree=4, basis=b)(y, sigma) for b in ("pixel", "pca", "joint")
            )
            torch.testing.assert_close(pca, pixel, rtol=0, atol=1e-10)
            torch.testing.assert_close(joint, pixel, rtol=0, atol=1e-10)
        images = dc.data.load("digits").x[:500]
        noisy = images[:5] + torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        linear = Polynomial.fit(images, degree=1, basis="pca")(noisy, 1.0)
        torch.testing.assert_close(linear, Affine.fit(images)(noisy, 1.0), rtol=0, atol=1e-5)


class TestTwofold:
    def test_arithmetic_has_32_digits(self):
        a, b = torch.tensor([1.0, math.pi]).double(), torch.tensor([3.0, math.e]).double()
        quotient = Twofold.of(a).over(Twofold.of(b))
        back = quotient.times(Twofold.of(b)).minus(Twofold.of(a))
        assert (back.high + back.low).abs().max() < 1e-31

    @pytest.mark.parametrize("n", range(1, 11))
    def test_quadrature_integrates_powers(self, n):
        (high, low), (w, w_low) = gauss_hermite(n)
        with mpmath.workdps(50):
            nodes, mass = (
                [mpmath.mpf(a) + mpmath.mpf(b) for a, b in zip(*pair, strict=True)]
                for pair in ((high.tolist(), low.tolist()), (w.tolist(), w_low.tolist()))
            )
            for k in range(2 * n):
                found = sum(m * t**k for m, t in zip(mass, nodes, strict=True))
                right = mpmath.fac2(k - 1) if k % 2 == 0 and k else int(k == 0)
                assert abs(found - right) < 1e-26 * max(1, right)

    def test_solves_the_hilbert_matrix(self):
        n = 9  # condition number 5e11
        with mpmath.workdps(40):
            entries = [[mpmath.mpf(1) / (i + j + 1) for j in range(n)] for i in range(n)]
            high = [[float(v) for v in row] for row in entries]
            low = [[float(v - mpmath.mpf(float(v))) for v in row] for row in entries]
        h = Twofold(*(torch.tensor(part, dtype=torch.float64)[None] for part in (high, low)))
        right = h.sum_last()  # the solution is one everywhere
        torch.testing.assert_close(solve(h, right), torch.ones(1, n).double(), rtol=0, atol=1e-14)


class TestDenoiser:
    @settings(deadline=None, max_examples=25)
    @given(
        n=st.integers(1, 5),
        degree=st.integers(1, 9),
        basis=st.sampled_from(["pixel", "pca"]),
        scale=st.floats(0.01, 100.0),
        shift=st.floats(-10.0, 10.0),
        seed=st.integers(0, 1000),
    )
    def test_moves_and_scales_with_the_data(self, n, degree, basis, scale, shift, seed):
        """The denoiser of a x + b at a σ is that of x, moved and scaled; one sigma per example."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(40, 2, 2, generator=generator, dtype=torch.float64)
        y = x[:n] + torch.randn(n, 2, 2, generator=generator, dtype=torch.float64)
        sigma = torch.rand(n, generator=generator, dtype=torch.float64) + 0.1
        a = Polynomial.fit(x, degree=degree, basis=basis)
        b = Polynomial.fit(scale * x + shift, degree=degree, basis=basis)
        moved = b(scale * y + shift, scale * sigma)
        torch.testing.assert_close(moved, scale * a(y, sigma) + shift, rtol=1e-6, atol=1e-6 * scale)
        single = torch.cat([a(y[k : k + 1], sigma[k].item()) for k in range(n)])
        torch.testing.assert_close(a(y, sigma), single, rtol=1e-9, atol=1e-9)

    def test_precision_follows_the_input(self):
        x = torch.rand(30, 1, 3, 3)
        denoise = Polynomial.fit(x, degree=3)
        for dtype in (torch.float16, torch.float32, torch.float64):
            assert denoise(x[:2].to(dtype), 0.5).dtype == dtype
        assert denoise(torch.zeros(1, 1, 3, 3), 80.0).shape == (1, 1, 3, 3)
        assert denoise(torch.zeros(0, 1, 3, 3), 1.0).shape == (0, 1, 3, 3)

    def test_constant_pixels_and_the_other_components_get_the_mean(self):
        x = torch.rand(50, 4)
        x[:, 2] = 0.3
        y = torch.randn(6, 4)
        assert (Polynomial.fit(x, degree=5)(y, 0.5)[:, 2] - 0.3).abs().max() < 1e-6
        short = Polynomial.fit(x, degree=3, basis="pca", components=1)
        offset = (short(y, 0.5) - short.mean).double()
        assert (offset - offset @ short.vectors @ short.vectors.T).abs().max() < 1e-6

    def test_no_polynomial_of_the_degree_does_better(self):
        """The error is orthogonal to every monomial: checked on quadrature nodes."""
        points = torch.tensor([-1.0, 0.3, 2.0]).double()
        weights = torch.tensor([0.2, 0.5, 0.3]).double()
        denoise = Polynomial.from_atoms(points, weights, degree=4)
        t, w = np.polynomial.hermite_e.hermegauss(12)
        y = (points[:, None] + 0.8 * torch.from_numpy(t)).flatten()
        mass = (weights[:, None] * torch.from_numpy(w / w.sum())).flatten()
        error = points.repeat_interleave(12) - denoise(y[:, None], 0.8)[:, 0]
        for k in range(5):
            assert abs((mass * error * y**k).sum()) < 1e-12
        assert abs((mass * error * y**5).sum()) > 1e-3

    def test_divergence_stays_a_number(self):
        denoise = Polynomial.from_atoms([-1.0, 1.0], degree=9)
        far = denoise(torch.tensor([[1e20], [-1e38]]), 0.01)
        assert torch.isfinite(far).all()
        assert (far.abs() > 1e20).all()

    def test_it_is_differentiable(self):
        denoise = Polynomial.from_atoms([-1.0, 0.5, 1.0], degree=5)
        y = torch.randn(4, 1, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda v: denoise(v, 0.7), y)


class TestLaw:
    @pytest.mark.parametrize("basis", ["pixel", "pca"])
    def test_images(self, basis):
        """Exact for the schedule: samples agree; those of another schedule do not."""
        x = dc.data.load("digits").x[:, :, 2:5, 2:5]
        sigmas = dc.noise.karras(15)
        denoise = Polynomial.fit(x, degree=3, basis=basis, components=4 if basis == "pca" else None)
        noise = dc.sampling.initial_noise(4000, (1, 3, 3), seed=5)
        samples = dc.sampling.ddim(denoise, noise, sigmas)
        law = denoise.law(sigmas)
        assert law.agreement(samples, alpha=1e-5).ok
        other = dc.sampling.ddim(denoise, noise, dc.noise.karras(6))
        assert not law.agreement(other, alpha=1e-5).ok
        assert law.mean.shape == (1, 3, 3)
        assert law.cov.shape == (9, 9)

    def test_joint_is_simulated(self):
        x = dc.data.toy.spiral().sample(400, 0)
        denoise = Polynomial.fit(x, degree=3, basis="joint")
        sigmas = dc.noise.karras(15)
        law = denoise.law(sigmas)
        assert isinstance(law, dc.laws.Empirical)
        samples = dc.sampling.ddim(denoise, dc.sampling.initial_noise(3000, (2,), seed=1), sigmas)
        assert law.agreement(samples, alpha=1e-5).ok
        assert not law.agreement(Affine.fit(x).law(sigmas).sample(3000, 1), alpha=1e-5).ok
        assert 0 <= law.escaped < 0.01

    def test_degree_one_is_the_linear_law(self):
        points = torch.tensor([[-1.0], [0.2], [2.0]])
        sigmas = dc.noise.karras(12)
        linear = Affine.fit(points)
        one = Polynomial.fit(points, degree=1)
        for schedule in (sigmas, None):
            law, right = one.law(schedule), linear.law(schedule)
            assert law.mean.item() == pytest.approx(right.mean.item(), abs=0.02)
            assert law.variance == pytest.approx(right.cov.item(), rel=2e-3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: Polynomial.fit(x, degree=0), "degree must be an integer >= 1, got 0"),
        (lambda x: Polynomial.fit(x, degree=10), "degree must be an integer from 1 to 9, got 10"),
        (lambda x: Polynomial.fit(x, degree=2.5), "degree"),
        (lambda x: Polynomial.fit(x, degree=True), "degree"),
        (lambda x: Polynomial.fit(x, degree=2, basis="wavelet"), "joint, got 'wavelet'"),
        (lambda x: Polynomial.fit(x, degree=2, components=2), "components is for basis pca or"),
        (lambda x: Polynomial.fit(x, degree=2, basis="pca", components=4), "at most the 3 entries"),
        (lambda x: Polynomial.fit(x, degree=2, basis="pca", components=0), "components"),
        (lambda x: Polynomial.fit(torch.randn(99, 12), degree=2, basis="joint", components=11),
         "components must be at most 10 for basis joint, got 11"),
        (lambda x: Polynomial.fit(x[:9], degree=3, basis="joint"), "singular: 9 different"),
        (lambda x: Polynomial.fit(x * torch.tensor([1, 1, 0]), degree=1, basis="joint"),
         "take components <= 2"),
        (lambda x: Polynomial.fit(torch.randn(9, 10), degree=9, basis="joint"), "limit is"),
        (lambda x: Polynomial.fit(x * torch.nan, degree=1), "x must be finite"),
        (lambda x: Polynomial.from_atoms([], degree=1), "points must hold"),
        (lambda x: Polynomial.from_atoms([1.0, 2.0], [1.0], degree=1), "weights must be 2"),
        (lambda x: Polynomial.from_atoms([1.0, 2.0], [1.0, -1.0], degree=1), "weights must be 2"),
        (lambda x: Polynomial.from_atoms([1.0], degree=1, width=-1), "width"),
        (lambda x: Polynomial.from_moments([0, 1, 0], degree=2), "E x^4"),
        (lambda x: Polynomial.from_moments([2, 1], degree=1), "negative variance"),
        (lambda x: Polynomial.from_moments([0, 1, 0, 0.5], degree=2), "negative"),
        (lambda x: Polynomial.from_moments(["a", 1], degree=1), "moments must be finite numbers"),
        (lambda x: Polynomial.from_moments([math.nan, 1], degree=1), "moments must be finite"),
        (lambda x: Polynomial.fit(x, degree=2)(torch.zeros(2, 4), 1.0), "y must have shape"),
        (lambda x: Polynomial.fit(x, degree=2)(torch.zeros(2, 3), -1.0), "sigma must be"),
        (lambda x: Polynomial.fit(x, degree=2).law(torch.tensor([1.0, 2.0])), "sigmas must"),
    ],
)  # fmt: skip
def test_bad_input(make, words):
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError) as error:
        make(x)
    assert words in str(error.value)


@settings(deadline=None, max_examples=40)
@given(
    degree=st.one_of(st.integers(-5, 20), st.floats(), st.text(max_size=2), st.none()),
    basis=st.one_of(st.sampled_from(["pixel", "pca", "joint"]), st.text(max_size=5)),
    components=st.one_of(st.none(), st.integers(-2, 9)),
    n=st.integers(1, 12),
)
def test_property_fit_works_or_says_which_argument(degree, basis, components, n):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(n))
    names = re.compile("degree|basis|components")
    try:
        denoise = Polynomial.fit(x, degree=degree, basis=basis, components=components)
    except ValueError as error:
        said = str(error)
    else:
        assert torch.isfinite(denoise(x, 0.5)).all()
        return
    assert names.search(said)
