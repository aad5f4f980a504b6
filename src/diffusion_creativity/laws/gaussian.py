"""The normal law, also on a plane."""

import math

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from .. import _validate
from .law import Law
from .report import Report, report


class Gaussian(Law):
    """The normal law N(mean, cov), also rank-deficient.

    Parameters
    ----------
    mean : Tensor, shape (*shape)
    cov : Tensor, shape (d, d)
        Symmetric and positive semi-definite. Directions whose variance is below rounding are
        taken to have none: the law then lives on a plane, and `agreement` tests that too.
    """

    def __init__(self, mean: Tensor, cov: Tensor) -> None:
        mean = _validate.floating("mean", mean).double()
        cov = _validate.floating("cov", cov).double()
        d = mean.numel()
        if d == 0:
            raise ValueError(f"mean must hold at least one entry, got shape {tuple(mean.shape)}")
        if cov.shape != (d, d):
            raise ValueError(f"cov must have shape ({d}, {d}) as mean, got {tuple(cov.shape)}")
        scale = cov.abs().max().item()
        skew = (cov - cov.T).abs().max().item()
        if skew > 1e-6 * scale:
            raise ValueError(f"cov must be symmetric, got entries that differ by {skew:.3g}")
        values, vectors = torch.linalg.eigh((cov + cov.T) / 2)
        if values[0] < -1e-6 * scale:
            raise ValueError(f"cov must be positive semi-definite, got eigenvalue {values[0]:.3g}")
        self._set(mean, values, vectors)

    @classmethod
    def from_spectrum(cls, mean: Tensor, eigenvalues: Tensor, eigenvectors: Tensor) -> "Gaussian":
        """Build from variances (r,) along orthonormal columns (d, r); none elsewhere."""
        law = cls.__new__(cls)
        law._set(mean.double(), eigenvalues.double(), eigenvectors.double())
        return law

    @classmethod
    def stationary(cls, mean: Tensor, power: Tensor) -> "Gaussian":
        """Build a texture on a torus from its mean and its power at each frequency.

        `power` is (L,) or (H, W) for one channel; (C, C, L) or (C, C, H, W), Hermitian in its first
        two, for several, in the order of `torch.fft.fftn`: ``E X(ω) X(ω)*`` with X the orthonormal
        transform. mean has shape (C, L) or (C, H, W). The directions are sines and cosines.
        """
        mean = _validate.floating("mean", mean).double()
        power = cls.check_power(power).to(mean.device)
        if mean.shape != power.shape[1:]:
            raise ValueError(
                f"mean must have shape {tuple(power.shape[1:])} as power, got {tuple(mean.shape)}"
            )
        c, spatial = power.shape[0], power.shape[2:]
        grids = [torch.arange(n, device=mean.device, dtype=torch.float64) for n in spatial]
        place = torch.cartesian_prod(*grids).reshape(-1, len(spatial))
        phase = 2 * math.pi * (place / place.new_tensor(spatial)) @ place.T  # ω·p, (P, P)
        order = torch.arange(len(place), device=mean.device).reshape(spatial)
        axes = list(range(len(spatial)))
        twin = order.flip(axes).roll([1] * len(spatial), axes).flatten()  # the place of -ω
        order = order.flatten()
        power = power.reshape(c, c, -1).permute(2, 0, 1)  # (P, C, C)
        power = torch.where((order == twin)[:, None, None], power.real.to(power.dtype), power)
        values, polar = torch.linalg.eigh(power)
        # x_a(p) = q_a exp(iω·p): real part for half of the frequencies, imaginary for the others.
        waves = polar.permute(0, 2, 1)[..., None] * torch.exp(1j * phase)[:, None, None]
        first = (order <= twin)[:, None, None, None]
        size = (1 + (order != twin).double()).sqrt()[:, None, None, None]
        half = torch.where(first, waves, waves[twin])
        waves = size * torch.where(first, half.real, half.imag)
        values = torch.where(first[..., 0, 0], values, values[twin]).clamp(min=0)
        return cls.from_spectrum(
            mean, values.flatten(), waves.flatten(2).flatten(0, 1).T / len(place) ** 0.5
        )

    @staticmethod
    def check_power(power: Tensor) -> Tensor:
        """Return a power as (C, C, *sides) complex128: real fields, Hermitian, not negative."""
        power = torch.as_tensor(power)
        real = _validate.floating("power", power.real).double()
        imag = _validate.floating("power", power.imag).double() if power.is_complex() else 0 * real
        power = torch.complex(real, imag)
        power = power[None, None] if power.ndim <= 2 else power
        if power.ndim not in (3, 4) or power.shape[0] != power.shape[1] or power.numel() == 0:
            raise ValueError(
                "power must have shape (L,), (H, W), (C, C, L) or (C, C, H, W), got "
                f"{tuple(power.shape)}"
            )
        axes = list(range(2, power.ndim))
        mirrored = power.flip(axes).roll([1] * len(axes), axes)
        scale = power.abs().max().item()
        skew = max((power - power.transpose(0, 1).conj()).abs().max().item(),
                   (power - mirrored.conj()).abs().max().item())  # fmt: skip
        if skew > 1e-6 * scale:
            raise ValueError(
                "power must be Hermitian, and conjugate at opposite frequencies, got entries that "
                f"differ by {skew:.3g}"
            )
        power = (power + power.transpose(0, 1).conj()) / 2
        least = torch.linalg.eigvalsh(power.movedim((0, 1), (-2, -1))).min().item()
        if least < -1e-6 * scale:
            raise ValueError(f"power must be >= 0 at each frequency, got {least:.3g}")
        return power

    def _set(self, mean: Tensor, values: Tensor, vectors: Tensor) -> None:
        """Keep the directions that vary, largest variance first."""
        order = values.argsort(descending=True)
        top = values.max().item() if len(values) else 0.0
        order = order[values[order] > 1e-13 * top]
        self.mean, self.shape = mean, mean.shape
        self.eigenvalues, self.eigenvectors = values[order], vectors[:, order]

    @property
    def cov(self) -> Tensor:
        """The covariance matrix, shape (d, d), float64."""
        return (self.eigenvectors * self.eigenvalues) @ self.eigenvectors.T

    @property
    def rank(self) -> int:
        """The number of directions with variance."""
        return len(self.eigenvalues)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, *shape), float32."""
        generator = torch.Generator().manual_seed(_validate.integer("seed", seed))
        n = _validate.integer("n", n, minimum=1)
        z = torch.randn(n, self.rank, generator=generator, dtype=torch.float64).to(self.mean)
        x = (z * self.eigenvalues.sqrt()) @ self.eigenvectors.T
        return (x.reshape(n, *self.shape) + self.mean).float()

    def agreement(self, samples: Tensor, *, alpha: float = 0.01, tolerance: float = 1e-3) -> Report:
        """Test mean, variances, correlations and shape of `samples` (n, *shape), n >= 20.

        In whitened coordinates z, independent N(0, 1) under the law: ``n |mean z|²`` is χ² with r
        degrees of freedom, ``sum z²`` along each direction χ² with n (the smallest p of r,
        corrected); the squared correlations are matched to a scaled χ² with their exact mean and
        variance; third and fourth Hermite moments have variance 6 / n and 24 / n. Off the law's
        plane no sample may be further than `tolerance` times the law's standard deviation.
        """
        flat = self._flat(samples, 20)
        centred = flat - self.mean.flatten()
        code = centred @ self.eigenvectors
        rows = [_off_plane(centred - code @ self.eigenvectors.T, self.eigenvalues, tolerance)]
        if self.rank:
            rows += _whitened(code / self.eigenvalues.sqrt())
        return report(rows, len(flat), alpha)


def _off_plane(residual: Tensor, variances: Tensor, tolerance: float) -> tuple:
    """The largest distance from the law's plane, relative to its standard deviation."""
    scale = math.sqrt(variances.sum().item()) or 1.0
    off = residual.square().sum(1).max().sqrt().item() / scale
    return ("largest distance off the plane", off, f"<= {tolerance:g}", None, off <= tolerance)


