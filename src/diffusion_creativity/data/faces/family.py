"""A family of faces: every valid one by its number, drawn from the parts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ... import _validate
from ..images import ImageSet
from .attributes import CELLS, OFFSETS, RULES, TRAITS, VALUES
from .composing import PLACE, frames, looks_of
from .drawing import night

if TYPE_CHECKING:
    from .oracle import Oracle

Wanted = Mapping[str, str | Sequence[str]]  # attribute: one value, or several


class Split(NamedTuple):
    """Numbers of training faces, and of valid faces held out from them."""

    train: Tensor  # (n,), int64
    held_out: Tensor  # (m,), int64


@dataclass(frozen=True)
class Faces:
    """All valid faces of one kind, numbered 0 … len - 1: 157,464 of them by default.

    A valid face chooses one value of each attribute (`values`). Each long-range rule in force
    makes two distant parts share an attribute; without it they choose freely, and there are more
    valid faces. Numbers are mixed radix: `attributes` takes them apart, `index` puts them together.

    >>> family = Faces()
    >>> train, held_out = family.split(500, seed=0)
    >>> x = family.render(train)  # (500, 1, 16, 16) in [-1, 1]
    >>> verdicts = family.oracle(train)(x)
    """

    size: int = 16  # pixels on each side: 16, 32 or 64
    channels: int = 1  # 1 grey, 3 colour
    positions: int = 3  # places on each axis: 1, 2 or 3, at most two cells apart
    long_range_rules: int | tuple[str, ...] = len(RULES)  # the first so many RULES, or their names

    def __post_init__(self) -> None:
        for name, takes in (("size", (16, 32, 64)), ("channels", (1, 3)), ("positions", (1, 2, 3))):
            value = getattr(self, name)
            if isinstance(value, bool) or value not in takes:
                raise ValueError(f"{name} must be one of {takes}, got {value!r}")
        if not isinstance(self.long_range_rules, tuple):
            count = _validate.integer("long_range_rules", self.long_range_rules)
            if count > len(RULES):
                raise ValueError(f"long_range_rules must be at most {len(RULES)}, got {count}")
        elif unknown := set(self.long_range_rules) - set(RULES):
            raise ValueError(f"long_range_rules takes {tuple(RULES)}, got {sorted(unknown)}")

    @property
    def rules(self) -> tuple[str, ...]:
        """The long-range rules in force."""
        chosen = self.long_range_rules
        if isinstance(chosen, tuple):
            return tuple(rule for rule in RULES if rule in chosen)
        return tuple(RULES)[:chosen]

    @property
    def values(self) -> dict[str, tuple[str, ...]]:
        """The attributes of a valid face, in order, and the names of their values."""
        places = tuple(str(k) for k in range(self.positions))
        tied = self._tied()
        shared = {tied.get(trait, trait): names for trait, names in VALUES.items()}
        return {**dict.fromkeys(PLACE, places), **shared}

    def __len__(self) -> int:
        return math.prod(self._sizes())

    def attributes(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Return (n, attributes): which value each attribute has, in the order of `values`."""
        left, digits = self.indices(indices), []
        for count in reversed(self._sizes()):
            digits.append(left % count)
            left = left // count
        return torch.stack(digits[::-1], 1)

    def index(self, attributes: Tensor | Sequence[Sequence[int]]) -> Tensor:
        """Return the numbers (n,) of the faces with `attributes` (n, attributes)."""
        attributes, sizes = torch.as_tensor(attributes), torch.tensor(self._sizes())
        if attributes.is_floating_point() or attributes.shape != (len(attributes), len(sizes)):
            raise ValueError(f"attributes must be integers of shape (n, {len(sizes)}), got "
                             f"{attributes.dtype} of shape {tuple(attributes.shape)}")  # fmt: skip
        sizes = sizes.to(attributes.device)
        if ((attributes < 0) | (attributes >= sizes)).any():
            raise ValueError(f"attributes must lie in 0 … {(sizes - 1).tolist()}")
        return (attributes * (sizes.flip(0).cumprod(0).flip(0) // sizes)).sum(1)

    def describe(self, index: int) -> dict[str, str]:
        """Return the attributes of one face in words."""
        digits = self.attributes([index])[0].tolist()
        return {name: v[k] for (name, v), k in zip(self.values.items(), digits, strict=True)}

    def indices(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Return numbers of faces as (n,) int64, checked."""
        found = torch.as_tensor(indices)
        found = found.long() if found.numel() == 0 else found
        if found.ndim != 1 or found.dtype.is_floating_point or found.dtype == torch.bool:
            raise ValueError(f"indices must be a vector of integers, got {found.dtype} of shape "
                             f"{tuple(found.shape)}")  # fmt: skip
        if ((found < 0) | (found >= len(self))).any():
            raise ValueError(f"indices must lie in 0 … {len(self) - 1}, got {found.min().item()} "
                             f"… {found.max().item()}")  # fmt: skip
        return found.long()

    def traits(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Return (n, 2 + traits): row, column and each of `TRAITS`, shared ones written out."""
        tied, names = self._tied(), list(self.values)
        columns = [names.index(tied.get(name, name)) for name in (*PLACE, *TRAITS)]
        return self.attributes(indices)[:, columns]

    def number(self, traits: Tensor) -> Tensor:
        """Invert `traits`, for valid faces: where a rule ties two traits the first one counts."""
        tied, names = self._tied(), [*PLACE, *TRAITS]
        shared = [tied.get(name, name) for name in names]
        return self.index(traits[:, [shared.index(name) for name in self.values]])

    def render(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Draw valid faces: (n, channels, size, size), float32 in [-1, 1]."""
        return self.draw(self.traits(indices))

    def draw(self, traits: Tensor) -> Tensor:
        """Draw faces, valid or not, from rows of place and `TRAITS`; −1 leaves a part out."""
        return self.place(traits[:, 0], traits[:, 1], looks_of(traits))

    def place(self, row: Tensor, column: Tensor, looks: Tensor) -> Tensor:
        """Draw faces from the looks (n, slots) of their parts, at the places (n,)."""
        frame = frames(looks, self.size, self.channels)
        shape = (len(looks), self.channels, self.size, self.size)
        out = night(self.channels)[:, None, None].expand(shape).clone()
        width = frame.shape[-1]
        for place, (top, left) in enumerate(self.corners()):
            here = (row * self.positions + column == place).nonzero()[:, 0]
            out[here, :, top : top + width, left : left + width] = frame[here]
        return out

    def corners(self) -> list[tuple[int, int]]:
        """Top left corner of the frame in pixels, for each place, row by row."""
        offsets = [k * self.size // CELLS for k in OFFSETS[self.positions]]
        return [(top, left) for top in offsets for left in offsets]

    def images(self, indices: Tensor | Sequence[int]) -> ImageSet:
        """Return valid faces as an image set; the labels are their numbers."""
        indices = self.indices(indices)
        return ImageSet(self.render(indices), indices, "faces", "CC0 1.0", "drawn by this package")

    def oracle(self, train: Tensor | Sequence[int] = ()) -> "Oracle":
        """Return the judge of images; `train` holds the numbers of the training faces."""
        from .oracle import Oracle

        return Oracle(self, train)

    def split(
        self, n: int, *, held_out: int = 1000, seed: int = 0, never: Wanted | None = None
    ) -> Split:
        """Choose `n` training faces and `held_out` other valid ones at random.

        With `never` no training face has all of its values together, as in
        ``never={"hat": "top hat", "mouth": ("smile", "grin")}``, and all that are held out have.
        """
        n = _validate.integer("n", n, minimum=1)
        held_out = _validate.integer("held_out", held_out)
        rng = np.random.default_rng(_validate.integer("seed", seed))
        if never is None:
            chosen = self._choose("n + held_out", n + held_out, rng, None, len(self))
            return Split(chosen[:n], chosen[n:])
        box = self._box(never)
        within = math.prod(int(allowed.sum()) for allowed in box)
        train = self._choose("n", n, rng, (box, False), len(self) - within)
        return Split(train, self._choose("held_out", held_out, rng, (box, True), within))

    def _choose(
        self,
        name: str,
        count: int,
        rng: np.random.Generator,
        box: tuple[list[Tensor], bool] | None,
        available: int,
    ) -> Tensor:
        """Choose `count` distinct faces inside or outside a box of attributes."""
        if count > available:
            raise ValueError(f"{name} must be at most {available} here, got {count}")
        tries = min(len(self), math.ceil(1.2 * count * len(self) / max(available, 1)) + 200)
        while True:
            found = torch.from_numpy(rng.choice(len(self), tries, replace=False))
            if box is not None:
                digits = self.attributes(found)
                inside = torch.stack([a[digits[:, k]] for k, a in enumerate(box[0])]).all(0)
                found = found[inside == box[1]]
            if len(found) >= count:
                return found[:count]
            tries = min(2 * tries, len(self))

    def _box(self, wanted: Wanted) -> list[Tensor]:
        """For each attribute, which of its values `wanted` allows."""
        if not wanted or (unknown := set(wanted) - set(self.values)):
            raise ValueError(f"never takes attributes out of {tuple(self.values)}, got "
                             f"{sorted(unknown) if wanted else wanted!r}")  # fmt: skip
        box = []
        for name, names in self.values.items():
            chosen = wanted.get(name, names)
            chosen = (chosen,) if isinstance(chosen, str) else tuple(chosen)
            if not chosen or set(chosen) - set(names):
                raise ValueError(f"never[{name!r}] takes values out of {names}, got {chosen}")
            box.append(torch.tensor([value in chosen for value in names]))
        return box

    def _tied(self) -> dict[str, str]:
        """The name of the attribute for each trait that shares it."""
        return {trait: rule for rule in self.rules for trait in RULES[rule]}

    def _sizes(self) -> list[int]:
        return [len(names) for names in self.values.values()]
