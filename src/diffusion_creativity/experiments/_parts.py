"""Denoisers that treat groups of parts of a face apart, and how far apart tied parts lie."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..data.faces.attributes import RULES, SLOTS
from ..data.faces.composing import looks_of
from ..data.faces.distances import GROUPS, allowed
from ..data.faces.drawing import masks
from ..data.faces.family import Faces

Denoiser = Callable[[Tensor, float], Tensor]


class Group(NamedTuple):
    """Slots that are independent of all others in a family, with all that they can show."""

    slots: tuple[str, ...]
    images: Tensor  # (states, channels, size, size): each state, all other slots always the same
    mask: Tensor  # (size, size): the pixels of the slots


class Separate:
    """A denoiser put together from others, each for its own pixels; the rest stays `background`."""

    def __init__(self, parts: list[tuple[Denoiser, Tensor]], background: Tensor) -> None:
        self.parts, self.background = parts, background

    def __call__(self, y: Tensor, sigma: float) -> Tensor:
        """Return the estimate, like y (n, C, H, W)."""
        out = self.background.to(y).expand_as(y).clone()
        for denoise, mask in self.parts:
            out[..., mask] = denoise(y, sigma)[..., mask]
        return out


def groups(family: Faces) -> list[Group]:
    """Split a family at one place into the groups of slots that its law draws independently.

    A valid face takes one state of each group, all of them equally likely.
    """
    if family.positions != 1:
        raise ValueError(
            "family must have positions=1, for a place ties all its parts, "
            f"got positions={family.positions}"
        )
    plain, names = looks_of(family.traits([0])), list(SLOTS)
    found = []
    for slots in GROUPS:
        states = allowed(family, slots).nonzero()  # (states, slots)
        looks = plain.repeat(len(states), 1)
        looks[:, [names.index(name) for name in slots]] = states
        place = torch.zeros(len(states), dtype=torch.long)
        mask = torch.stack([_at_place(family, name) for name in slots]).any(0)
        found.append(Group(slots, family.place(place, place, looks), mask))
    return found


def population(family: Faces, fit: Callable[[Tensor], Denoiser]) -> Separate:
    """Return the denoiser that `fit` would give on all valid faces at once, each once.

    Holds for denoisers that are posterior means given some of the pixels. Groups are independent,
    so what is seen of another group says nothing (:prf:ref:`prop-align-local`), and the states of
    one group do for all faces: tens of images for 10⁴ to 10⁷.
    """
    parts = [(fit(group.images), group.mask) for group in groups(family)]
    return Separate(parts, family.render([0]))


def rule_gaps(family: Faces) -> dict[str, int]:
    """How far apart the parts tied by each of `RULES` lie, in pixels.

    The least distance between pixels that vary, the greater of rows and columns: a window shows
    something of both parts, around a pixel of one, if it reaches so far.
    """
    free = Faces(family.size, family.channels, positions=1, long_range_rules=0)
    varying = {}
    for group in groups(free):
        moves = (group.images != group.images[:1]).any(0).any(0)
        for name in group.slots:
            varying[name] = (moves & _at_place(free, name)).nonzero()
    tied = {rule: [slot_of(trait) for trait in pair] for rule, pair in RULES.items()}
    return {
        rule: int((varying[a][:, None] - varying[b]).abs().amax(2).min())
        for rule, (a, b) in tied.items()
    }


def _at_place(family: Faces, slot: str) -> Tensor:
    """Pixels of a slot in the whole image, (size, size)."""
    out = torch.zeros(family.size, family.size, dtype=torch.bool)
    (top, left), mask = family.corners()[0], masks(family.size)[slot]
    out[top : top + len(mask), left : left + len(mask)] = mask
    return out


def slot_of(trait: str) -> str:
    """Return the slot whose look depends on a trait."""
    return next(name for name, slot in SLOTS.items() if trait in slot.traits)
