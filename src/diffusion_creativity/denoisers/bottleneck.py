"""Denoisers that squeeze the image through a plane or through a list of words.

Derived in :prf:ref:`thm-bottle-linear`, :prf:ref:`prop-bottle-decay` and
:prf:ref:`prop-bottle-words`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _validate, sampling
from ..laws import Discrete, Empirical, Law
from ..noise import karras
from .affine import Affine
from .bayes import Bayes

FINE = 200  # steps that stand for infinitely many where a law has to be simulated


class LinearBottleneck(Affine):
    r"""The best denoiser among affine maps of rank at most k.

    .. math:: D_\sigma(y) = \mu + U_k \Lambda_k(\Lambda_k + (\sigma^2 + \gamma) I)^{-1}
              U_k^\top (y - \mu),

    with the k largest eigenvalues of Σ and their eigenvectors: the same plane at every σ
    (:prf:ref:`thm-bottle-linear`). Everything else is as in `Affine`: `gain`, `maps`, `generate`,
    `law`, which is exact for the finite schedule; ``law(None)`` is N(μ, U_k Λ_k U_kᵀ).

    A rank above that of Σ changes nothing: the denoiser is then `Affine`. Where the k-th eigenvalue
    equals the next one the plane is not unique; one of them is taken, at all levels the same.
    Cost of a call: 4·n·d·k operations.

    Parameters
    ----------
    mean : Tensor, shape (*shape)
    cov : Tensor, shape (d, d)
    rank : int
        Width k of the bottleneck, 1 to d.
    ridge : float
        γ, the penalty on the squared size of the product of both layers.
    """

    def __init__(self, mean: Tensor, cov: Tensor, *, rank: int, ridge: float = 0.0) -> None:
        super().__init__(mean, cov, ridge=ridge)
        self._narrow(rank)

    @classmethod
    def fit(cls, x: Tensor, *, rank: int, ridge: float = 0.0) -> LinearBottleneck:
        """Fit to data x (N, *shape): moments normalised by N."""
        denoiser = super().fit(x, ridge=ridge)
        denoiser._narrow(rank)
        return denoiser

    def _narrow(self, rank: int) -> None:
        self.rank = _rank(rank, self.mean.numel())
        values, vectors = self.eigenvalues[: self.rank], self.eigenvectors[:, : self.rank]
        self._set(self.mean, values, vectors.contiguous(), self.ridge, None)

    def __repr__(self) -> str:
        return f"LinearBottleneck(rank {self.rank}, shape {tuple(self.shape)})"


def _rank(rank: int, d: int) -> int:
    rank = _validate.integer("rank", rank, minimum=1)
    if rank > d:
        raise ValueError(f"rank must be at most the dimension of one example, {d}, got {rank}")
    return rank


class Codebook:
    r"""A bottleneck that passes one of k words; what writes and reads it may be anything.

    .. math:: D_\sigma(y) = c_j, \qquad j = \arg\min_j \lVert \mathbb E[x \mid y] - c_j\rVert .

    The words are the centroids of k-means on the training data, the same at all levels; given the
    words, this choice of j is the best there is at every σ (:prf:ref:`prop-bottle-words`). The
    posterior mean is that of `Bayes`. At σ → 0 a training image gets the centroid of its cell.
    Cost of a call: that of `Bayes`, and 2·n·k·d.

    Parameters
    ----------
    x : Tensor, shape (N, *shape)
        Training data.
    centroids : Tensor, shape (k, *shape)
        The words.
    """

    def __init__(self, x: Tensor, centroids: Tensor) -> None:
        self._bayes = Bayes.fit(x)
        self.shape = self._bayes.shape
        self.centroids = _validate.dataset(centroids, "centroids")
        if self.centroids.shape[1:] != self.shape:
            raise ValueError(
                f"centroids must have shape (k, {', '.join(map(str, self.shape))}), as the data, "
                f"got {tuple(self.centroids.shape)}"
            )
        flat = self.centroids.flatten(1).double()
        self._centre = flat.mean(0)
        self._words = flat - self._centre  # (k, d)
        self._bias = self._words.square().sum(1) / 2

    @classmethod
    def fit(cls, x: Tensor | Sequence, *, words: int, seed: int = 0) -> Codebook:
        """Find `words` centroids of x (N, *shape) by k-means: the best of 10 runs from `seed`."""
        from sklearn.cluster import KMeans

        x = _validate.dataset(x)
        words = _validate.integer("words", words, minimum=1)
        seed = _validate.integer("seed", seed)
        flat = x.flatten(1).double()
        distinct = len(flat.unique(dim=0))
        if words > distinct:
            raise ValueError(f"words must be at most {distinct}, as many as x has distinct "
                             f"examples, got {words}")  # fmt: skip
        means = KMeans(words, n_init=10, random_state=seed).fit(flat.cpu().numpy())
        cell = torch.from_numpy(means.labels_).long().to(flat.device)
        counts = cell.bincount(minlength=words).clamp(min=1)
        centroids = torch.zeros(words, flat.shape[1]).to(flat).index_add_(0, cell, flat)
        centroids = (centroids / counts[:, None]).to(x.dtype)
        return cls(x, centroids.reshape(-1, *x.shape[1:]))

    def __repr__(self) -> str:
        return f"Codebook({len(self.centroids)} words of shape {tuple(self.shape)})"

    @property
    def shares(self) -> Tensor:
        """The share of training points in each word's cell, shape (k,), float64."""
        counts = self._nearest(self._bayes.x.flatten(1)).bincount(minlength=len(self.centroids))
        return counts.double() / counts.sum()

    def words(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the word that passes the bottleneck for each y: indices (n,)."""
        return self._nearest(self._bayes(y.detach(), sigma).flatten(1))

    def _nearest(self, flat: Tensor) -> Tensor:
        return ((flat.double() - self._centre) @ self._words.T - self._bias).argmax(1)

    def __call__(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Estimate x from y = x + sigma n; y (n, *shape), sigma a number or one per example.

        The answer jumps between words and so has no gradient: it is detached.
        """
        dtype = y.dtype if isinstance(y, Tensor) and y.is_floating_point() else torch.float32
        y = _validate.noisy(y, self.shape, self.centroids.device)
        return self.centroids[self.words(y, sigma)].to(dtype)

    def law(
        self, sigmas: Tensor | Sequence[float] | None = None, *, runs: int = 4000, seed: int = 2**31
    ) -> Law:
        """The law of DDIM samples: the words exactly, their probabilities by simulation.

        The last step outputs a word, whatever came before. How often each comes is *not* the share
        of its cell (:prf:ref:`prop-bottle-shares`), and has no closed form beyond two training
        points; so the law is `Empirical`, from `runs` independent runs. `sigmas` = None takes 200
        steps of the usual schedule for infinitely many. One word alone is a `Discrete` law.
        """
        levels = _validate.schedule(karras(FINE) if sigmas is None else sigmas)
        if len(self.centroids) == 1:
            return Discrete(self.centroids)
        noise = sampling.initial_noise(
            _validate.integer("runs", runs, minimum=20), tuple(self.shape), levels[0], seed
        )
        noise = noise.to(self.centroids.device)
        return Empirical(sampling.ddim(self, noise, torch.tensor(levels, dtype=torch.float64)))

    @staticmethod
    def two_point_share(probability: float) -> float:
        r"""Return how often the flow ends on the word of an atom that has this probability.

        For two atoms and two words, from infinite noise: with p <= 1/2 the smaller probability,
        :math:`\Phi(-\sqrt{2\log((1-p)/p)})` (:prf:ref:`prop-bottle-shares`).
        """
        p = _validate.real("probability", probability, minimum=0, strict=True)
        if p >= 1:
            raise ValueError(f"probability must be below 1, got {p:g}")
        rare = min(p, 1 - p)
        share = math.erfc(math.sqrt(math.log((1 - rare) / rare))) / 2
        return share if p <= 0.5 else 1 - share
