"""UNets for tests."""

import torch
from torch import nn

from diffusion_creativity.networks import UNet, UNetConfig


def awake(config: UNetConfig, seed: int = 0, dtype: torch.dtype = torch.float64) -> UNet:
    """Build a network all of whose parameters are drawn, none zero, so that every layer acts."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = UNet(config)
        for parameter in network.parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 4
            nn.init.normal_(parameter, std=fan**-0.5)
    return network.to(dtype)
