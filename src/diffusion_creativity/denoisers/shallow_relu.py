"""The denoiser of the shallow ReLU network of least norm that maps noisy copies to their points.

Derived in :prf:ref:`thm-relu-line` and :prf:ref:`thm-relu-box`; the law in
:prf:ref:`thm-relu-vertices` and :prf:ref:`prop-relu-steps`.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _validate
from ..laws import Discrete
from ..laws.law import Law
from ..sampling import ddim, initial_noise

ORTHOGONAL = 1e-5  # largest cosine between two directions that pass as orthogonal
VERTICES = 12  # directions of which all 2^k end points are listed at most
DRAWS = 20_000  # reference draws where the law has a continuous part


class ShallowReLU:
    r"""One hidden layer of ReLUs and a free affine skip, of least norm among those that fit.

    "Fit" means :math:`h(y) = x_i` for all :math:`\lVert y - x_i\rVert \le r`. Known for points
    on a line, and for a corner :math:`x_0` with :math:`x_n - x_0 = \ell_n u_n` mutually orthogonal:

    .. math:: h(y) = x_0 + \sum_n u_n\, \varphi_n\bigl(u_n \cdot (y - x_0)\bigr),

    with :math:`\varphi_n` constant near the points of its line (their *sites*: 0 and
    :math:`\ell_n`, or all points on a line) and straight in between.

    At level σ the radius is ``min(radius, per_sigma · σ)``; with `per_sigma` None it is `radius`
    at every level. Cost: two products of (n, d) by (d, k) a call.

    Attributes
    ----------
    corner : Tensor, shape (d,)
    directions : Tensor, shape (d, k), orthonormal columns
    sites : Tensor, shape (k, m), ascending; coordinates of the points along each direction
    """

    def __init__(
        self,
        corner: Tensor,
        directions: Tensor,
        sites: Tensor,
        shape: torch.Size,
        radius: float | None,
        per_sigma: float | None,
    ) -> None:
        self.corner, self.directions, self.sites, self.shape = corner, directions, sites, shape
        gaps = sites.diff(dim=1)
        least = gaps.min().item() if gaps.numel() else math.inf
        if radius is None:
            radius = least / 4 if math.isfinite(least) else 1.0
        self.radius = _validate.real("radius", radius, minimum=0, strict=True)
        if 2 * self.radius >= least:
            raise ValueError(
                f"radius must be below half the least distance between neighbours, {least / 2:.4g},"
                f" or the balls around the points meet; got {self.radius:.4g}"
            )
        self.per_sigma = (
            None
            if per_sigma is None
            else _validate.real("per_sigma", per_sigma, minimum=0, strict=True)
        )

    @classmethod
    def fit(
        cls,
        x: Tensor | Sequence,
        *,
        radius: float | None = None,
        per_sigma: float | None = None,
    ) -> "ShallowReLU":
        r"""Return the denoiser of x (N, \*shape): numbers, or a corner with orthogonal edges.

        `radius` None is a quarter of the least distance between neighbours. Equal points count
        once. In more than one dimension the corner must be a training point; it is found as the
        one nearest to the mean.
        """
        x = _validate.dataset(x)
        flat = x.flatten(1).double()
        if flat.shape[1] == 1:
            corner, directions = flat.new_zeros(1), flat.new_ones(1, 1)
            sites = flat.unique()[None]  # ascending
        else:
            corner, edges = _corner(flat)
            lengths = edges.norm(dim=1)
            directions = (edges / lengths[:, None]).T.contiguous()
            sites = torch.stack([torch.zeros_like(lengths), lengths], 1)
        return cls(corner, directions, sites, x.shape[1:], radius, per_sigma)

    def __repr__(self) -> str:
        return (
            f"ShallowReLU({tuple(self.sites.shape)} sites, radius {self.radius:.4g}, "
            f"per_sigma {self.per_sigma})"
        )

    def radius_at(self, sigma: float | Tensor) -> Tensor:
        """Return the radius at noise level sigma, float64, same shape as sigma."""
        sigma = torch.as_tensor(sigma, dtype=torch.float64, device=self.sites.device)
        if self.per_sigma is None:
            return torch.full_like(sigma, self.radius)
        return (self.per_sigma * sigma).clamp(max=self.radius)

    def __call__(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        r"""Return h(y), like y, for noisy y (n, \*shape) and sigma a number or one per example."""
        dtype = y.dtype if isinstance(y, Tensor) and y.is_floating_point() else torch.float32
        y = _validate.noisy(y, self.shape, self.sites.device)
        level = _validate.noise_level(sigma, len(y), self.sites)
        corner, directions = self.corner.to(y.dtype), self.directions.to(y.dtype)
        with torch.autocast(y.device.type, enabled=False):  # float32 stays float32
            along = (y.flatten(1) - corner) @ directions  # (n, k)
            along = self._profile(along, self.radius_at(level)[:, None].to(y.dtype))
            x_hat = torch.addmm(corner, along, directions.T)
        return x_hat.reshape(y.shape).to(dtype)

    def _profile(self, along: Tensor, radius: Tensor) -> Tensor:
        """Apply φ_n to coordinates (n, k), at radius (n, 1) or (1, 1)."""
        sites = self.sites.to(along.dtype)
        last = sites.shape[1] - 1
        if last == 0 or along.numel() == 0:
            return sites[:, 0].expand_as(along)
        above = torch.searchsorted(sites, along.detach().T.contiguous()).clamp(1, last)  # (k, n)
        low, high = sites.gather(1, above - 1).T, sites.gather(1, above).T
        share = (along - low - radius) / (high - low - 2 * radius)
        return torch.lerp(low, high, share.clamp(0, 1))

    def cost(self, sigma: float = 0.0) -> float:
        """The least ½ Σ (‖a_k‖² + ‖w_k‖²) that gives this function: twice the sum of its slopes."""
        gaps = self.sites.diff(dim=1)
        return float((2 * gaps / (gaps - 2 * self.radius_at(sigma))).sum())

    def coordinates(self, x: Tensor) -> Tensor:
        r"""Return u_n · (x - x_0), shape (n, k), float64, of x (n, \*shape)."""
        x = _validate.noisy(x, self.shape, self.sites.device, "x")
        return (x.flatten(1).double() - self.corner) @ self.directions

    def chances(self, sigmas: Tensor | Sequence[float]) -> tuple[Tensor, Tensor]:
        """Return where the coordinates of DDIM samples end: at each site, and in each gap between.

        Shapes (k, m) and (k, m - 1), exact for the schedule (:prf:ref:`prop-relu-steps`). The
        coordinates are independent.
        """
        levels = _validate.schedule(sigmas)
        gaps, middle = self.sites.diff(dim=1), (self.sites[:, 1:] + self.sites[:, :-1]) / 2
        growth = torch.ones_like(gaps)
        for sigma, sigma_next in itertools.pairwise(levels[:-1]):
            slope = gaps / (gaps - 2 * self.radius_at(sigma))
            growth *= slope + sigma_next / sigma * (1 - slope)
        half = (gaps / 2 - self.radius_at(levels[-2])) / growth  # offsets at the start
        mean = -(self.corner @ self.directions)[:, None]
        below = torch.special.ndtr((middle - half - mean) / levels[0])
        above = torch.special.ndtr((mean - middle - half) / levels[0])
        one = below.new_ones(len(below), 1)
        ends = torch.cat([below, one], 1) - torch.cat([0 * one, 1 - above], 1)
        between = 1 - above - below
        return ends.clamp(min=0), between.clamp(min=0)

    def undecided(self, sigmas: Tensor | Sequence[float]) -> float:
        """The probability that some coordinate of a DDIM sample ends between two sites."""
        return float(-torch.expm1(torch.log1p(-self.chances(sigmas)[1].sum(1)).sum()))

    def vertices(self) -> Tensor:
        """All points whose coordinates are sites, shape (m^k, d): what the flow can end on."""
        k, m = self.sites.shape
        chosen = torch.cartesian_prod(*self.sites) if k else self.sites.new_zeros(1, 0)
        vertices = self.corner + chosen.reshape(m**k, k) @ self.directions.T
        return vertices.reshape(-1, *self.shape)

    def law(
        self, sigmas: Tensor | Sequence[float] | None = None, *, undecided: float = 1e-7
    ) -> Law:
        """The law of DDIM samples: `Discrete` on the vertices, with the probability of each.

        `sigmas` = None is the limit of the exact flow as σ_max → ∞. The vertices are all there is
        but for samples that end between two sites; where their probability is above `undecided`,
        or there are more than 2^12 vertices, the answer is `Empirical`, from draws of the sampler.
        """
        if sigmas is None:
            ends = torch.zeros_like(self.sites)
            ends[:, 0] += 0.5
            ends[:, -1] += 0.5
        else:
            ends, _ = self.chances(sigmas)
        many = len(ends) * math.log2(max(ends.shape[1], 1)) > VERTICES and len(ends) > 1
        if many or (sigmas is not None and self.undecided(sigmas) > undecided):
            return self._empirical(sigmas)
        probabilities = torch.ones(1, dtype=torch.float64, device=ends.device)
        for row in ends / ends.sum(1, keepdim=True):
            probabilities = torch.outer(probabilities, row).flatten()
        possible = probabilities > 0
        return Discrete(self.vertices()[possible], probabilities[possible])

    def _empirical(self, sigmas: Tensor | Sequence[float] | None) -> Law:
        from ..laws import Empirical

        if sigmas is None:
            raise ValueError(
                f"law(None) lists the vertices, at most 2^{VERTICES}, and there are "
                f"{self.sites.shape[1]}^{len(self.sites)}; use `chances`, coordinate by coordinate"
            )
        levels = _validate.schedule(sigmas)
        noise = initial_noise(DRAWS, tuple(self.shape), levels[0], 2**31 - 1, self.sites.device)
        return Empirical(ddim(self, noise, torch.tensor(levels, dtype=torch.float64)))


def _corner(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Return the corner (d,) and the edges (N - 1, d) from it, or say which two do not fit."""
    start = int((flat - flat.mean(0)).square().sum(1).argmin())
    corner = flat[start]
    _, inverse = flat.unique(dim=0, return_inverse=True)
    index = torch.arange(len(flat), device=flat.device)
    first = torch.full_like(index, len(flat)).scatter_reduce_(0, inverse, index, "amin")
    others = first[(first < len(flat)) & (first != first[inverse[start]])].sort()[0]
    edges = flat[others] - corner
    if len(edges) < 2:
        return corner, edges
    products = edges @ edges.T
    lengths = products.diagonal().sqrt()
    cosines = (products / lengths[:, None] / lengths).fill_diagonal_(0)
    a, b = divmod(int(cosines.abs().argmax()), len(edges))
    if cosines[a, b].abs() > ORTHOGONAL:
        i, j = sorted(others[[a, b]].tolist())
        raise ValueError(
            "x must be numbers (one entry each), or a corner and points whose edges from it are "
            f"mutually orthogonal. With x[{start}], the point nearest to the mean, as the corner, "
            f"the edges to x[{i}] and x[{j}] have inner product {products[a, b].item():.4g} "
            f"(cosine {cosines[a, b].item():.3g}). Make them orthogonal (images without common "
            "pixels on a black ground are, with the black image as the corner), or project the "
            "data on a line; for other points no closed form is at hand: train a network"
        )
    return corner, edges
