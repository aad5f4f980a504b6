"""What the oracle says of images, and its counts with intervals."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

CLASSES = ("copy", "creative", "invalid")


class Share(NamedTuple):
    """How many of how many, as a share with Wilson's score interval."""

    count: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The oracle's verdicts on n images; every tensor is on the device of the images."""

    label: Tensor  # (n,), int64: 0 copy, 1 creative, 2 invalid, as in CLASSES
    broken: Tensor  # (n, rules), bool
    traits: Tensor  # (n, 2 + traits), int64: decoded row, column and TRAITS; −1 where missing
    nearest: Tensor  # (n,), int64: number of the nearest valid face
    distance: Tensor  # (n,): Euclidean distance to it
    used: Tensor  # (n, parts): share of its tolerance that each part uses; at most 1 is well drawn
    rules: tuple[str, ...]  # the columns of `broken`
    kinds: tuple[str, ...]  # "local", "long-range" or "global", for each rule
    parts: tuple[str, ...]  # the columns of `used`
    base_rate: float  # share of the training set among all valid faces

    def __len__(self) -> int:
        return len(self.label)

    @property
    def margin(self) -> Tensor:
        """(n,) tolerance left by the worst part: 1 perfect, 0 on the border, below malformed."""
        return 1 - self.used.amax(1)

    def of_kind(self, kind: str) -> Tensor:
        """(n,) whether an image breaks a rule of a kind: "local", "long-range" or "global"."""
        if kind not in self.kinds and kind != "long-range":  # a family may have none in force
            raise ValueError(f'kind must be "local", "long-range" or "global", got {kind!r}')
        return self.broken[:, [k == kind for k in self.kinds]].any(1)

    def breaks(self, rule: str) -> Tensor:
        """(n,) whether an image breaks a rule."""
        if rule not in self.rules:
            raise ValueError(f"rule must be one of {self.rules}, got {rule!r}")
        return self.broken[:, self.rules.index(rule)]

    def counts(self) -> dict[str, int]:
        """How many images are of each class, break a rule of each kind, and break each rule.

        An image may break several rules, so only the classes add up.
        """
        labels = self.label.bincount(minlength=len(CLASSES)).tolist()
        kinds = {kind: int(self.of_kind(kind).sum()) for kind in ("local", "long-range", "global")}
        rules = dict(zip(self.rules, self.broken.sum(0).tolist(), strict=True))
        return {**dict(zip(CLASSES, labels, strict=True)), **kinds, **rules}

    def summary(self, confidence: float = 0.95) -> dict[str, Share | float]:
        """Return `counts` as shares with intervals, and what copying must be held against.

        ``base_rate`` is the share of the training set among the valid faces: a generator of valid
        faces that remembers nothing copies so often. ``copied_of_valid`` is the share of copies
        among the images that are valid, to compare with it; it is left out if none is.
        """
        if not len(self):
            raise ValueError("there are no verdicts to sum up: the oracle was given no images")
        counts = self.counts()
        valid = counts["copy"] + counts["creative"]
        shares: dict[str, Share | float] = {
            name: share(count, len(self), confidence) for name, count in counts.items()
        }
        if valid:
            shares["copied_of_valid"] = share(counts["copy"], valid, confidence)
        return {**shares, "base_rate": self.base_rate}


def share(count: int, total: int, confidence: float = 0.95) -> Share:
    """Return count / total with Wilson's score interval."""
    from scipy import stats  # slow to import

    ends = stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    value = count / total
    return Share(count, value, min(ends.low, value), max(ends.high, value))


def join(parts: list[Verdicts]) -> Verdicts:
    """Put verdicts of one oracle on several batches together."""
    tensors = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("label", "broken", "traits", "nearest", "distance", "used")
    }
    first = parts[0]
    return Verdicts(**tensors, rules=first.rules, kinds=first.kinds, parts=first.parts,
                    base_rate=first.base_rate)  # fmt: skip
