"""Each self-check of chapter 9 accepts the official solution and rejects plausible wrong ones."""

import itertools
import math

import torch

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def window_denoiser(x, y, sigma, k, scale=2.0, wrap=False):
    length, r = x.shape[1], k // 2
    answers = []
    for p in range(length):
        seen = [
            q % length if wrap else q for q in range(p - r, p + r + 1) if wrap or 0 <= q < length
        ]
        gaps = (y[:, None, seen] - x[:, seen]).square().sum(-1)
        answers.append((-gaps / (scale * sigma**2)).softmax(1) @ x[:, p])
    return torch.stack(answers, 1)


def padded(x, y, sigma, k):
    """Right too: beyond the end all training signals are alike, which moves no weight."""
    r = k // 2
    wide = [torch.nn.functional.pad(t, (r, r), value=v) for t, v in ((x, 0.0), (y, 1.0))]
    return window_denoiser(*wide, sigma, k)[:, r : r + x.shape[1]] if r else \
        window_denoiser(x, y, sigma, k)  # fmt: skip


def whole(x, y, sigma, k):
    return (-(y[:, None] - x).square().sum(-1) / (2 * sigma**2)).softmax(1) @ x


def anywhere(x, y, sigma, k):
    cut = torch.nn.functional.pad(x, (k // 2, k // 2)).unfold(1, k, 1).flatten(0, 1)
    query = torch.nn.functional.pad(y, (k // 2, k // 2)).unfold(1, k, 1)
    gaps = (query[:, :, None] - cut).square().sum(-1)
    return (-gaps / (2 * sigma**2)).softmax(-1) @ cut[:, k // 2]


def is_mosaic(x, y, k, same_place=False, centre=None):
    def cut(signals):
        return torch.stack([signals.roll(-o, -1) for o in range(-(k // 2), k // 2 + 1)], -1)

    centre = k // 2 if centre is None else centre
    if same_place:
        nearest = cut(x)[(cut(y) - cut(x)).square().sum(-1).argmin(0), torch.arange(len(y))]
    else:
        bank = cut(x).flatten(0, 1)
        nearest = bank[(cut(y)[:, None] - bank).square().sum(-1).argmin(1)]
    return bool(((nearest[:, centre] - y).abs() < 1e-6).all())


def values_occur(x, y, k):
    return bool(((y[:, None] - x.flatten()).abs().amin(1) < 1e-6).all())


def count_ring(n):
    signals = itertools.product((-1, 1), repeat=n)
    return sum(all(s[i] in (s[i - 1], s[(i + 1) % n]) for i in range(n)) for s in signals)


def open_ends(n):
    signals = itertools.product((-1, 1), repeat=n)
    return sum(all(s[i] in (s[i - 1], s[i + 1]) for i in range(1, n - 1)) for s in signals)


def steps_to_agree(a, k):
    return math.inf if k == 1 else -(-a // (k - 1))


def one_side(a, k):
    return math.inf if k == 1 else -(-a // ((k - 1) // 2))


def rescale(e, t):
    a = ((e - e.mean()) * (t - t.mean())).mean() / (e - e.mean()).square().mean()
    return a * (e - e.mean()) + t.mean()


RIGHT = [
    (exercises.check_window_denoiser, window_denoiser),
    (exercises.check_window_denoiser, padded),
    (exercises.check_is_mosaic, is_mosaic),
    (exercises.check_count_ring, count_ring),
    (exercises.check_steps_to_agree, steps_to_agree),
    (exercises.check_rescale, rescale),
]
WRONG = [
    (exercises.check_window_denoiser, whole),
    (exercises.check_window_denoiser, anywhere),
    (exercises.check_window_denoiser, lambda x, y, s, k: window_denoiser(x, y, s, k, scale=1.0)),
    (exercises.check_window_denoiser, lambda x, y, s, k: window_denoiser(x, y, s, k, wrap=True)),
    (exercises.check_window_denoiser, lambda x, y, s, k: window_denoiser(x, y, s, 1)),
    (exercises.check_window_denoiser, lambda x, y, s, k: window_denoiser(x, y, s, k)[:, 1:-1]),
    (exercises.check_is_mosaic, lambda x, y, k: is_mosaic(x, y, k, same_place=True)),
    (exercises.check_is_mosaic, lambda x, y, k: is_mosaic(x, y, 1)),
    (exercises.check_is_mosaic, values_occur),
    (exercises.check_is_mosaic, lambda x, y, k: True),
    (exercises.check_is_mosaic, lambda x, y, k: float(is_mosaic(x, y, k))),
    (exercises.check_count_ring, open_ends),
    (exercises.check_count_ring, lambda n: 2**n),
    (exercises.check_count_ring, lambda n: 2),
    (exercises.check_count_ring, lambda n: str(count_ring(n))),
    (exercises.check_steps_to_agree, one_side),
    (exercises.check_steps_to_agree, lambda a, k: -(-a // k)),
    (exercises.check_steps_to_agree, lambda a, k: 0 if k == 1 else steps_to_agree(a, k)),
    (exercises.check_steps_to_agree, lambda a, k: math.inf if k == 1 else a // (k - 1)),
    (exercises.check_rescale, lambda e, t: e),
    (exercises.check_rescale, lambda e, t: t),
    (exercises.check_rescale, lambda e, t: e - e.mean() + t.mean()),
    (exercises.check_rescale, lambda e, t: (e - e.mean()) * t.std() / e.std() + t.mean()),
    (exercises.check_rescale, lambda e, t: rescale(e, t).flatten()),
]

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
