"""How far to trust the oracle: what it says of images about which the truth is known."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ... import _validate
from .. import toy
from ..images import load
from .attributes import CELLS
from .chimeras import Chimeras, chimeras
from .family import Faces
from .oracle import Oracle
from .verdicts import CLASSES

NOISE = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)  # standard deviations
BLUR = (0.2, 0.3, 0.4, 0.6)  # standard deviations, in cells
VISIBLE = 0.5  # difference of a cell: a quarter of the range from black to white


class Row(NamedTuple):
    """One kind of images: how many are of each class, and break a rule of each kind."""

    kind: str
    expected: str  # a class, "valid" for copy or creative, or "" where there is no one truth
    total: int
    copy: int
    creative: int
    invalid: int
    local: int
    long_range: int
    global_: int

    @property
    def wrong(self) -> int | None:
        """How many are in another class than expected."""
        if not self.expected:
            return None
        if self.expected == "valid":
            return self.invalid
        return self.total - getattr(self, self.expected)


class RuleRow(NamedTuple):
    """One rule on chimeras: how often it is broken for certain and found, kept and yet found."""

    rule: str
    broken: int
    found: int
    kept: int
    false_alarms: int


def table(family: Faces, *, n: int = 1000, seed: int = 0) -> list[Row]:
    """Return the oracle's confusion table, on `n` images of most kinds and cuts of n // 10 pairs.

    Training and held-out faces with white noise; held-out ones blurred, and half a pixel off;
    chimeras of two faces at every column and row, apart by `difference`: those that are valid
    faces, those whose cut does not show (no cell differs from a valid face by more than
    `VISIBLE`, so either verdict is right), and the rest; blends of two faces, inverted contrast,
    1/f textures, and digits.
    """
    n = _validate.integer("n", n, minimum=20)
    train, held_out = family.split(n, held_out=n, seed=seed)
    oracle, generator = family.oracle(train), torch.Generator().manual_seed(seed)
    known, new = family.render(train), family.render(held_out)
    rows = []
    for sigma in NOISE:
        for name, x, expected in (("training", known, "copy"), ("held out", new, "creative")):
            y = x + sigma * torch.randn(x.shape, generator=generator)
            rows.append(_row(oracle, f"{name}, noise {sigma:g}", expected, y))
    rows += [_row(oracle, f"held out, blur {s:g} cells", "creative", _blur(new, s)) for s in BLUR]
    rows.append(_row(oracle, "held out, half a pixel off", "", (new + new.roll(1, 3)) / 2))
    found = cut(family, n // 10, seed=seed)
    for name, expected, where in (
        ("chimeras that are valid faces", "valid", found.difference <= 1e-6),
        ("chimeras without a visible difference", "",
         (found.difference > 1e-6) & (found.difference <= VISIBLE)),
        ("chimeras", "invalid", found.difference > VISIBLE),
    ):  # fmt: skip
        if where.any():
            rows.append(_row(oracle, name, expected, found.images[where]))
    rows.append(_row(oracle, "blends of two faces", "invalid", (new + new.roll(1, 0)) / 2))
    rows.append(_row(oracle, "inverted contrast", "invalid", -new))
    textures = toy.texture(CELLS).sample(n, seed=seed).clamp(-1, 1)
    rows.append(_row(oracle, "1/f textures", "invalid", _resize(family, textures)))
    digits = load("digits").x[:n]
    rows.append(_row(oracle, "digits", "invalid", _resize(family, digits)))
    return rows


def rule_table(family: Faces, found: Chimeras) -> list[RuleRow]:
    """Return, for each rule that chimeras break for certain, how often the oracle finds it.

    `found` are chimeras of the family, as from `cut`.
    """
    verdicts = family.oracle()(found.images)
    rows = []
    for k, rule in enumerate(found.rules):
        said = verdicts.breaks(rule)
        broken, kept = found.broken[:, k] == 1, found.broken[:, k] == 0
        rows.append(RuleRow(rule, int(broken.sum()), int((said & broken).sum()),
                            int(kept.sum()), int((said & kept).sum())))  # fmt: skip
    return rows


def cut(family: Faces, pairs: int, *, seed: int = 0) -> Chimeras:
    """Return the chimeras of random pairs at every column and row; half the pairs share a place."""
    pairs = _validate.integer("pairs", pairs, minimum=2)
    first, second = family.split(pairs, held_out=pairs, seed=seed)
    attributes = family.attributes(second)
    attributes[: pairs // 2, :2] = family.attributes(first)[: pairs // 2, :2]
    second = family.index(attributes)
    columns, rows = (chimeras(family, first, second, axis=a) for a in ("columns", "rows"))
    tensors = (torch.cat(each) for each in zip(columns[:3], rows[:3], strict=True))
    return Chimeras(*tensors, columns.rules)


def _row(oracle: Oracle, kind: str, expected: str, images: Tensor) -> Row:
    counts = oracle(images).counts()
    order = (*CLASSES, "local", "long-range", "global")
    return Row(kind, expected, len(images), *(counts[name] for name in order))


def _resize(family: Faces, x: Tensor) -> Tensor:
    """Images (n, 1, h, w) at the size and with the channels of the family."""
    x = functional.interpolate(x, (family.size, family.size), mode="bilinear", align_corners=False)
    return x.expand(-1, family.channels, -1, -1).contiguous()


def _blur(x: Tensor, cells: float) -> Tensor:
    """Convolve with a Gaussian whose standard deviation is so many cells; borders are repeated."""
    sigma, side = cells * x.shape[-1] / CELLS, x.shape[-1]
    reach = max(int(4 * sigma), 1)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    source = (torch.arange(side)[:, None] + torch.arange(-reach, reach + 1)).clamp(0, side - 1)
    matrix = torch.zeros(side, side).index_put_(
        (torch.arange(side)[:, None].expand_as(source), source),
        (weights / weights.sum()).expand_as(source),
        accumulate=True,
    )
    return matrix @ x @ matrix.T
