"""Each self-check of chapter 14 accepts the official solution and rejects plausible wrong ones."""

import torch

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def right_place(side, depth):
    return (2**depth / side) ** 2


def match_width(count, target):
    low, high = 1, 2
    while count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    return min(low, high, key=lambda width: abs(count(width) - target))


def from_below(count, target):
    width = match_width(count, target)
    return width if count(width) <= target else max(1, width - 1)


def one_by_one(count, target):
    width = 1
    while count(width) < target:
        width += 1
    return min(max(1, width - 1), width, key=lambda w: abs(count(w) - target))


def by_the_root(count, target):
    return max(1, round((target / 18) ** 0.5))


def pooled_spread(groups):
    freedom = sum(len(g) - 1 for g in groups)
    squares = sum((g - g.mean()).square().sum() for g in groups)
    return (squares / freedom).sqrt().item(), freedom


def of_all_together(groups):
    values = torch.cat(groups)
    return values.std().item(), len(values) - 1


def mean_of_spreads(groups):
    spread = torch.stack([g.std(correction=min(1, len(g) - 1)) for g in groups]).mean().item()
    return spread, sum(len(g) - 1 for g in groups)


def divided_by_all(groups):
    squares = sum((g - g.mean()).square().sum() for g in groups)
    return (squares / sum(map(len, groups))).sqrt().item(), sum(len(g) - 1 for g in groups)


def variance(groups):
    spread, freedom = pooled_spread(groups)
    return spread**2, freedom


def holm(p):
    order = p.argsort()
    factors = torch.arange(len(p), 0, -1, dtype=p.dtype)
    adjusted = (p[order] * factors).cummax(0).values.clamp(max=1)
    return adjusted[order.argsort()]


def bonferroni(p):
    return (p * len(p)).clamp(max=1)


def without_steps(p):
    order = p.argsort()
    return (p[order] * torch.arange(len(p), 0, -1, dtype=p.dtype)).clamp(max=1)[order.argsort()]


def sorted_out(p):
    return holm(p.sort().values)


def above_one(p):
    order = p.argsort()
    factors = torch.arange(len(p), 0, -1, dtype=p.dtype)
    return (p[order] * factors).cummax(0).values[order.argsort()]


OFFICIAL = [
    (exercises.check_right_place, right_place),
    (exercises.check_match_width, match_width),
    (exercises.check_pooled_spread, pooled_spread),
    (exercises.check_bonferroni_holm, holm),
]
WRONG = [
    (exercises.check_right_place, lambda side, depth: 2**depth / side),
    (exercises.check_right_place, lambda side, depth: (depth / side) ** 2),
    (exercises.check_right_place, lambda side, depth: 1 / side**2),
    (exercises.check_right_place, lambda side, depth: (side / 2**depth) ** 2),
    (exercises.check_match_width, from_below),
    (exercises.check_match_width, one_by_one),
    (exercises.check_match_width, by_the_root),
    (exercises.check_pooled_spread, of_all_together),
    (exercises.check_pooled_spread, mean_of_spreads),
    (exercises.check_pooled_spread, divided_by_all),
    (exercises.check_pooled_spread, variance),
    (exercises.check_bonferroni_holm, bonferroni),
    (exercises.check_bonferroni_holm, without_steps),
    (exercises.check_bonferroni_holm, sorted_out),
    (exercises.check_bonferroni_holm, above_one),
]
test_official, test_wrong, test_unfinished = exercise_checks(OFFICIAL, WRONG)
