"""From traits to looks of parts and back, and from parts to images."""

import torch
from torch import Tensor

from .attributes import CELLS, FRAME, SLOTS, TRAITS, VALUES
from .drawing import masks, templates

PLACE = ("row", "column")  # what comes before the traits in a row of `Faces.traits`


def looks_of(traits: Tensor) -> Tensor:
    """Return (n, slots): which look each slot has, from rows of place and `TRAITS`.

    A slot with a trait of −1 is left empty.
    """
    looks = []
    for slot in SLOTS.values():
        look, count = torch.zeros_like(traits[:, 0]), 1
        columns = [traits[:, len(PLACE) + TRAITS.index(trait)] for trait in slot.traits]
        for trait, column in zip(slot.traits, columns, strict=True):
            look, count = look * len(VALUES[trait]) + column, count * len(VALUES[trait])
        empty = torch.stack(columns).amin(0) < 0
        looks.append(torch.where(empty, count if slot.can_miss else 0, look))
    return torch.stack(looks, 1)


def traits_of(row: Tensor, column: Tensor, looks: Tensor) -> Tensor:
    """Invert `looks_of`: (n, 2 + traits), −1 for the traits of an empty slot."""
    found = {"row": row, "column": column}
    for k, slot in enumerate(SLOTS.values()):
        look = looks[:, k]
        for trait in reversed(slot.traits):
            found[trait] = look % len(VALUES[trait])
            look = look // len(VALUES[trait])
        for trait in slot.traits:  # what is left of the number is 1 for the empty slot
            found[trait] = torch.where(look > 0, -1, found[trait])
    return torch.stack([found[name] for name in (*PLACE, *TRAITS)], 1)


def frames(looks: Tensor, size: int, channels: int) -> Tensor:
    """Put parts (n, slots) together in the frame: (n, channels, F, F), F = 14 · size / 16."""
    width = FRAME * size // CELLS
    parts, masked = templates(size, channels), masks(size)
    out = torch.empty(len(looks), channels, width * width)
    for k, name in enumerate(SLOTS):
        out[:, :, masked[name].flatten()] = parts[name][looks[:, k]]
    return out.reshape(-1, channels, width, width)
