"""The Fréchet distance between two samples, by factors of their covariances, and its bias."""

import math

import torch
from torch import Tensor

from .._points import slices
from .distances import two_samples
from .intervals import Bootstrap, Interval

PARTS = (1, 2, 3)  # into how many parts samples are cut to see the bias
BLOCK = 256  # columns of a Gram matrix at once


def frechet_distance(
    a: Tensor,
    b: Tensor,
    *,
    extrapolate: bool = False,
    interval: float | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> float | Interval:
    r"""Return the squared Fréchet distance of the Gaussians with the moments of two samples.

    .. math:: \lVert\mu_a-\mu_b\rVert^2 + \operatorname{tr}\bigl(\Sigma_a+\Sigma_b
              - 2(\Sigma_a\Sigma_b)^{1/2}\bigr)

    In [0, ∞); "FID" on Inception features (Heusel et al. 2017). It sees mean and covariance of the
    features and nothing else: a Gaussian with the right ones scores 0, and so do copies of the
    whole training set. Covariances are normalised by n − 1. Everything is float64, and no matrix
    root is taken: with Σ = F'F, the trace of the root is the nuclear norm of F_a F_b', F being a
    Cholesky factor or, with fewer examples than features, the centred data. Cost: (n + m)·d² +
    5·d³, less for few examples.

    Parameters
    ----------
    a, b
        Features, shapes (n, *shape) and (m, *shape), n and m at least 2.
    extrapolate
        Finite samples have larger distances: the bias falls like 1/n while n is above d. True
        takes it off as Chong & Forsyth 2020 do ("Effectively unbiased FID"), by a line in 1/n:
        here through the distances of the whole, of halves and of thirds, averaged over the parts
        of one random cut; both samples are cut, so the bias of both goes. May be below 0.
    interval
        Confidence of a centred bootstrap interval, both samples drawn again `resamples` times.
        Without `extrapolate` it is one for the expected distance at these n and m.
    """
    bootstrap = None if interval is None else Bootstrap(interval, resamples, seed)
    a, b = two_samples(a, b)
    least = 2 * PARTS[-1] if extrapolate else 2
    for name, x in (("a", a), ("b", b)):
        if len(x) < least:
            raise ValueError(f"{name} must hold at least {least} examples, got {len(x)}")
    centre = (a.mean(0) + b.mean(0)) / 2
    a, b = a - centre, b - centre
    distance = (
        _Extrapolated(a, b, seed) if extrapolate else lambda *counts: _distance(a, b, *counts)
    )
    value = distance()
    if bootstrap is None:
        return value
    blocks = bootstrap.counts([len(a), len(b)], a)
    replicates = [distance(*row) for block in blocks for row in zip(*block, strict=True)]
    return bootstrap.centred(value, replicates, minimum=-math.inf if extrapolate else 0.0)


class _Extrapolated:
    """The distance at 1/n = 0, from the whole, halves and thirds of one random cut."""

    def __init__(self, a: Tensor, b: Tensor, seed: int) -> None:
        self.a, self.b = a, b
        generator = torch.Generator().manual_seed(seed)
        self.orders = [torch.randperm(len(x), generator=generator).to(x.device) for x in (a, b)]

    def __call__(self, *counts: Tensor) -> float:
        means = []
        for parts in PARTS:
            cut = zip(*(order.tensor_split(parts) for order in self.orders), strict=True)
            found = [
                _distance(self.a[i], self.b[j], *(w[k] for w, k in zip(counts, (i, j))))  # noqa: B905
                for i, j in cut
            ]
            means.append(sum(found) / parts)
        x = torch.tensor(PARTS, dtype=torch.float64)
        slope = (x - x.mean()) / (x - x.mean()).square().sum()
        return float((1 / len(x) - x.mean() * slope) @ torch.tensor(means, dtype=torch.float64))


def _distance(a: Tensor, b: Tensor, *counts: Tensor) -> float:
    """The distance of rows, or of rows taken as often as counts say."""
    (mean_a, left), (mean_b, right) = (
        _moments(*pair) for pair in zip((a, b), counts or (None, None), strict=True)
    )
    spread = left.square().sum() + right.square().sum()
    squared = (mean_a - mean_b).square().sum() + spread - 2 * _nuclear_norm(left, right)
    return max(float(squared), 0.0)  # rounding may leave a hair below 0


def _moments(x: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor]:
    """The mean (d,) and a factor F of the covariance F'F, with at most d rows."""
    if counts is None:
        mean, total = x.mean(0), len(x)
        rows = x - mean
    else:
        x, counts = x[counts > 0], counts[counts > 0]
        total = counts.sum()
        mean = counts @ x / total
        rows = (x - mean) * counts.sqrt()[:, None]
    rows = rows / (total - 1) ** 0.5
    return mean, rows if len(rows) <= x.shape[1] else _root(_gram(rows))


def _root(cov: Tensor) -> Tensor:
    """F with F'F = cov: Cholesky's, or by eigenvectors where the covariance is singular."""
    factor, failed = torch.linalg.cholesky_ex(cov, upper=True)
    if not failed:
        return factor
    values, vectors = torch.linalg.eigh(cov)
    return values.clamp(min=0).sqrt()[:, None] * vectors.T


def _nuclear_norm(left: Tensor, right: Tensor) -> Tensor:
    """Sum of the singular values of left right': roots of eigenvalues of the smaller Gram."""
    product = left @ right.T
    if min(product.shape) < left.shape[1]:
        return torch.linalg.svdvals(product).sum()
    return torch.linalg.eigvalsh(_gram(product)).clamp(min=0).sqrt().sum()


def _gram(rows: Tensor) -> Tensor:
    """rows' rows (d, d), from the blocks on and above its diagonal: half of the products."""
    d = rows.shape[1]
    out = rows.new_zeros(d, d)
    for part in slices(d, 1, BLOCK):
        out[part, part.start :] = rows[:, part].T @ rows[:, part.start :]
    return out.triu() + out.triu(1).T
