"""Self-checks of chapter 17: alignment."""

import math

import torch
from torch import Tensor

from ._verdict import misshapen, verdict

__all__ = [
    "check_break_rate",
    "check_faces_needed",
    "check_hears",
    "check_overlap",
    "check_valid_share",
]

UNWRITTEN = "the function returns nothing yet: write it, with a return"


def check_break_rate(solution) -> bool:
    """Check ``solution(a, b)``: how often parts disagree that are drawn independently."""
    cases = {
        "three values, equally often": ([5, 5, 5], [7, 7, 7], 2 / 3),
        "one value only": ([4, 0, 0], [9, 0, 0], 0.0),
        "shares that differ": ([6, 3, 1], [1, 1, 2], 1 - (0.6 * 0.25 + 0.3 * 0.25 + 0.1 * 0.5)),
        "values that never meet": ([3, 0], [0, 8], 1.0),
    }

    def exact() -> str | None:
        for name, (a, b, right) in cases.items():
            counts = [torch.tensor(side, dtype=torch.float64) for side in (a, b)]
            found = _number(solution(*counts))
            if isinstance(found, str):
                return found
            if abs(found - right) < 1e-9:
                continue
            if abs(found - (1 - right)) < 1e-9:
                return f"for {name} you return how often the rule is kept, {found:.3g}"
            if not 0 <= found <= 1:
                return f"for {name} you return {found:.3g}, no share: divide counts by their sums"
            return (
                f"for {name}, counts {a} and {b}, the rate is {right:.3f}, yours is {found:.3f}: "
                "each value of one side meets the same value of the other with the product of "
                "their shares"
            )
        return None

    return verdict("broken by chance", (exact,))


def check_hears(solution) -> bool:
    """Check ``solution(sees, part, steps)``: on which pixels' noise a part depends."""
    d = 9
    chain = torch.eye(d, dtype=torch.bool)
    chain[range(1, d), range(d - 1)] = True  # each pixel sees its left neighbour
    chain[5, 4] = False  # but for one
    wide = (torch.arange(d)[:, None] - torch.arange(d)).abs() <= 2
    cases = {
        "a chain with a gap": (chain, [8]),
        "a chain, a part of two": (chain, [3, 6]),
        "windows of five": (wide, [4]),
        "pixels that see themselves alone": (torch.eye(d, dtype=torch.bool), [0, 2]),
    }

    def right(sees: Tensor, part: Tensor, steps: int | None) -> Tensor:
        paths = torch.linalg.matrix_power(sees.double(), d if steps is None else steps)
        return paths[part].sum(0) > 0

    def exact() -> str | None:
        for name, (sees, pixels) in cases.items():
            part = torch.zeros(d, dtype=torch.bool)
            part[pixels] = True
            for steps in (0, 1, 2, None):
                found = solution(sees.clone(), part.clone(), steps)
                if problem := UNWRITTEN if found is None else misshapen(found, (d,)):
                    return problem
                wanted = right(sees, part, steps)
                if found.dtype == torch.bool and bool((found == wanted).all()):
                    continue
                if found.dtype != torch.bool:
                    return f"return a mask, a tensor of dtype bool, not {found.dtype}"
                if (found == right(sees.T, part, steps)).all():
                    return f"{name}: row p says what p sees, you follow the columns"
                after = "any number of steps" if steps is None else f"{steps} step(s)"
                return (
                    f"{name}: after {after} the part {pixels} hears of "
                    f"{wanted.nonzero()[:, 0].tolist()}, yours of "
                    f"{found.nonzero()[:, 0].tolist()}"
                )
        return None

    def default() -> str | None:
        part = torch.arange(d) == 8
        if (solution(chain, part) == right(chain, part, None)).all():
            return None
        return "without steps it must be the smallest closed set: go on until nothing is added"

    return verdict("what a part hears of", (exact, default))


