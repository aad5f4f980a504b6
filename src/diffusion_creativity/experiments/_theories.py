"""Theories of a trained denoiser: closed forms, their windows calibrated on its own paths."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from .. import sampling
from ..denoisers.affine import Affine
from ..denoisers.bayes import Bayes
from ..denoisers.convolutional import Convolutional
from ..denoisers.data_locality import DataLocality
from ..denoisers.equivariant import Equivariant
from ..denoisers.patches import EquivariantLocalScore, LocalScore, PatchPosterior
from ..sampling import Denoiser

THEORIES = ("IS", "IS_batches", "Wiener", "Wiener_shifts", "ES", "LS", "ELS", "PSPC", "data")
THRESHOLDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4)  # of the masks of data-driven locality


class Path(NamedTuple):
    """What a denoiser was asked on the way of a sampler, and what it answered."""

    sigmas: list[float]  # levels, noisiest first
    states: Tensor  # (levels, n, *shape)
    answers: Tensor  # like states


def follow(denoise: Denoiser, noise: Tensor, sigmas: Tensor) -> tuple[Tensor, Path]:
    """Sample by DDIM from noise (n, *shape); return the samples and the path to them."""
    steps = list(sampling.steps(denoise, noise, sigmas))
    states = torch.stack([noise, *(step.y for step in steps[:-1])])
    answers = torch.stack([step.x_hat for step in steps])
    return steps[-1].y, Path([step.sigma for step in steps], states, answers)


def path_errors(denoise: Denoiser, path: Path) -> list[float]:
    """Return, level by level, the mean squared difference to the answers of a path.

    Relative to the variance of the answers of all images and pixels at that level.
    """
    found = []
    for sigma, state, answer in zip(*path, strict=True):
        error = (denoise(state, sigma) - answer).double().square().mean()
        found.append(float(error / answer.double().var()))
    return found


def monotone(costs: Tensor) -> list[int]:
    """Choose a column in each row of costs (rows, columns), none below that of the row before.

    Of all such choices it is one with the least sum, found by dynamic programming.
    """
    best, came_from = costs[0], []
    for row in costs[1:]:
        least, index = best.cummin(0)  # the best start among the columns up to this one
        came_from.append(index)
        best = least + row
    chosen = [int(best.argmin())]
    for index in reversed(came_from):
        chosen.append(int(index[chosen[-1]]))
    return chosen[::-1]


class Calibrated(NamedTuple):
    """A theory, its distance to a network along paths of that, and what was chosen there."""

    denoise: Denoiser
    error: list[float]  # at each level, as in `path_errors`
    setting: list[int] | float | None = None  # window at each level, or a threshold
    tried: list[list[float]] | None = None  # errors (settings, levels)


def calibrated_window(
    fit: Callable[..., Denoiser], windows: Sequence[int], path: Path
) -> Calibrated:
    """Choose a window for each level: the nearest to the network, and none larger at less noise.

    The sum of the logarithms of the errors is least, so that each level counts alike.
    """
    errors = [path_errors(fit(window=window), path) for window in windows]
    upwards = torch.tensor(errors, dtype=torch.float64).T.flip(0).clamp(min=1e-12).log()
    chosen = monotone(upwards)[::-1]
    table = {sigma: windows[i] for sigma, i in zip(path.sigmas, chosen, strict=True)}
    error = [errors[i][level] for level, i in enumerate(chosen)]
    return Calibrated(fit(window=table), error, list(table.values()), errors)


def calibrated_threshold(x: Tensor, path: Path) -> Calibrated:
    """Choose one threshold for all levels; the sum of the logarithms of the errors is least."""
    errors = [path_errors(DataLocality.fit(x, threshold=t), path) for t in THRESHOLDS]
    logs = torch.tensor(errors, dtype=torch.float64).clamp(min=1e-12).log().sum(1)
    best = int(logs.argmin())
    fitted = DataLocality.fit(x, threshold=THRESHOLDS[best])
    return Calibrated(fitted, errors[best], THRESHOLDS[best], errors)


def batch_averaged(x: Tensor, batch: int) -> Denoiser:
    """Average the perfect denoisers of the batches of x: what a softmax by mini-batch computes.

    This is no posterior mean: see :prf:ref:`prop-minibatch-average`.
    """
    parts = [Bayes.fit(part) for part in x.split(batch)]

    def denoise(y: Tensor, sigma: float) -> Tensor:
        return sum(part(y, sigma) for part in parts) / len(parts)

    return denoise


def theories(
    x: Tensor, some: Tensor, padding: str, windows: Sequence[int], batch: int, path: Path
) -> dict[str, Calibrated]:
    """Fit all theories of a network with that padding, trained on x (N, C, H, W).

    Windows and thresholds are calibrated on `path`; windows from anywhere come from the images
    `some`. The order is that of `THEORIES`.
    """
    local = partial(LocalScore.fit, x, padding=padding)
    anywhere = partial(EquivariantLocalScore.fit, some, padding=padding)
    fixed = {
        "IS": Bayes.fit(x),
        "IS_batches": batch_averaged(x, batch),
        "Wiener": Affine.fit(x),
        "Wiener_shifts": Convolutional.fit(x),
        "ES": Equivariant.fit(x),
    }
    found = {name: Calibrated(d, path_errors(d, path)) for name, d in fixed.items()}
    found["LS"] = calibrated_window(local, windows, path)
    found["ELS"] = calibrated_window(anywhere, windows, path)
    found["PSPC"] = calibrated_window(partial(PatchPosterior.fit, x), windows, path)
    found["data"] = calibrated_threshold(x, path)
    return found


def held_out_errors(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], seed: int = 2**31 - 2
) -> Tensor:
    """Squared error per pixel (levels, n) of denoised images x (n, C, H, W); always equal noise."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)
    errors = [(denoise(x + s * noise, s) - x).double().square().flatten(1).mean(1) for s in sigmas]
    return torch.stack(errors)
