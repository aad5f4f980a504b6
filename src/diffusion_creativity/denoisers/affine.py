"""The affine denoiser, and the Gaussian law of every affine denoiser.

Derived in :prf:ref:`thm-affine-denoiser`, :prf:ref:`thm-affine-law` and :prf:ref:`thm-any-affine`.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import integrate
from torch import Tensor

from .. import _validate
from ..laws import Gaussian
from ..noise import Knobs, Levels

AffineMaps = Callable[[float], tuple[Tensor, Tensor]]


def transition(
    maps: AffineMaps, levels: Levels, second_order: bool = False
) -> tuple[Tensor, Tensor]:
    """Return M, c of the deterministic part y ↦ M y + c of one sampler step.

    ``maps(sigma)`` gives A, b of the denoiser y ↦ A y + b. A is a matrix (d, d), or a vector (d,)
    that stands for a diagonal one; M is then of the same kind.
    """
    A, b = maps(levels.hat)
    one = torch.ones_like(A) if A.ndim == 1 else torch.eye(len(A), dtype=A.dtype, device=A.device)
    times = torch.mul if A.ndim == 1 else torch.matmul
    w = levels.down / levels.hat
    M, c = w * one + (1 - w) * A, (1 - w) * b
    if second_order and levels.down > 0:
        A_end, b_end = maps(levels.down)
        r = (levels.down - levels.hat) / 2
        c = r * (-b / levels.hat + (times(one - A_end, c) - b_end) / levels.down)
        M = one + r * ((one - A) / levels.hat + times(one - A_end, M) / levels.down)
    return M, c


def propagate(
    maps: AffineMaps,
    mean: Tensor,
    cov: Tensor,
    sigmas: Tensor,
    *,
    second_order: bool = False,
    knobs: Knobs | None = None,
) -> tuple[Tensor, Tensor]:
    """Carry mean (d,) and covariance through a sampler with an affine denoiser, exactly.

    `cov` is (d, d), or (d,) where ``maps`` gives diagonal matrices as vectors:
    ``mean' = M mean + c`` and ``cov' = M (cov + added² I) Mᵀ + up² I``.
    """
    levels = _validate.schedule(sigmas)
    knobs = knobs or Knobs()
    one = torch.ones_like(cov) if cov.ndim == 1 else torch.eye(len(cov)).to(cov)
    for sigma, sigma_next in itertools.pairwise(levels):
        step = knobs.split(sigma, sigma_next, len(levels) - 1)
        M, c = transition(maps, step, second_order)
        cov = cov + step.added**2 * one
        if cov.ndim == 1:
            mean, cov = M * mean + c, M**2 * cov
        else:
            mean, cov = M @ mean + c, M @ cov @ M.T
        cov = cov + step.up**2 * one
    return mean, cov


def affine_law(
    maps: AffineMaps,
    sigmas: Tensor,
    shape: tuple[int, ...],
    *,
    second_order: bool = False,
    eta: float = 0.0,
    churn: float = 0.0,
    churn_min: float = 0.0,
    churn_max: float = math.inf,
    churn_noise: float = 1.0,
) -> Gaussian:
    """The law that a sampler generates with any affine denoiser, trained ones included.

    Exact for the schedule `sigmas` (:prf:ref:`thm-any-affine`); no symmetry and no common
    eigenbasis is assumed. Cost: O(d³) a step.

    Parameters
    ----------
    maps : callable
        ``maps(sigma) -> (A, b)``, shapes (d, d) and (d,): the denoiser y ↦ A y + b.
    shape : tuple of int
        Shape of one example; d is its number of entries.
    second_order, eta, churn, … :
        The sampler: all default is `sampling.ddim`; `second_order` is `sampling.heun`; the rest
        as in `sampling.ancestral`.
    """
    knobs = Knobs(eta, churn, churn_min, churn_max, churn_noise)
    start = _validate.schedule(sigmas)[0]
    d = math.prod(shape)
    mean, cov = propagate(
        lambda sigma: tuple(part.double().cpu() for part in maps(sigma)),
        torch.zeros(d, dtype=torch.float64),
        start**2 * torch.eye(d, dtype=torch.float64),
        sigmas,
        second_order=second_order,
        knobs=knobs,
    )
    return Gaussian(mean.reshape(shape), (cov + cov.T) / 2)


class Affine:
    """The best affine denoiser of a target with mean μ and covariance Σ.

    ``D(y, σ) = μ + Σ (Σ + (σ² + γ) I)⁻¹ (I - exp(-2τ (Σ + (σ² + γ) I))) (y - μ)``: γ = `ridge`,
    τ = `stopped_at` (learning rate × time of gradient flow from zero; None: infinite). Computed in
    the eigenbasis of Σ, two matrix products of (n, d) by (d, r) a call; no inverse. Derived in
    :prf:ref:`thm-affine-denoiser`, :prf:ref:`prop-ridge-collapse`, :prf:ref:`prop-early-stopping`.

    Parameters
    ----------
    mean : Tensor, shape (*shape)
    cov : Tensor, shape (d, d)
    """

    def __init__(
        self, mean: Tensor, cov: Tensor, *, ridge: float = 0.0, stopped_at: float | None = None
    ) -> None:
        law = Gaussian(mean, cov)
        self._set(law.mean, law.eigenvalues, law.eigenvectors, ridge, stopped_at)

    @classmethod
    def fit(
        cls,
        x: Tensor,
        *,
        ridge: float = 0.0,
        stopped_at: float | None = None,
        bias: bool = True,
    ) -> "Affine":
        """Fit to data x (N, *shape): moments normalised by N.

        Without `bias` the denoiser is linear: Σ becomes E[x xᵀ] and μ zero.
        """
        x = _validate.dataset(x)
        flat = x.flatten(1).double()
        mean = flat.mean(0) if bias else torch.zeros_like(flat[0])
        centred = flat - mean
        if len(flat) <= flat.shape[1]:  # fewer examples than entries: no (d, d) matrix needed
            _, singular, rows = torch.linalg.svd(centred, full_matrices=False)
            values, vectors = singular**2 / len(flat), rows.T
            # Singular values carry rounding of their own size, so the rank is decided here.
            kept = singular > singular.max() * max(centred.shape) * torch.finfo(flat.dtype).eps
            values, vectors = values[kept], vectors[:, kept]
        else:
            values, vectors = torch.linalg.eigh(centred.T @ centred / len(flat))
        denoiser = cls.__new__(cls)
        law = Gaussian.from_spectrum(mean.reshape(x.shape[1:]), values, vectors)
        denoiser._set(law.mean, law.eigenvalues, law.eigenvectors, ridge, stopped_at)
        return denoiser

    def _set(
        self,
        mean: Tensor,
        eigenvalues: Tensor,
        eigenvectors: Tensor,
        ridge: float,
        stopped_at: float | None,
    ) -> None:
        self.mean, self.shape = mean, mean.shape
        self.eigenvalues, self.eigenvectors = eigenvalues, eigenvectors
        self.ridge = _validate.real("ridge", ridge, minimum=0)
        self.stopped_at = (
            None
            if stopped_at is None
            else _validate.real("stopped_at", stopped_at, minimum=0, strict=True)
        )
        self._in_dtype = {torch.float64: (mean.flatten(), eigenvectors)}

    def gain(self, sigma: float | Tensor) -> Tensor:
        """The factor on each eigendirection, shape (r,), or (n, r) for one sigma per example."""
        count = len(sigma) if np.ndim(sigma) else 1
        levels = _validate.noise_level(sigma, count, self.eigenvalues)
        gain = self._gain(levels[:, None])
        return gain if np.ndim(sigma) else gain[0]

    def _gain(self, sigma: float | Tensor) -> Tensor:
        total = self.eigenvalues + sigma**2 + self.ridge
        gain = self.eigenvalues / total
        return (
            gain if self.stopped_at is None else gain * -torch.expm1(-2 * self.stopped_at * total)
        )

    def __call__(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Estimate x from y = x + sigma n; y (n, *shape), sigma a number or one per example."""
        dtype = y.dtype if isinstance(y, Tensor) and y.is_floating_point() else torch.float32
        y = _validate.noisy(y, self.shape, self.mean.device)
        levels = _validate.noise_level(sigma, len(y), self.eigenvalues)
        if y.dtype not in self._in_dtype:
            self._in_dtype[y.dtype] = tuple(t.to(y.dtype) for t in self._in_dtype[torch.float64])
        mean, vectors = self._in_dtype[y.dtype]
        with torch.autocast(y.device.type, enabled=False):  # float32 stays float32
            code = (y.flatten(1) - mean) @ vectors  # (n, r)
            x_hat = torch.addmm(mean, code * self._gain(levels[:, None]).to(y.dtype), vectors.T)
        return x_hat.reshape(y.shape).to(dtype)

    def maps(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Return A (d, d), b (d,) of the denoiser y ↦ A y + b at one noise level."""
        A = (self.eigenvectors * self.gain(sigma)) @ self.eigenvectors.T
        mean = self.mean.flatten()
        return A, mean - A @ mean

    def generate(self, noise: Tensor, sigmas: Tensor, *, second_order: bool = False) -> Tensor:
        """Do what `sampling.ddim` (or `heun`) does, in one product over the steps.

        Along each eigendirection a step multiplies by a number, so the whole run does too: two
        matrix products however many steps.
        """
        noise = _validate.noisy(noise, self.shape, self.mean.device, "noise")
        levels = _validate.schedule(sigmas)
        total = torch.ones_like(self.eigenvalues)
        for sigma, sigma_next in itertools.pairwise(levels):
            step = Levels(sigma, 0, sigma_next, 0)
            total *= transition(self._in_eigenbasis, step, second_order)[0]
        mean, vectors = (t.to(noise.dtype) for t in self._in_dtype[torch.float64])
        with torch.autocast(noise.device.type, enabled=False):
            code = (noise.flatten(1) - mean) @ vectors * total.to(noise.dtype)
            return torch.addmm(mean, code, vectors.T).reshape(noise.shape)

    def _in_eigenbasis(self, sigma: float) -> tuple[Tensor, Tensor]:
        """The denoiser for coordinates Uᵀ(y - μ): diagonal, no offset."""
        return self._gain(sigma), torch.zeros_like(self.eigenvalues)

    def law(
        self,
        sigmas: Tensor | None = None,
        *,
        second_order: bool = False,
        eta: float = 0.0,
        churn: float = 0.0,
        churn_min: float = 0.0,
        churn_max: float = math.inf,
        churn_noise: float = 1.0,
    ) -> Gaussian:
        """The law of what is generated, exact for the schedule: :prf:ref:`cor-finite-steps`.

        `sigmas` = None is the limit of the ODE, `ode_law`. The sampler's knobs are those of
        `affine_law`. Off the span of the eigenvectors the last step, to 0, leaves nothing but μ.
        """
        if sigmas is None:
            return self.ode_law()
        start = _validate.schedule(sigmas)[0]
        mean = self.mean.flatten()
        offset, variances = propagate(
            self._in_eigenbasis,
            -(mean @ self.eigenvectors),
            start**2 * torch.ones_like(self.eigenvalues),
            sigmas,
            second_order=second_order,
            knobs=Knobs(eta, churn, churn_min, churn_max, churn_noise),
        )
        shifted = (mean + self.eigenvectors @ offset).reshape(self.shape)
        return Gaussian.from_spectrum(shifted, variances, self.eigenvectors)

    def ode_law(self, sigma_max: float = math.inf, sigma_min: float = 0.0) -> Gaussian:
        """The law of the exact ODE from sigma_max to sigma_min (:prf:ref:`thm-affine-law`).

        It is N(μ, Σ) from infinity to 0. With `ridge` or `stopped_at` the ODE contracts all the
        way to 0 (:prf:ref:`prop-ridge-collapse`): from infinity to 0 the law is the point μ. At a
        sigma_min > 0 the directions without variance keep noise of sigma_min; they are left out.
        """
        sigma_min = _validate.real("sigma_min", sigma_min, minimum=0)
        if math.isinf(sigma_max):
            variances = self._variance_from_infinity(sigma_min)
            return Gaussian.from_spectrum(self.mean, variances, self.eigenvectors)
        sigma_max = _validate.real("sigma_max", sigma_max, minimum=sigma_min, strict=True)
        ratio = self.ode_ratio(sigma_max, sigma_min)
        mean = self.mean.flatten()
        shifted = mean - self.eigenvectors @ (ratio * (mean @ self.eigenvectors))
        return Gaussian.from_spectrum(
            shifted.reshape(self.shape), (sigma_max * ratio) ** 2, self.eigenvectors
        )

    def _variance_from_infinity(self, sigma_min: float) -> Tensor:
        if self.ridge == 0 and self.stopped_at is None:
            return self.eigenvalues + sigma_min**2
        far = 1e6 * (1 + self.eigenvalues.max().sqrt().item() + sigma_min)
        return (far * self.ode_ratio(far, sigma_min)) ** 2

    def ode_ratio(self, sigma_max: float, sigma_min: float) -> Tensor:
        """z(sigma_min) / z(sigma_max) of the ODE on each eigendirection, shape (r,).

        With a = λ + γ: ``(σ_min/σ_max)^{γ/a} ((a + σ_min²)/(a + σ_max²))^{λ/2a}``. Early stopping
        multiplies by ``exp(-∫ λ e^{-2τ(a+σ²)} / (a+σ²) dσ/σ)``, integrated numerically.
        """
        a = self.eigenvalues + self.ridge
        lost = self.ridge / a
        ratio = ((a + sigma_min**2) / (a + sigma_max**2)) ** ((1 - lost) / 2)
        if self.ridge > 0:
            ratio = ratio * (sigma_min / sigma_max) ** lost
        if self.stopped_at is None:
            return ratio
        if sigma_min == 0:  # the integral diverges at 0, however slowly
            return torch.zeros_like(ratio)
        untrained = [self._untrained(v, a_i, sigma_min, sigma_max) for v, a_i in
                     zip(self.eigenvalues.tolist(), a.tolist(), strict=True)]  # fmt: skip
        return ratio * torch.exp(-ratio.new_tensor(untrained))

    def _untrained(self, value: float, a: float, sigma_min: float, sigma_max: float) -> float:
        """∫ λ e^{-2τ(a+σ²)} / (a+σ²) d(log σ): how far early stopping contracts a direction."""

        def integrand(log_sigma: float) -> float:
            total = a + math.exp(2 * log_sigma)
            return value * math.exp(-2 * self.stopped_at * total) / total

        # Beyond this level the exponential is below rounding.
        stop = min(sigma_max, max(sigma_min, math.sqrt(20 / self.stopped_at)))
        return integrate.quad(integrand, math.log(sigma_min), math.log(stop), limit=200)[0]
