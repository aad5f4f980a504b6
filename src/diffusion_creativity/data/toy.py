"""Targets that can be drawn at will and whose mean and covariance are known exactly."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _validate


@dataclass(frozen=True, eq=False)
class Target:
    """A distribution on tensors of shape ``mean.shape``, with its population moments."""

    name: str
    mean: Tensor  # (*shape), float64
    cov: Tensor  # (d, d), float64
    draw: Callable[[int, torch.Generator], Tensor]  # n, generator -> (n, *shape), float64

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, *shape), float32."""
        generator = torch.Generator().manual_seed(_validate.integer("seed", seed))
        return self.draw(_validate.integer("n", n, minimum=1), generator).float()


def _uniform(n: int, d: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, d, generator=generator, dtype=torch.float64)


def _normal(n: int, d: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def gaussian_mixture(
    means: Sequence, scales: float | Sequence[float] = 0.1, weights: Sequence[float] | None = None
) -> Target:
    """Isotropic Gaussians at `means` (K, d) with standard deviations `scales`, one or K."""
    means = _validate.dataset(means, "means").double()
    if means.ndim != 2:
        raise ValueError(f"means must have shape (K, d), got {tuple(means.shape)}")
    k, d = means.shape
    scales = _validate.floating("scales", scales).double()
    scales = scales.expand(k) if scales.ndim == 0 else scales
    weights = torch.ones(k) if weights is None else _validate.floating("weights", weights)
    fit = weights.shape == scales.shape == (k,)
    if not fit or (weights < 0).any() or weights.sum() <= 0 or (scales < 0).any():
        raise ValueError(f"weights and scales must be {k} numbers >= 0, got {weights}, {scales}")
    weights = weights.double() / weights.sum().double()
    mean = weights @ means
    centred = means - mean
    within = (weights @ scales**2) * torch.eye(d, dtype=torch.float64)
    cov = (centred.T * weights) @ centred + within

    def draw(n: int, generator: torch.Generator) -> Tensor:
        which = torch.multinomial(weights, n, True, generator=generator)
        return means[which] + scales[which, None] * _normal(n, d, generator)

    return Target("Gaussian mixture", mean, cov, draw)


def atoms(points: Sequence, weights: Sequence[float] | None = None) -> Target:
    """Finitely many points (K, d), by default equally likely."""
    target = gaussian_mixture(points, 0.0, weights)
    return Target("atoms", target.mean, target.cov, target.draw)


def uniform(low: float = -1.0, high: float = 1.0, d: int = 2) -> Target:
    """The cube [low, high]^d."""
    low, high = _validate.real("low", low), _validate.real("high", high)
    if low >= high:
        raise ValueError(f"low must be below high, got {low:g} and {high:g}")
    d = _validate.integer("d", d, minimum=1)
    cov = (high - low) ** 2 / 12 * torch.eye(d, dtype=torch.float64)
    mean = torch.full((d,), (low + high) / 2, dtype=torch.float64)
    return Target("uniform", mean, cov, lambda n, g: low + (high - low) * _uniform(n, d, g))


def spiral(turns: float = 1.5, noise: float = 0.03) -> Target:
    """A spiral in the plane from radius 0.2 to 1, uniform in the angle, with Gaussian noise."""
    turns = _validate.real("turns", turns, minimum=0, strict=True)
    noise = _validate.real("noise", noise, minimum=0)
    end = 2 * math.pi * turns

    def curve(t: Tensor) -> Tensor:
        radius = 0.2 + 0.8 * t
        return torch.stack([radius * torch.cos(end * t), radius * torch.sin(end * t)], -1)

    # The integrands are smooth: Gauss-Legendre with this many nodes is exact to rounding.
    nodes, node_weights = _gauss_legendre(64 + 8 * math.ceil(turns))
    points = curve(nodes)
    mean = node_weights @ points
    centred = points - mean
    cov = (centred.T * node_weights) @ centred + noise**2 * torch.eye(2, dtype=torch.float64)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        t = _uniform(n, 1, generator)[:, 0]
        return curve(t) + noise * _normal(n, 2, generator)

    return Target("spiral", mean, cov, draw)


def _gauss_legendre(n: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1]."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(n)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)


def checkerboard(cells: int = 4) -> Target:
    """The dark fields of a `cells` × `cells` board on [-1, 1]², uniform; `cells` is even."""
    cells = _validate.integer("cells", cells, minimum=2)
    if cells % 2:
        raise ValueError(f"cells must be even, got {cells}")
    width = 2 / cells
    dark = torch.tensor([(i, j) for i in range(cells) for j in range(cells) if (i + j) % 2 == 0])
    corners = -1 + width * dark.double()
    centres = corners + width / 2
    cov = centres.T @ centres / len(centres) + width**2 / 12 * torch.eye(2, dtype=torch.float64)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        which = torch.randint(len(corners), (n,), generator=generator)
        return corners[which] + width * _uniform(n, 2, generator)

    return Target("checkerboard", centres.mean(0), cov, draw)


def texture(size: int = 16, exponent: float = 2.0, cutoff: float = 0.02) -> Target:
    """Periodic Gaussian images (1, size, size) with power ∝ 1 / (cutoff + |f|)^exponent.

    f is the frequency in cycles per pixel; the mean over frequencies of the power is 1, so each
    pixel has variance 1.
    """
    size = _validate.integer("size", size, minimum=2)
    exponent = _validate.real("exponent", exponent)
    cutoff = _validate.real("cutoff", cutoff, minimum=0, strict=True)
    f = torch.fft.fftfreq(size, dtype=torch.float64)
    power = 1 / (cutoff + torch.hypot(f[:, None], f[None, :])) ** exponent
    power = power / power.mean()
    correlation = torch.fft.ifft2(power).real  # (size, size), by shift
    i = torch.arange(size)
    row = (i[:, None] - i[None, :]) % size
    cov = correlation[row[:, None, :, None], row[None, :, None, :]].reshape(size**2, size**2)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        white = _normal(n, size**2, generator).reshape(n, 1, size, size)
        return torch.fft.ifft2(torch.fft.fft2(white) * power.sqrt()).real

    return Target("1/f texture", torch.zeros(1, size, size, dtype=torch.float64), cov, draw)


def polygon(corners: int = 5, radius: float = 1.0, phase: float = 0.0) -> Target:
    """The corners of a regular polygon, equally likely; `phase` turns it.

    All moments of order below `corners` are those of the whole circle.
    """
    corners = _validate.integer("corners", corners, minimum=3)
    radius = _validate.real("radius", radius, minimum=0, strict=True)
    angle = _validate.real("phase", phase) + 2 * math.pi * torch.arange(corners).double() / corners
    points = radius * torch.stack([angle.cos(), angle.sin()], -1)
    return Target("polygon", *_moments(points), _pick(points))


def board(halvings: int = 3, dark: bool = True) -> Target:
    """Half of the 2^k × 2^k fields of [-1, 1]², k = `halvings`, coloured by Thue and Morse.

    Field (i, j) is dark when i and j have together an even number of binary ones. Dark and light
    fields share each moment of x^a y^b with a < k or b < k, so all of order below 2k.
    """
    k = _validate.integer("halvings", halvings, minimum=1)
    size = 2**k
    ones = torch.tensor([i.bit_count() for i in range(size)])
    fields = ((ones[:, None] + ones[None]) % 2 == (0 if dark else 1)).nonzero().double()
    centres = (2 * fields + 1) / size - 1
    mean, cov = _moments(centres)
    inside = torch.eye(2, dtype=torch.float64) / (3 * size**2)
    pick = _pick(centres)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return pick(n, generator) + (2 * _uniform(n, 2, generator) - 1) / size

    return Target(f"{'dark' if dark else 'light'} fields", mean, cov + inside, draw)


def gauss(nodes: int = 3, density: str = "normal") -> Target:
    """`nodes` weighted atoms on the line with all moments of a density up to 2 · nodes - 1.

    `density` is "normal", N(0, 1), or "uniform", on [-1, 1]: the nodes of Gauss's quadrature.
    """
    import numpy as np

    n = _validate.integer("nodes", nodes, minimum=1)
    rules = {
        "normal": np.polynomial.hermite_e.hermegauss,
        "uniform": np.polynomial.legendre.leggauss,
    }
    if density not in rules:
        raise ValueError(f"density must be one of {', '.join(rules)}, got {density!r}")
    points, weights = rules[density](n)
    weights = torch.from_numpy(weights / weights.sum())
    return atoms(torch.from_numpy(points)[:, None], weights)


def _moments(points: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of equally likely points (K, d)."""
    centred = points - points.mean(0)
    return points.mean(0), centred.T @ centred / len(points)


def _pick(points: Tensor) -> Callable[[int, torch.Generator], Tensor]:
    return lambda n, generator: points[torch.randint(len(points), (n,), generator=generator)]
