"""Self-checks of chapter 1 accept the official solutions and reject plausible wrong ones."""

import math

import pytest
import torch

import diffusion_creativity as dc
from diffusion_creativity import exercises


def _average(denoise, y, sigma, sigma_next):
    keep = sigma_next / sigma
    return (1 - keep) * denoise(y, sigma) + keep * y


def _by_noise(denoise, y, sigma, sigma_next):
    x_hat = denoise(y, sigma)
    return x_hat + sigma_next * (y - x_hat) / sigma


WRONG_STEPS = {
    "weights swapped": lambda d, y, s, t: (t / s) * d(y, s) + (1 - t / s) * y,
    "variances for levels": lambda d, y, s, t: (1 - (t / s) ** 2) * d(y, s) + (t / s) ** 2 * y,
    "root of the ratio": lambda d, y, s, t: (1 - (t / s) ** 0.5) * d(y, s) + (t / s) ** 0.5 * y,
    "asked at the next level": lambda d, y, s, t: (1 - t / s) * d(y, t) + (t / s) * y,
    "sum above one": lambda d, y, s, t: d(y, s) + (t / s) * y,
    "fresh noise": lambda d, y, s, t: d(y, s) + t * torch.randn_like(y),
    "answer only": lambda d, y, s, t: d(y, s),
    "nothing": lambda d, y, s, t: None,
}


@pytest.mark.parametrize("step", [_average, _by_noise])
def test_step_accepted(step, capsys):
    assert exercises.check_step_as_average(step)
    assert "passed" in capsys.readouterr().out


@pytest.mark.parametrize("name", WRONG_STEPS)
def test_step_rejected(name, capsys):
    assert not exercises.check_step_as_average(WRONG_STEPS[name])
    assert "✗" in capsys.readouterr().out


def _sample_from(denoise, n, shape, sigma_max, steps, seed):
    start = dc.sampling.initial_noise(n, shape, sigma_max=sigma_max, seed=seed)
    return dc.sampling.ddim(denoise, start, dc.noise.karras(steps, sigma_max=sigma_max))


def _without(part):
    """The official sampler with one argument forgotten."""

    def sample(denoise, n, shape, sigma_max, steps, seed):
        noise_max = 80.0 if part == "noise" else sigma_max
        levels_max = 80.0 if part == "levels" else sigma_max
        start = dc.sampling.initial_noise(n, shape, noise_max, seed=0 if part == "seed" else seed)
        levels = dc.noise.karras(40 if part == "steps" else steps, sigma_max=levels_max)
        whole = part == "trajectory"
        return dc.sampling.ddim(denoise, start, levels, return_trajectory=whole)

    return sample


def test_start_from_accepted():
    assert exercises.check_start_from(_sample_from)


@pytest.mark.parametrize("part", ["noise", "levels", "seed", "steps", "trajectory"])
def test_start_from_rejected(part):
    assert not exercises.check_start_from(_without(part))


def test_start_from_rejects_another_schedule():
    def log_linear(denoise, n, shape, sigma_max, steps, seed):
        start = dc.sampling.initial_noise(n, shape, sigma_max, seed=seed)
        return dc.sampling.ddim(denoise, start, dc.noise.log_linear(steps, sigma_max=sigma_max))

    assert not exercises.check_start_from(log_linear)


def _circle(a, b, t):
    return math.cos(t * math.pi / 2) * a + math.sin(t * math.pi / 2) * b


WRONG_MIXES = {
    "straight line": lambda a, b, t: (1 - t) * a + t * b,
    "the other way round": lambda a, b, t: _circle(b, a, t),
    "full half turn": lambda a, b, t: math.cos(t * math.pi) * a + math.sin(t * math.pi) * b,
    "measured size": lambda a, b, t: 80 * ((m := (1 - t) * a + t * b) / m.std()),
    "jump": lambda a, b, t: a if t < 1 else None,
    "scaled": lambda a, b, t: math.sqrt(2) * ((1 - t) * a + t * b),
}


@pytest.mark.parametrize("mix", [_circle, lambda a, b, t: math.sqrt(1 - t) * a + math.sqrt(t) * b])
def test_mix_accepted(mix):
    assert exercises.check_mix(mix)


@pytest.mark.parametrize("name", WRONG_MIXES)
def test_mix_rejected(name):
    assert not exercises.check_mix(WRONG_MIXES[name])


def _count(samples, train):
    return dc.metrics.nearest(samples, train)[1].bincount(minlength=len(train))


def _count_by_loop(samples, train):
    counts = torch.zeros(len(train))
    for sample in samples:
        counts[(train - sample).flatten(1).norm(dim=1).argmin()] += 1
    return counts


WRONG_COUNTS = {
    "no zeros": lambda s, x: dc.metrics.nearest(s, x)[1].bincount(),
    "farthest": lambda s, x: torch.cdist(s.flatten(1), x.flatten(1)).argmax(1).bincount(
        minlength=len(x)),
    "city blocks": lambda s, x: torch.cdist(s.flatten(1), x.flatten(1), p=1).argmin(1).bincount(
        minlength=len(x)),
    "nearest sample of each image": lambda s, x: torch.cdist(
        x.flatten(1), s.flatten(1)).argmin(1).bincount(minlength=len(x)),
    "indices": lambda s, x: dc.metrics.nearest(s, x)[1],
    "fractions": lambda s, x: _count(s, x) / len(s),
}  # fmt: skip


@pytest.mark.parametrize("count", [_count, _count_by_loop])
def test_count_accepted(count):
    assert exercises.check_count_copies(count)


@pytest.mark.parametrize("name", WRONG_COUNTS)
def test_count_rejected(name):
    assert not exercises.check_count_copies(WRONG_COUNTS[name])


def test_a_crash_is_told(capsys):
    assert not exercises.check_mix(lambda a, b: a)
    assert "TypeError" in capsys.readouterr().out
