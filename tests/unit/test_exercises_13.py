"""Each self-check of chapter 13 accepts the official solution and rejects plausible wrong ones."""

from dataclasses import replace

import pytest
import torch

from diffusion_creativity import exercises
from diffusion_creativity.denoisers import Bayes
from diffusion_creativity.networks import UNet, UNetConfig

from .exercise_tests import exercise_checks


def edm(sigma, s):
    total = (s**2 + sigma**2).sqrt()
    return (s / total) ** 2, s * sigma / total, 1 / total


def noise_prediction(sigma, s):
    return torch.ones_like(sigma), sigma, (s**2 + sigma**2).rsqrt()


def for_variance_one(sigma, s):
    return edm(sigma, 1.0)


def negative(sigma, s):
    skip, out, into = edm(sigma, s)
    return skip, -out, into


def reach(layers):
    side, step = 1, 1
    for kernel, stride in layers:
        side += (kernel - 1) * step
        step *= stride
    return side


def own_stride_first(layers):
    side, step = 1, 1
    for kernel, stride in layers:
        step *= stride
        side += (kernel - 1) * step
    return side


def average(start, weights, decay):
    for t, w in enumerate(weights, start=1):
        beta = min(decay, t / (t + 9))
        start = beta * start + (1 - beta) * w
    return start


def without_warm_up(start, weights, decay):
    for w in weights:
        start = decay * start + (1 - decay) * w
    return start


def from_zero(start, weights, decay):
    for t, w in enumerate(weights):
        beta = min(decay, t / (t + 9))
        start = beta * start + (1 - beta) * w
    return start


def swapped(start, weights, decay):
    for t, w in enumerate(weights, start=1):
        beta = min(decay, t / (t + 9))
        start = (1 - beta) * start + beta * w
    return start


def never_capped(start, weights, decay):
    return average(start, weights, 1.0)


def excess(denoise, train, sigma, noise):
    y = train + sigma * noise
    return (denoise(y, sigma) - Bayes.fit(train)(y, sigma)).square().mean()


def loss(denoise, train, sigma, noise):
    return (denoise(train + sigma * noise, sigma) - train).square().mean()


def difference(denoise, train, sigma, noise):
    return loss(denoise, train, sigma, noise) - loss(Bayes.fit(train), train, sigma, noise)


def count_block(inside, outside, kernel, embedding):
    norms = 2 * inside + 2 * outside
    convolutions = kernel**2 * (inside + outside) * outside + 2 * outside
    shortcut = 0 if inside == outside else inside * outside + outside
    return norms + convolutions + shortcut + 2 * outside * (embedding + 1)


RIGHT = [
    (exercises.check_edm, edm),
    (exercises.check_reach, reach),
    (exercises.check_average_weights, average),
    (exercises.check_excess, excess),
    (exercises.check_count_block, count_block),
]
WRONG = [
    (exercises.check_edm, noise_prediction),
    (exercises.check_edm, for_variance_one),
    (exercises.check_edm, negative),
    (exercises.check_edm, lambda sigma, s: (edm(sigma, s)[0] ** 0.5, *edm(sigma, s)[1:])),
    (exercises.check_edm, lambda sigma, s: edm(sigma, s)[0]),
    (exercises.check_reach, own_stride_first),
    (exercises.check_reach, lambda layers: 1 + sum(k - 1 for k, _ in layers)),
    (exercises.check_reach, lambda layers: sum(k for k, _ in layers)),
    (exercises.check_reach, lambda layers: reach(layers) if layers else 0),
    (exercises.check_average_weights, without_warm_up),
    (exercises.check_average_weights, from_zero),
    (exercises.check_average_weights, swapped),
    (exercises.check_average_weights, never_capped),
    (exercises.check_average_weights, lambda a, w, decay: w.mean(0)),
    (exercises.check_excess, loss),
    (exercises.check_excess, difference),
    (exercises.check_excess, lambda d, x, s, n: 64 * excess(d, x, s, n)),
    (exercises.check_excess, lambda d, x, s, n: excess(d, x, s, n).sqrt()),
    (exercises.check_count_block, lambda i, o, k, e: count_block(i, o, k, e) - 2 * o * (e + 1)),
    (exercises.check_count_block, lambda i, o, k, e: k**2 * (i + o) * o),
    (exercises.check_count_block, lambda i, o, k, e: count_block(o, o, k, e)),
    (exercises.check_count_block, lambda i, o, k, e: count_block(i, o, k, e) - 2 * (i + o)),
]  # fmt: skip

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)


@pytest.mark.parametrize("combine", ["sum", "concatenate"])
def test_count_of_a_block_is_that_of_the_package(combine):
    """A block more at the full side adds that many parameters, on each way."""
    config = UNetConfig(side=8, depth=1, widths=(12, 8), combine=combine, blocks=(1, 1))
    block = UNet(config).decoder[0][0]
    inside = 24 if combine == "concatenate" else 12
    own = sum(p.numel() for p in block.parameters()) + 2 * 12 * (config.embedding + 1)
    assert own == count_block(inside, 12, 3, config.embedding)
    more = UNet(replace(config, blocks=(2, 1)))
    added = sum(p.numel() for p in more.parameters()) - sum(
        p.numel() for p in UNet(config).parameters()
    )
    assert added == 2 * count_block(12, 12, 3, config.embedding)
