"""Certificates of chapter 1: at high noise both denoisers answer the mean."""

import numpy as np
import pytest
import torch

import diffusion_creativity as dc

LEVELS = (20.0, 40.0, 80.0, 160.0, 320.0)


def _clouds() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    lumps = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    lumps[:20] += 7  # far from the origin, two lumps
    skewed = torch.rand(7, 3, generator=generator, dtype=torch.float64).log()
    digits = dc.data.load("digits").x[:300].flatten(1).double()
    return {"lumps": lumps, "skewed": skewed, "digits": digits, "one point": lumps[:1]}


def _moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    mean = x.mean(0)
    centred = x - mean
    return mean, centred.T @ centred / len(x), centred.norm(dim=1).max()


def _largest_ratio(denoise, x: torch.Tensor, mean: torch.Tensor, factor: float = 1.0) -> float:
    """Largest |D(y) - mean| / bound over random and worst-case y, sigma from 0.05 to 1000."""
    radius = (x - x.mean(0)).norm(dim=1).max()
    generator = torch.Generator().manual_seed(1)
    n = torch.randn(200, x.shape[1], generator=generator, dtype=torch.float64)
    outward = (x - x.mean(0))[(x - x.mean(0)).norm(dim=1).argmax()]
    ratios = []
    for sigma in np.geomspace(0.05, 1000, 12).tolist():
        shifts = torch.logspace(-3, 3, 25, dtype=torch.float64)[:, None] * outward
        y = torch.cat([sigma * n, x.mean(0) + shifts, x, x.mean(0)[None]])
        bound = factor * radius**2 / sigma**2 * ((y - x.mean(0)).norm(dim=1) + radius / 4)
        off = (denoise(y, sigma) - mean).norm(dim=1)
        # 1e-9: both sides are rounding for a cloud of one point.
        ratios.append((off / (bound + 1e-9)).max().item())
    return max(ratios)


def _slope(denoise, mean: torch.Tensor, matrix: torch.Tensor) -> float:
    """Slope of log |D(sigma n) - mean - matrix n / sigma| against log(sigma)."""
    generator = torch.Generator().manual_seed(2)
    n = torch.randn(500, len(mean), generator=generator, dtype=torch.float64)
    left = [(denoise(s * n, s) - mean - n @ matrix / s).square().mean().sqrt() for s in LEVELS]
    return float(np.polyfit(np.log(LEVELS), np.log(left), 1)[0])


@pytest.mark.parametrize("kind", [dc.denoisers.Bayes, dc.denoisers.Affine])
@pytest.mark.parametrize("name", ["lumps", "skewed", "digits", "one point"])
def test_prop_one_step_mean(kind, name):
    x = _clouds()[name]
    mean, cov, _ = _moments(x)
    denoise = kind.fit(x)
    assert _largest_ratio(denoise, x, mean) <= 1
    if name == "one point":
        return  # Sigma = 0: nothing to expand
    assert abs(_slope(denoise, mean, cov) + 2) < 0.1
    # Wrong laws are found out: a wrong first correction, a wrong limit, a bound too small.
    assert abs(_slope(denoise, mean, cov / 2) + 2) > 0.5
    assert abs(_slope(denoise, mean, torch.eye(len(mean)).double()) + 2) > 0.5
    assert _largest_ratio(denoise, x, mean + 1) > 1
    assert _largest_ratio(denoise, x, mean, factor=0.02) > 1


@pytest.mark.parametrize("kind", [dc.denoisers.Bayes, dc.denoisers.Affine])
def test_spread_of_one_step_samples(kind):
    """|D(sigma n) - mean|² has mean tr(Sigma²)/sigma², up to the next order."""
    x = _clouds()["digits"]
    mean, cov, _ = _moments(x)
    noise = dc.sampling.initial_noise(4000, (64,), seed=3).double()
    samples = dc.sampling.ddim(kind.fit(x), noise, dc.noise.karras(1))
    squares = (samples - mean).square().sum(1)
    expected = (cov @ cov).trace().item() / 80**2
    error = squares.std().item() / len(squares) ** 0.5
    second_order = 0.01 * expected  # |Sigma mean|² / sigma⁴ is 0.04 % of it here
    assert abs(squares.mean().item() - expected) < 4 * error + second_order
    assert abs(squares.mean().item() - cov.trace().item() / 80**2) > 4 * error + second_order


def test_two_steps_copy_without_variety():
    """What the chapter says of two steps: the perfect denoiser copies, but hardly any images."""
    x = dc.data.load("digits").subset(600, seed=0).x
    noise = dc.sampling.initial_noise(400, (1, 8, 8), seed=1)
    denoise = dc.denoisers.Bayes.fit(x)
    two, forty = (dc.sampling.ddim(denoise, noise, dc.noise.karras(k)) for k in (2, 40))
    assert dc.metrics.copied_fraction(two, x) == 1
    assert len(dc.metrics.nearest(two, x)[1].unique()) < 5
    assert len(dc.metrics.nearest(forty, x)[1].unique()) > 200
