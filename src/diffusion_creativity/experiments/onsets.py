"""When curves over training time reach a threshold, and how that time grows with the data."""

import math
from collections.abc import Sequence

import torch

from .. import _validate
from ..metrics.intervals import Interval


def onset(steps: Sequence[int], values: Sequence[float], threshold: float) -> float:
    """Return when a curve first reaches a threshold, NaN if never.

    Between two moments it is interpolated linearly in the logarithm of the step. A curve that
    begins above the threshold has its onset at the first moment at the latest: that one is
    returned.
    """
    if len(steps) != len(values) or len(steps) == 0:
        raise ValueError(f"values must be as many as steps = {len(steps)}, got {len(values)}")
    before = None
    for step, value in zip(steps, values, strict=True):
        if value >= threshold:
            if before is None:
                return float(step)
            share = (threshold - before[1]) / (value - before[1])
            return math.exp(math.log(before[0]) + share * math.log(step / before[0]))
        before = step, value
    return math.nan


def exponent(sizes: Sequence[float], times: Sequence[float], confidence: float = 0.95) -> Interval:
    r"""Return the slope of :math:`\ln\tau` against :math:`\ln N` by least squares.

    The interval is Student's: it takes the points for independent, with errors of one size. Points
    with no finite time are left out; fewer than three others raise ValueError.
    """
    from scipy import stats  # slow to import

    confidence = _validate.real("confidence", confidence, minimum=0, strict=True)
    pairs = [(n, t) for n, t in zip(sizes, times, strict=True) if math.isfinite(t)]
    if len(pairs) < 3:
        raise ValueError(f"times must have three finite ones at least, got {list(times)}")
    fit = stats.linregress(*torch.tensor(pairs, dtype=torch.float64).log().T.numpy())
    half = float(stats.t.ppf((1 + confidence) / 2, len(pairs) - 2) * fit.stderr)
    return Interval(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half)
