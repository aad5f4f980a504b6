"""Feature maps: what a metric sees of an image.

A feature map is a callable that takes images (n, C, H, W) in [-1, 1] to features (n, d) in
float32, on the device of the images, each image by itself. Metrics take it as an explicit
argument, since two images that are near for one map may be far for another. Networks do not clip:
what leaves [-1, 1] stays outside.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .. import _validate
from ._network_features import NetworkFeatures, check_images, classifier, dinov2, inception

__all__ = [
    "FeatureMap",
    "NetworkFeatures",
    "classifier",
    "dinov2",
    "inception",
    "pca",
    "pixels",
    "random_convolution",
]

FeatureMap = Callable[[Tensor], Tensor]


def pixels() -> FeatureMap:
    """Return the map to the C·H·W pixels themselves, in order.

    Blind to meaning: an image and its copy shifted by one pixel are far apart.
    """
    return lambda images: check_images(images).flatten(1).float()


def pca(train: Tensor, *, components: int, whiten: bool = False) -> FeatureMap:
    r"""Return the map to the first principal components of a training set.

    .. math:: f_i(x) = \langle u_i, x - \mu\rangle\ (/ \sqrt{\lambda_i}\text{ when whitened})

    with mean μ and eigenpairs (λ_i, u_i) of the covariance (normalised by N), largest first; the
    largest entry of each u_i is positive. It cannot see what lies outside their span. Cost:
    N·d·min(N, d) operations once, then d·components for each image.

    Parameters
    ----------
    train
        Images (N, C, H, W), d = C·H·W.
    components
        How many, at most the rank of the covariance.
    whiten
        Divide by the standard deviations, so that `train` has unit covariance.
    """
    train = check_images(train, "train")
    components = _validate.integer("components", components, minimum=1)
    flat = train.flatten(1).double()
    mean = flat.mean(0)
    variances, vectors = _principal(flat - mean)
    rank = int((variances > variances[0] * len(variances) * 1e-14).sum()) if len(variances) else 0
    if components > rank:
        raise ValueError(
            f"components must be at most the rank of the covariance, {rank}, got {components}"
        )
    vectors = vectors[:, :components]  # (d, components)
    extreme = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * extreme.sign()
    if whiten:
        vectors = vectors / variances[:components].sqrt()
    shape = train.shape[1:]

    def project(images: Tensor) -> Tensor:
        flat = check_images(images, shape=shape).flatten(1)
        centred = (flat - mean.to(flat)).float()
        return centred @ vectors.to(centred)

    return project


def _principal(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors (d, r) of the covariance, largest first, the shorter way."""
    n, d = centred.shape
    if d <= n:
        values, vectors = torch.linalg.eigh(centred.T @ centred / n)
        return values.flip(0), vectors.flip(1)
    _, singular, rows = torch.linalg.svd(centred, full_matrices=False)
    return singular.square() / n, rows.T


def random_convolution(
    *, width: int = 64, layers: int = 3, grid: int = 1, seed: int = 0, batch: int = 500
) -> FeatureMap:
    r"""Return the map to channel statistics of a convolutional network that was never trained.

    Layer l convolves with `width` fixed 3×3 filters, applies ReLU, and then halves the picture by
    means over 2×2 pixels:

    .. math:: a_l = \max(0,\, w_l * p_{l-1} + b_l),\qquad p_l = \text{halved } a_l,\qquad p_0 = x

    Weights are N(0, 2 / (9 · inputs)), which keeps the size of the signal (He et al. 2015,
    arXiv:1502.01852), biases N(0, 1/4); borders are repeated. Of each channel of each a_l it gives
    the mean and the root mean square over each cell of a `grid` × `grid` division of the picture:
    d = 2 · layers · width · grid², for any C, H and W. Layers see patches of 3, 8, 18, 38, …
    pixels.

    No network's opinion and no download: texture and local shape count, meaning does not. With
    `grid=1` where things are does not count either. Weights depend on `seed` and C alone. Cost:
    about 9 · width · H · W · (C + width / 3) multiplications for each image.
    """
    width, layers, grid, batch = (
        _validate.integer(name, value, minimum=1)
        for name, value in (("width", width), ("layers", layers), ("grid", grid), ("batch", batch))
    )
    seed = _validate.integer("seed", seed)

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        images = check_images(images)
        filters = _random_filters(images.shape[1], width, layers, seed)
        filters = [(w.to(images.device), b.to(images.device)) for w, b in filters]
        return torch.cat([_statistics(x.float(), filters, grid) for x in images.split(batch)])

    return features


def _random_filters(channels: int, width: int, layers: int, seed: int) -> list:
    generator = torch.Generator().manual_seed(seed)
    filters = []
    for inputs in [channels] + [width] * (layers - 1):
        weight = torch.randn(width, inputs, 3, 3, generator=generator) * math.sqrt(2 / (9 * inputs))
        filters.append((weight, torch.randn(width, generator=generator) / 2))
    return filters


def _statistics(x: Tensor, filters: list, grid: int) -> Tensor:
    found = []
    for weight, bias in filters:
        x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        x = functional.conv2d(x, weight, bias).relu()
        for power in (x, x.square()):
            cells = functional.adaptive_avg_pool2d(power, grid)
            found.append(cells.flatten(1) if power is x else cells.flatten(1).sqrt())
        x = functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
    return torch.cat(found, 1)
