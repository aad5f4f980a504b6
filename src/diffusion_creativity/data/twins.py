"""Data sets that look nothing alike and share every moment up to a stated order.

A denoiser that sees only those moments generates the same from both: :prf:ref:`thm-unify-moments`.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _validate

TOLERANCE = 1e-13  # of each moment, for points of root mean square radius 1


def exponents(order: int, d: int) -> Tensor:
    """Return the exponents (M, d) of all monomials in d variables of total degree 1 … `order`."""
    order = _validate.integer("order", order, minimum=1)
    d = _validate.integer("d", d, minimum=1)
    rows = [e for e in itertools.product(range(order + 1), repeat=d) if 1 <= sum(e) <= order]
    return torch.tensor(sorted(rows, key=lambda e: (sum(e), tuple(-v for v in e))))


def moments(x: Tensor | Sequence, order: int) -> Tensor:
    """Return the means (M,) of all monomials of degree 1 … `order` of points (N, d), float64.

    They come in the order of `exponents`; d is small, as M = C(d + order, d) - 1.
    """
    x = _points("x", x)
    return _monomials(x, exponents(order, x.shape[1]))[0].mean(0)


def moment_twin(
    x: Tensor | Sequence, start: Tensor | Sequence, order: int, *, steps: int = 200
) -> Tensor:
    r"""Move the points `start` (K, d) until their moments up to `order` are those of x (N, d).

    First one affine map makes mean and covariance agree; then Gauss–Newton steps of least length,
    :math:`\delta = -J^\top (J J^\top)^{+} r` with the residual r of the moments and its Jacobian J,
    so that `start` keeps its look. Cost of a step: O(K d M²).

    Raises `ValueError` where that fails: too few points, or a shape whose moments cannot come near.
    """
    x, start = _points("x", x), _points("start", start)
    steps = _validate.integer("steps", steps, minimum=1)
    if start.shape[1] != x.shape[1]:
        raise ValueError(f"start must have shape (K, {x.shape[1]}), got {tuple(start.shape)}")
    which = exponents(order, x.shape[1])
    centre = x.mean(0)
    scale = (x - centre).square().sum(1).mean().sqrt().clamp(min=torch.finfo(x.dtype).tiny)
    wanted = _monomials((x - centre) / scale, which)[0].mean(0)
    points = _match_two((x - centre) / scale, start)
    residual = _residual(points, wanted, which)
    for _ in range(steps):
        if residual.abs().max() <= TOLERANCE:
            break
        points, residual = _newton(points, wanted, which, residual)
    if not residual.abs().max() <= 100 * TOLERANCE:
        raise ValueError(
            f"start cannot be moved to the moments of x up to order {order}: after {steps} steps "
            f"they still differ by {residual.abs().max().item():.2g}. Take more points "
            f"(got {len(start)} for {len(which)} moments), another shape or a lower order"
        )
    return centre + scale * points


def second_twin(x: Tensor | Sequence, rank: int | None = None) -> Tensor:
    """Return 2r examples μ ± sqrt(r λ_i) u_i: mean and covariance of x (N, *shape), nothing else.

    With `rank` only the first so many eigenpairs are kept; r is their number.
    """
    x = _validate.dataset(x)
    flat = x.flatten(1).double()
    mean = flat.mean(0)
    _, singular, rows = torch.linalg.svd((flat - mean) / math.sqrt(len(flat)), full_matrices=False)
    kept = int((singular > 1e-12 * singular.max()).sum())
    if rank is not None:
        rank = _validate.integer("rank", rank, minimum=1)
        if rank > kept:
            raise ValueError(f"rank must be at most that of the covariance, {kept}, got {rank}")
        kept = rank
    offsets = math.sqrt(kept) * singular[:kept, None] * rows[:kept]
    return (mean + torch.cat([offsets, -offsets])).reshape(2 * kept, *x.shape[1:])


def _points(name: str, x: Tensor | Sequence) -> Tensor:
    x = _validate.dataset(x, name).double()
    if x.ndim != 2:
        raise ValueError(f"{name} must hold points in shape (N, d), got {tuple(x.shape)}")
    return x


def _monomials(x: Tensor, which: Tensor, gradient: bool = False) -> tuple[Tensor, Tensor | None]:
    """Values (N, M) of the monomials at x (N, d), and their gradients (N, M, d)."""
    which = which.to(x.device)
    parts = x[:, None, :] ** which  # (N, M, d)
    values = parts.prod(-1)
    if not gradient:
        return values, None
    slopes = which * x[:, None, :] ** (which - 1).clamp(min=0)
    columns = []
    for k in range(x.shape[1]):
        others = parts[..., [j for j in range(x.shape[1]) if j != k]].prod(-1)
        columns.append(slopes[..., k] * others)
    return values, torch.stack(columns, -1)


def _residual(points: Tensor, wanted: Tensor, which: Tensor) -> Tensor:
    return _monomials(points, which)[0].mean(0) - wanted


def _match_two(x: Tensor, start: Tensor) -> Tensor:
    """Map `start` affinely, by a symmetric matrix each way, onto mean and covariance of x."""

    def root(points: Tensor) -> Tensor:
        centred = points - points.mean(0)
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(points))
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T

    whiten = torch.linalg.pinv(root(start), hermitian=True)
    return x.mean(0) + (start - start.mean(0)) @ whiten @ root(x)


def _newton(
    points: Tensor, wanted: Tensor, which: Tensor, residual: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of least length that brings the residual down, halved until it does."""
    gradient = _monomials(points, which, gradient=True)[1]  # (K, M, d)
    jacobian = gradient.transpose(0, 1).flatten(1) / len(points)  # (M, K d)
    step = torch.linalg.lstsq(jacobian, -residual[:, None], driver="gelsd").solution
    step = step.reshape(points.shape)
    for _ in range(30):
        moved = points + step
        after = _residual(moved, wanted, which)
        if after.norm() < residual.norm():
            return moved, after
        step = step / 2
    return points, residual
