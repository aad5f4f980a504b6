"""Each self-check of chapter 2 accepts the official solution and rejects plausible wrong ones."""

import math

import pytest

from diffusion_creativity import exercises


def score(denoise, y, sigma):
    return (denoise(y, sigma) - y) / sigma**2


def heun_step(denoise, y, sigma, sigma_next):
    slope = (y - denoise(y, sigma)) / sigma
    moved = y + (sigma_next - sigma) * slope
    if sigma_next == 0:
        return moved
    slope_end = (moved - denoise(moved, sigma_next)) / sigma_next
    return y + (sigma_next - sigma) * (slope + slope_end) / 2


def as_denoiser(eps_model):
    def denoise(y, sigma):
        alpha_bar = 1 / (1 + sigma**2)
        return y - sigma * eps_model(y * math.sqrt(alpha_bar), alpha_bar)

    return denoise


def split(sigma, sigma_next, eta):
    up = eta * sigma_next * math.sqrt(1 - sigma_next**2 / sigma**2)
    return math.sqrt(sigma_next**2 - up**2), up


def v_from_x(x_t, x_hat, alpha_bar):
    eps = (x_t - math.sqrt(alpha_bar) * x_hat) / math.sqrt(1 - alpha_bar)
    return math.sqrt(alpha_bar) * eps - math.sqrt(1 - alpha_bar) * x_hat


def no_last_step(denoise, y, sigma, sigma_next):
    slope = (y - denoise(y, sigma)) / sigma
    moved = y + (sigma_next - sigma) * slope
    slope_end = (moved - denoise(moved, sigma_next)) / sigma_next
    return y + (sigma_next - sigma) * (slope + slope_end) / 2


def wrong_level(denoise, y, sigma, sigma_next):
    slope = (y - denoise(y, sigma)) / sigma
    moved = y + (sigma_next - sigma) * slope
    return y + (sigma_next - sigma) * (slope + (moved - denoise(moved, sigma)) / sigma) / 2


CASES = {
    "score": (
        score,
        [
            lambda d, y, s: (y - d(y, s)) / s**2,
            lambda d, y, s: (d(y, s) - y) / s,
            lambda d, y, s: d(y, s) - y,
            lambda d, y, s: (d(y, s) - y).sum(1) / s**2,
        ],
    ),
    "heun_step": (
        heun_step,
        [
            lambda d, y, s, t: d(y, s) + t / s * (y - d(y, s)),
            no_last_step,
            wrong_level,
            lambda d, y, s, t: y,
        ],
    ),
    "vp_model": (
        as_denoiser,
        [
            lambda eps: lambda y, s: y - s * eps(y, 1 / (1 + s**2)),
            lambda eps: lambda y, s: eps(y / math.sqrt(1 + s**2), 1 / (1 + s**2)),
            lambda eps: lambda y, s: y - eps(y / math.sqrt(1 + s**2), 1 / (1 + s**2)),
        ],
    ),
    "split": (
        split,
        [
            lambda s, t, eta: (t, eta * t),
            lambda s, t, eta: (t * math.sqrt(1 - eta**2), eta * t),
            lambda s, t, eta: (
                math.sqrt(t**2 - (eta * t * (1 - t / s)) ** 2),
                eta * t * (1 - t / s),
            ),
            lambda s, t, eta: (-split(s, t, eta)[0], split(s, t, eta)[1]),
        ],
    ),
    "v_prediction": (
        v_from_x,
        [
            lambda x_t, x, a: (x_t - math.sqrt(a) * x) / math.sqrt(1 - a),
            lambda x_t, x, a: math.sqrt(a) * x_t - math.sqrt(1 - a) * x,
            lambda x_t, x, a: -v_from_x(x_t, x, a),
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_official_solution_passes(name, capsys):
    assert getattr(exercises, f"check_{name}")(CASES[name][0])
    assert capsys.readouterr().out.startswith("✓")


@pytest.mark.parametrize(
    ("name", "k"), [(n, k) for n, (_, w) in CASES.items() for k in range(len(w))]
)
def test_a_plausible_wrong_solution_fails_with_a_hint(name, k, capsys):
    assert not getattr(exercises, f"check_{name}")(CASES[name][1][k])
    assert capsys.readouterr().out.startswith("✗")


def test_code_that_raises_is_a_failed_check():
    assert not exercises.check_score(lambda denoise, y, sigma: y.nonsense())
    assert not exercises.check_split(lambda sigma, sigma_next, eta: None)
