"""Laws: moments, draws, and tests that are calibrated and have power."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffusion_creativity.laws import Discrete, Gaussian
from diffusion_creativity.laws.discrete import _count_tests

torch.manual_seed(0)
MIX = torch.randn(5, 5, dtype=torch.float64)
LAW = Gaussian(torch.arange(5.0), MIX @ MIX.T)


def binomial_bound(n, p, level=1e-6):
    """The count that a Binomial(n, p) exceeds with probability below `level`."""
    return stats.binom.isf(level, n, p)


def drawn(n, seed, rank=5):
    """Independent standard normals, coloured as LAW."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, rank, generator=generator, dtype=torch.float64)
    return z, lambda z: z @ MIX.T + LAW.mean


class TestGaussian:
    def test_moments_of_draws(self):
        x = LAW.sample(200_000, seed=1).double()
        assert (x.mean(0) - LAW.mean).abs().max() < 5 * math.sqrt(LAW.cov.diagonal().max() / 2e5)
        torch.testing.assert_close(torch.cov(x.T), LAW.cov, rtol=0.05, atol=0.05)

    def test_images_and_rank(self):
        cov = torch.diag(torch.tensor([1.0, 0, 2, 0]))
        law = Gaussian(torch.zeros(1, 2, 2), cov)
        assert law.rank == 2
        assert law.sample(3).shape == (3, 1, 2, 2)
        torch.testing.assert_close(law.cov, cov.double())

    def test_a_point_is_a_law(self):
        law = Gaussian(torch.ones(3), torch.zeros(3, 3))
        assert law.rank == 0
        assert law.agreement(law.sample(20)).ok
        assert not law.agreement(law.sample(20) + 0.1).ok

    @pytest.mark.parametrize("n", [50, 1000])
    def test_false_alarms_are_as_rare_as_stated(self, n):
        """400 reports on true draws: each p-value is uniform enough, and reports rarely fail."""
        replicas = 400
        reports = []
        for seed in range(replicas):
            z, colour = drawn(n, seed)
            reports.append(LAW.agreement(colour(z), alpha=0.05))
        failed = sum(not report.ok for report in reports)
        # The normal tail of the kurtosis is only asymptotic: twice its share of alpha is allowed.
        assert failed <= binomial_bound(replicas, 0.05 * (7 / 6))
        for name in ("mean, squared distance", "variance, all directions", "variance, worst of 5"):
            p = [report[name].p_value for report in reports]
            assert stats.kstest(p, "uniform").pvalue > 1e-4, name
        below = sum(report["correlations, squared"].p_value < 0.05 for report in reports)
        assert below <= binomial_bound(replicas, 0.065)

    @pytest.mark.parametrize(
        ("wrong", "finds"),
        [
            (lambda z: z * math.sqrt(1.05), "variance, all directions"),
            (lambda z: torch.cat([z[:, :1] * math.sqrt(1.1), z[:, 1:]], 1), "variance, worst of 5"),
            (lambda z: z + 0.05, "mean, squared distance"),
            (lambda z: torch.cat([z[:, :1] * 0.995 + 0.1 * z[:, 1:2], z[:, 1:]], 1),
             "correlations, squared"),
            (lambda z: z.sign() * z.abs() ** 1.1 / 1.087, "excess kurtosis"),
            (lambda z: (z + 0.1 * (z**2 - 1)) / math.sqrt(1.02), "skewness, squared"),
        ],
    )  # fmt: skip
    def test_power(self, wrong, finds):
        """At 10,000 samples each of these small errors is found, by the statistic meant for it.

        The laws' eigenbasis is a rotation of z, so the error of one z spreads over directions.
        """
        law = Gaussian(torch.zeros(5), torch.diag(torch.tensor([5.0, 4, 3, 2, 1])))
        z, _ = drawn(10_000, 7)
        report = law.agreement(wrong(z) * law.eigenvalues.sqrt())
        assert not report.ok
        assert not report[finds].ok, str(report)

    def test_off_the_plane_is_found(self):
        law = Gaussian(torch.zeros(3), torch.diag(torch.tensor([1.0, 1, 0])))
        x = law.sample(500)
        assert law.agreement(x).ok
        x[0, 2] = 0.01
        assert not law.agreement(x)["largest distance off the plane"].ok

    @settings(max_examples=25, deadline=None)
    @given(st.integers(1, 6), st.integers(0, 10_000))
    def test_covariance_survives(self, d, seed):
        a = torch.randn(d, d, generator=torch.Generator().manual_seed(seed)).double()
        torch.testing.assert_close(Gaussian(torch.zeros(d), a @ a.T).cov, a @ a.T)

    @pytest.mark.parametrize(
        ("mean", "cov", "named"),
        [
            (torch.zeros(2), torch.zeros(3, 3), "cov must have shape"),
            (torch.zeros(0), torch.zeros(0, 0), "mean must hold"),
            (torch.zeros(2), torch.tensor([[1.0, 1], [0, 1]]), "symmetric"),
            (torch.zeros(2), torch.diag(torch.tensor([1.0, -1])), "semi-definite"),
            (torch.tensor([0.0, math.nan]), torch.eye(2), "mean"),
            (torch.zeros(2), torch.eye(2) * math.inf, "cov"),
        ],
    )
    def test_bad_arguments_are_named(self, mean, cov, named):
        with pytest.raises(ValueError, match=named):
            Gaussian(mean, cov)

    def test_samples_are_checked(self):
        with pytest.raises(ValueError, match="samples must have shape"):
            LAW.agreement(torch.zeros(100, 4))
        with pytest.raises(ValueError, match="n >= 20"):
            LAW.agreement(torch.zeros(3, 5))
        with pytest.raises(KeyError, match="there are"):
            LAW.agreement(LAW.sample(30))["height"]


