r"""The judge of faces: copy, creative or invalid, and which rules are broken.

*Search.* Slots do not overlap, so the squared distance of an image to any face is a sum over
slots. One matrix product for each place and slot gives the distances to all looks of the part;
the nearest *free* face (any looks, one place) takes the best look of each slot, and the nearest
valid one the best pair of looks of two slots that a rule ties. Both are exact minima, over 10⁸
and over 10⁵ faces.

*Well drawn.* A part of :math:`c` cells is well drawn where the image differs from its nearest look

* by less than 40 % of the way to any other look of the part (`distances.way`): which look it is
  stands beyond doubt;
* by a root mean square of at most 1/4 over the part, and at most 1/2 in each cell, a quarter of the
  range from black to white: nothing is missing or too much.

What surrounds the frame is a part too, with one look.

*Rules.* An image is valid if it breaks none of these:

* local, one for each part: it is well drawn (here, or at another place of the grid);
* long-range, those of the family: two parts share an attribute, judged where both are well drawn;
* global: ``missing``, a slot shows no part at all and the part is nowhere else; ``doubled``, more
  than two eyes or more than one mouth are found, searched for cell by cell over the whole image;
  ``misplaced``, a part is well drawn, but not where the other parts say that it should be.

A valid image is a *copy* if its nearest face is in the training set, and *creative* if not.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ... import _validate
from . import distances
from .attributes import CELLS, FRAME, RULES, SLOTS, TRAITS
from .composing import PLACE, traits_of
from .distances import Costs, Free
from .drawing import masks, templates
from .family import Faces
from .verdicts import Verdicts, join

CELL = 0.5  # root mean square error that a cell may have
SPREAD = 0.25  # the same over a whole part
WAY = 0.4  # how far an image may be on its way to another look
STRICT = 0.5  # the share of these tolerances for a part at another place than the others
FOUND = 0.35  # distance at which a part is found anywhere, as a share of the smallest between looks
BATCH = 1 << 19  # numbers of one batch of images
PARTS = (*SLOTS, "surroundings")
GLOBAL = ("missing", "doubled", "misplaced")
# Parts searched for everywhere: how many there should be, and the slots where.
COUNTED = {"left eye": (2, ("left eye", "right eye")), "mouth": (1, ("mouth",))}


class Oracle:
    """Judges images (n, channels, size, size) against a family of faces and a training set.

    ``Oracle(family, train)(images)`` gives `Verdicts`. Images are judged in batches, in float32
    on their device; 10,000 of size 16 take about a second of one core.

    Limits. Errors stay below 0.1 % for white noise of standard deviation up to 0.1, and none is
    seen for Gaussian blur of up to 0.4, 0.2 and 0.15 cells at sizes 16, 32 and 64; beyond
    that parts count as malformed. The oracle knows the places of the grid alone: a whole face half
    a pixel off the grid is malformed. A cut through two faces is no fault for it if it leaves every
    part within its tolerance or makes another valid face. A part is recognised at another place
    only if it is drawn twice as well as it need be (`STRICT`), and if something is drawn there:
    a plain cheek or a bare spot is not. ``doubled`` sees eyes and mouths, not hats or ears, and
    cell by cell. A long-range rule between parts that are malformed is not judged, so count
    disagreements among images whose parts are well drawn.
    """

    def __init__(self, family: Faces, train: Tensor | Sequence[int] = ()) -> None:
        self.family = family
        self.train = family.indices(train).cpu().unique()
        self.base_rate = len(self.train) / len(family)
        self.rules = (*PARTS, *family.rules, *GLOBAL)
        self.kinds = tuple(
            "local" if r in PARTS else "global" if r in GLOBAL else "long-range" for r in self.rules
        )
        self._gaps = distances.gaps(family)
        self._cells = [int(mask.sum()) for mask in masks(CELLS).values()]
        self._limits = {}  # distances, in cells, at which eyes and mouths are found anywhere
        for name, gap in distances.gaps(Faces(channels=family.channels)).items():
            if name in COUNTED:
                self._limits[name] = FOUND * gap[gap > 0].min().item() ** 0.5

    def __call__(self, images: Tensor) -> Verdicts:
        """Judge images (n, channels, size, size)."""
        side = self.family.size
        images = _validate.floating("images", images).float()
        shape = torch.Size((self.family.channels, side, side))
        _validate.noisy(images, shape, images.device, "images")
        step = max(BATCH // shape.numel(), 1)
        return join([self._judge(part) for part in images.split(step)])

    def _judge(self, y: Tensor) -> Verdicts:
        costs = distances.costs(self.family, y)
        free = distances.nearest_free(costs)
        used = self._used(y, costs, free)
        well = used <= 1
        looks, moved = self._elsewhere(y, costs, free, well[:, :-1])
        places = self.family.positions
        traits = traits_of(free.place // places, free.place % places, looks)
        broken = torch.cat([~(well[:, :-1] | moved), ~well[:, -1:],
                            self._ties(traits, well[:, :-1] | moved),
                            self._global(y, looks, well[:, :-1], moved)], 1)  # fmt: skip
        nearest = distances.nearest_valid(self.family, costs)
        new = (~torch.isin(nearest, self.train.to(y.device))).long()
        distance = (y - self.family.render(nearest.cpu()).to(y)).flatten(1).norm(dim=1)
        return Verdicts(torch.where(broken.any(1), 2, new), broken, traits, nearest, distance,
                        used, self.rules, self.kinds, PARTS, self.base_rate)  # fmt: skip

    def _used(self, y: Tensor, costs: Costs, free: Free) -> Tensor:
        """Share of its tolerance that each part uses, (n, parts), from plain differences."""
        family, (place, looks) = self.family, (free.place.cpu(), free.looks.cpu())
        unit, places = family.size // CELLS, family.positions
        drawn = family.place(place // places, place % places, looks).to(y)
        square = functional.avg_pool2d((y - drawn).square().mean(1, keepdim=True), unit)[:, 0]
        slots = torch.stack(list(masks(CELLS).values())).to(y)
        out = y.new_empty(len(y), len(PARTS))
        for k, (top, left) in enumerate(family.corners()):
            here = (free.place == k).nonzero()[:, 0]
            cells, rows, columns = y.new_zeros(len(PARTS), CELLS, CELLS), top // unit, left // unit
            cells[:-1, rows : rows + FRAME, columns : columns + FRAME] = slots
            cells[-1] = 1 - cells[:-1].sum(0)
            mine, cells = square[here].flatten(1), cells.flatten(1)
            worst = (mine[:, None] * cells).amax(2).sqrt() / CELL
            spread = (mine @ cells.T / cells.sum(1)).sqrt() / SPREAD
            out[here] = torch.maximum(worst, spread)
        for k, name in enumerate(SLOTS):
            cost = costs.looks[name][torch.arange(len(y)), free.place]
            way = distances.way(cost, free.looks[:, k], self._gaps[name]) / WAY
            out[:, k] = torch.maximum(out[:, k], way)
        return out

    def _elsewhere(
        self, y: Tensor, costs: Costs, free: Free, well: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Look for a part that is missing or malformed here at the other places of the grid.

        Returns the looks (n, slots), and which of them come from another place.
        """
        looks, moved = free.looks.clone(), torch.zeros_like(well)
        every = torch.arange(len(looks), device=looks.device)
        for k, (name, slot) in enumerate(SLOTS.items()):
            cost, blank = costs.looks[name], self._blank(name)
            drawn = cost.clone()
            drawn[every, free.place] = torch.inf
            if blank is not None:
                drawn[:, :, blank] = torch.inf
            least, at = drawn.flatten(1).min(1)
            place, look = at // cost.shape[2], at % cost.shape[2]
            near = least <= (STRICT * SPREAD) ** 2 * self._cells[k]
            clear = distances.way(cost[every, place], look, self._gaps[name]) <= STRICT * WAY
            here = well[:, k] & ~(slot.can_miss & (free.looks[:, k] == blank))
            sought = (~here & near & clear).nonzero()[:, 0]
            if not len(sought):
                continue
            worst = distances.worst_cell(self.family, y[sought], place[sought], name, look[sought])
            moved[sought, k] = worst <= STRICT * CELL
            looks[:, k] = torch.where(moved[:, k], look, free.looks[:, k])
        return looks, moved

    def _blank(self, name: str) -> int | None:
        """The look of a slot that draws nothing."""
        if name.endswith("cheek"):
            return 0  # plain
        return len(templates(CELLS, 1)[name]) - 1 if SLOTS[name].can_miss else None

    def _ties(self, traits: Tensor, drawn: Tensor) -> Tensor:
        """Which long-range rules are broken (n, rules), between parts that are well drawn."""
        broken = []
        for rule in self.family.rules:
            a, b = (traits[:, len(PLACE) + TRAITS.index(trait)] for trait in RULES[rule])
            judged = (a >= 0) & (b >= 0)
            for k, slot in enumerate(SLOTS.values()):
                if set(slot.traits) & set(RULES[rule]):
                    judged = judged & drawn[:, k]
            broken.append(judged & (a != b))
        return torch.stack(broken, 1) if broken else drawn[:, :0]

    def _global(self, y: Tensor, looks: Tensor, well: Tensor, moved: Tensor) -> Tensor:
        """Whether a part is missing, doubled or misplaced: (n, 3)."""
        names = list(SLOTS)
        bare = torch.zeros_like(well)
        for k, (name, slot) in enumerate(SLOTS.items()):
            if slot.can_miss:
                bare[:, k] = well[:, k] & (looks[:, k] == self._blank(name))
        misplaced, doubled = moved.any(1), torch.zeros_like(moved[:, 0])
        for name, (expected, where) in COUNTED.items():
            found = distances.count(self.family, y, name, self._limits[name])
            slots = [names.index(slot) for slot in where]
            in_place = (well & ~bare & ~moved)[:, slots].sum(1)
            off = (found >= expected) & (in_place < expected)
            misplaced, doubled = misplaced | off, doubled | (found > expected)
            bare[:, slots] &= ~off[:, None]
        return torch.stack([bare.any(1), doubled, misplaced], 1)
