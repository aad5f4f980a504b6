"""How far samples are from the training set: nearest neighbours, copies, novelty.

Samples are tensors (n, *shape); a distance is Euclidean over all the entries of an example.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _groups, _validate
from .._points import Points, slices
from .intervals import Interval, wilson

ROWS = 512  # samples compared at once
LIMIT = 64  # points per sample whose distance is computed exactly


def nearest(
    samples: Tensor, train: Tensor, modulo: str | Sequence[str] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the distance (n,) to the nearest training point, and its index (n,).

    Exact: float32 products find the points that may be nearest, differences in float64 decide, so
    a copy is at distance 0. The first index wins a tie. Cost: 2·n·N·d operations.

    Parameters
    ----------
    samples, train
        Shapes (n, *shape) and (N, *shape).
    modulo
        A group, or several, that training points may be moved by: "translations" (circular, all
        of them at once by FFT), "flips", "quarter_turns"; see `nearest_in_orbit`.
    """
    if modulo is not None:
        return nearest_in_orbit(samples, train, modulo, name="modulo")[:2]
    distances, indices = _nearest(samples, train, 1)
    return distances[:, 0], indices[:, 0]


def nearest_in_orbit(
    samples: Tensor, train: Tensor, group: str | Sequence[str], *, name: str = "group"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return distances, indices and group elements (n,) of the nearest moved training points.

    An element is numbered ``point · L + shift``: shift is the flat index of the place to which the
    corner goes, among L of them (1 without translations); point is the flip or turn before it.
    Cost: n · N · L · log L operations for each of the points; the L shifts are not built.
    """
    train, samples = _pair(samples, train)
    moves = _groups.parse(group, train.shape[1:], name)
    images = moves.spread(train)
    if moves.shifts == 1:
        distances, pair = (t[:, 0] for t in _nearest(samples, images, 1))
    else:
        distances, pair = _groups.nearest(samples.flatten(1), _groups.Shifts(images, moves.space))
        distances = distances.to(samples.dtype)
    return distances, pair // moves.order, pair % moves.order


def copied_fraction(
    samples: Tensor,
    train: Tensor,
    *,
    tolerance: float = 1e-3,
    interval: float | None = None,
    modulo: str | Sequence[str] | None = None,
) -> float | Interval:
    r"""Return the fraction of samples that copy a training point.

    A copy differs from the nearest training point by at most `tolerance` per entry, root mean
    square: :math:`\lVert s - x\rVert \le \text{tolerance}\cdot\sqrt d`. With `interval=0.95` it
    comes with Wilson's interval of that confidence. `modulo` is that of `nearest`.
    """
    tolerance = _validate.real("tolerance", tolerance, minimum=0)
    distances, _ = nearest(samples, train, modulo)
    if not len(distances):
        raise ValueError("samples must hold at least one example, got none")
    size = math.prod(torch.as_tensor(train).shape[1:])
    copies = int((distances <= tolerance * math.sqrt(size)).sum())
    return copies / len(distances) if interval is None else wilson(copies, len(distances), interval)


def novelty_ratio(samples: Tensor, train: Tensor) -> Tensor:
    """Return (n,) distances to the nearest over the second nearest training point.

    0 for a copy, near 1 for a sample that no training point claims; 1 when both distances are 0.
    """
    distances, _ = _nearest(samples, train, 2)
    first, second = distances.unbind(1)
    return torch.where(second > 0, first / second, 1.0)


def _pair(samples: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Check both; the training set comes first."""
    train = _validate.dataset(train, "train")
    samples = _validate.floating("samples", samples)
    return train, _validate.noisy(samples, train.shape[1:], train.device, "samples")


def _nearest(samples: Tensor, train: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances and indices (n, k) of the k nearest training points, nearest first."""
    train, samples = _pair(samples, train)
    if len(train) < k:
        raise ValueError(f"train must hold at least {k} examples, got {len(train)}")
    points, y = Points(train.flatten(1)), samples.flatten(1)
    distances = torch.empty(len(y), k, dtype=y.dtype, device=y.device)
    indices = torch.empty(len(y), k, dtype=torch.long, device=y.device)
    for part in slices(len(y), 1, ROWS):
        distances[part], indices[part] = _nearest_block(points, y[part], k)
    return distances, indices


def _nearest_block(points: Points, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    near = points.near(y, torch.zeros(len(y), device=y.device), LIMIT, rank=k)
    squares = points.squared_distances(y, near.rows, near.columns)
    # Sort by query, then distance, then index; the shortlist comes with indices ascending.
    order = squares.argsort(stable=True)
    order = order[near.rows[order].argsort(stable=True)]
    counts = near.rows.bincount(minlength=len(y))
    first = (counts.cumsum(0) - counts)[~near.crowded, None] + torch.arange(k, device=y.device)
    chosen = order[first]
    distances, indices = y.new_empty(len(y), k), near.rows.new_empty(len(y), k)
    distances[~near.crowded] = squares[chosen].sqrt().to(y.dtype)
    indices[~near.crowded] = near.columns[chosen]
    every = torch.arange(len(points.x), device=y.device)
    for row in near.crowded.nonzero():  # many points at nearly one distance: compare them all
        squares, order = points.squared_distances(y, row.expand_as(every), every).sort(stable=True)
        distances[row], indices[row] = squares[:k].sqrt().to(y.dtype), order[:k]
    return distances, indices
