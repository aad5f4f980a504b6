"""What is minimised: the random numbers of a step, and the loss that they give.

An objective is a module around the network, so that it can be compiled and spread over processes:

- ``draw(x, batch, stream)`` returns the tensors of one step, `batch` long in dimension `batch_dim`;
- ``forward(*tensors)`` returns the mean loss over that dimension, one number for each of `members`,
  the networks that train side by side. Their sum is minimised: each sees its own gradient only.

All randomness comes from ``stream(member)``, a generator that is seeded anew for each step.
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..networks import Preconditioned
from ..networks.constrained import Stack
from .levels import LogNormal

Stream = Callable[[int], torch.Generator]
SigmaDistribution = Callable[[int, torch.Generator, torch.device], Tensor]


class Denoising(nn.Module):
    """The loss of a `Preconditioned` network at random levels, another one for each example."""

    batch_dim = 0
    members = ()

    def __init__(self, network: Preconditioned, sigmas: SigmaDistribution | None = None) -> None:
        super().__init__()
        self.network = network
        self.sigmas = LogNormal() if sigmas is None else sigmas

    def draw(self, x: Tensor, batch: int, stream: Stream) -> tuple[Tensor, ...]:
        """Draw examples (B, *shape), levels (B,) and noise (B, *shape)."""
        generator = stream(0)
        sigma = self.sigmas(batch, generator, x.device).to(x.dtype)
        chosen, noise = _examples(x, batch, generator)
        return chosen, sigma, noise

    def forward(self, x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Return the mean loss."""
        return self.network.loss(x, sigma, noise).mean()

    def describe(self) -> str:
        """Return what identifies it beside the network."""
        return f"Denoising({getattr(self.sigmas, '__qualname__', repr(self.sigmas))})"


class Stacked(nn.Module):
    """The losses of a `constrained.Stack`: one for each of its S seeds and K levels.

    The examples and the noise of a seed depend on its number, not on the seeds beside it. Its
    levels share them.
    """

    batch_dim = 2

    def __init__(self, network: Stack) -> None:
        super().__init__()
        self.network = network
        self.members = (network.seeds, len(network.levels))

    def draw(self, x: Tensor, batch: int, stream: Stream) -> tuple[Tensor, ...]:
        """Draw examples and noise, both (S, 1, B, *shape)."""
        drawn = [_examples(x, batch, stream(number)) for number in self.network.numbers]
        chosen, noise = (torch.stack(parts)[:, None] for parts in zip(*drawn, strict=True))
        return chosen, noise

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return the mean losses (S, K)."""
        return self.network.loss(x, noise).mean(2)

    def describe(self) -> str:
        """Return what identifies it beside the network."""
        return f"Stacked(seeds {', '.join(map(str, self.network.numbers))})"


def objective_of(network: nn.Module, sigmas: SigmaDistribution | None) -> nn.Module:
    """Return the objective of a network by its kind."""
    if isinstance(network, Preconditioned):
        return Denoising(network, sigmas)
    if not isinstance(network, Stack):
        raise ValueError(
            "network must be Preconditioned or a constrained.Stack, or objective must be given, "
            f"got {type(network).__name__}"
        )
    if sigmas is not None:
        raise ValueError("sigmas must be None for a constrained.Stack: it has levels of its own")
    return Stacked(network)


def streams(seed: int, step: int, device: torch.device) -> Stream:
    """Return the generators of a step.

    They depend on (seed, member, step) alone: what a step draws can be drawn again after an
    interruption, and by each of several processes.
    """

    def stream(member: int) -> torch.Generator:
        start = hashlib.sha256(f"{seed}, {member}".encode()).digest()[:4]
        value = (int.from_bytes(start, "big") + step) & 0xFFFFFFFF
        # A CPU generator takes 32 bits of its seed: mixed one to one, so no two steps share them.
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            value = ((value ^ (value >> shift)) * factor) & 0xFFFFFFFF
        return torch.Generator(device).manual_seed(value)

    return stream


def _examples(x: Tensor, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw examples, with replacement, and white noise of their shape."""
    rows = torch.randint(len(x), (batch,), generator=generator, device=x.device)
    chosen = x[rows]
    noise = torch.randn(chosen.shape, generator=generator, dtype=x.dtype, device=x.device)
    return chosen, noise
