"""Faces that break one chosen rule, for teaching and for testing the oracle."""

import torch
from torch import Tensor

from ... import _validate
from .attributes import CELLS, FRAME, OFFSETS, RULES, SLOTS, TRAITS, VALUES
from .composing import PLACE, frames, looks_of
from .drawing import masks, templates
from .family import Faces
from .oracle import GLOBAL, PARTS


def break_rule(family: Faces, indices: Tensor, rule: str, *, seed: int = 0) -> Tensor:
    """Draw valid faces (n,) with one rule broken: (n, channels, size, size).

    * A long-range rule of the family: the second of the two parts takes another value.
    * A part, or ``"surroundings"``: one of its cells is blotted out, black or white.
    * ``"missing"``: a part is left out. ``"doubled"``: the mouth is there once more, on the
      forehead (so the top is malformed, too). ``"misplaced"``: the mouth sits one cell to a side.
    """
    takes = (*family.rules, *PARTS, *GLOBAL)
    if rule not in takes:
        raise ValueError(f"rule must be one of {takes} for this family, got {rule!r}")
    generator = torch.Generator().manual_seed(_validate.integer("seed", seed))
    traits = family.traits(indices)
    if rule in RULES:
        return family.draw(_change(traits, RULES[rule][1], generator))
    if rule == "missing":
        return family.draw(_leave_out(traits, generator))
    images = family.draw(traits)
    if rule in PARTS:
        return _blot(family, images, traits, rule, generator)
    return _move_mouth(family, images, traits, rule, generator)


def _change(traits: Tensor, trait: str, generator: torch.Generator) -> Tensor:
    """Give a trait another value, at random."""
    column, count = len(PLACE) + TRAITS.index(trait), len(VALUES[trait])
    out = traits.clone()
    step = torch.randint(1, count, (len(out),), generator=generator)
    out[:, column] = (out[:, column] + step) % count
    return out


def _leave_out(traits: Tensor, generator: torch.Generator) -> Tensor:
    slots = [slot for slot in SLOTS.values() if slot.can_miss]
    which = torch.randint(len(slots), (len(traits),), generator=generator)
    out = traits.clone()
    for k, slot in enumerate(slots):
        for trait in slot.traits:
            out[which == k, len(PLACE) + TRAITS.index(trait)] = -1
    return out


def _corners(family: Faces, traits: Tensor) -> Tensor:
    """Top left corner (n, 2) of the frames, in cells."""
    return torch.tensor(OFFSETS[family.positions])[traits[:, :2]]


def _blot(
    family: Faces, images: Tensor, traits: Tensor, part: str, generator: torch.Generator
) -> Tensor:
    """Paint one cell of a part white where it is dark, and black where it is light."""
    unit = family.size // CELLS
    for image, (top, left) in zip(images, _corners(family, traits).tolist(), strict=True):
        inside = torch.zeros(CELLS, CELLS, dtype=torch.bool)
        frame = inside[top : top + FRAME, left : left + FRAME]
        if part == "surroundings":
            inside |= True
            frame &= False
        else:
            frame |= masks(CELLS)[part]
        cells = inside.nonzero()
        row, column = (cells[torch.randint(len(cells), (), generator=generator)] * unit).tolist()
        cell = image[:, row : row + unit, column : column + unit]
        cell.fill_(1 if cell.mean() < 0 else -1)
    return images


def _move_mouth(
    family: Faces, images: Tensor, traits: Tensor, rule: str, generator: torch.Generator
) -> Tensor:
    unit = family.size // CELLS
    top, bottom, left, right = (edge * unit for edge in SLOTS["mouth"].boxes[0])
    looks = looks_of(traits)
    mouths = frames(looks, family.size, family.channels)[:, :, top:bottom, left:right]
    looks[:, list(SLOTS).index("mouth")] = len(templates(CELLS, 1)["mouth"]) - 1
    if rule == "misplaced":
        images = family.place(traits[:, 0], traits[:, 1], looks)
        down = torch.zeros(len(images), dtype=torch.long)
        across = 2 * torch.randint(2, (len(images),), generator=generator) - 1
    else:
        down = torch.full((len(images),), 1 - SLOTS["mouth"].boxes[0][0])  # to row 1 of the frame
        across = torch.zeros_like(down)
    to = (_corners(family, traits) + torch.stack([down, across], 1)) * unit
    for image, mouth, (y, x) in zip(images, mouths, to.tolist(), strict=True):
        image[:, top + y : bottom + y, left + x : right + x] = mouth
    return images
