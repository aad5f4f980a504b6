"""Each self-check of chapter 17 accepts the official solution and rejects plausible wrong ones."""

import math

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def break_rate(a, b):
    return 1 - (a / a.sum() * (b / b.sum())).sum()


def hears(sees, part, steps=None):
    for _ in range(len(part) if steps is None else steps):
        part = part | sees[part].any(0)
    return part


def valid_share(groups):
    return math.prod(1 / m for seen, values in groups if not seen for m in values)


def sum_of_rules(groups):
    return 1 - sum(1 - 1 / m for seen, values in groups if not seen for m in values)


def one_rule_each(groups):
    return math.prod(1 / max(values, default=1) for seen, values in groups if not seen)


def overlap(q, valid):
    return q[valid].clamp(max=1 / valid.sum()).sum()


def faces_needed(states, share):
    if states == 1:
        return 1
    return max(1, math.ceil(math.log(1 - share) / math.log(1 - 1 / states) - 1e-9))


RIGHT = [
    (exercises.check_break_rate, break_rate),
    (exercises.check_hears, hears),
    (exercises.check_valid_share, valid_share),
    (exercises.check_overlap, overlap),
    (exercises.check_faces_needed, faces_needed),
]
WRONG = [
    (exercises.check_break_rate, lambda a, b: 1 - break_rate(a, b)),
    (exercises.check_break_rate, lambda a, b: 1 - (a * b).sum()),
    (exercises.check_break_rate, lambda a, b: 1 - ((a / a.sum()) ** 2).sum()),
    (exercises.check_break_rate, lambda a, b: 1 - 1 / len(a)),
    (exercises.check_hears, lambda sees, part, steps=None: hears(sees.T, part, steps)),
    (exercises.check_hears, lambda sees, part, steps=None: hears(sees, part, 1)),
    (exercises.check_hears, lambda sees, part, steps=None: sees[part].any(0)),
    (exercises.check_hears, lambda sees, part, steps=4: hears(sees, part, steps or 4).long()),
    (exercises.check_valid_share, sum_of_rules),
    (exercises.check_valid_share, one_rule_each),
    (exercises.check_valid_share, lambda g: valid_share([(not s, v) for s, v in g])),
    (exercises.check_valid_share, lambda g: valid_share([(False, v) for _, v in g])),
    (exercises.check_overlap, lambda q, valid: q[valid].sum()),
    (exercises.check_overlap, lambda q, valid: 1 - overlap(q, valid)),
    (exercises.check_overlap, lambda q, valid: q.clamp(max=1 / len(q)).sum()),
    (exercises.check_overlap, lambda q, valid: q.clamp(max=1 / valid.sum()).sum()),
    (exercises.check_faces_needed, lambda s, share: math.ceil(s * share)),
    (exercises.check_faces_needed, lambda s, share: math.ceil(s * math.log(s))),
    (exercises.check_faces_needed, lambda s, share: faces_needed(s, share) - 1),
    (exercises.check_faces_needed, lambda s, share: faces_needed(s, share) + 1),
    (exercises.check_faces_needed, lambda s, share: -s * math.log(1 - share)),
]

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
