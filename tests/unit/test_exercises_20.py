"""Each self-check of chapter 20 accepts the official solution and rejects plausible wrong ones."""

import math

import torch
from scipy import stats

from diffusion_creativity import exercises
from diffusion_creativity.experiments import hypotheses

from .exercise_tests import exercise_checks


def shuffled(total, seed):
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))


def deal(total, few, many, held_out, seed):
    order = shuffled(total, seed)
    training = order[held_out:]
    return training[:few], training[:many], order[:held_out]


def deal_held_out_last(total, few, many, held_out, seed):
    order = shuffled(total, seed)
    return order[:few], order[:many], order[many : many + held_out]


def deal_each_anew(total, few, many, held_out, seed):
    order = shuffled(total, seed)
    training = order[held_out:]
    return training[-few:], training[:many], order[:held_out]


def deal_with_repeats(total, few, many, held_out, seed):
    generator = torch.Generator().manual_seed(seed)
    training = torch.randint(held_out, total, (many,), generator=generator)
    return training[:few], training, torch.arange(held_out)


def deal_three_draws(total, few, many, held_out, seed):
    training = shuffled(total, seed)
    return training[:few], training[:many], shuffled(total, seed + 1)[:held_out]


def deal_in_order(total, few, many, held_out, seed):
    numbers = torch.arange(total)
    return numbers[:few], numbers[:many], numbers[-held_out:]


def choose_rate(rates, losses):
    means = losses.mean(1)
    return rates[means.where(means.isfinite(), torch.inf).argmin()]


def seeds_needed(spread, margin, networks, *, quantile=None, factor=2, freedom=None):
    seeds = 2
    while True:
        df = freedom(seeds) if freedom else networks * (seeds - 1)
        if (quantile or stats.t.ppf(0.975, df)) * spread * math.sqrt(factor / seeds) <= margin:
            return seeds
        seeds += 1


def outcome(expected, difference, low, high, same):
    within = -same <= low and high <= same
    if expected == "same":
        apart = (low > 0 or high < 0) and abs(difference) > same
        return "hit" if within else "miss" if apart else "open"
    if expected == "less":
        low, high = -high, -low
    return "hit" if low > 0 else "miss" if high < 0 or within else "open"


def not_different_is_same(expected, difference, low, high, same):
    if expected == "same":
        return "hit" if low <= 0 <= high else "miss"
    return outcome(expected, difference, low, high, same)


def by_the_sign(expected, difference, low, high, same):
    found = "same" if abs(difference) <= same else "more" if difference > 0 else "less"
    return "hit" if found == expected else "miss"


def not_mirrored(expected, difference, low, high, same):
    if expected == "less":
        return "hit" if low < 0 else "miss" if low > 0 else "open"
    return outcome(expected, difference, low, high, same)


def never_open(expected, difference, low, high, same):
    found = outcome(expected, difference, low, high, same)
    return "miss" if found == "open" else found


RIGHT = [
    (exercises.check_deal, deal),
    (exercises.check_choose_rate, choose_rate),
    (exercises.check_seeds_needed, seeds_needed),
    (exercises.check_outcome, outcome),
]
WRONG = [
    (exercises.check_deal, deal_held_out_last),
    (exercises.check_deal, deal_each_anew),
    (exercises.check_deal, deal_with_repeats),
    (exercises.check_deal, deal_three_draws),
    (exercises.check_deal, deal_in_order),
    (exercises.check_choose_rate, lambda r, x: r[x.mean(1).argmin()]),
    (exercises.check_choose_rate, lambda r, x: r[x.nan_to_num(torch.inf).min(1).values.argmin()]),
    (exercises.check_choose_rate, lambda r, x: r[x.nanmean(1).argmin()]),
    (exercises.check_choose_rate, lambda r, x: r[x.nanmedian(1).values.argmin()]),
    (exercises.check_choose_rate, lambda r, x: r[1]),
    (exercises.check_seeds_needed, lambda s, m, n: seeds_needed(s, m, n, quantile=1.96)),
    (exercises.check_seeds_needed, lambda s, m, n: seeds_needed(s, m, n, factor=1)),
    (exercises.check_seeds_needed, lambda s, m, n: seeds_needed(s, m, n, freedom=lambda k: k - 1)),
    (exercises.check_seeds_needed, lambda s, m, n: seeds_needed(s, m / 2, n)),
    (exercises.check_outcome, not_different_is_same),
    (exercises.check_outcome, by_the_sign),
    (exercises.check_outcome, not_mirrored),
    (exercises.check_outcome, never_open),
]

(
    test_checks_accept_the_solution,
    test_checks_reject_and_say_why,
    test_checks_tell_unfinished_code_kindly,
) = exercise_checks(RIGHT, WRONG)


def test_the_rule_is_that_of_the_study():
    """The exercise and `hypotheses.judge` call the same things a hit."""
    for expected in ("more", "less", "same"):
        for low in (-0.4, -0.09, 0.01, 0.2):
            for high in (low + 0.05, low + 0.3):
                value = (low + high) / 2
                theirs = hypotheses._outcome(expected, value, 0.0, low, high)
                assert outcome(expected, value, low, high, hypotheses.SAME) == theirs
