"""Self-checks of chapter 20: design of the study."""

import itertools

import torch
from scipy import stats

from ._verdict import normal, verdict

__all__ = ["check_choose_rate", "check_deal", "check_outcome", "check_seeds_needed"]

NOTHING = "the function returns nothing yet: write it, with a return"


def check_deal(solution) -> bool:
    """Check ``solution(total, few, many, held_out, seed)``: numbers of three sets of images."""

    def draw(total=500, few=8, many=60, held_out=40, seed=3) -> list[list[int]]:
        hands = solution(total, few, many, held_out, seed)
        return [torch.as_tensor(numbers).tolist() for numbers in hands]

    def sizes() -> str | None:
        if solution(500, 8, 60, 40, 3) is None:
            return NOTHING
        found = draw()
        if [len(numbers) for numbers in found] != [8, 60, 40]:
            return f"asked for 8, 60 and 40 images, got {[len(numbers) for numbers in found]}"
        if any(not 0 <= n < 500 for n in itertools.chain(*found)):
            return "images are numbered from 0 to total - 1"
        if any(len(set(numbers)) < len(numbers) for numbers in found):
            return "a set holds an image twice: draw without putting back"
        return None

    def apart() -> str | None:
        for seed in range(4):
            few, many, held_out = draw(seed=seed)
            if shared := set(many) & set(held_out):
                return f"with seed {seed}, {len(shared)} held-out images are trained on"
            if few != many[:8]:
                return (
                    "the few are not the first of the many: a difference between the two sizes "
                    "would then be one of faces, too"
                )
        return None

    def alike() -> str | None:
        if draw()[2] != draw(few=4, many=200)[2]:
            return (
                "the held-out images change with the number of training images: errors on them "
                "could then not be compared between sizes"
            )
        if draw()[1] != draw(many=200)[1][:60]:
            return "a larger training set should begin with the smaller one"
        if draw(total=70, few=2, many=50, held_out=20)[1] == list(range(50)):
            return "the sets are the first images as they come: put all in a random order first"
        return None

    def drawn() -> str | None:
        if draw() != draw():
            return "the same seed dealt two different hands"
        if draw()[1] == draw(seed=4)[1]:
            return "another seed dealt the same hands"
        return None

    return verdict("three sets of images", (sizes, apart, alike, drawn))


def check_choose_rate(solution) -> bool:
    """Check ``solution(rates, losses)``: the rate whose mean loss over noise levels is least."""
    nan, inf = float("nan"), float("inf")
    rates = [0.001, 0.002, 0.004]
    cases = {  # losses: a row for each rate, a column for each level
        "the middle one is best on average, and best nowhere":
            ([[0.1, 0.9, 0.9], [0.4, 0.4, 0.4], [0.9, 0.1, 0.9]], 0.002),
        "one level decides": ([[0.2, 0.2, 2.0], [0.3, 0.3, 0.3], [0.4, 0.4, 0.4]], 0.002),
        "the largest diverged at one level":
            ([[0.5, 0.5, 0.5], [0.4, 0.4, 0.4], [0.1, nan, 0.1]], 0.002),
        "the smallest ran away": ([[0.1, inf, 0.1], [0.6, 0.6, 0.6], [0.5, 0.5, 0.5]], 0.004),
        "two diverged": ([[nan, nan, nan], [0.8, 0.9, 0.7], [0.2, inf, nan]], 0.002),
    }  # fmt: skip

    def exact() -> str | None:
        for name, (losses, right) in cases.items():
            found = solution(rates, torch.tensor(losses, dtype=torch.float64))
            if found is None:
                return NOTHING
            if float(found) not in rates:
                return f"return one of the rates {rates}, not {float(found):g}"
            if float(found) != right:
                return (
                    f"where {name} ({losses}) you chose {float(found):g}: average each row over "
                    "the levels, and leave out what is not finite"
                )
        return None

    def order() -> str | None:
        table = normal(3, 5, seed=20).abs()
        turned = [2, 0, 1]
        if solution(rates, table) != solution([rates[k] for k in turned], table[turned]):
            return "the order in which the rates are listed must not matter"
        return None

    return verdict("each network its own rate", (exact, order))


