"""The best polynomial denoiser, and the push-forward that it generates.

Derived in :prf:ref:`thm-poly-denoiser` and :prf:ref:`prop-poly-law`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from .. import _validate
from ..laws import Discrete, Empirical, Law, Product, PushForward1d, Turned
from ..noise import karras
from ._hankel import quadrature_of_moments
from ._joint import MAX_FEATURES, Joint
from ._marginals import Marginals, quadrature
from ._twofold import gauss_hermite

BASES = ("pixel", "pca", "joint")
HUGE = 1e30  # what has diverged beyond it stays there: an escape, which the law counts
REACH = 10.0  # a sample further from the mean than this many standard deviations has escaped
DRAWS = 10_000


class Polynomial:
    r"""The polynomial of degree p with the least mean squared error, at each noise level.

    .. math:: D_\sigma(y) = \sum_{j \le p} c_j y^j, \quad \mathbb E[y^{i+j}]\, c = r, \quad
              r_j = \mathbb E[x y^j] = \mathbb E[y^{j+1}] - \sigma^2 j\, \mathbb E[y^{j-1}].

    * ``basis="pixel"``: every entry has its own polynomial of its own value.
    * ``basis="pca"``: the same in the first `components` principal coordinates; along the others
      the answer is the mean.
    * ``basis="joint"``: all monomials of total degree up to p in at most 10 principal coordinates.

    Degrees 1 to 9. Pixel and pca: relative accuracy 1e-12 from σ = 0.002 to 80 (tested against
    arithmetic with 120 digits), also where the data have fewer different values than p + 1: there
    the limit σ → 0 exists and is used. Joint: 1e-9 up to degree 7 for data without heavy tails;
    beyond that float64 loses digits to the condition of the moment matrix.

    Cost of a call: 3·n·d·p operations for pixel, two GEMMs more for pca, n·M·k with M = C(k + p, p)
    for joint; a new noise level costs O(d p⁴) or O(M³) once.
    """

    def __init__(
        self,
        parts: Marginals | Joint,
        mean: Tensor,
        vectors: Tensor | None,
        basis: str,
    ) -> None:
        self._parts, self.mean, self.vectors = parts, mean, vectors
        self.shape, self.basis, self.degree = mean.shape, basis, parts.degree
        variance = parts.variance if isinstance(parts, Joint) else parts.spread.square()
        self._spread = variance.sqrt()  # (k,) by coordinate

    @classmethod
    def fit(
        cls,
        x: Tensor,
        *,
        degree: int,
        basis: str = "pixel",
        components: int | None = None,
    ) -> Polynomial:
        r"""Fit to data x (N, \*shape), moments normalised by N."""
        x, degree = _validate.dataset(x), _degree(degree)
        if basis not in BASES:
            raise ValueError(f"basis must be one of {', '.join(BASES)}, got {basis!r}")
        flat = x.flatten(1).double()
        mean = flat.mean(0)
        if basis == "pixel":
            if components is not None:
                raise ValueError(f"components is for basis pca or joint, got {components!r}")
            parts, vectors = _marginals(flat, None, degree), None
        else:
            vectors = _principal(flat - mean, components, basis)
            code = (flat - mean) @ vectors
            parts = _marginals(code, None, degree) if basis == "pca" else _joint(code, degree)
        return cls(parts, mean.reshape(x.shape[1:]), vectors, basis)

    @classmethod
    def from_atoms(
        cls,
        points: Tensor | Sequence[float],
        weights: Tensor | Sequence[float] | None = None,
        *,
        degree: int,
        width: float = 0.0,
    ) -> Polynomial:
        """Build from a law on the line: atoms with weights, each blurred to N(point, width²).

        Examples have shape (1,). With `width` > 0 it is a Gaussian mixture, exactly.
        """
        degree, width = _degree(degree), _validate.real("width", width, minimum=0)
        points = _validate.floating("points", points).double().flatten()
        if len(points) == 0:
            raise ValueError("points must hold at least one number, got none")
        if weights is None:
            weights = torch.ones_like(points)
        weights = _validate.floating("weights", weights).double().flatten().to(points.device)
        if len(weights) != len(points) or (weights < 0).any() or weights.sum() <= 0:
            raise ValueError(f"weights must be {len(points)} numbers >= 0, not all 0, one for each "
                             f"point, got {weights.tolist()}")  # fmt: skip
        if width > 0:  # Gauss-Hermite atoms have the moments of N(0, 1) up to order 2p + 1
            (t, _), (mass, _) = gauss_hermite(degree + 1)
            points = (points[:, None] + width * t.to(points)).flatten()
            weights = (weights[:, None] * mass.to(points)).flatten()
        kept = weights > 0
        parts = _marginals(points[kept, None], weights[kept], degree)
        return cls(parts, parts.mean.clone(), None, "pixel")

    @classmethod
    def from_moments(cls, moments: Sequence[float | int | Fraction], *, degree: int) -> Polynomial:
        """Build from E x, E x², …, of order up to 2·degree: they are all that it depends on.

        Numbers are taken as exact: give `fractions.Fraction` or integers where you can. Floats are
        exact to 16 digits, of which a high degree loses some. `ValueError` where no law has these
        moments.
        """
        degree = _degree(degree)
        atoms, weights = quadrature_of_moments(moments, degree)
        parts = Marginals(atoms[None], weights[None])
        return cls(parts, parts.mean.clone(), None, "pixel")

    def __repr__(self) -> str:
        return f"Polynomial(degree {self.degree}, basis {self.basis}, shape {tuple(self.shape)})"

    def __call__(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        r"""Estimate x from y = x + sigma n; y (n, \*shape), sigma a number or one per example.

        Values beyond ±1e30 are set to that, so that a diverging trajectory stays a number.
        """
        dtype = y.dtype if isinstance(y, Tensor) and y.is_floating_point() else torch.float32
        y = _validate.noisy(y, self.shape, self.mean.device)
        levels = _validate.noise_level(sigma, len(y), self.mean)
        flat = y.flatten(1).double().clamp(-HUGE, HUGE)
        with torch.autocast(y.device.type, enabled=False):
            if self.vectors is None:
                x_hat = self._parts(flat, levels)
            else:
                mean = self.mean.flatten()
                x_hat = mean + self._in_code((flat - mean) @ self.vectors, levels) @ self.vectors.T
        largest = min(HUGE, torch.finfo(dtype).max)
        return x_hat.clamp(-largest, largest).reshape(y.shape).to(dtype)

    def _in_code(self, code: Tensor, levels: Tensor) -> Tensor:
        return self._parts(code, levels).clamp(-HUGE, HUGE)

    def generate(self, code: Tensor, sigmas: Tensor, *, second_order: bool = False) -> Tensor:
        """Run DDIM (or Heun's method) on coordinates (n, k) of the basis, centred unless pixel."""
        levels = _validate.schedule(sigmas)
        if isinstance(self._parts, Marginals):  # all levels in one batch
            self._parts.coefficients(self.mean.new_tensor(levels[:-1]))
        y = code
        for sigma, after in itertools.pairwise(levels):
            x_hat = self._in_code(y, y.new_tensor([sigma]))
            moved = torch.lerp(x_hat, y, after / sigma)
            if second_order and after > 0:
                end = (moved - self._in_code(moved, y.new_tensor([after]))) / after
                moved = y + (after - sigma) * ((y - x_hat) / sigma + end) / 2
            y = moved.clamp(-HUGE, HUGE)
        return y

    def _fine(self) -> Tensor:
        largest = float(self._spread.max())
        scale = largest if largest > 0 else 1.0
        return karras(250, sigma_min=1e-4 * scale, sigma_max=80.0 * scale)

    def law(self, sigmas: Tensor | None = None) -> Law:
        """What is generated: :prf:ref:`prop-poly-law`.

        Examples of one entry: a `PushForward1d`, exact for the schedule. Basis pixel: a `Product`
        of these, exact. Basis pca: such a product along the principal axes, `Turned`, exact. Basis
        joint: `Empirical`, 10,000 simulated draws of which those that escaped are left out; the
        share of these is its attribute `escaped`. `sigmas` = None is the flow, computed by 250
        steps of Heun's method from 80 standard deviations.
        """
        heun = sigmas is None
        sigmas = self._fine() if heun else sigmas
        start = _validate.schedule(sigmas)[0]
        if self.basis == "joint":
            return self._simulated(start, sigmas, heun)
        if self.vectors is None:
            centre = torch.zeros_like(self._parts.mean)
        else:
            centre = -(self.mean.flatten() @ self.vectors)
        factors = [self._factor(k, float(centre[k]), sigmas, heun) for k in range(len(centre))]
        if self.vectors is not None:
            return Turned(Product(factors), self.mean, self.vectors)
        if len(factors) == 1 and self.shape == (1,):
            return factors[0]
        places = [torch.tensor([k]) for k in range(len(factors))]
        return Product(factors, places, tuple(self.shape))

    def _factor(self, k: int, centre: float, sigmas: Tensor, heun: bool) -> Law:
        """The law of one coordinate, which starts from N(centre, σ_max²)."""
        parts, spread = self._parts, float(self._spread[k])
        if spread == 0:
            return Discrete(parts.mean[k].reshape(1, 1))
        one = parts.only(k)
        alone = Polynomial(one, one.mean, None, "pixel")

        def run(z: Tensor) -> Tensor:
            return alone.generate(z[:, None], sigmas, second_order=heun)[:, 0]

        return PushForward1d(run, float(sigmas[0]), mean=centre,
                             centre=float(one.mean), bound=REACH * spread)  # fmt: skip

    def _simulated(self, start: float, sigmas: Tensor, heun: bool) -> Empirical:
        generator = torch.Generator().manual_seed(2**31 - 1)
        n = DRAWS
        noise = torch.randn(n, self.vectors.shape[1], generator=generator, dtype=torch.float64)
        code = start * noise.to(self.mean.device) - self.mean.flatten() @ self.vectors
        code = self.generate(code, sigmas, second_order=heun)
        stays = (code.abs() <= REACH * self._spread).all(1)
        law = Empirical(
            (self.mean.flatten() + code[stays] @ self.vectors.T).reshape(-1, *self.shape)
        )
        law.escaped = 1 - float(stays.double().mean())
        return law


def _degree(degree: int) -> int:
    degree = _validate.integer("degree", degree, minimum=1)
    if degree > 9:
        raise ValueError(f"degree must be an integer from 1 to 9, got {degree}")
    return degree


def _marginals(values: Tensor, weights: Tensor | None, degree: int) -> Marginals:
    if weights is None:
        weights = torch.ones_like(values[:, 0])
    return Marginals(*quadrature(values, weights / weights.sum(), degree + 1))


def _principal(centred: Tensor, components: int | None, basis: str) -> Tensor:
    """The first principal directions (d, k)."""
    d = centred.shape[1]
    if components is None:
        components = d if basis == "pca" else min(d, 10)
    components = _validate.integer("components", components, minimum=1)
    limit = d if basis == "pca" else min(d, 10)
    if components > limit:
        what = f"the {d} entries of an example" if limit == d else "10 for basis joint"
        raise ValueError(f"components must be at most {what}, got {components}")
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    if basis == "pca":  # where nothing varies the answer is the mean anyway
        components = min(components, max(1, int((values > 1e-13 * values[-1]).sum())))
    return vectors.flip(1)[:, :components].contiguous()


def _joint(code: Tensor, degree: int) -> Joint:
    """Check that the moment matrix is regular, as far as counting can tell."""
    k = code.shape[1]
    features = math.comb(k + degree, degree)
    if features > MAX_FEATURES:
        raise ValueError(
            f"degree {degree} in {k} components makes {features} monomials, the limit is "
            f"{MAX_FEATURES}: take fewer components or a lower degree"
        )
    variance = code.square().mean(0)
    rank = int((variance > 1e-12 * variance.max()).sum())
    if rank < k:
        raise ValueError(
            f"the moment matrix is singular: the data vary in {rank} directions only, and "
            f"components is {k}: take components <= {rank}"
        )
    different = len(code.unique(dim=0))
    if different < features:
        raise ValueError(
            f"the moment matrix is singular: {different} different examples cannot determine "
            f"{features} monomials (degree {degree} in {k} components): give more data, fewer "
            "components or a lower degree"
        )
    return Joint(code, degree)
