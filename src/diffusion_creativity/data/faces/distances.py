"""Distances of images to all faces at once: sums over slots, each by one matrix product.

Distances count in cells: a root sum of squares over pixels, divided by the pixels on a side of a
cell and by √channels, so that they mean the same at all sizes.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..._matmul import float32_matmul
from .attributes import CELLS, FRAME, RULES, SLOTS, VALUES
from .composing import traits_of
from .drawing import masks, night, templates
from .family import Faces

# Slots whose looks a rule may tie come together; every other slot stands alone.
GROUPS = (
    ("top", "tie"),
    ("left eye", "right eye"),
    ("left ear", "right ear"),
    ("left cheek", "right cheek"),
    ("left jaw", "right jaw"),
    ("mouth",),
)


class Costs(NamedTuple):
    """Squared distances of n images to every look of every part, at every place."""

    looks: dict[str, Tensor]  # slot: (n, places, looks)
    surroundings: Tensor  # (n, places): of what is around the frame


class Free(NamedTuple):
    """The nearest face of any looks at one place."""

    place: Tensor  # (n,)
    looks: Tensor  # (n, slots)


def scale(family: Faces) -> float:
    """Factor from sums of squares over pixels to those over cells."""
    return 1 / ((family.size // CELLS) ** 2 * family.channels)


def gaps(family: Faces) -> dict[str, Tensor]:
    """Squared distances (looks, looks) between the looks of each part, in cells, float64."""
    found = {}
    for name, looks in templates(family.size, family.channels).items():
        flat = looks.flatten(1).double()
        found[name] = (flat[:, None] - flat).square().sum(2) * scale(family)
    return found


def way(cost: Tensor, look: Tensor, gap: Tensor) -> Tensor:
    r"""How far (n,) an image is on its way from its nearest look t to any other look s of a part.

    .. math:: \max_s \frac{\langle y - t, s - t\rangle}{\lVert s - t\rVert^2}
              = \max_s \frac{\lVert y-t\rVert^2 - \lVert y-s\rVert^2 + \lVert s-t\rVert^2}
              {2\lVert s - t\rVert^2}

    from the squared distances `cost` (n, looks) and `gap` (looks, looks): 0 on t, 1/2 halfway.
    White noise of standard deviation σ moves it by σ over the distance from s to t, however
    large the part.
    """
    apart = gap.to(cost)[look]
    ahead = (cost.gather(1, look[:, None]) - cost + apart) / (2 * apart)
    return ahead.masked_fill(apart == 0, 0).amax(1)


def costs(family: Faces, y: Tensor) -> Costs:
    """Compare images (n, channels, size, size) with every look. GEMM; rounds to about 1e-5."""
    parts, masked = templates(family.size, family.channels), masks(family.size)
    width, background = FRAME * family.size // CELLS, night(family.channels).to(y)
    # Pixels of a slot come together, channels last, so that a slot is a slice of the frame.
    order = torch.cat([mask.flatten().nonzero()[:, 0] for mask in masked.values()]).to(y.device)
    looks = {name: (each.to(y).mT - background).flatten(1) for name, each in parts.items()}
    norms = {name: look.square().sum(1) for name, look in looks.items()}
    moved = y.permute(0, 2, 3, 1) - background
    total = moved.square().sum((1, 2, 3))
    found: dict[str, list[Tensor]] = {name: [] for name in SLOTS}
    around = []
    with float32_matmul(y.device):
        for top, left in family.corners():
            window = moved[:, top : top + width, left : left + width].flatten(1, 2)
            window = window.index_select(1, order).flatten(1)  # (n, F² · channels)
            energy, begin = window.square(), 0
            around.append(total - energy.sum(1))
            for name, look in looks.items():
                part = slice(begin, begin := begin + look.shape[1])
                square = energy[:, part].sum(1, keepdim=True) + norms[name]
                cost = torch.addmm(square, window[:, part], look.T, alpha=-2)
                found[name].append(cost.clamp(min=0))
    each = {name: torch.stack(cost, 1) * scale(family) for name, cost in found.items()}
    return Costs(each, torch.stack(around, 1).clamp(min=0) * scale(family))


def nearest_free(found: Costs) -> Free:
    """Take the best look of each slot: the minimum over all free faces, whatever the rules say."""
    best = [cost.min(2) for cost in found.looks.values()]
    place = (found.surroundings + sum(each.values for each in best)).argmin(1)
    return Free(place, torch.stack([_at(each.indices, place) for each in best], 1))


def nearest_valid(family: Faces, found: Costs) -> Tensor:
    """Take the best allowed looks of each group: the number (n,) of the nearest valid face."""
    total, best = found.surroundings, {}
    for names in GROUPS:
        cost = found.looks[names[0]]
        if len(names) == 2:
            cost = cost[..., None] + found.looks[names[1]][:, :, None]
        forbidden = ~allowed(family, names).to(cost.device)
        least = cost.masked_fill(forbidden, torch.inf).flatten(2).min(2)
        total = total + least.values
        if len(names) == 2:
            count = cost.shape[-1]
            best |= {names[0]: least.indices // count, names[1]: least.indices % count}
        else:
            best[names[0]] = least.indices
    place = total.argmin(1)
    looks = torch.stack([_at(best[name], place) for name in SLOTS], 1)
    traits = traits_of(place // family.positions, place % family.positions, looks)
    return family.number(traits)


def allowed(family: Faces, names: tuple[str, ...]) -> Tensor:
    """Which looks, or pairs of looks, of a group's slots a valid face may have."""
    ties = [RULES[rule] for rule in family.rules]
    counts = [len(looks) for looks in templates(CELLS, 1).values()]
    slots = [list(SLOTS).index(name) for name in names]
    grid = torch.cartesian_prod(*(torch.arange(counts[k]) for k in slots)).reshape(-1, len(names))
    looks = torch.zeros(len(grid), len(SLOTS), dtype=torch.long)
    looks[:, slots] = grid
    zero = torch.zeros(len(grid), dtype=torch.long)
    values = dict(zip(VALUES, traits_of(zero, zero, looks)[:, 2:].T, strict=True))
    own = {trait for name in names for trait in SLOTS[name].traits}
    good = torch.stack([values[trait] >= 0 for trait in own]).all(0)
    for a, b in ties:
        if a in own and b in own:
            good &= values[a] == values[b]
    return good.reshape([counts[k] for k in slots])