def check_seeds_needed(solution) -> bool:
    """Check ``solution(spread, margin, networks)``: seeds for an interval of half width margin."""

    def half_width(seeds: int, spread: float, networks: int) -> float:
        quantile = stats.t.ppf(0.975, networks * (seeds - 1))
        return float(quantile * spread * (2 / seeds) ** 0.5)

    def whole() -> str | None:
        if (found := solution(0.05, 0.1, 30)) is None:
            return NOTHING
        if found != int(found) or found < 2:
            return f"seeds are whole, and two are the least that show a spread: not {found:g}"
        return None

    def least() -> str | None:
        for spread, margin, networks in (
            (0.05, 0.1, 30), (0.05, 0.05, 30), (0.08, 0.05, 2), (0.03, 0.04, 1), (0.2, 0.02, 10),
        ):  # fmt: skip
            found = int(solution(spread, margin, networks))
            what = f"with a spread of {spread:g} pooled over {networks} networks, {found} seeds"
            if (width := half_width(found, spread, networks)) > margin * (1 + 1e-9):
                return (
                    f"{what} leave an interval of ±{width:.3g}, more than ±{margin:g}: a "
                    "difference of two means has twice the variance of one, and the quantile is "
                    "Student's with networks × (seeds - 1) degrees of freedom"
                )
            if found > 2 and half_width(found - 1, spread, networks) <= margin * (1 - 1e-9):
                return f"{what} are more than ±{margin:g} needs: one fewer would do"
        return None

    return verdict("how many seeds", (whole, least))


def check_outcome(solution) -> bool:
    """Check ``solution(expected, difference, low, high, same)``: "hit", "miss" or "open"."""
    cases = [  # expected, difference, ends of its interval, outcome if 0.1 counts as the same
        ("more", 0.3, 0.2, 0.4, "hit"),
        ("more", 0.3, -0.1, 0.7, "open"),
        ("more", -0.3, -0.4, -0.2, "miss"),
        ("more", 0.02, -0.03, 0.07, "miss"),
        ("more", 0.05, 0.01, 0.09, "hit"),
        ("less", -0.3, -0.4, -0.2, "hit"),
        ("less", -0.3, -0.7, 0.1, "open"),
        ("less", 0.3, 0.2, 0.4, "miss"),
        ("same", 0.0, -0.05, 0.05, "hit"),
        ("same", 0.05, 0.01, 0.09, "hit"),
        ("same", 0.0, -0.4, 0.4, "open"),
        ("same", 0.3, 0.2, 0.4, "miss"),
        ("same", -0.3, -0.4, -0.2, "miss"),
        ("same", 0.06, 0.01, 0.15, "open"),
    ]
    why = {
        ("same", "open"): "an interval that holds zero does not prove sameness: it must be narrow",
        ("same", "hit"): "all of the interval lies within ±0.1, whether it holds zero or not",
        ("same", "miss"): "the interval leaves out zero, and the difference exceeds 0.1",
        ("more", "hit"): "all of the interval lies above zero",
        ("more", "miss"): "all of the interval lies below zero, or within ±0.1",
        ("more", "open"): "the interval leaves both room",
    }

    def exact() -> str | None:
        for expected, difference, low, high, right in cases:
            found = solution(expected, difference, low, high, 0.1)
            if found is None:
                return NOTHING
            if found not in ("hit", "miss", "open"):
                return f'the outcome is "hit", "miss" or "open", not {found!r}'
            if found != right:
                hint = why.get((expected, right), "it is the mirror image of *more*")
                return (
                    f"expected {expected}, found {difference:+g} ({low:+g} to {high:+g}): you say "
                    f"{found}; {hint}"
                )
        return None

    def margin() -> str | None:
        if solution("same", 0.0, -0.05, 0.05, 0.02) != "open":
            return "with a margin of 0.02, an interval from -0.05 to 0.05 decides nothing"
        return None

    return verdict("hit, miss or open", (exact, margin))