def _whitened(z: Tensor) -> list[tuple]:
    """Test z (n, r) against independent N(0, 1); see `Gaussian.agreement`."""
    n, r = z.shape
    location = n * z.mean(0).square().sum().item()
    squares = n * z.square().mean(0).cpu().numpy()  # (r,), each χ² with n degrees of freedom
    tail = 2 * np.minimum(stats.chi2.cdf(squares, n), stats.chi2.sf(squares, n))
    worst = int(tail.argmin())
    total = squares.sum()
    p_total = 2 * min(stats.chi2.cdf(total, n * r), stats.chi2.sf(total, n * r))
    skew = (z**3 - 3 * z).mean(0)
    skewness = n / 6 * skew.square().sum().item()
    fourth = (z**4 - 6 * z**2 + 3).mean().item()
    rows = [
        ("mean, squared distance", location, f"{r} ± {math.sqrt(2 * r):.3g}",
         stats.chi2.sf(location, r), True),
        ("variance, all directions", total / (n * r), "1", min(1.0, p_total), True),
        (f"variance, worst of {r}", squares[worst] / n, "1",
         -math.expm1(r * math.log1p(-min(tail[worst], 1 - 1e-12))), True),
        ("skewness, squared", skewness, f"{r} ± {math.sqrt(2 * r):.3g}",
         stats.chi2.sf(skewness, r), True),
        ("excess kurtosis", fourth, f"0 ± {math.sqrt(24 / (n * r)):.2g}",
         2 * stats.norm.sf(abs(fourth) / math.sqrt(24 / (n * r))), True),
    ]  # fmt: skip
    return rows + ([_correlation(z)] if r > 1 else [])


def _correlation(z: Tensor) -> tuple:
    """Sum of n S_ij² over pairs i < j, matched to a scaled χ² by its exact mean and variance.

    Each term has mean 1 and variance 2 + 6 / n; terms that share an index have covariance 2 / n.
    """
    n, r = z.shape
    moments = z.T @ z / n
    value = n * (moments.square().sum() - moments.diagonal().square().sum()).item() / 2
    pairs = r * (r - 1) / 2
    variance = pairs * (2 + 6 / n + 4 * (r - 2) / n)
    p = stats.chi2.sf(value * 2 * pairs / variance, 2 * pairs**2 / variance)
    return (
        "correlations, squared", value, f"{pairs:.0f} ± {math.sqrt(variance):.3g}", p, True
    )  # fmt: skip
