"""What a network does to space, measured: how far it sees, and whether it moves with its input."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import _validate

Network = Callable[[Tensor, Tensor], Tensor]


class ReceptiveField(NamedTuple):
    """How far from its place an output pixel depends on the input, in pixels."""

    effective: int  # side of the smallest centred square with `share` of the squared gradient
    reach: int  # side of the smallest centred square outside which the gradient is exactly 0
    gradient: Tensor  # (H, W): mean squared gradient of the centre, float64


def effective_receptive_field(
    network: Network,
    shape: tuple[int, int, int],
    *,
    share: float = 0.95,
    noise_label: float = 0.0,
    examples: int = 8,
    seed: int = 0,
) -> ReceptiveField:
    """Measure the squared gradient of the central output pixel, for standard normal input.

    ``g(j) = E Σ_channels (∂F_centre / ∂x_j)²``; with sides 2r + 1 around the centre (H // 2,
    W // 2), cut at the image. What mixes all pixels (group norm, attention) reaches everywhere and
    may weigh little. See :cite:t:`luo2016understanding`.

    Parameters
    ----------
    network : callable
        F(x, noise_label), from (B, C, H, W) and (B,) to (B, C', H, W); a module is measured in its
        evaluation mode.
    shape : tuple of int
        (C, H, W) of the input.

    Raises
    ------
    ValueError
        If the centre does not depend on the input at all, as in a new `UNet`, which returns zeros.
    """
    share = _validate.real("share", share, minimum=0, strict=True)
    if share > 1:
        raise ValueError(f"share must be at most 1, got {share:g}")
    with _evaluating(network) as like:
        x = _inputs(shape, examples, seed, like).requires_grad_()
        centre = network(x, x.new_full((examples,), noise_label))[..., shape[1] // 2, shape[2] // 2]
        gradients = [
            torch.autograd.grad(channel.sum(), x, retain_graph=True)[0]
            for channel in centre.unbind(1)
        ]
    squared = sum(g.double().square() for g in gradients).sum(1).mean(0)
    seen = sum((g != 0).sum((0, 1)) for g in gradients) > 0
    if not seen.any():
        raise ValueError("network must depend on its input at the central pixel, got a gradient of "
                         "0 everywhere: a new UNet returns zeros until it is trained")  # fmt: skip
    ring = _rings(squared)
    mass = squared.new_zeros(int(ring.max()) + 1).index_add_(0, ring.flatten(), squared.flatten())
    inside = mass.cumsum(0) / mass.sum()
    radius = int((inside < share - 1e-12).sum())
    largest = max(squared.shape)
    return ReceptiveField(
        min(2 * radius + 1, largest), min(2 * int(ring[seen].max()) + 1, largest), squared
    )


@torch.no_grad()
def equivariance_error(
    network: Network,
    shape: tuple[int, int, int],
    *,
    step: int = 1,
    noise_label: float = 0.0,
    shifts: int = 8,
    examples: int = 4,
    seed: int = 0,
) -> float:
    """Relative error of "shift, then F" against "F, then shift", for circular shifts S.

    ``sqrt(E ‖F(S x) - S F(x)‖² / E ‖F(x)‖²)`` over standard normal x and `shifts` random shifts by
    multiples of `step`, as ``step=2**depth`` for a network that halves the side `depth` times.
    0 is an equivariant network; about 1.4 one whose outputs have nothing in common.
    """
    step = _validate.integer("step", step, minimum=1)
    shifts = _validate.integer("shifts", shifts, minimum=1)
    _, height, width = shape
    rows, columns = range(0, height, step), range(0, width, step)
    if len(rows) * len(columns) == 1:
        raise ValueError(f"step must be below the image's side {max(shape[1:])}, got {step}")
    chosen = torch.randint(
        1, len(rows) * len(columns), (shifts,), generator=torch.Generator().manual_seed(seed)
    )
    with _evaluating(network) as like:
        x = _inputs(shape, examples, seed, like)
        label = x.new_full((examples,), noise_label)
        plain = network(x, label)
        wrong = 0.0
        for place in chosen.tolist():
            by = rows[place // len(columns)], columns[place % len(columns)]
            moved = network(x.roll(by, (2, 3)), label)
            wrong += (moved - plain.roll(by, (2, 3))).double().square().sum().item()
    size = shifts * plain.double().square().sum().item()
    return (wrong / size) ** 0.5 if size > 0 else 0.0


def _inputs(shape: tuple[int, ...], examples: int, seed: int, like: Tensor) -> Tensor:
    """Standard normal images (examples, *shape), the same on every device."""
    examples = _validate.integer("examples", examples, minimum=1)
    if len(shape) != 3:
        raise ValueError(f"shape must be (C, H, W), got {shape!r}")
    generator = torch.Generator().manual_seed(_validate.integer("seed", seed))
    return torch.randn(examples, *shape, generator=generator).to(like)


@contextlib.contextmanager
def _evaluating(network: Network) -> Iterator[Tensor]:
    """Put a module in evaluation mode for a while; yields a tensor of its dtype and device."""
    module = network if isinstance(network, nn.Module) else nn.Identity()
    before = module.training
    module.eval()
    try:
        yield next(iter(module.parameters()), torch.zeros(()))
    finally:
        module.train(before)


def _rings(image: Tensor) -> Tensor:
    """Distance of each pixel from the central one, the greater of rows and columns."""
    rows, columns = (torch.arange(n, device=image.device) - n // 2 for n in image.shape)
    return torch.maximum(rows.abs()[:, None], columns.abs()[None, :])
