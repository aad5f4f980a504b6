"""The Fréchet distance between two samples, by factors of their covariances, and its bias."""

import math
from functools import partial

import torch
from torch import Tensor

from .._points import slices
from .distances import two_samples
from .intervals import Bootstrap, Interval

PARTS = (1, 2, 3)  # into how many parts samples are cut to see the bias
BLOCK = 256  # rows of a triangle at once


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
    means = a.mean(0), b.mean(0)
    a, b, gap = a - means[0], b - means[1], means[0] - means[1]
    distance = _Extrapolated(a, b, gap, seed) if extrapolate else partial(_distance, a, b, gap)
    value = distance()
    if bootstrap is None:
        return value
    blocks = bootstrap.counts([len(a), len(b)], a)
    replicates = [distance(*row) for block in blocks for row in zip(*block, strict=True)]
    return bootstrap.centred(value, replicates, minimum=-math.inf if extrapolate else 0.0)


class _Extrapolated:
    """The distance at 1/n = 0, from the whole, halves and thirds of one random cut."""

    def __init__(self, a: Tensor, b: Tensor, gap: Tensor, seed: int) -> None:
        self.a, self.b, self.gap = a, b, gap
        generator = torch.Generator().manual_seed(seed)
        self.orders = [torch.randperm(len(x), generator=generator).to(x.device) for x in (a, b)]

    def __call__(self, *counts: Tensor) -> float:
        means = []
        for parts in PARTS:
            cut = zip(*(order.tensor_split(parts) for order in self.orders), strict=True)
            found = [
                _distance(
                    self.a[i],
                    self.b[j],
                    self.gap,
                    *(w[k] for w, k in zip(counts, (i, j), strict=False)),  # no counts: none
                )
                for i, j in cut
            ]
            means.append(sum(found) / parts)
        x = torch.tensor(PARTS, dtype=torch.float64)
        slope = (x - x.mean()) / (x - x.mean()).square().sum()
        return float((1 / len(x) - x.mean() * slope) @ torch.tensor(means, dtype=torch.float64))


def _distance(a: Tensor, b: Tensor, gap: Tensor, *counts: Tensor) -> float:
    """The distance of centred rows with means `gap` apart; counts say how often each is taken."""
    (mean_a, left), (mean_b, right) = (
        _moments(*pair) for pair in zip((a, b), counts or (None, None), strict=True)
    )
    spread = left.square().sum() + right.square().sum()
    squared = (mean_a - mean_b + gap).square().sum() + spread - 2 * _nuclear_norm(left, right)
    return max(float(squared), 0.0)  # rounding may leave a hair below 0


def _moments(x: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor]:
    """The mean (d,) and a factor F of the covariance F'F: fewer than d rows, or a triangle."""
    total = len(x)
    if counts is None:
        mean = x.mean(0)
    else:
        x, counts = x[counts > 0], counts[counts > 0]
        total = float(counts.sum())
        mean = counts @ x / total
    few = len(x) < x.shape[1]
    rows = x - mean if few else x
    if counts is not None:
        rows = rows * counts.sqrt()[:, None]
    if few:
        return mean, rows / (total - 1) ** 0.5
    # Rows were centred before, so nothing cancels.
    return mean, _root(_gram(rows).addr_(mean, mean, alpha=-total).div_(total - 1))


def _root(cov: Tensor) -> Tensor:
    """Upper triangular F with F'F = cov, of which the upper triangle is read."""
    factor, failed = torch.linalg.cholesky_ex(cov, upper=True)
    if not failed:
        return factor
    # Singular: by eigenvectors.
    values, vectors = torch.linalg.eigh(cov, UPLO="U")
    return torch.linalg.qr(values.clamp(min=0).sqrt()[:, None] * vectors.T, mode="r").R


def _nuclear_norm(left: Tensor, right: Tensor) -> Tensor:
    """Sum of the singular values of left right': roots of eigenvalues of the smaller Gram."""
    if min(len(left), len(right)) < left.shape[1]:
        return torch.linalg.svdvals(left @ right.T).sum()
    product = torch.empty_like(left)
    for part in slices(len(left), 1, BLOCK):  # left is a triangle: half of the products
        product[part] = left[part, part.start :] @ right[:, part.start :].T
    return torch.linalg.eigvalsh(_gram(product), UPLO="U").clamp(min=0).sqrt().sum()


def _gram(rows: Tensor) -> Tensor:
    """Upper triangle, at least, of rows' rows (d, d); BLAS spares half of the products."""
    if rows.device.type != "cpu":
        return rows.T @ rows
    from scipy.linalg.blas import dsyrk

    return torch.from_numpy(dsyrk(1.0, rows.contiguous().numpy().T, lower=True)).T
