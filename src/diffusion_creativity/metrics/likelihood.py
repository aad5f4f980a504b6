"""Feature-likelihood divergence: how likely unseen data are under thickened samples."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .. import _validate
from .._points import slices
from .distances import generator
from .intervals import Bootstrap, Interval
from .neighbours import pair

TILE = 1 << 21  # numbers in one tile of squared distances
FLOOR = 1e-4  # smallest variance, in units of the features' own
STEPS, GAIN = 200, 1e-5  # at most so many steps; enough when a step gains less, nats a dimension


class FeatureLikelihood(NamedTuple):
    """The divergence, and the gap that copying opens: nats a feature, times 100."""

    divergence: float | Interval
    gap: float | Interval


def feature_likelihood_divergence(
    samples: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    interval: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> FeatureLikelihood:
    r"""Return the feature-likelihood divergence, one number for realism, variety and novelty.

    .. math:: p(x) = \frac1m\sum_{j=1}^m \mathcal N(x;\, s_j, \sigma_j^2 I), \qquad
              \text{divergence} = \frac{100}{d}\,
              \bigl\langle \log p_0(h) - \log p(h)\bigr\rangle_{h \text{ held out}}

    The widths :math:`\sigma_j` maximise the likelihood of the training set, and :math:`p_0` is the
    same with a random part of the training set for samples, fitted to the rest (Jiralerspong et
    al. 2023, "Feature likelihood divergence"). In (−∞, ∞): near 0 for samples as good as fresh
    real data, above for samples off the data, modes left out, and copies: the widths of copies
    shrink, since they explain their originals without. gap = 100/d·(⟨log p(held out)⟩ − ⟨log
    p(train)⟩) is far below 0 for copies. It cannot say which of the three is wrong, and knows
    distances of features only.

    Parameters
    ----------
    samples, train, held_out
        Features, shapes (n, *shape), (N, *shape) with N at least 4, (M, *shape). At most N // 2
        samples are used, as many as p₀ has centres.
    interval
        Confidence of percentile bootstrap intervals: held-out data drawn again, the fits kept.

    Notes
    -----
    Unlike the authors' code: widths by expectation maximisation, which has no learning rate and
    never loses likelihood, until it gains less than 1e-5 nats a dimension in a step; features
    scaled by mean and standard deviation of the training set; variances at least 1e-4 of the
    features'. So values compare with one another, not with published ones. In float64; cost
    about 50 steps of 4·m·N·d operations, memory a tile.
    """
    bootstrap = None if interval is None else Bootstrap(interval, resamples, seed)
    samples, train, held_out = _scaled(samples, train, held_out)
    random = generator(seed)
    m, d = min(len(samples), len(train) // 2), train.shape[1]
    order = torch.randperm(len(train), generator=random).to(train.device)
    base = _Mixture(train[order[:m]], train[order[m:]])
    kept = torch.randperm(len(samples), generator=random)[:m].to(train.device)
    mixture = _Mixture(samples[kept], train)
    unseen, seen = mixture.log_density(held_out), mixture.log_density(train)
    values = ((base.log_density(held_out) - unseen) * 100 / d, (unseen - seen.mean()) * 100 / d)
    if bootstrap is None:
        return FeatureLikelihood(*(float(v.mean()) for v in values))
    return FeatureLikelihood(*(bootstrap.mean(v) for v in values))


def _scaled(samples: Tensor, train: Tensor, held_out: Tensor) -> list[Tensor]:
    train, samples = pair(samples, train)
    _, held_out = pair(held_out, train, ("held_out", "train"))
    if len(train) < 4:
        raise ValueError(f"train must hold at least 4 examples, got {len(train)}")
    sets = [
        _validate.dataset(x, name).double().flatten(1)
        for name, x in (("samples", samples), ("train", train), ("held_out", held_out))
    ]
    mean, scale = sets[1].mean(0), sets[1].std(0, correction=0)
    scale = torch.where(scale > 1e-12 * mean.abs(), scale, 1.0)  # a constant feature stays as it is
    return [(x - mean) / scale for x in sets]


class _Mixture:
    """Equal weights on round Gaussians around centres (m, d), each as wide as makes data likely."""

    def __init__(self, centres: Tensor, data: Tensor) -> None:
        self.centres = centres
        nearest = torch.cat([squares.amin(1) for squares in self._squares(data)])
        start = nearest.mean() / centres.shape[1]
        self.variances = torch.full_like(centres[:, 0], float(start)).clamp_(min=FLOOR)
        before = -math.inf
        for _ in range(STEPS):
            likelihood = self._improve(data)
            if likelihood - before < GAIN * centres.shape[1]:
                break
            before = likelihood

    def log_density(self, x: Tensor) -> Tensor:
        """Logarithms (n,) of the density at x (n, d)."""
        return torch.cat([self._joint(squares).logsumexp(1) for squares in self._squares(x)])

    def _improve(self, data: Tensor) -> float:
        """One step of expectation maximisation; the mean log likelihood before it."""
        total = 0.0
        share = torch.zeros_like(self.variances)
        spread = torch.zeros_like(self.variances)
        for squares in self._squares(data):
            joint = self._joint(squares)
            evidence = joint.logsumexp(1, keepdim=True)
            total += float(evidence.sum())
            weights = (joint - evidence).exp_()
            share += weights.sum(0)
            spread += (weights * squares).sum(0)
        fitted = (spread / (share * data.shape[1])).clamp_(min=FLOOR)
        self.variances = torch.where(share > 1e-12, fitted, self.variances)  # one that has no data
        return total / len(data)

    def _joint(self, squares: Tensor) -> Tensor:
        """Logarithms (t, m) of each Gaussian's part of the density."""
        m, d = self.centres.shape
        level = -0.5 * d * (2 * math.pi * self.variances).log() - math.log(m)
        return torch.addcmul(level, squares, -0.5 / self.variances)

    def _squares(self, x: Tensor) -> Iterator[Tensor]:
        """Squared distances (t, m) of x to the centres."""
        norms = self.centres.square().sum(1)
        for part in slices(len(x), 1, max(TILE // len(self.centres), 1)):
            rows = x[part]
            squares = torch.addmm(norms, rows, self.centres.T, alpha=-2)
            yield squares.add_(rows.square().sum(1, keepdim=True)).clamp_(min=0)
