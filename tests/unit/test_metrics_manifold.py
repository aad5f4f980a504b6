"""Precision, recall, density and coverage against all pairs in float64, with ties and copies."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffusion_creativity import metrics
from diffusion_creativity.metrics import manifold


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_all_pairs(samples, reference, k):
    """Precision, recall, density, coverage from squared distances, exact on a lattice."""

    def squares(a, b):
        return (a.double()[:, None] - b.double()[None]).square().sum(2)

    def radii(x):
        return squares(x, x).fill_diagonal_(torch.inf).sort(1)[0][:, k - 1]

    across = squares(samples, reference)
    in_real = across <= radii(reference)[None]
    in_made = across <= radii(samples)[:, None]
    mean = [x.double().mean().item() for x in (in_real.any(1), in_made.any(0), in_real.any(0))]
    return mean[0], mean[1], in_real.double().sum().item() / (k * len(samples)), mean[2]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(6, 40),
    m=st.integers(6, 40),
    d=st.integers(1, 5),
    k=st.integers(1, 5),
    lattice=st.booleans(),
    offset=st.sampled_from([0, 1000]),
    seed=st.integers(0, 2**20),
)
def test_all_four_are_their_definitions(n, m, d, k, lattice, offset, seed):
    """On a lattice distances tie and points repeat; far from 0, float32 products cannot decide."""
    samples, reference = draw(n, d, seed=seed), 1.2 * draw(m, d, seed=seed + 1)
    if lattice:
        samples, reference = samples.round(), reference.round()
    samples, reference = samples + offset, reference + offset
    expected = by_all_pairs(samples, reference, k)
    found = (
        *metrics.precision_recall(samples, reference, k=k),
        *metrics.density_coverage(samples, reference, k=k),
    )
    assert found == pytest.approx(expected, rel=1e-12)


def test_blocks_and_tiles_change_nothing(monkeypatch):
    samples, reference = draw(700, 3), draw(900, 3, seed=1)  # uneven blocks of 512
    expected = by_all_pairs(samples, reference, 3)
    found = metrics.precision_recall(samples, reference, k=3)
    assert found == pytest.approx(expected[:2], rel=1e-12)
    monkeypatch.setattr(manifold, "ROWS", 7)
    assert metrics.precision_recall(samples, reference, k=3) == found


def test_copies_have_precision_one_and_the_far_none():
    reference = draw(100, 4)
    copies = reference[torch.arange(60) % 20]
    assert metrics.precision_recall(copies, reference).precision == 1
    assert metrics.precision_recall(reference, reference) == (1, 1)
    assert metrics.density_coverage(reference, reference).coverage == 1
    assert metrics.precision_recall(reference + 50, reference) == (0, 0)
    assert metrics.density_coverage(reference + 50, reference) == (0, 0)
    # Three examples of the four clusters: what is missed costs recall and coverage alone.
    clusters = torch.cat([draw(25, 4, seed=s) + 100 * s for s in range(4)])
    dropped = torch.cat([draw(25, 4, seed=s + 9) + 100 * s for s in (0, 1, 2)])
    assert metrics.precision_recall(dropped, clusters, k=5).recall <= 0.75
    assert metrics.density_coverage(dropped, clusters).coverage <= 0.75


def test_roles_swap_precision_and_recall():
    a, b = draw(40, 2), 2 * draw(50, 2, seed=1)
    assert metrics.precision_recall(a, b) == metrics.precision_recall(b, a)[::-1]


def test_density_and_coverage_of_fresh_data():
    """Naeem et al.: for one law E density = 1 and E coverage = 1 − ∏ (n − i)/(2n − i), i ≤ k."""
    n, k, runs = 40, 3, 120
    found = torch.tensor(
        [
            metrics.density_coverage(draw(n, 3, seed=2 * s), draw(n, 3, seed=2 * s + 1), k=k)
            for s in range(runs)
        ],
        dtype=torch.float64,
    )
    coverage = 1.0
    for i in range(1, k + 1):
        coverage *= (n - i) / (2 * n - i)
    assert stats.ttest_1samp(found[:, 0], 1).pvalue > 1e-3
    assert stats.ttest_1samp(found[:, 1], 1 - coverage).pvalue > 1e-3


def test_intervals_are_wilsons():
    samples, reference = draw(40, 2), draw(50, 2, seed=1) + 1
    plain = metrics.precision_recall(samples, reference)
    found = metrics.precision_recall(samples, reference, interval=0.9)
    assert found.precision == metrics.wilson(round(plain.precision * 40), 40, 0.9)
    assert found.recall == metrics.wilson(round(plain.recall * 50), 50, 0.9)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's /proc")
def test_no_matrix_of_all_pairs_is_in_memory():
    """10,000 × 10,000: one bit a pair would be 12 MB, one byte 95, one float 381."""
    code = """
import torch
from pathlib import Path
from diffusion_creativity import metrics
torch.set_num_threads(1)
def kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])
a, b = torch.randn(10_000, 2), torch.randn(10_000, 2)
metrics.precision_recall(a[:600], b[:600])  # libraries start up
Path("/proc/self/clear_refs").write_text("5")
before = kib("VmRSS")
metrics.precision_recall(a, b)
print((kib("VmHWM") - before) / 1024)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 48


def test_bad_input_is_named():
    x = draw(20, 3)
    for metric in (metrics.precision_recall, metrics.density_coverage):
        for samples, reference, options, named in [
            (x, x, {"k": 0}, "k must be"),
            (x, x, {"k": 2.5}, "k must be"),
            (x[:3], x, {"k": 3}, "samples must hold more than k = 3"),
            (x, x[:3], {"k": 3}, "reference must hold more than k = 3"),
            (x[:, :2], x, {}, "samples must have shape"),
            (x, x * torch.inf, {}, "reference must be finite"),
            (x, x, {"interval": 1}, "must be below 1"),
        ]:
            with pytest.raises(ValueError, match=named):
                metric(samples, reference, **options)
