"""How far two samples are from one another, as distributions."""

from typing import NamedTuple

import torch
from torch import Tensor

from .. import _validate
from .intervals import Bootstrap, Interval


class EnergyTest(NamedTuple):
    """The energy statistic and its permutation p-value."""

    statistic: float
    p_value: float


def sliced_wasserstein(
    a: Tensor,
    b: Tensor,
    *,
    projections: int = 128,
    seed: int = 0,
    interval: float | None = None,
    resamples: int = 200,
) -> float | Interval:
    r"""Return the sliced 2-Wasserstein distance between two samples.

    .. math:: \Bigl(\frac1L \sum_{l=1}^{L} W_2^2(\langle\theta_l, a\rangle,
              \langle\theta_l, b\rangle)\Bigr)^{1/2}

    over `projections` = L random directions on the unit sphere (Rabin et al. 2011). Sizes n
    and m may differ: the quantile functions are compared exactly, where either
    of them jumps. In [0, ∞), in the unit of the data. It sees every difference of laws as L grows,
    small ones that need a certain direction late; samples of one law are not at 0, but at about
    the root of 1/n + 1/m. The interval (centred bootstrap of `resamples`, both samples, the same
    directions) is one for the expected distance at these n and m.
    """
    bootstrap = None if interval is None else Bootstrap(interval, resamples, seed)
    a, b = two_samples(a, b)
    count = _validate.integer("projections", projections, minimum=1)
    directions = torch.randn(a.shape[1], count, generator=generator(seed), dtype=torch.float64)
    directions = (directions / directions.norm(dim=0)).to(a)
    a, b = ((x @ directions).T.contiguous() for x in (a, b))  # (L, n), (L, m)
    value = _quantile_distance(a.sort(1)[0], b.sort(1)[0])
    if bootstrap is None:
        return value
    replicates = [
        _quantile_distance(*(_drawn(x, times) for x, times in zip((a, b), row, strict=True)))
        for block in bootstrap.counts([a.shape[1], b.shape[1]], a)
        for row in zip(*block, strict=True)
    ]
    return bootstrap.centred(value, replicates, minimum=0.0)


def _drawn(x: Tensor, times: Tensor) -> Tensor:
    """Sorted rows of x (L, n) with each column taken as often as `times` (n,) says."""
    return x.repeat_interleave(times.long(), dim=1).sort(1)[0]


def _quantile_distance(a: Tensor, b: Tensor) -> float:
    """Root mean square over rows of W2 between sorted samples (L, n) and (L, m)."""
    # Both quantile functions are constant between consecutive multiples of 1/n and 1/m.
    n, m = a.shape[1], b.shape[1]
    jumps = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()
    ends = torch.cat([jumps.new_zeros(1), jumps])
    widths = ends.diff().to(a) / (n * m)
    left = ends[:-1].to(a.device)
    squares = (a[:, left // m] - b[:, left // n]).square().mean(0)
    return float((widths * squares).sum().sqrt())


def energy_test(a: Tensor, b: Tensor, *, permutations: int = 199, seed: int = 0) -> EnergyTest:
    r"""Test whether two samples come from one law, by their energy distance.

    .. math:: \frac{nm}{n+m}\bigl(2\,\overline{\lVert a_i - b_j\rVert}
              - \overline{\lVert a_i - a_j\rVert} - \overline{\lVert b_i - b_j\rVert}\bigr)

    The p-value counts relabellings of the pooled sample with a statistic at least as large:
    (1 + #) / (1 + permutations), so under the null P(p <= u) <= u exactly. Every law but the same
    one is told apart as n, m grow. Memory and time grow like (n + m)².
    """
    a, b = two_samples(a, b)
    count = _validate.integer("permutations", permutations, minimum=1)
    n, m = len(a), len(b)
    pooled = torch.cat([a, b])
    distances = torch.cdist(pooled, pooled, compute_mode="donot_use_mm_for_euclid_dist")
    # One column of labels for each relabelling, 1/n on one side and -1/m on the other;
    # the energy distance of a relabelling is then the quadratic form -labels' distances labels.
    order = torch.rand(count, n + m, generator=generator(seed)).argsort(1)
    order = torch.cat([torch.arange(n + m)[None], order]).to(a.device)
    labels = torch.where(order < n, a.new_tensor(1 / n), a.new_tensor(-1 / m)).T
    energies = -(labels * (distances @ labels)).sum(0) * (n * m / (n + m))
    observed = energies[0]
    # Equal statistics differ by rounding: a relative 1e-9 is a tie.
    ties = int((energies[1:] >= observed - 1e-9 * observed.abs()).sum())
    return EnergyTest(float(observed), (1 + ties) / (1 + count))


def two_samples(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Check both; float64, (n, d) and (m, d)."""
    a, b = _validate.dataset(a, "a").double(), _validate.dataset(b, "b").double()
    if a.shape[1:] != b.shape[1:] or a.device != b.device:
        raise ValueError(
            f"a and b must hold examples of one shape on one device, got {tuple(a.shape)} on "
            f"{a.device} and {tuple(b.shape)} on {b.device}"
        )
    return a.flatten(1), b.flatten(1)


def generator(seed: int) -> torch.Generator:
    """Random numbers from a checked seed."""
    return torch.Generator().manual_seed(_validate.integer("seed", seed))
