"""The moving average of the weights, which samples better than the last weights."""

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """Exponential moving average of a network's parameters, updated after each step.

    After step t it is ``β a + (1 - β) w`` with ``β = min(decay, t / (t + 9))``: the warm-up forgets
    the initial weights. Buffers are those of the last step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step 1, 2, …"""
        beta = min(self.decay, step / (step + 9))
        update = get_ema_multi_avg_fn(beta)  # all parameters in one call
        update(list(self.network.parameters()), list(network.parameters()), None)
        for own, other in zip(self.network.buffers(), network.buffers(), strict=True):
            own.copy_(other)
