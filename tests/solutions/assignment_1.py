"""Assignment 1, between copying and blurring: official solutions, and what written answers hold."""

import math
from itertools import pairwise

import torch
from scipy import stats


def mixture_denoiser(y, sigma, means, variances, weights):
    total = variances + sigma**2  # variance of y, if x is from component k
    gaps = y[:, None] - means
    log = weights.log() - gaps.square().sum(-1) / (2 * total) - y.shape[1] / 2 * total.log()
    answers = means + (variances / total)[:, None] * gaps
    return (log.softmax(1)[..., None] * answers).sum(1)


def posterior_covariance(y, sigma, x):
    gaps = (y[:, None] - x).square().sum(-1)
    weights = (-gaps / (2 * sigma**2)).softmax(1)
    inside = x - (weights @ x)[:, None]  # (n, N, d)
    return torch.einsum("nk,nki,nkj->nij", weights, inside, inside)


def ancestral_variance(lam, sigmas):
    variance = sigmas[0].item() ** 2
    for sigma, below in pairwise(sigmas.tolist()):
        up = below * math.sqrt(1 - (below / sigma) ** 2)
        down = math.sqrt(below**2 - up**2)
        gain = lam / (lam + sigma**2)
        variance = (gain + down / sigma * (1 - gain)) ** 2 * variance + up**2
    return variance


def reject(samples, mean, cov):
    n, d = samples.shape
    z = torch.linalg.solve_triangular(torch.linalg.cholesky(cov), (samples - mean).T, upper=False).T
    of_mean = n * z.mean(0).square().sum()
    S = z.T @ z / n - torch.eye(d).to(z)
    of_covariance = n / 2 * S.square().sum()  # variance of s_ii is 2/n, of s_ij 1/n
    level = 0.01 / 2
    return bool(
        of_mean > stats.chi2.isf(level, d) or of_covariance > stats.chi2.isf(level, d * (d + 1) / 2)
    )


WRITTEN = {
    "proof": r"""**What a full answer holds (10 points).**

- The weights as functions of $y$: $w_i \propto e^{-\lVert y - x_i\rVert^2/2\sigma^2}$, so
  $\nabla_y w_i = w_i (x_i - D_\sigma(y))/\sigma^2$, the term with $y$ cancelling because the
  weights sum to one (4 points).
- $\partial D/\partial y = \sum_i x_i (\nabla w_i)^\top = \frac1{\sigma^2}\sum_i w_i x_i (x_i -
  D)^\top$, and $\sum_i w_i D (x_i - D)^\top = 0$, so this is $\operatorname{Cov}[x \mid
  y]/\sigma^2$ (4 points).
- The least loss: $\mathbb E\lVert x - D(y)\rVert^2 = \mathbb E
  \operatorname{tr}\operatorname{Cov}[x \mid y]$, since given $y$ the mean of $x$ is $D(y)$ (2
  points).

A proof that treats a general density with Tweedie's formula twice gets full points as well.""",
    "experiment": r"""**What a full answer holds (20 points).**

- The law, before any run (5 points): the target is the training set with Gaussian noise of
  variance $v$ added, and the exact flow generates it. So each sample is a training image plus
  noise, for every $v$.
- The figure (5 points): copied fraction and distance to the nearest training image against $v$,
  with intervals, and samples at three values.
- Where copying ends (4 points): the copied fraction falls from 1 to 0 where $\sqrt{v\,d}$ passes
  the tolerance of the measure, so the place is set by the *measure*. Points for saying so, not
  for the number.
- Is it creative? (4 points): the samples are new by distance and add nothing but noise. Novelty
  without realism; a metric that calls them new sees no more than the distance. Mentions a
  judgement that is not a distance.
- Limits and a control (2 points), such as one component ($K = 1$), where the Gaussian of chapter
  4 must come out.""",
}
