"""What each change of the UNet was expected to do, written down before the study was run.

`judge` holds every expectation against the result, by the same rule for all.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from .results import Result

SAME = 0.1  # shares that differ by less count as the same


@dataclass(frozen=True)
class Hypothesis:
    """How a measure of a network should differ from the baseline's, on faces."""

    network: str
    size: str  # of the training set: "many" or "few"
    measure: str  # a share in the result, such as "invalid"
    expected: str  # "more", "less" or "same"
    because: str


def _same(networks: Iterable[str], because: str) -> tuple[Hypothesis, ...]:
    return tuple(Hypothesis(n, "many", "invalid", "same", because) for n in networks)


CIRCULAR = (
    "Moving the noise by the coarsest grid moves the sample: a face is as likely at each of the "
    "16 places, and only one of them is right."
)
CELLS = (
    "Kernels of one pixel, halved by stride, see one pixel of each 4 × 4 block; only the group "
    "norms carry anything across."
)
LINEAR = (
    "Without a nonlinearity the network is linear but for its norms: nearly a Gaussian, and no "
    "sample of a Gaussian is a face."
)
SHORT = (
    "Its convolutions see less than the image: parts can be right where they are, and the two "
    "sides cannot agree."
)

HYPOTHESES: tuple[Hypothesis, ...] = (
    Hypothesis("skips none", "many", "local", "more",
               "All detail has to pass the coarsest grid."),
    *_same(["skips only 16"], "The skip at full size carries the detail; the path below still "
           "sees the whole face."),
    Hypothesis("skips only 8", "many", "local", "more",
               "Detail of single pixels has no way around the halving."),
    *_same(["bottleneck 1", "bottleneck 4", "bottleneck 16"],
           "The skips go around the bottleneck, and the level above it sees the whole face too."),
    Hypothesis("kernel 1", "many", "long-range", "more", CELLS),
    Hypothesis("kernel 1", "many", "invalid", "more", CELLS),
    *_same(["kernel 5"], "It sees no more than the baseline does already."),
    Hypothesis("padding circular", "many", "invalid", "more", CIRCULAR),
    Hypothesis("padding circular", "few", "copy", "less", CIRCULAR),
    Hypothesis("padding reflect", "many", "invalid", "more",
               "The border no longer tells where the image ends."),
    *_same(["down average", "down max", "down unshuffle", "up bilinear", "up transposed"],
           "The convolutions around it can make up for it."),
    *_same(["norm pixel", "norm none"], "Normalisation eases training; it does not decide what "
           "the network sees."),
    Hypothesis("norm batch", "many", "invalid", "more",
               "Its statistics mix noise levels in training, and belong to none in sampling."),
    *_same(["activation relu"], "One kind of bend is as good as another."),
    Hypothesis("activation identity", "many", "invalid", "more", LINEAR),
    Hypothesis("activation identity", "few", "copy", "less", LINEAR),
    Hypothesis("activation square", "many", "invalid", "more",
               "It is even and steep: hard to train, and what leaves the data runs away."),
    *_same(["conditioning concatenate", "conditioning none"],
           "The noise level can be read off the image."),
    *_same(["combine concatenate"], "A sum is a concatenation with tied weights."),
    Hypothesis("depth 0", "many", "long-range", "more", SHORT),
    Hypothesis("depth 0", "many", "invalid", "more", SHORT),
    Hypothesis("depth 0", "few", "copy", "less", SHORT),
    Hypothesis("depth 1", "many", "long-range", "more",
               "It reaches across the face, but few of its layers do."),
    *_same(["depth 3"], "One more level sees nothing new."),
    *_same(["attention 8", "attention 4"], "The baseline sees the whole face without it."),
    *_same(["bias-free"], "What it must add it can take from the input."),
    Hypothesis("control depth 0", "many", "invalid", "more",
               "A smaller network of the same design knows faces less well."),
    Hypothesis("control depth 1", "many", "invalid", "more",
               "A smaller network of the same design knows faces less well."),
    *(Hypothesis(name, "few", "copy", "same", "A network that sees the whole face can store a "
                 "few of them, whatever else is changed.")
      for name in ("skips none", "skips only 16", "bottleneck 1", "norm none",
                   "activation relu", "conditioning none", "attention 8")),
)  # fmt: skip


class Verdict(NamedTuple):
    """What came of a hypothesis: shares, their difference, and what it says."""

    hypothesis: Hypothesis
    value: float  # mean over seeds
    baseline: float
    low: float  # the simultaneous 95 % interval of the difference of shares
    high: float
    outcome: str  # "hit", "miss" or "open"


def judge(result: Result, hypotheses: Iterable[Hypothesis] = HYPOTHESES) -> list[Verdict]:
    """Hold hypotheses against a result of `unet_study`, those whose units are there.

    Networks are compared with the baseline by Dunnett's test, which allows for all comparisons of
    a measure at once and pools the variance between seeds over all networks, on the scale
    ``arcsin √share``, on which the spread of a share does not depend on the share. The ends of its
    interval are taken back to shares at the baseline's mean.

    "more" and "less" are hits where the interval lies on that side of 0 and misses where it lies on
    the other side or within ±`SAME`. "same" is a hit where it lies within ±`SAME`, and a miss where
    it lies outside on either side of ±0 and the difference is larger than `SAME`. All else is open.
    """
    tables = {pair: _compared(result, *pair) for pair in {(h.size, h.measure) for h in hypotheses}}
    return [
        Verdict(h, *row, _outcome(h.expected, *row[:4]))
        for h in hypotheses
        if (row := tables[h.size, h.measure].get(h.network))
    ]


def _compared(result: Result, size: str, measure: str) -> dict[str, tuple[float, ...]]:
    """Mean, baseline's mean, and ends of the difference, for each network."""
    from scipy import stats

    shares: dict[str, list[float]] = {}
    for unit in result.record["units"]:
        data, its, name = unit["variant"].split("-", 2)
        if (data, its) == ("faces", size):
            shares.setdefault(name.replace("_", " "), []).append(unit["metrics"][measure])
    own = shares.pop("baseline", [])
    if len(own) < 2 or not shares:
        return {}
    turned = {name: [_turn(v) for v in values] for name, values in shares.items()}
    control = [_turn(v) for v in own]
    ends = stats.dunnett(*turned.values(), control=control, random_state=0).confidence_interval()
    at, base = sum(control) / len(control), sum(own) / len(own)

    def difference(end: float) -> float:
        return math.sin(min(max(at + end, 0.0), math.pi / 2)) ** 2 - math.sin(at) ** 2

    return {
        name: (sum(values) / len(values), base, difference(low), difference(high))
        for (name, values), low, high in zip(shares.items(), ends.low, ends.high, strict=True)
    }


def _turn(share: float) -> float:
    return math.asin(math.sqrt(share))


def _outcome(expected: str, value: float, baseline: float, low: float, high: float) -> str:
    within = low >= -SAME and high <= SAME
    if expected == "same":
        apart = (low > 0 or high < 0) and abs(value - baseline) > SAME
        return "hit" if within else "miss" if apart else "open"
    if expected == "less":
        low, high = -high, -low
    return "hit" if low > 0 else "miss" if high < 0 or within else "open"
