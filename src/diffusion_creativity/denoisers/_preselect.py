"""The nearest windows of a bank by a k-d tree, and a proven bound on the weight of all others."""

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from . import _same_place
from ._bank import Bank, Region


def preselected(bank: Bank, y: Tensor, sigma: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """Return the mean over the nearest windows, like y (n, C, H, W), and the bound (n, H, W).

    Each neglected window is at least as far as the last one kept. With Z the kept weights and R
    the number of neglected windows times the weight of the last one kept, the neglected share
    is at most R / (R + Z).
    """
    out, bound = torch.empty_like(y), y.new_zeros(len(y), *y.shape[2:], dtype=torch.float64)
    if bank.alone is not None:  # few windows each: exact
        out = _same_place.expectation(bank.alone, bank.box, y.flatten(1), sigma).reshape(y.shape)
    for region in bank.regions():
        tree, centres = _tree(bank, region)
        queries = bank.queries(y, region, torch.float64).cpu().numpy()
        kept = min(neighbours, tree.n)
        distances, which = tree.query(queries, [*range(1, kept + 1)])
        squares = torch.from_numpy(distances).square()  # (queries, kept)
        gaps = squares - squares[:, :1]
        level = sigma.cpu().repeat_interleave(region.count)[:, None]
        weights = torch.where(gaps == 0, 1.0, torch.exp(-gaps / (2 * level**2)))
        total = weights.sum(1)
        mean = (weights[..., None] * centres[which]).sum(1) / total[:, None]
        rest = (tree.n - kept) * weights[:, -1]
        grid = len(y), region.rows.count, region.columns.count
        rows, columns = region.places
        out[:, :, rows, columns] = (
            mean.unflatten(0, grid).movedim(3, 1).to(bank.mean) + bank.mean
        ).to(out.dtype)
        bound[:, rows, columns] = (rest / (rest + total)).reshape(grid).to(bound)
    return out, bound


def _tree(bank: Bank, region: Region) -> tuple[cKDTree, Tensor]:
    """The windows of a region as a tree, and their centres less the mean; built once."""
    if region not in bank.trees:
        tiles = list(bank.tiles(region, torch.float64, merged=False))
        windows = torch.cat([tile.columns(torch.float64)[:-2].T.cpu() for tile in tiles])
        centres = torch.cat([tile.values[:-1].T.cpu() for tile in tiles])
        bank.trees[region] = cKDTree(windows.numpy(), balanced_tree=False), centres
    return bank.trees[region]
