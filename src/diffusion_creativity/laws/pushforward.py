"""The law of f(z) for a function f of one Gaussian number."""

import itertools
import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from scipy import special, stats
from torch import Tensor

from .. import _validate
from .law import Law
from .report import Report, report

EDGE = 8.3  # standard deviations: 1e-16 of the mass lies beyond
ROUNDS = 14
MASS, BEND = 1e-7, 2e-5  # a segment this light, or this straight (in units of bound), is kept
FLAT = 1e-12  # in units of bound: smaller steps are rounding
RESOLUTION = 1e-6  # in units of bound: what float32 samples may be off


class PushForward1d(Law):
    r"""The law of f(y), y ~ N(mean, σ_max²): what a deterministic sampler makes of noise.

    With the inverse images z of x, one on each monotone branch of f, the density is

    .. math:: p(x) = \sum_z \varphi(z) / \lvert f'(z) \rvert .

    Trajectories may diverge. Those that end further than `bound` from `centre`, or not at a finite
    number, have *escaped*: their probability is `escaped`, and all else (density, cdf, quantiles,
    mean, cov) is that of the samples that stay. `sample` returns both kinds.

    Parameters
    ----------
    function : callable
        Float64 tensor (n,) → (n,), differentiable by torch where `density` is asked for.
    sigma_max : float
    mean : float
    centre, bound : float
        By default 0 and 1e3.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        sigma_max: float,
        *,
        mean: float = 0.0,
        centre: float = 0.0,
        bound: float = 1e3,
    ) -> None:
        self.sigma_max = _validate.real("sigma_max", sigma_max, minimum=0, strict=True)
        self.start = _validate.real("mean", mean)
        self.centre = _validate.real("centre", centre)
        self.bound = _validate.real("bound", bound, minimum=0, strict=True)
        if not callable(function):
            raise ValueError(f"function must map a tensor (n,) to one (n,), got {function!r}")
        self.function = function
        self.shape = torch.Size((1,))
        self._z, self._f = self._grid()
        self._runs = _runs(self._f, FLAT * self.bound)
        self._low, self._high = self._raw(np.array([self.centre - bound, self.centre + bound]))
        stays = self._high - self._low
        if stays <= 0:
            raise ValueError(
                f"bound must leave some of the law inside: no value lies within {bound:g} of "
                f"{self.centre:g}"
            )
        self.escaped = float(max(0.0, 1 - stays))
        self._moments = self._integrate()
        self.mean = torch.tensor([self._moments[0]], dtype=torch.float64)

    def _evaluate(self, z: np.ndarray) -> np.ndarray:
        """f, with what has escaped brought to twice the bound, on its side."""
        y = torch.from_numpy(self.start + self.sigma_max * z)
        values = self.function(y).detach().cpu().numpy().astype(float)
        values = np.where(np.isnan(values), np.inf, values)
        return np.clip(values, self.centre - 2 * self.bound, self.centre + 2 * self.bound)

    def _grid(self, count: int = 1601) -> tuple[np.ndarray, np.ndarray]:
        """Nodes z and values, halved until each segment is straight or light."""
        z = np.linspace(-EDGE, EDGE, count)
        f = self._evaluate(z)
        fresh = np.ones(count - 1, dtype=bool)
        for _ in range(ROUNDS):
            heavy = fresh & (_mass(z) > MASS)
            at = heavy.nonzero()[0]
            if not len(at):
                break
            middle = (z[at] + z[at + 1]) / 2
            value = self._evaluate(middle)
            bent = np.abs(value - (f[at] + f[at + 1]) / 2) > BEND * self.bound
            bent |= self._inside(f[at]) != self._inside(f[at + 1])
            z, f = np.insert(z, at + 1, middle), np.insert(f, at + 1, value)
            again = np.zeros(len(z) - 1, dtype=bool)
            first = at + np.arange(len(at))
            again[first], again[first + 1] = bent, bent
            fresh = again
        return z, f

    def _inside(self, f: np.ndarray) -> np.ndarray:
        return np.abs(f - self.centre) <= self.bound

    def _raw(self, x: np.ndarray) -> np.ndarray:
        """P(f <= x), escaped values included."""
        total = np.zeros(x.shape)
        for a, b, rising in self._runs:
            z, f = self._z[a : b + 1], self._rising(a, b, rising)
            at = np.interp(x, f, z if rising else z[::-1])
            inside = np.where(x < f[0], 0.0, np.where(x >= f[-1], 1.0, np.nan))
            part = _between(z[0], at) if rising else _between(at, z[-1])
            total += np.where(np.isnan(inside), part, inside * _between(z[0], z[-1]))
        return total

    def _rising(self, a: int, b: int, up: bool) -> np.ndarray:
        """Values on a branch in rising order; accumulated, as rounding makes flat parts wiggle."""
        f = self._f[a : b + 1]
        return np.maximum.accumulate(f if up else f[::-1])

    def _integrate(self) -> np.ndarray:
        """Mean, and central moments 2 to 4, of what stays."""
        inside = self._inside(self._f)
        both = inside[1:] & inside[:-1]
        weight = _mass(self._z)[both]
        low, high = self._f[:-1][both], self._f[1:][both]
        weight = weight / weight.sum()
        mean = (weight * (low + high) / 2).sum()
        a, b = low - mean, high - mean
        # The mean of a power over a straight segment.
        powers = [(a**k + 4 * ((a + b) / 2) ** k + b**k) / 6 for k in (2, 3, 4)]
        return np.array([mean, *((weight * power).sum() for power in powers)])

    @property
    def cov(self) -> Tensor:
        """The variance of what stays, shape (1, 1)."""
        return torch.tensor([[self._moments[1]]], dtype=torch.float64)

    @property
    def variance(self) -> float:
        """The variance of what stays."""
        return float(self._moments[1])

    @property
    def branches(self) -> int:
        """Number of pieces on which f rises or falls, as far as the grid resolves them."""
        return len(self._runs)

    def cdf(self, x: Tensor) -> Tensor:
        """P(sample <= x | it stays), shape of x, float64."""
        x = _validate.floating("x", x).double().cpu().numpy()
        share = (self._raw(x) - self._low) / (self._high - self._low)
        return torch.as_tensor(np.clip(share, 0.0, 1.0))

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        x = np.unique(self._f[np.abs(self._f - self.centre) <= self.bound])
        x = np.concatenate([[self.centre - self.bound], x, [self.centre + self.bound]])
        return np.maximum.accumulate(self.cdf(torch.from_numpy(x)).numpy()), x

    def quantile(self, q: Tensor) -> Tensor:
        """The smallest x that a share q of the samples that stay does not exceed."""
        q = _validate.floating("q", q).double()
        if (q < 0).any() or (q > 1).any():
            raise ValueError(f"q must lie in [0, 1], got {q.min().item():g} to {q.max().item():g}")
        share, x = self._table
        return torch.from_numpy(np.asarray(np.interp(q.cpu().numpy(), share, x)))

    def density(self, x: Tensor) -> Tensor:
        """The density of what stays, by change of variables, shape of x, float64.

        Each inverse image is found by bisection on its branch, the slope of f by differentiation.
        """
        x = _validate.floating("x", x).double().cpu()
        flat = x.flatten().numpy()
        index, low, high, rising = [], [], [], []
        for a, b, up in self._runs:
            f = self._rising(a, b, up)
            hit = ((flat > f[0]) & (flat < f[-1])).nonzero()[0]
            place = np.searchsorted(f, flat[hit]) - 1
            left = a + place if up else b - place - 1
            index.append(hit)
            low.append(self._z[left])
            high.append(self._z[left + 1])
            rising.append(np.full(len(hit), up))
        index, low, high, rising = (np.concatenate(v) for v in (index, low, high, rising))
        target = flat[index]
        for _ in range(45):
            middle = (low + high) / 2
            left = (self._evaluate(middle) < target) == rising
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        z = torch.from_numpy((low + high) / 2).requires_grad_()
        with torch.enable_grad():
            slope = torch.autograd.grad(self.function(self.start + self.sigma_max * z).sum(), z)[0]
        part = stats.norm.pdf(z.detach().numpy()) / np.abs(slope.numpy())
        total = np.bincount(index, part, minlength=len(flat)) / (self._high - self._low)
        total[np.abs(flat - self.centre) > self.bound] = 0.0
        return torch.from_numpy(total).reshape(x.shape)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, 1), float32, escapes included."""
        generator = torch.Generator().manual_seed(_validate.integer("seed", seed))
        n = _validate.integer("n", n, minimum=1)
        z = torch.randn(n, generator=generator, dtype=torch.float64)
        return self.function(self.start + self.sigma_max * z).detach().float()[:, None]

    def agreement(self, samples: Tensor, *, alpha: float = 0.01) -> Report:
        """Test `samples` (n, 1), n >= 20, escapes (also inf and NaN) included.

        The number of escapes by its binomial law. Of those that stay: Kolmogorov-Smirnov (a sample
        may be off by 1e-6 of `bound`, so that float32 can be told from a wrong law), and mean and
        variance by the normal approximation with the law's own moments.
        """
        samples = torch.as_tensor(samples)
        if samples.shape[1:] != self.shape or len(samples) < 20:
            raise ValueError(f"samples must have shape (n, 1) with n >= 20, got "
                             f"{tuple(samples.shape)}")  # fmt: skip
        x = samples.detach().double().cpu().numpy()[:, 0]
        stays = np.abs(x - self.centre) <= self.bound
        n, gone = len(x), int((~stays).sum())
        rows = [("escaped", gone, f"{n * self.escaped:.3g}",
                 float(stats.binomtest(gone, n, min(self.escaped, 1.0)).pvalue), True)]  # fmt: skip
        kept = x[stays]
        if len(kept) >= 20:
            rows += self._kept_rows(kept)
        return report(rows, n, alpha)

    def _kept_rows(self, x: np.ndarray) -> list[tuple]:
        mean, second, _, fourth = self._moments
        n = len(x)
        x, reach = np.sort(x), RESOLUTION * self.bound
        low, high = (self.cdf(torch.from_numpy(x + s)).numpy() for s in (-reach, reach))
        ks = max((np.arange(1, n + 1) / n - high).max(), (low - np.arange(n) / n).max(), 0.0)
        centre, variance = x.mean(), ((x - mean) ** 2).mean()
        errors = math.sqrt(second / n), math.sqrt(max(fourth - second**2, 0.0) / n)
        z = [(centre - mean) / max(errors[0], 1e-300), (variance - second) / max(errors[1], 1e-300)]
        p = [float(2 * stats.norm.sf(abs(v))) for v in z]
        return [
            ("Kolmogorov-Smirnov", float(ks), "small", float(stats.kstwo.sf(ks, n)), True),
            ("mean", float(centre), f"{mean:.4g}", p[0], True),
            ("variance", float(variance), f"{second:.4g}", p[1], True),
        ]


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The normal probability of [a, b], accurate in both tails."""
    right = np.maximum(a, b) + np.minimum(a, b) > 0
    return np.where(right, special.ndtr(-a) - special.ndtr(-b), special.ndtr(b) - special.ndtr(a))


def _mass(z: np.ndarray) -> np.ndarray:
    return _between(z[:-1], z[1:])


def _runs(f: np.ndarray, flat: float) -> list[tuple[int, int, bool]]:
    """First node, last node and direction of each monotone piece; steps below `flat` are none."""
    steps = np.diff(f)
    direction = np.where(np.abs(steps) > flat, np.sign(steps), 0.0)
    for k in range(1, len(direction)):  # a flat segment goes on with the one before
        if direction[k] == 0:
            direction[k] = direction[k - 1]
    if direction[0] == 0:
        moving = direction.nonzero()[0]
        direction[: moving[0] if len(moving) else None] = direction[moving[0]] if len(moving) else 1
    turns = [0, *(np.diff(direction).nonzero()[0] + 1).tolist(), len(direction)]
    return [(a, b, bool(direction[a] > 0)) for a, b in itertools.pairwise(turns)]
