"""Chimeras, cut from two faces, with the truth about them from pixels and attributes."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .attributes import CELLS, FRAME, RULES, SLOTS, TRAITS
from .composing import PLACE
from .distances import GROUPS, allowed
from .drawing import masks, night, templates
from .family import Faces

BATCH = 1 << 20  # numbers of one batch of images


class Chimeras(NamedTuple):
    """All cuts of m pairs of faces, and what is true of them whatever an oracle says."""

    images: Tensor  # (m · cuts, channels, size, size)
    difference: Tensor  # (m · cuts,): `valid_difference`
    broken: Tensor  # (m · cuts, rules), int8: 1 broken, 0 kept, −1 not known
    rules: tuple[str, ...]  # the long-range rules of the family, and "misplaced"


def chimeras(family: Faces, first: Tensor, second: Tensor, *, axis: str = "columns") -> Chimeras:
    """Cut pairs of faces (m,) at every column or row: the first one, then the second.

    `difference` is 0 where a chimera is a valid face, and small where a cut leaves no visible
    difference: the two faces hardly differ on one of its sides.

    `broken` follows the attributes. A part is intact if all pixels of its slot come from one
    face. A long-range rule is known where each of its two parts is intact exactly once: it is
    broken if they differ. Cheeks are known between faces at one place only, for a plain one
    cannot be told from skin elsewhere. Parts are misplaced for sure where two faces at different
    places give one part each that is intact exactly once.
    """
    if axis not in ("columns", "rows"):
        raise ValueError(f'axis must be "columns" or "rows", got {axis!r}')
    size, cuts = family.size, torch.arange(1, family.size)
    along = torch.arange(size)
    from_first = (along < cuts[:, None])[:, None].expand(-1, size, -1)  # (cuts, size, size)
    if axis == "rows":
        from_first = from_first.transpose(1, 2)
    a, b = family.render(first)[:, None], family.render(second)[:, None]
    images = torch.where(from_first[None, :, None], a, b).flatten(0, 1)
    rules = (*family.rules, "misplaced")
    broken = _broken(family, family.traits(first), family.traits(second), from_first)
    return Chimeras(images, valid_difference(family, images), broken.flatten(0, 1), rules)


def valid_difference(family: Faces, y: Tensor) -> Tensor:
    """How much (n,) the worst cell of an image differs from the valid face where that is least.

    The difference of a cell is the root of its mean square.
    """
    step = max(BATCH // y[:1].numel(), 1) if len(y) else 1
    return torch.cat([_valid_difference(family, part) for part in y.split(step)])


def _valid_difference(family: Faces, y: Tensor) -> Tensor:
    unit, width = family.size // CELLS, FRAME * family.size // CELLS
    parts, masked = templates(family.size, family.channels), masks(family.size)
    square = (y - night(family.channels)[:, None, None]).square().mean(1, keepdim=True)
    outside = functional.avg_pool2d(square, unit)[:, 0]  # (n, CELLS, CELLS)
    least = outside.new_full((len(y),), torch.inf)
    for top, left in family.corners():
        around = outside.clone()
        around[:, top // unit : top // unit + FRAME, left // unit : left // unit + FRAME] = 0
        worst = around.amax((1, 2))
        window = y[..., top : top + width, left : left + width]
        cost = {}
        for name, mask in masked.items():
            differ = [(window[:, :, mask] - look).square().mean(1) for look in parts[name]]
            cost[name] = torch.stack([_worst(each, mask, unit) for each in differ], 1)
        for names in GROUPS:
            found = cost[names[0]]
            if len(names) == 2:
                found = torch.maximum(found[:, :, None], cost[names[1]][:, None])
            found = found.masked_fill(~allowed(family, names), torch.inf).flatten(1).amin(1)
            worst = torch.maximum(worst, found)
        least = torch.minimum(least, worst)
    return least.sqrt()


def _worst(square: Tensor, mask: Tensor, unit: int) -> Tensor:
    """Largest mean over a cell (n,) of what the pixels of a slot hold (n, pixels)."""
    frame = square.new_zeros(len(square), *mask.shape)
    frame[:, mask] = square
    return functional.avg_pool2d(frame, unit).amax((1, 2))


def _broken(family: Faces, first: Tensor, second: Tensor, from_first: Tensor) -> Tensor:
    """What is known of the rules, (m, cuts, rules): see `chimeras`."""
    alone = [_intact(family, first, from_first), _intact(family, second, ~from_first)]
    alone = [alone[0] & ~alone[1], alone[1] & ~alone[0]]  # (m, cuts, slots), each
    one_place = (first[:, :2] == second[:, :2]).all(1)[:, None]
    known = []
    for rule in family.rules:
        slots = [_slot(trait) for trait in RULES[rule]]
        values = [[t[:, len(PLACE) + TRAITS.index(trait), None] for trait in RULES[rule]]
                  for t in (first, second)]  # fmt: skip
        state = torch.full(alone[0].shape[:2], -1, dtype=torch.int8)
        for i in (0, 1):
            for j in (0, 1):
                here = alone[i][..., slots[0]] & alone[j][..., slots[1]]
                if rule == "cheeks":
                    here = here & one_place
                differ = (values[i][0] != values[j][1]).to(torch.int8)
                state = torch.where(here, differ, state)
        known.append(state)
    drawn = [k for k, name in enumerate(SLOTS) if not name.endswith("cheek")]
    both = alone[0][..., drawn].any(2) & alone[1][..., drawn].any(2) & ~one_place
    known.append(torch.where(both, 1, -1).to(torch.int8))
    return torch.stack(known, 2)


def _intact(family: Faces, traits: Tensor, own: Tensor) -> Tensor:
    """Whether the slots of faces lie in their `own` (cuts, size, size) pixels: (m, cuts, slots)."""
    width = FRAME * family.size // CELLS
    slots = torch.stack(list(masks(family.size).values())).flatten(1).float()  # (slots, F²)
    lost = []
    for top, left in family.corners():
        outside = ~own[:, top : top + width, left : left + width]
        lost.append(outside.flatten(1).float() @ slots.T)  # (cuts, slots)
    place = traits[:, 0] * family.positions + traits[:, 1]
    return torch.stack(lost)[place] == 0


def _slot(trait: str) -> int:
    return next(k for k, slot in enumerate(SLOTS.values()) if trait in slot.traits)
