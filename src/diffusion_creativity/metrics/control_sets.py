"""Sets of images whose novelty and realism are known by construction: what metrics are held to."""

import torch
from torch import Tensor

from .. import _validate


def controls(
    train: Tensor,
    real: Tensor,
    *,
    n: int | None = None,
    noise: float = 0.05,
    blur: float = 1.0,
    labels: Tensor | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Return nine sets of n images each, from real ones to white noise.

    ==================  ==========================================================
    real                other real images, as they are: the ideal generator
    copies              training images, drawn with replacement
    noisy copies        copies plus Gaussian noise of standard deviation `noise`
    shifted copies      copies moved circularly by one pixel along one axis
    chimeras            the upper half of one training image, the lower of another
    Gaussian            N(mean, covariance) of the training images
    blurred             real images under a Gaussian blur of `blur` pixels
    dropped modes       real images of half the classes, drawn with replacement
    white noise         independent pixels, mean and variance of the training set
    ==================  ==========================================================

    Parameters
    ----------
    train, real
        Images (N, C, H, W) and (M, C, H, W), disjoint samples of one source. A reference set that
        the metrics are given is a third one.
    n
        Size of each set, at most M; M unless given.
    labels
        Classes (M,) of `real`. Without them the two modes are the sides of the first principal
        component.
    """
    train, real = _images(train, "train"), _images(real, "real")
    if real.shape[1:] != train.shape[1:]:
        raise ValueError(f"real must hold images {tuple(train.shape[1:])}, got {real.shape[1:]}")
    n = len(real) if n is None else _validate.integer("n", n, minimum=1)
    if n > len(real):
        raise ValueError(f"n must be at most the {len(real)} real images, got {n}")
    noise = _validate.real("noise", noise, minimum=0)
    blur = _validate.real("blur", blur, minimum=0, strict=True)
    draw = torch.Generator().manual_seed(_validate.integer("seed", seed))
    some = real[torch.randperm(len(real), generator=draw)[:n]]
    copies, others = (train[torch.randint(len(train), (n,), generator=draw)] for _ in range(2))
    kept = torch.nonzero(_kept(real, labels))[:, 0]
    return {
        "real": some,
        "copies": copies,
        "noisy copies": copies + noise * _normal(copies, draw),
        "shifted copies": _shifted(copies, draw),
        "chimeras": _chimeras(copies, others),
        "Gaussian": _gaussian(train, n, draw),
        "blurred": blurred(some, blur),
        "dropped modes": real[kept[torch.randint(len(kept), (n,), generator=draw)]],
        "white noise": train.mean() + train.std() * _normal(some, draw),
    }


def blurred(images: Tensor, width: float) -> Tensor:
    """Return images (n, C, H, W) under a Gaussian blur of standard deviation `width` pixels.

    Outside, each image goes on with the colour of its border.
    """
    reach = max(1, round(3 * width))
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = (-0.5 * (offsets / width) ** 2).softmax(0)
    for axis in (-1, -2):
        size = images.shape[axis]
        # The blur along an axis is one matrix, borders included.
        places = torch.arange(size, device=images.device)[:, None] + offsets.long()
        places = places.clamp(0, size - 1)
        matrix = images.new_zeros(size, size).scatter_add_(1, places, weights.expand(size, -1))
        images = (images.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    return images


def _images(x: Tensor, name: str) -> Tensor:
    x = _validate.dataset(x, name)
    if x.ndim != 4:
        raise ValueError(f"{name} must hold images (N, C, H, W), got {tuple(x.shape)}")
    return x


def _normal(like: Tensor, draw: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=draw).to(like)


def _shifted(images: Tensor, draw: torch.Generator) -> Tensor:
    """Each image one pixel up, down, left or right, around the border."""
    moves = torch.stack([images.roll(step, axis) for axis in (-1, -2) for step in (-1, 1)])
    return moves[torch.randint(4, (len(images),), generator=draw), torch.arange(len(images))]


def _chimeras(upper: Tensor, lower: Tensor) -> Tensor:
    half = upper.shape[-2] // 2
    return torch.cat([upper[..., :half, :], lower[..., half:, :]], -2)


def _gaussian(train: Tensor, n: int, draw: torch.Generator) -> Tensor:
    """Mean and covariance exactly those of the training images: a random mixture of them."""
    flat = train.flatten(1)
    weights = torch.randn(n, len(flat), generator=draw).to(flat) / len(flat) ** 0.5
    mean = flat.mean(0)
    return (mean + weights @ (flat - mean)).reshape(n, *train.shape[1:])


def _kept(real: Tensor, labels: Tensor | None) -> Tensor:
    """Which images belong to the half of the classes, or modes, that stay."""
    if labels is None:
        flat = (real - real.mean(0)).flatten(1)
        return flat @ torch.linalg.svd(flat, full_matrices=False).Vh[0] > 0
    labels = torch.as_tensor(labels)
    if labels.shape != real.shape[:1]:
        raise ValueError(f"labels must have shape ({len(real)},), got {tuple(labels.shape)}")
    classes = labels.unique()
    return torch.isin(labels, classes[: (len(classes) + 1) // 2])
