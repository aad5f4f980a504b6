"""How well one set of images predicts another, image by image."""

import torch
from torch import Tensor

from .. import _validate
from .intervals import Bootstrap, Interval


def pearson_r(
    a: Tensor,
    b: Tensor,
    *,
    interval: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Tensor | Interval:
    r"""Return Pearson's correlation (n,) of each a with its b, over all entries of an image.

    .. math:: r = \frac{\sum(a-\bar a)(b-\bar b)}{\sqrt{\sum(a-\bar a)^2\sum(b-\bar b)^2}}

    In [−1, 1]; blind to brightness and contrast (Kamb & Ganguli 2025 use it to compare theory and
    network). Images of one dataset correlate through their mean: show the value for mismatched
    pairs beside it. NaN where an image is constant.

    Parameters
    ----------
    a, b
        Shapes (n, *shape), pair by pair.
    interval
        With 0.95, the median over images with its percentile bootstrap interval instead: images
        drawn again `resamples` times. Constant images are refused then.
    """
    bootstrap = None if interval is None else Bootstrap(interval, resamples, seed)
    a, b = _pairs(a, b)
    a, b = (_unit(x) for x in (a, b))
    return _answer((a * b).sum(1).clamp(-1, 1), bootstrap)


def r_squared(
    estimate: Tensor,
    target: Tensor,
    *,
    interval: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Tensor | Interval:
    r"""Return the share (n,) of each target's variance over its entries that its estimate explains.

    .. math:: R^2 = 1 - \frac{\sum(e-t)^2}{\sum(t-\bar t)^2}

    In (−∞, 1]: 1 for equal images, 0 for the target's own mean grey, below 0 for worse. Unlike
    `pearson_r` it sees brightness and contrast, and it is not symmetric (Lukoianov et al. 2025).
    NaN where the target is constant. `interval` is as in `pearson_r`.
    """
    bootstrap = None if interval is None else Bootstrap(interval, resamples, seed)
    estimate, target = _pairs(estimate, target, ("estimate", "target"))
    spread = target - target.mean(1, keepdim=True)
    spread = torch.where(_varies(target), spread, 0.0).square().sum(1)
    left = (estimate - target).square().sum(1)
    return _answer(torch.where(spread > 0, 1 - left / spread, torch.nan), bootstrap)


def _pairs(a: Tensor, b: Tensor, names: tuple[str, str] = ("a", "b")) -> tuple[Tensor, Tensor]:
    a = _validate.dataset(a, names[0])
    b = _validate.dataset(b, names[1])
    if a.shape != b.shape or a.device != b.device:
        raise ValueError(
            f"{names[0]} and {names[1]} must be pairs of one shape on one device, got "
            f"{tuple(a.shape)} on {a.device} and {tuple(b.shape)} on {b.device}"
        )
    return a.double().flatten(1), b.double().flatten(1)


def _varies(x: Tensor) -> Tensor:
    return (x != x[:, :1]).any(1, keepdim=True)


def _unit(x: Tensor) -> Tensor:
    """Rows less their mean, of length 1; NaN where a row is constant."""
    centred = x - x.mean(1, keepdim=True)
    return torch.where(_varies(x), centred / centred.norm(dim=1, keepdim=True), torch.nan)


def _answer(values: Tensor, bootstrap: Bootstrap | None) -> Tensor | Interval:
    if bootstrap is None:
        return values
    if values.isnan().any():
        raise ValueError(
            f"interval takes images that vary, got {int(values.isnan().sum())} constant ones"
        )
    return bootstrap.percentile(float(values.quantile(0.5)), bootstrap.medians(values)[0])