ATOMS = torch.randn(100, 1, 4, 4)


class TestDiscrete:
    def test_moments(self):
        law = Discrete(torch.tensor([[0.0, 0], [2, 2]]), torch.tensor([0.25, 0.75]))
        torch.testing.assert_close(law.mean, torch.tensor([1.5, 1.5]).double())
        torch.testing.assert_close(law.cov, torch.full((2, 2), 0.75).double())

    @pytest.mark.parametrize("n", [150, 2000])
    def test_false_alarms_are_as_rare_as_stated(self, n):
        law, replicas = Discrete(ATOMS), 100
        failed = sum(
            not law.agreement(law.sample(n, seed), alpha=0.05).ok for seed in range(replicas)
        )
        assert failed <= binomial_bound(replicas, 0.05)

    def test_one_missing_atom_is_found(self):
        law = Discrete(ATOMS)
        report = law.agreement(Discrete(ATOMS[:99]).sample(2000, 1))
        assert not report["atoms never seen"].ok

    def test_wrong_weights_are_found(self):
        weights = torch.ones(100)
        weights[:50] = 1.5
        report = Discrete(ATOMS).agreement(Discrete(ATOMS, weights / weights.sum()).sample(2000, 1))
        assert not report["counts, χ²"].ok

    def test_a_sample_between_atoms_is_found(self):
        x = Discrete(ATOMS).sample(500)
        x[3] += 0.01
        assert not Discrete(ATOMS).agreement(x)["largest RMS distance to an atom"].ok

    def test_an_atom_that_cannot_be_is_found(self):
        for weights in ([1.0, 0.0], [0.5, 0.5, 0.0]):
            law = Discrete(torch.arange(len(weights))[:, None], torch.tensor(weights))
            x = law.sample(300, seed=1)
            assert law.agreement(x).ok
            x[0] = len(weights) - 1
            assert not law.agreement(x).ok

    def test_the_null_does_not_depend_on_the_block(self):
        counts, p = np.bincount(np.arange(150) % 97, minlength=100), np.full(100, 0.01)
        assert _count_tests(counts, p, block=1) == _count_tests(counts, p)

    @pytest.mark.parametrize(
        ("weights", "named"), [([0.5, 0.6], "sum to 1"), ([-1.0, 2.0], ">= 0"), ([1.0], "one for")]
    )
    def test_bad_weights_are_named(self, weights, named):
        with pytest.raises(ValueError, match=named):
            Discrete(torch.zeros(2, 3), torch.tensor(weights))


def test_report_reads_as_text_and_table():
    report = LAW.agreement(LAW.sample(200))
    assert "agrees with the law" in str(report)
    assert report._repr_html_().count("<tr>") == len(report.statistics) + 1
    assert "does NOT agree" in str(LAW.agreement(LAW.sample(200) * 2))