def count(family: Faces, y: Tensor, slot: str, limit: float) -> Tensor:
    """How many times (n,) a part is found, within `limit`, cell by cell over the whole image."""
    unit = family.size // CELLS
    cells = functional.avg_pool2d(y, unit) if unit > 1 else y
    top, bottom, left, right = SLOTS[slot].boxes[0]
    looks = templates(CELLS, family.channels)[slot][:-1].to(y)  # all but the empty one
    looks = looks.unflatten(2, (bottom - top, right - left))
    products = functional.conv2d(cells, looks)  # (n, looks, shifts, shifts)
    energy = functional.conv2d(cells.square(), torch.ones_like(looks[:1]))
    square = looks.square().sum((1, 2, 3))[:, None, None] - 2 * products
    away = energy + square.amin(1, keepdim=True)
    # Parts do not overlap: of several near ones only the nearest counts.
    reach = (bottom - top - 1, right - left - 1)
    window = (2 * reach[0] + 1, 2 * reach[1] + 1)
    best = away <= -functional.max_pool2d(-away, window, stride=1, padding=reach)
    return (best & (away <= limit**2 * family.channels)).sum((1, 2, 3))


def worst_cell(family: Faces, y: Tensor, place: Tensor, slot: str, look: Tensor) -> Tensor:
    """Largest root mean square (n,) over a cell of images less a look of a part at a place."""
    mask, width = masks(family.size)[slot], FRAME * family.size // CELLS
    looks = templates(family.size, family.channels)[slot].to(y)
    cells = cells_of(family.size)[mask].to(y.device)
    out = y.new_empty(len(y))
    for k, (top, left) in enumerate(family.corners()):
        here = (place == k).nonzero()[:, 0]
        window = y[here, :, top : top + width, left : left + width]
        square = (window[:, :, mask.to(y.device)] - looks[look[here]]).square().mean(1)
        sums = square.new_zeros(len(here), FRAME**2).index_add_(1, cells, square)
        out[here] = sums.amax(1).sqrt() / (family.size // CELLS)
    return out


def cells_of(size: int) -> Tensor:
    """The number (F, F) of the cell in which each pixel of the frame lies, 0 … 14² - 1."""
    unit = size // CELLS
    numbers = torch.arange(FRAME**2).reshape(FRAME, FRAME)
    return numbers.repeat_interleave(unit, 0).repeat_interleave(unit, 1)


def _at(indices: Tensor, place: Tensor) -> Tensor:
    return indices.gather(1, place[:, None])[:, 0]


def separation(family: Faces) -> dict[str, float]:
    """How far apart faces at one place are, as Euclidean distances between images.

    ``valid``: between the two most similar valid faces; for each long-range rule in force: between
    a valid face and the most similar one that breaks this rule alone; ``missing``: between a
    valid face and the most similar one with a part left out. Exact, slot by slot.
    """
    gap = gaps(family)
    looks = {
        name: torch.zeros(len(each), len(SLOTS), dtype=torch.long) for name, each in gap.items()
    }
    found = {"valid": min(_between(family, gap, names) for names in GROUPS)}
    for rule in family.rules:
        near = []
        for trait in RULES[rule]:
            k, name = next((k, n) for k, n in enumerate(SLOTS) if trait in SLOTS[n].traits)
            looks[name][:, k] = torch.arange(len(gap[name]))
            own = traits_of(*[looks[name][:, 0] * 0] * 2, looks[name])[:, 2:]
            differ = own[:, None] != own  # (looks, looks, traits)
            only = differ.sum(2) == 1
            near.append(gap[name][only & differ[..., list(VALUES).index(trait)]].min().item())
        found[rule] = min(near)
    bare = [gap[name][-1, :-1].min().item() for name, slot in SLOTS.items() if slot.can_miss]
    found["missing"] = min(bare)
    return {name: (square / scale(family)) ** 0.5 for name, square in found.items()}


def _between(family: Faces, gap: dict[str, Tensor], names: tuple[str, ...]) -> float:
    """Smallest squared distance between two valid states of a group of slots."""
    states = allowed(family, names).nonzero()  # (states, slots)
    square = sum(gap[name][states[:, k]][:, states[:, k]] for k, name in enumerate(names))
    return square[~torch.eye(len(states), dtype=torch.bool)].min().item()
