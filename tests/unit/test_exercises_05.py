"""Each self-check of chapter 5 accepts the official solution and rejects plausible wrong ones."""

import torch

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def matrix(lags, k):
    i = torch.arange(k)
    return lags[(i[:, None] - i) % len(lags)]


def window_kernel(lags, k, sigma, column=None, noisy_right=False, power=2):
    T = matrix(lags, k)
    noise = sigma**power * torch.eye(k)
    column = k // 2 if column is None else column
    return torch.linalg.solve(T + noise, (T + noise * noisy_right)[:, column])


def colour(power, white, root=0.5, scale=1.0):
    return scale * torch.fft.ifft(torch.fft.fft(white) * power**root).real


def window_power(lags, k, log=None, centre=None):
    values, vectors = torch.linalg.eigh(matrix(lags, k))
    centre = k // 2 if centre is None else centre
    column = vectors @ (values.log() * vectors[centre])
    if log is not None:
        column = log(matrix(lags, k))[:, centre]
    frequency = 2 * torch.pi * torch.arange(len(lags)).double() / len(lags)
    return torch.cos(frequency[:, None] * (torch.arange(k) - k // 2)).matmul(column).exp()


def truncated(lags, k):
    """The transform of the autocovariance seen: what one might expect a window to generate."""
    kept = lags.clone()
    kept[k : len(lags) - k + 1] = 0
    return torch.fft.fft(kept).real.clamp(min=1e-6)


def unseen_change(power, k, lag=None, size=0.5):
    frequency = 2 * torch.pi * torch.arange(len(power)).double() / len(power)
    lag = k if lag is None else lag
    return power + size * power.min() * torch.cos(lag * frequency)


def inner_pixels(size, k, steps):
    return max(size - 2 * steps * (k // 2), 0) ** 2


RIGHT = [
    (exercises.check_window_kernel, window_kernel),
    (exercises.check_colour, colour),
    (exercises.check_window_power, window_power),
    (exercises.check_unseen_change, unseen_change),
    (exercises.check_unseen_change, lambda p, k: unseen_change(p, k, lag=k + 3)),
    (exercises.check_inner_pixels, inner_pixels),
]
WRONG = [
    (exercises.check_window_kernel, lambda c, k, s: window_kernel(c, k, s, column=0)),
    (exercises.check_window_kernel, lambda c, k, s: window_kernel(c, k, s, noisy_right=True)),
    (exercises.check_window_kernel, lambda c, k, s: window_kernel(c, k, s, power=1)),
    (exercises.check_window_kernel, lambda c, k, s: c[:k] / (c[0] + s**2)),
    (exercises.check_window_kernel, lambda c, k, s: window_kernel(c, len(c), s)),
    (exercises.check_colour, lambda p, w: colour(p, w, root=1.0)),
    (exercises.check_colour, lambda p, w: colour(p, w, scale=24**0.5)),
    (exercises.check_colour, lambda p, w: colour(p / p.mean(), w)),
    (exercises.check_colour, lambda p, w: torch.fft.ifft(torch.fft.fft(w) * p.sqrt())),
    (exercises.check_colour, lambda p, w: colour(p, w)[:, :12]),
    (exercises.check_window_power, truncated),
    (exercises.check_window_power, lambda c, k: torch.fft.fft(c).real),
    (exercises.check_window_power, lambda c, k: window_power(c, k, log=torch.log)),
    (exercises.check_window_power, lambda c, k: window_power(c, k, centre=0)),
    (exercises.check_window_power, lambda c, k: window_power(c, k).sqrt()),
    (exercises.check_window_power, lambda c, k: window_power(c, k)[:k]),
    (exercises.check_unseen_change, lambda p, k: p),
    (exercises.check_unseen_change, lambda p, k: unseen_change(p, k, lag=k - 1)),
    (exercises.check_unseen_change, lambda p, k: unseen_change(p, k, size=3.0)),
    (exercises.check_unseen_change, lambda p, k: unseen_change(p, k, size=1e-5)),
    (exercises.check_unseen_change, lambda p, k: 2 * p),
    (exercises.check_unseen_change, lambda p, k: p.roll(1)),
    (exercises.check_inner_pixels, lambda n, k, s: n - 2 * s * (k // 2)),
    (exercises.check_inner_pixels, lambda n, k, s: max(n - 2 * s * k, 0) ** 2),
    (exercises.check_inner_pixels, lambda n, k, s: (n - 2 * s * (k // 2)) ** 2),
    (exercises.check_inner_pixels, lambda n, k, s: max(n - s * (k // 2), 0) ** 2),
    (exercises.check_inner_pixels, lambda n, k, s: max(n - 2 * (k // 2), 0) ** 2),
]

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
