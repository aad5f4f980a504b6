"""Agreement, diversity and likelihood against numpy, scipy and direct float64 sums."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffusion_creativity import metrics
from diffusion_creativity.metrics import likelihood


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 9), d=st.integers(3, 30), seed=st.integers(0, 2**20))
def test_pearson_r_and_r_squared_image_by_image(n, d, seed):
    a = draw(n, 1, d, seed=seed)
    b = a + draw(n, 1, d, seed=seed + 1)
    r, explained = metrics.pearson_r(a, b), metrics.r_squared(a, b)
    for i in range(n):
        one, two = a[i].flatten().numpy(), b[i].flatten().numpy()
        assert r[i] == pytest.approx(stats.pearsonr(one, two).statistic, rel=1e-10, abs=1e-12)
        expected = 1 - ((one - two) ** 2).sum() / ((two - two.mean()) ** 2).sum()
        assert explained[i] == pytest.approx(expected, rel=1e-10, abs=1e-12)
    torch.testing.assert_close(metrics.pearson_r(2 * a + 3, b), r)
    torch.testing.assert_close(metrics.pearson_r(-a, b), -r)
    assert (metrics.r_squared(b, b) == 1).all()


def test_agreement_at_its_ends():
    b = draw(4, 10)
    grey = b.mean(1, keepdim=True).expand_as(b)
    torch.testing.assert_close(metrics.r_squared(grey, b), torch.zeros(4).double())
    assert (metrics.r_squared(-5 * b, b) < 0).all()
    assert metrics.pearson_r(grey, b).isnan().all()
    assert metrics.r_squared(b, torch.full_like(b, 0.1)).isnan().all()
    value, low, high = metrics.pearson_r(b, b + draw(4, 10, seed=1), interval=0.9)
    assert value == np.median(metrics.pearson_r(b, b + draw(4, 10, seed=1)))
    assert low <= value <= high
    with pytest.raises(ValueError, match="4 constant"):
        metrics.pearson_r(grey, b, interval=0.9)
    for metric, names in ((metrics.pearson_r, "a and b"), (metrics.r_squared, "estimate and")):
        with pytest.raises(ValueError, match=f"{names}.*one shape"):
            metric(b, b[:3])


@pytest.mark.parametrize(("n", "d"), [(5, 8), (8, 5), (6, 6)])
def test_vendi_is_the_entropy_of_the_gram_matrix(n, d):
    x = draw(n, d)
    unit = x / x.norm(dim=1, keepdim=True)
    for gram in (unit @ unit.T / n, unit.T @ unit / n):  # n × n and d × d
        values = np.linalg.eigvalsh(gram.numpy()).clip(1e-300)
        assert metrics.vendi(x) == pytest.approx(np.exp(stats.entropy(values)), rel=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.integers(1, 6),
    times=st.integers(1, 5),
    spare=st.integers(0, 40),
    seed=st.integers(0, 2**20),
)
def test_vendi_counts_orthogonal_kinds(kinds, times, spare, seed):
    axes = torch.linalg.qr(draw(kinds + spare, kinds + spare, seed=seed)).Q[:kinds]
    x = axes.repeat(times, 1) * (1 + draw(kinds * times, 1, seed=seed + 1).abs())
    assert metrics.vendi(x) == pytest.approx(kinds, rel=1e-9)
    assert metrics.vendi(x.flip(0) * 1e200) == pytest.approx(kinds, rel=1e-9)


def test_vendi_checks_what_it_gets():
    x = draw(5, 3)
    x[[1, 3]] = 0
    with pytest.raises(ValueError, match="2 zero vectors"):
        metrics.vendi(x)
    with pytest.raises(ValueError, match="at least one"):
        metrics.vendi(x[:0])


def test_mixture_density_is_the_sum_of_gaussians():
    centres, data, x = draw(6, 3), draw(40, 3, seed=1), draw(5, 3, seed=2)
    mixture = likelihood._Mixture(centres, data)
    parts = [
        stats.multivariate_normal(c.numpy(), float(v)).pdf(x.numpy()) / 6
        for c, v in zip(centres, mixture.variances, strict=True)
    ]
    np.testing.assert_allclose(mixture.log_density(x), np.log(sum(parts)), rtol=1e-10)


def test_widths_are_a_maximum_of_the_likelihood(monkeypatch):
    monkeypatch.setattr(likelihood, "GAIN", 1e-13)
    monkeypatch.setattr(likelihood, "STEPS", 5000)
    mixture = likelihood._Mixture(draw(4, 2), draw(60, 2, seed=1))
    best, variances = mixture.log_density(draw(60, 2, seed=1)).mean(), mixture.variances
    # The gradient in the logarithms of the variances, by differences.
    for j in range(4):
        for step in (-1e-3, 1e-3):
            mixture.variances = variances.clone()
            mixture.variances[j] *= math.exp(step)
            assert mixture.log_density(draw(60, 2, seed=1)).mean() < best + 1e-9


def test_every_step_gains(monkeypatch):
    centres, data, found = draw(5, 3), draw(50, 3, seed=1), []
    improve = likelihood._Mixture._improve
    monkeypatch.setattr(
        likelihood._Mixture, "_improve", lambda *a: found.append(improve(*a)) or found[-1]
    )
    likelihood._Mixture(centres, data)
    assert len(found) > 3
    assert (np.diff(found) > -1e-12).all()


def test_tiles_of_the_mixture_change_nothing(monkeypatch):
    sets = draw(30, 4), draw(50, 4, seed=1), draw(20, 4, seed=2)
    expected = metrics.feature_likelihood_divergence(*sets)
    monkeypatch.setattr(likelihood, "TILE", 40)
    found = metrics.feature_likelihood_divergence(*sets)
    assert found == pytest.approx(expected, rel=1e-9)


def test_likelihood_tells_real_data_from_copies_noise_and_dropped_modes():
    def clusters(n, seed, modes=4):
        which = torch.arange(n) % modes
        return draw(n, 5, seed=seed) + 6 * torch.eye(5).double()[which]

    train, held_out = clusters(400, 0), clusters(300, 1)
    found = {
        name: metrics.feature_likelihood_divergence(x, train, held_out, interval=0.95)
        for name, x in {
            "real": clusters(200, 2),
            "copies": train[:200],
            "noise": 3 * draw(200, 5, seed=3),
            "dropped": clusters(200, 4, modes=2),
        }.items()
    }
    for name in ("copies", "noise", "dropped"):
        assert found[name].divergence.low > found["real"].divergence.high
    assert found["copies"].gap.high < min(found[n].gap.low for n in ("real", "noise", "dropped"))


def test_likelihood_of_real_data_is_near_zero():
    """Fresh samples against the split training set: both fits are drawn alike."""
    found = [
        metrics.feature_likelihood_divergence(
            draw(60, 4, seed=3 * s), draw(120, 4, seed=3 * s + 1), draw(60, 4, seed=3 * s + 2)
        ).divergence
        for s in range(60)
    ]
    # Samples are fitted to 120 examples and the base to 60: a part of the few nats is left.
    mean, error = np.mean(found), np.std(found, ddof=1) / math.sqrt(60)
    noise = metrics.feature_likelihood_divergence(
        3 * draw(60, 4), draw(120, 4, seed=1), draw(60, 4, seed=2)
    ).divergence
    assert abs(mean) < 4 * error + 0.1 * noise


def test_likelihood_knows_no_units_and_no_constant_features():
    sets = draw(30, 4), draw(50, 4, seed=1), draw(20, 4, seed=2)
    expected = metrics.feature_likelihood_divergence(*sets)
    scale = torch.tensor([1e-3, 1.0, 50.0, 7.0]).double()
    moved = [x * scale - 5 for x in sets]
    assert metrics.feature_likelihood_divergence(*moved) == pytest.approx(expected, rel=1e-6)
    again = metrics.feature_likelihood_divergence(*(x.reshape(-1, 1, 2, 2) for x in sets))
    assert again == expected
    fixed = [torch.cat([x, torch.full_like(x[:, :1], 0.1)], 1) for x in sets]
    assert all(map(math.isfinite, metrics.feature_likelihood_divergence(*fixed)))


def test_likelihood_checks_what_it_gets():
    x = draw(10, 3)
    for sets, named in [
        ((x, x[:3], x), "train must hold at least 4"),
        ((x[:0], x, x), "samples must hold"),
        ((x, x, x[:0]), "held_out must hold"),
        ((x, x, x[:, :2]), "held_out must have shape"),
        ((x[:, :2], x, x), "samples must have shape"),
    ]:
        with pytest.raises(ValueError, match=named):
            metrics.feature_likelihood_divergence(*sets)
    with pytest.raises(ValueError, match="seed"):
        metrics.feature_likelihood_divergence(x, x, x, seed=-1)
