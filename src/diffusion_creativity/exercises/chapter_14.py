"""Self-checks of chapter 14: small changes to the UNet."""

import math

import torch

from ._verdict import mismatch, verdict

__all__ = [
    "check_bonferroni_holm",
    "check_match_width",
    "check_pooled_spread",
    "check_right_place",
]


def check_right_place(solution) -> bool:
    """Check ``solution(side, depth)``: how often a face can be in its one right place."""
    cases = {(16, 4): 1.0, (16, 3): 1 / 4, (16, 2): 1 / 16, (32, 3): 1 / 16, (8, 0): 1 / 64}

    def exact() -> str | None:
        for (side, depth), right in cases.items():
            found = solution(side, depth)
            if found is None:
                return "the function returns nothing yet: write it, with a return"
            if abs(found - right) > 1e-9:
                return (
                    f"for side {side} and depth {depth} the samples move by multiples of "
                    f"{2**depth} pixels, in both directions; count these places: the answer is "
                    f"not {found:.3g}"
                )
        return None

    return verdict("right place", (exact,))


def check_match_width(solution) -> bool:
    """Check ``solution(count, target)``: the width whose `count` is nearest to `target`."""
    calls = 0

    def quadratic(width: int) -> int:
        nonlocal calls
        calls += 1
        if width < 1 or width != int(width):
            raise ValueError(f"a width is a whole number from 1 up, got {width}")
        return 18 * width**2 + 20 * width + 1

    def nearest() -> str | None:
        nonlocal calls
        for target in (1, 300, 320_000, 318_313, 7_654_321):
            calls = 0
            found = solution(quadratic, target)
            spent = calls
            if found is None:
                return "the function returns nothing yet: write it, with a return"
            gap = abs(quadratic(found) - target)
            for other in {max(1, found - 1), found + 1}:
                if abs(quadratic(other) - target) < gap:
                    return (
                        f"for a target of {target:,} you chose {found}, and {other} is nearer: "
                        "compare both sides of the jump that holds the target"
                    )
            if spent > 60:
                return (
                    f"for a target of {target:,} you built {spent} networks: halve an interval "
                    "instead of trying width after width"
                )
        return None

    return verdict("match width", (nearest,))


def check_pooled_spread(solution) -> bool:
    """Check ``solution(groups)``, vectors of values over seeds: pooled spread and its freedom."""
    cases = {
        "two seeds each": [torch.tensor([1.0, 3.0]), torch.tensor([10.0, 10.0])],
        "unequal numbers": [torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([5.0, 7.0])],
        "a single seed": [torch.tensor([1.0, 2.0, 6.0]), torch.tensor([4.0])],
    }

    def exact() -> str | None:
        for name, groups in cases.items():
            found = solution([g.double() for g in groups])
            if not isinstance(found, tuple) or len(found) != 2:
                return "return a pair: the standard deviation, and its degrees of freedom"
            freedom = sum(len(g) - 1 for g in groups)
            square = sum(float((g - g.mean()).square().sum()) for g in groups) / freedom
            if int(found[1]) != freedom:
                return (
                    f"with {name} there are {freedom} degrees of freedom, not {found[1]}: "
                    "each network's mean takes one of its values"
                )
            if abs(float(found[0]) - math.sqrt(square)) > 1e-9:
                return (
                    f"with {name} the pooled standard deviation is not {float(found[0]):.4g}: sum "
                    "the squares around each network's own mean, divide by the degrees of "
                    "freedom, and take the root at the end"
                )
        return None

    return verdict("pooled spread", (exact,))


def check_bonferroni_holm(solution) -> bool:
    """Check ``solution(p)``: Holm's adjusted p-values, in the order of `p`."""
    cases = {
        "a single test": ([0.03], [0.03]),
        "three in order": ([0.01, 0.02, 0.04], [0.03, 0.04, 0.04]),
        "out of order": ([0.04, 0.01, 0.02], [0.04, 0.03, 0.04]),
        "large ones": ([0.6, 0.9, 0.001], [1.0, 1.0, 0.003]),
        "a step down": ([0.01, 0.011, 0.012], [0.03, 0.03, 0.03]),
    }

    def exact() -> str | None:
        for name, (p, right) in cases.items():
            found = solution(torch.tensor(p, dtype=torch.float64))
            if problem := mismatch(found, torch.tensor(right, dtype=torch.float64)):
                return (
                    f"{problem} for {name}, {p}: multiply the k-th smallest (k = 0, 1, …) by the "
                    "number of tests minus k, never let one fall below a smaller one's, and stop "
                    "at 1; answer in the order of p"
                )
        return None

    return verdict("Holm", (exact,))
