"""Each self-check of chapter 10 accepts the official solution and rejects plausible wrong ones."""

import torch

from diffusion_creativity import exercises

from .exercise_tests import exercise_checks


def project(features, x):
    return (x.T @ features) @ torch.linalg.pinv(features.T @ features, hermitian=True)


def least_squares(features, x):
    return torch.linalg.lstsq(features, x, driver="gelsd").solution.T


def equal_sums(k):
    numbers = range(2 ** (k + 1))
    return tuple([v for v in numbers if v.bit_count() % 2 == half] for half in (0, 1))


def column_twin(x):
    order = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).argsort(0)
    return x.gather(0, order)


def spectrum_twin(x, keep_mean=True):
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    phase = torch.fft.fft2(noise).sgn()
    if keep_mean:
        phase[:, 0, 0] = 1
    return torch.fft.ifft2(torch.fft.fft2(x) * phase).real


def any_phase(x):
    angle = torch.rand(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    phase = torch.exp(6.28j * angle)
    phase[:, 0, 0] = 1
    return torch.fft.ifft2(torch.fft.fft2(x) * phase)


RIGHT = [
    (exercises.check_project, project),
    (exercises.check_project, least_squares),
    (exercises.check_equal_sums, equal_sums),
    (exercises.check_equal_sums, lambda k: equal_sums(k)[::-1]),
    (exercises.check_column_twin, column_twin),
    (exercises.check_spectrum_twin, spectrum_twin),
]
WRONG = [
    (exercises.check_project, lambda f, x: project(f, x).T),
    (exercises.check_project, lambda f, x: x.T @ f / len(f)),
    (exercises.check_project, lambda f, x: project(f, x - x.mean(0))),
    (exercises.check_project, lambda f, x: (x.T @ f) @ torch.linalg.inv(
        f.T @ f / len(f) + 0.01 * torch.eye(f.shape[1], dtype=f.dtype)) / len(f)),
    (exercises.check_project, lambda f, x: 1.5 * project(f, x)),
    (exercises.check_project, lambda f, x: f @ project(f, x).T),
    (exercises.check_equal_sums, lambda k: equal_sums(k)[0]),
    (exercises.check_equal_sums, lambda k: (range(2**k), range(2**k, 2 ** (k + 1)))),
    (exercises.check_equal_sums, lambda k: (range(0, 2 ** (k + 1), 2), range(1, 2 ** (k + 1), 2))),
    (exercises.check_equal_sums, lambda k: ([0, 3, 5, 6], [1, 2, 4, 7])),
    (exercises.check_equal_sums, lambda k: ([0, 3], [1, 2])),
    (exercises.check_column_twin, lambda x: x),
    (exercises.check_column_twin, lambda x: x[torch.randperm(len(x))]),
    (exercises.check_column_twin, lambda x: torch.randn_like(x)),
    (exercises.check_column_twin, lambda x: x.sort(0)[0]),
    (exercises.check_column_twin, lambda x: x[:, :2]),
    (exercises.check_spectrum_twin, lambda x: x),
    (exercises.check_spectrum_twin, lambda x: x.roll(2, 1)),
    (exercises.check_spectrum_twin, lambda x: x.flip(2).flip(1)),
    (exercises.check_spectrum_twin, any_phase),
    (exercises.check_spectrum_twin, lambda x: any_phase(x).real),
    (exercises.check_spectrum_twin, lambda x: spectrum_twin(x, keep_mean=False)),
    (exercises.check_spectrum_twin, lambda x: torch.randn_like(x)),
    (exercises.check_spectrum_twin, lambda x: x[:, :3]),
]  # fmt: skip

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)
