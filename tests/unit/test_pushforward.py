"""The push-forward of one Gaussian number, and laws in turned coordinates."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Polynomial
from diffusion_creativity.laws import Gaussian, Product, PushForward1d, Turned

X = torch.tensor([0.05, 0.4, 1.0, 2.7, 6.0], dtype=torch.float64)


class TestKnownLaws:
    def test_normal(self):
        law = PushForward1d(lambda y: 2 * y + 1, 3.0, mean=0.5)
        right = stats.norm(2.0, 6.0)
        np.testing.assert_allclose(law.cdf(X), right.cdf(X), atol=1e-6)
        np.testing.assert_allclose(law.density(X), right.pdf(X), rtol=1e-8)
        np.testing.assert_allclose(law.quantile(torch.tensor([0.1, 0.9])), right.ppf([0.1, 0.9]),
                                   atol=1e-4)  # fmt: skip
        assert (law.mean.item(), law.variance) == pytest.approx((2.0, 36.0), rel=1e-5)
        assert (law.branches, law.escaped) == (1, 0.0)

    def test_chi_squared_has_two_branches(self):
        law = PushForward1d(lambda y: y**2, 1.0)
        np.testing.assert_allclose(law.cdf(X), stats.chi2.cdf(X, 1), atol=2e-4)
        np.testing.assert_allclose(law.density(X), stats.chi2.pdf(X, 1), rtol=1e-6)
        assert (law.mean.item(), law.variance) == pytest.approx((1.0, 2.0), rel=1e-4)
        assert law.branches == 2

    def test_lognormal_with_escapes(self):
        law = PushForward1d(torch.exp, 1.0, bound=5.0)
        right = stats.lognorm(1.0)
        assert law.escaped == pytest.approx(right.sf(5.0), rel=1e-4)
        inside = X[X < 5]
        np.testing.assert_allclose(law.cdf(inside), right.cdf(inside) / right.cdf(5), atol=1e-4)
        np.testing.assert_allclose(law.density(inside), right.pdf(inside) / right.cdf(5), rtol=1e-6)
        assert law.density(torch.tensor([6.0])).item() == 0
        tail = right.expect(lambda v: v, lb=0, ub=5) / right.cdf(5)
        assert law.mean.item() == pytest.approx(tail, rel=1e-4)

    def test_cubic_with_three_branches(self):
        law = PushForward1d(lambda y: y**3 - y, 1.0)
        assert law.branches == 3
        z = np.linspace(-9, 9, 2_000_001)
        below = stats.norm.pdf(z) * (z[1] - z[0])
        for x in (-0.2, 0.0, 0.3, 2.0):
            expected = below[z**3 - z <= x].sum()
            assert law.cdf(torch.tensor(x)).item() == pytest.approx(expected, abs=2e-4)
        x, h = torch.tensor([-1.5, 0.1, 0.8], dtype=torch.float64), 1e-2
        slope = (law.cdf(x + h) - law.cdf(x - h)) / (2 * h)
        np.testing.assert_allclose(law.density(x), slope, rtol=1e-2)

    def test_a_jump_is_resolved(self):
        """Two atoms, nearly: the mass between them is what the steep part of f carries."""
        law = PushForward1d(lambda y: torch.tanh(1e4 * (y - 0.3)), 1.0, bound=10.0)
        share = law.cdf(torch.tensor(0.0)).item()
        assert share == pytest.approx(stats.norm.cdf(0.3), abs=1e-5)
        assert law.mean.item() == pytest.approx(1 - 2 * stats.norm.cdf(0.3), abs=1e-4)

    def test_infinite_and_nan_values_have_escaped(self):
        law = PushForward1d(lambda y: torch.where(y > 1, torch.nan, y), 1.0)
        assert law.escaped == pytest.approx(stats.norm.sf(1), rel=1e-3)
        draws = law.sample(5000, seed=1)
        assert law.agreement(draws, alpha=1e-5)["escaped"].value == int(draws.isnan().sum())


class TestAgreement:
    def test_false_alarms_come_as_often_as_stated(self):
        law = PushForward1d(lambda y: torch.exp(0.5 * y), 1.0, bound=4.0)
        alarms = sum(not law.agreement(law.sample(400, s), alpha=0.05).ok for s in range(400))
        assert stats.binom.sf(alarms - 1, 400, 0.05) > 1e-4

    def test_a_changed_variance_and_missing_escapes_are_found(self):
        law = PushForward1d(lambda y: torch.sinh(y), 1.0, bound=6.0)
        draws = law.sample(20_000, seed=3)
        assert law.agreement(draws, alpha=1e-5).ok
        narrow = PushForward1d(lambda y: torch.sinh(0.5 * y), 1.0, bound=6.0)
        found = narrow.sample(40_000, seed=3)
        assert narrow.agreement(found, alpha=1e-3).ok
        assert not narrow.agreement(found * 1.05**0.5, alpha=1e-3).ok
        stays = draws[draws.abs() <= 6][:, None]
        assert len(stays) < len(draws)
        report = law.agreement(stays, alpha=1e-5)
        assert not report["escaped"].ok
        assert report["Kolmogorov-Smirnov"].ok

    def test_sampler_of_a_bimodal_mixture(self):
        """The known share of diverging trajectories at degree 5, and the whole law."""
        denoise = Polynomial.from_atoms([-1.0, 1.0], degree=5, width=0.2)
        sigmas = dc.noise.karras(40)
        law = denoise.law(sigmas)
        assert 0.001 < law.escaped < 0.002
        samples = dc.sampling.ddim(denoise, dc.sampling.initial_noise(20_000, (1,), seed=2), sigmas)
        assert law.agreement(samples, alpha=1e-5).ok
        other = Polynomial.from_atoms([-1.0, 1.0], degree=3, width=0.2).law(sigmas)
        assert not other.agreement(samples, alpha=1e-5).ok


class TestTurned:
    def test_is_the_gaussian_it_should_be(self):
        vectors = torch.linalg.qr(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)))[0]
        parts = [PushForward1d(lambda y, s=s: s * y, 1.0) for s in (2.0, 0.5)]
        law = Turned(Product(parts), torch.ones(5), vectors)
        cov = (vectors * torch.tensor([4.0, 0.25])) @ vectors.T
        torch.testing.assert_close(law.cov, cov.double(), rtol=1e-3, atol=1e-3)
        gauss = Gaussian.from_spectrum(torch.ones(5), torch.tensor([4.0, 0.25]), vectors)
        assert law.agreement(gauss.sample(3000, 1), alpha=1e-5).ok
        assert gauss.agreement(law.sample(3000, 1), alpha=1e-5).ok
        off = gauss.sample(3000, 1) + 0.01 * torch.randn(3000, 5)
        assert not law.agreement(off, alpha=1e-5).ok
        assert not law.agreement(1.1 * gauss.sample(3000, 1) - 0.1, alpha=1e-5).ok


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PushForward1d(3, 1.0), "function"),
        (lambda: PushForward1d(torch.exp, 0.0), "sigma_max"),
        (lambda: PushForward1d(torch.exp, 1.0, bound=-1.0), "bound"),
        (lambda: PushForward1d(torch.exp, 1.0, centre=-9.0, bound=1.0), "bound must leave"),
        (lambda: PushForward1d(torch.exp, math.inf), "sigma_max"),
        (lambda: PushForward1d(torch.exp, 1.0).quantile(torch.tensor([1.5])), "q must lie"),
        (lambda: PushForward1d(torch.exp, 1.0).cdf(torch.tensor([math.nan])), "x must be finite"),
        (lambda: PushForward1d(torch.exp, 1.0).agreement(torch.zeros(5, 1)), "n >= 20"),
        (lambda: PushForward1d(torch.exp, 1.0).sample(0), "n must be"),
        (lambda: Turned(Gaussian(torch.zeros(2), torch.eye(2)), torch.zeros(3), torch.eye(3)),
         "vectors must have shape"),
        (lambda: Turned(Gaussian(torch.zeros(2), torch.eye(2)), torch.zeros(2), 2 * torch.eye(2)),
         "orthonormal"),
    ],
)  # fmt: skip
def test_bad_input(make, words):
    with pytest.raises(ValueError) as error:
        make()
    assert words in str(error.value)