def check_valid_share(solution) -> bool:
    """Check ``solution(groups)``, groups a list of (seen, values): the share of valid samples."""
    cases = {
        "everything seen": ([(True, [3, 3]), (True, [2])], 1.0),
        "one rule unseen": ([(False, [3]), (True, [2])], 1 / 3),
        "one group of two rules": ([(False, [3, 3]), (True, [2])], 1 / 9),
        "two groups unseen": ([(False, [3]), (True, [5]), (False, [2])], 1 / 6),
        "groups without rules": ([(False, []), (True, [])], 1.0),
    }

    def exact() -> str | None:
        for name, (groups, right) in cases.items():
            found = _number(solution(groups))
            if isinstance(found, str):
                return found
            if abs(found - right) < 1e-9:
                continue
            seen = math.prod(1 / m for see, values in groups if see for m in values)
            if abs(found - seen) < 1e-9:
                return f"{name}: a group that is covered keeps its rules, you count it as unseen"
            return (
                f"{name}, {groups}: the share of valid samples is {right:.4f}, yours is "
                f"{found:.4f}: each rule that is not seen is kept once in m times, and independent "
                "events multiply"
            )
        return None

    return verdict("a cell of the grid", (exact,))


def check_overlap(solution) -> bool:
    """Check ``solution(q, valid)``: the overlap of q with the uniform law on valid images."""
    valid = torch.tensor([True] * 4 + [False] * 2)
    cases = {
        "the target itself": ([0.25] * 4 + [0, 0], 1.0),
        "copies of one image": ([1, 0, 0, 0, 0, 0], 0.25),
        "an even creator": ([0.15] * 4 + [0.2, 0.2], 0.6),
        "an uneven one": ([0.5, 0.1, 0.1, 0, 0.1, 0.2], 0.45),
    }

    def exact() -> str | None:
        for name, (q, right) in cases.items():
            law = torch.tensor(q, dtype=torch.float64)
            found = _number(solution(law, valid))
            if isinstance(found, str):
                return found
            if abs(found - right) < 1e-9:
                continue
            if abs(found - float(law[valid].sum())) < 1e-9:
                return f"{name}: you return the share of valid samples; each image counts up to 1/M"
            if abs(found - (1 - right)) < 1e-9:
                return f"{name}: you return the distance, the overlap is what is left of 1"
            return (
                f"{name}, q = {q} with the first four valid: the overlap is {right:.3f}, yours is "
                f"{found:.3f}"
            )
        return None

    return verdict("overlap", (exact,))


def check_faces_needed(solution) -> bool:
    """Check ``solution(states, share)``, the least number of training faces."""
    cases = ((27, 0.99), (27, 0.5), (2, 0.75), (4, 0.25), (17_496, 0.99), (1, 0.9), (100, 0.01))

    def covered(states: int, n: int) -> float:
        return 1 - (1 - 1 / states) ** n

    def exact() -> str | None:
        for states, share in cases:
            found = _number(solution(states, share))
            if isinstance(found, str):
                return found
            case = f"for {states:,} states and a share of {share:g}"
            if found != int(found):
                return f"{case} you return {found:.4g}: a number of faces is whole, round up"
            if found < 1 or covered(states, int(found)) < share - 1e-9:
                return (
                    f"{case}, {int(found):,} faces show {covered(states, max(int(found), 0)):.3f} "
                    "on average: too few"
                )
            if found > 1 and covered(states, int(found) - 1) >= share + 1e-9:
                return f"{case}, one face less than your {int(found):,} would do"
        return None

    return verdict("how many training faces", (exact,))


def _number(answer: object) -> float | str:
    """One finite number from an answer, or what is wrong with it."""
    if answer is None:
        return UNWRITTEN
    value = torch.as_tensor(answer, dtype=torch.float64)
    if value.numel() != 1 or not torch.isfinite(value).all():
        return f"return one finite number, not {answer!r}"
    return value.item()
