"""Product and Empirical: moments, draws, calibration under the null, power against small faults."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.laws import Discrete, Empirical, Gaussian, Product

N, BLOCKS, SIZE = 100, 4, 4
GENERATOR = torch.Generator().manual_seed(0)
DATA = torch.randn(N, BLOCKS * SIZE, generator=GENERATOR)
LAW = Product(
    [Discrete(DATA[:, SIZE * b : SIZE * (b + 1)]) for b in range(BLOCKS)],
    together=torch.arange(N)[:, None].expand(N, BLOCKS),
)


def binomial_bound(n, p, level=1e-6):
    """The count that a Binomial(n, p) exceeds with probability below `level`."""
    return stats.binom.isf(level, n, p)


def copies_mixed_in(samples, share, seed=0):
    """Replace a share of the samples by whole training examples."""
    generator = torch.Generator().manual_seed(seed)
    count = round(share * len(samples))
    samples = samples.clone()
    samples[:count] = DATA[torch.randint(N, (count,), generator=generator)]
    return samples


class TestProduct:
    def test_moments_are_those_of_the_parts(self):
        x = LAW.sample(100_000, seed=1).double()
        sd = LAW.cov.diagonal().sqrt()
        assert ((x.mean(0) - LAW.mean).abs() < 5.5 * sd / len(x) ** 0.5).all()
        error = (torch.cov(x.T) - LAW.cov).abs() / torch.outer(sd, sd)
        assert error.max() < 6 * 3**0.5 / len(x) ** 0.5  # fourth moments of the data are below 9
        assert (LAW.cov[:SIZE, SIZE:] == 0).all()

    def test_places_and_shape(self):
        parts = [Gaussian(torch.tensor([1.0, 2.0]), torch.eye(2)), Discrete(torch.tensor([[5.0]]))]
        law = Product(parts, [[2, 0], [1]], (1, 3))
        assert law.mean.tolist() == [[2.0, 5.0, 1.0]]
        assert law.cov.diagonal().tolist() == [1.0, 0.0, 1.0]
        assert law.sample(30).shape == (30, 1, 3)
        assert law.agreement(law.sample(1000, seed=3), alpha=1e-4).ok

    def test_false_alarms_are_as_rare_as_stated(self):
        replicas = 300
        reports = [LAW.agreement(LAW.sample(1000, seed=s), alpha=0.05) for s in range(replicas)]
        assert sum(not r.ok for r in reports) <= binomial_bound(replicas, 0.05)
        for name in ("counts, χ², worst of 4", "correlations between factors, squared"):
            p = [r[name].p_value for r in reports]
            assert stats.kstest(p, "uniform").pvalue > 1e-4, name
        pairs = [r["parts of one example, worst of 6 pairs"].p_value for r in reports]
        for level in (0.01, 0.05, 0.2):  # Bonferroni: at most the level, hardly less
            assert sum(p <= level for p in pairs) <= binomial_bound(replicas, level)

    def test_two_per_cent_of_dependence_is_found(self):
        name = "parts of one example, worst of 6 pairs"
        found = 0
        for seed in range(20):
            report = LAW.agreement(copies_mixed_in(LAW.sample(20_000, seed), 0.02, seed))
            found += not report[name].ok
        assert found == 20

    def test_dependence_without_known_examples_is_found(self):
        law = Product([Gaussian(torch.zeros(1), torch.eye(1)) for _ in range(16)])
        z = law.sample(20_000, seed=1)
        assert law.agreement(z, alpha=1e-4).ok
        z[:400] = z[:400, :1]  # 2 % of the samples repeat their first entry everywhere
        assert law.agreement(z)["correlations between factors, squared"].p_value < 1e-6

    def test_a_missing_atom_is_found(self):
        factors = [Discrete(DATA[1:, :SIZE]), *LAW.factors[1:]]
        samples = Product(factors).sample(20_000)
        assert LAW.agreement(samples)["counts, χ², worst of 4"].p_value < 1e-6

    def test_entries_that_never_vary_are_no_evidence(self):
        law = Product([Discrete(torch.tensor([[1.0]])), Gaussian(torch.zeros(2), torch.eye(2))])
        assert law.agreement(law.sample(500), alpha=1e-4).ok

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 99))
    def test_any_partition(self, sizes, seed):
        d = sum(sizes)
        places = torch.randperm(d, generator=torch.Generator().manual_seed(seed)).split(sizes)
        parts = [Gaussian(torch.full((s,), 10.0 * s), torch.eye(s)) for s in sizes]
        law = Product(parts, places)
        for size, place in zip(sizes, places, strict=True):
            assert (law.mean[place] == 10.0 * size).all()
            assert (law.sample(5, seed)[:, place] - 10.0 * size).abs().max() < 7

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (([],), "factors must hold"),
            (([Discrete(DATA)], [[0, 1]]), "places must name"),
            (([Discrete(DATA)], [[0] * 16]), "each of the 16 entries once"),
            (([Discrete(DATA)], None, (3, 5)), "shape must hold 16"),
        ],
    )
    def test_bad_input(self, arguments, says):
        with pytest.raises(ValueError, match=says):
            Product(*arguments)

    def test_bad_together(self):
        with pytest.raises(ValueError, match="all Discrete"):
            Product([Gaussian(torch.zeros(2), torch.eye(2))], together=torch.zeros(3, 1))
        with pytest.raises(ValueError, match=r"shape \(N, 1\)"):
            Product([Discrete(DATA)], together=torch.zeros(3, 2))


class TestEmpirical:
    TRUE = Gaussian(torch.tensor([1.0, -1.0, 0.0]), torch.diag(torch.tensor([4.0, 1.0, 0.25])))

    def test_moments_and_their_errors(self):
        law = Empirical(self.TRUE.sample(20_000, seed=1))
        assert ((law.mean - self.TRUE.mean).abs() < 5 * law.mean_error).all()
        assert ((law.cov - self.TRUE.cov).abs() < 5 * law.cov_error).all()
        expected = (self.TRUE.cov.diagonal() / 20_000).sqrt()
        torch.testing.assert_close(law.mean_error, expected, rtol=0.05, atol=0)
        off = (4.0 * 1.0 / 20_000) ** 0.5
        assert law.cov_error[0, 1] == pytest.approx(off, rel=0.05)
        assert law.cov_error[0, 0] == pytest.approx(4 * (2 / 20_000) ** 0.5, rel=0.1)

    def test_draws_are_resampled(self):
        draws = self.TRUE.sample(50)
        again = Empirical(draws).sample(500, seed=2)
        assert dc.metrics.nearest(again, draws)[0].max() == 0

    def test_false_alarms_are_as_rare_as_stated(self):
        replicas = 100
        failed = 0
        for k in range(replicas):
            law = Empirical(self.TRUE.sample(400, seed=2 * k))
            failed += not law.agreement(self.TRUE.sample(300, seed=2 * k + 1), alpha=0.1).ok
        assert failed <= binomial_bound(replicas, 0.1)

    @pytest.mark.parametrize(
        "wrong",
        [lambda x: 1.05**0.5 * x, lambda x: x + 0.05, lambda x: x.abs()],
        ids=["5 % of variance", "moved", "folded"],
    )
    def test_power(self, wrong):
        law = Empirical(self.TRUE.sample(40_000, seed=1))
        assert law.agreement(self.TRUE.sample(40_000, seed=2), alpha=1e-3).ok
        assert not law.agreement(wrong(self.TRUE.sample(40_000, seed=3)), alpha=1e-3).ok

    def test_many_dimensions(self):
        """Directions chosen among many must not favour the draws that chose them."""
        true = Gaussian(torch.zeros(100), torch.eye(100))
        law = Empirical(true.sample(2000, seed=1))
        assert law.agreement(true.sample(500, seed=2), alpha=1e-3).ok

    def test_bad_input(self):
        with pytest.raises(ValueError, match="at least 20"):
            Empirical(DATA[:5])
        with pytest.raises(ValueError, match="samples must have shape"):
            Empirical(DATA).agreement(torch.zeros(30, 3))
