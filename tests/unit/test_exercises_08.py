"""Each self-check of chapter 8 accepts the official solution and rejects plausible wrong ones."""

import torch

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def count_chimeras(n, b):
    return n**b, n / n**b


def softmax(x, y, sigma, scale=2.0):
    gaps = (y[:, None] - x).square().sum(-1)
    return (-gaps / (scale * sigma**2)).softmax(1)


def halves_denoiser(x, y, sigma, scale=2.0):
    pairs = zip(x.chunk(2, 1), y.chunk(2, 1), strict=True)
    return torch.cat([softmax(p, q, sigma, scale) @ p for p, q in pairs], 1)


def shared_weights(x, y, sigma):
    left = softmax(x[:, :3], y[:, :3], sigma)
    return left @ x


def symmetrise(denoise, y):
    moved = [denoise(y.roll(k, -1)).roll(-k, -1) for k in range(y.shape[-1])]
    return sum(moved) / len(moved)


def not_moved_back(denoise, y):
    return sum(denoise(y.roll(k, -1)) for k in range(y.shape[-1])) / y.shape[-1]


def two_shifts(denoise, y):
    return (denoise(y) + denoise(y.roll(1, -1)).roll(-1, -1)) / 2


def summed(denoise, y):
    return symmetrise(denoise, y) * y.shape[-1]


def averaged_input(denoise, y):
    return denoise(y.mean(-1, keepdim=True).expand_as(y))


def shift_distance(a, b):
    return min((a - b.roll(k)).norm().item() for k in range(len(a)))


def fourier(a, b):
    products = torch.fft.ifft(torch.fft.fft(a) * torch.fft.fft(b).conj()).real
    return (a.square().sum() + b.square().sum() - 2 * products.max()).clamp(min=0).sqrt().item()


def mirrored_too(a, b):
    return min(shift_distance(a, b), shift_distance(a, b.flip(0)))


def not_conjugated(a, b):
    products = torch.fft.ifft(torch.fft.fft(a) * torch.fft.fft(b)).real
    return (a.square().sum() + b.square().sum() - 2 * products.max()).clamp(min=0).sqrt().item()


RIGHT = [
    (exercises.check_count_chimeras, count_chimeras),
    (exercises.check_halves_denoiser, halves_denoiser),
    (exercises.check_symmetrise, symmetrise),
    (exercises.check_shift_distance, shift_distance),
    (exercises.check_shift_distance, fourier),
]
WRONG = [
    (exercises.check_count_chimeras, lambda n, b: (n * b, 1 / b)),
    (exercises.check_count_chimeras, lambda n, b: (b**n, n / n**b)),
    (exercises.check_count_chimeras, lambda n, b: (n**b, 1 / n**b)),
    (exercises.check_count_chimeras, lambda n, b: (n**b - n, 0)),
    (exercises.check_count_chimeras, lambda n, b: n**b),
    (exercises.check_halves_denoiser, lambda x, y, s: softmax(x, y, s) @ x),
    (exercises.check_halves_denoiser, shared_weights),
    (exercises.check_halves_denoiser, lambda x, y, s: halves_denoiser(x, y, s, scale=1.0)),
    (exercises.check_halves_denoiser, lambda x, y, s: halves_denoiser(x, y, 1.0)),
    (exercises.check_halves_denoiser, lambda x, y, s: halves_denoiser(x, y, s)[:, :3]),
    (exercises.check_halves_denoiser, lambda x, y, s: x.mean(0).expand_as(y)),
    (exercises.check_symmetrise, lambda f, y: f(y)),
    (exercises.check_symmetrise, not_moved_back),
    (exercises.check_symmetrise, two_shifts),
    (exercises.check_symmetrise, summed),
    (exercises.check_symmetrise, averaged_input),
    (exercises.check_symmetrise, lambda f, y: symmetrise(f, y).mean(0)),
    (exercises.check_shift_distance, lambda a, b: (a - b).norm().item()),
    (exercises.check_shift_distance, lambda a, b: shift_distance(a, b) ** 2),
    (exercises.check_shift_distance, not_conjugated),
    (exercises.check_shift_distance, mirrored_too),
    (exercises.check_shift_distance, lambda a, b: (a.sort()[0] - b.sort()[0]).norm().item()),
]  # fmt: skip

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
