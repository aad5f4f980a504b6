"""Numbers with their confidence intervals."""

from typing import NamedTuple

from .. import _validate


class Interval(NamedTuple):
    """A number with its confidence interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return successes / trials with Wilson's score interval."""
    trials = _validate.integer("trials", trials, minimum=1)
    successes = _validate.integer("successes", successes)
    if successes > trials:
        raise ValueError(f"successes must be at most trials = {trials}, got {successes}")
    confidence = _validate.real("confidence", confidence, minimum=0, strict=True)
    if confidence >= 1:
        raise ValueError(f"confidence must be below 1, got {confidence:g}")
    from scipy import stats

    ends = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    # Rounding may leave the ends a hair off the value itself.
    value = successes / trials
    return Interval(value, min(ends.low, value), max(ends.high, value))
