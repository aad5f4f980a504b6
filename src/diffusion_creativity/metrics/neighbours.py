"""How far samples are from the training set: exact nearest neighbours.

Samples are tensors (n, *shape); a distance is Euclidean over all the entries of an example.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _groups, _validate
from .._points import Points, slices

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
    train, samples = pair(samples, train)
    squares, indices = k_nearest(samples.flatten(1), Points(train.flatten(1)), 1)
    return squares[:, 0].sqrt().to(samples.dtype), indices[:, 0]


def nearest_in_orbit(
    samples: Tensor, train: Tensor, group: str | Sequence[str], *, name: str = "group"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return distances, indices and group elements (n,) of the nearest moved training points.

    An element is numbered ``point · L + shift``: shift is the flat index of the place to which the
    corner goes, among L of them (1 without translations); point is the flip or turn before it.
    Cost: n · N · L · log L operations for each of the points; the L shifts are not built.
    """
    train, samples = pair(samples, train)
    moves = _groups.parse(group, train.shape[1:], name)
    images = moves.spread(train)
    if moves.shifts == 1:
        distances, moved = nearest(samples, images)
    else:
        distances, moved = _groups.nearest(samples.flatten(1), _groups.Shifts(images, moves.space))
        distances = distances.to(samples.dtype)
    return distances, moved // moves.order, moved % moves.order


def neighbour_ratio(samples: Tensor, train: Tensor) -> Tensor:
    """Return (n,) distances to the nearest over the second nearest training point.

    0 for a copy, near 1 for a sample that no training point claims; 1 when both distances are 0.
    It sees nothing of a copy whose original is twice in the training set (Yoon et al. 2023).
    """
    train, samples = pair(samples, train)
    squares, _ = k_nearest(samples.flatten(1), Points(train.flatten(1)), 2)
    return ratios(squares).to(samples.dtype)


def ratios(squares: Tensor) -> Tensor:
    """Nearest over second nearest distance, from squares (n, 2); 0/0 is 1."""
    first, second = squares.sqrt().unbind(1)
    return torch.where(second > 0, first / second, 1.0)


def pair(
    samples: Tensor, train: Tensor, names: tuple[str, str] = ("samples", "train")
) -> tuple[Tensor, Tensor]:
    """Check both; the training set comes first."""
    train = _validate.dataset(train, names[1])
    samples = _validate.floating(names[0], samples)
    return train, _validate.noisy(samples, train.shape[1:], train.device, names[0])


def k_nearest(y: Tensor, points: Points, k: int, name: str = "train") -> tuple[Tensor, Tensor]:
    """Squared distances in float64, and indices, (n, k), of the nearest points, nearest first."""
    if len(points.x) < k:
        raise ValueError(f"{name} must hold at least {k} examples, got {len(points.x)}")
    squares = torch.empty(len(y), k, dtype=torch.float64, device=y.device)
    indices = torch.empty(len(y), k, dtype=torch.long, device=y.device)
    for part in slices(len(y), 1, ROWS):
        squares[part], indices[part] = _nearest_block(points, y[part], k)
    return squares, indices


def _nearest_block(points: Points, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    near = points.near(y, torch.zeros(len(y), device=y.device), LIMIT, rank=k)
    squares = points.squared_distances(y, near.rows, near.columns)
    # Sort by query, then distance, then index; the shortlist comes with indices ascending.
    order = squares.argsort(stable=True)
    order = order[near.rows[order].argsort(stable=True)]
    counts = near.rows.bincount(minlength=len(y))
    first = (counts.cumsum(0) - counts)[~near.crowded, None] + torch.arange(k, device=y.device)
    chosen = order[first]
    found, indices = squares.new_empty(len(y), k), near.rows.new_empty(len(y), k)
    found[~near.crowded] = squares[chosen]
    indices[~near.crowded] = near.columns[chosen]
    every = torch.arange(len(points.x), device=y.device)
    for row in near.crowded.nonzero():  # many points at nearly one distance: compare them all
        squares, order = points.squared_distances(y, row.expand_as(every), every).sort(stable=True)
        found[row], indices[row] = squares[:k], order[:k]
    return found, indices
