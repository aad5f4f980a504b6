"""The network whose only constraint is to be affine at each noise level."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import _validate


class AffinePerLevel(nn.Module):
    """One trainable affine map for each level of a schedule: ``D(y, σ_k) = scale (W_k ỹ + b_k)``.

    ``ỹ = y / sqrt(scale² + σ_k²)`` and `scale` put inputs and outputs at order one at every level,
    so that one learning rate suits all; they do not change what can be expressed. All levels train
    in one batched matrix product.

    Parameters
    ----------
    shape : tuple of int
        Shape of one example; d is its number of entries.
    sigmas : sequence of float
        A schedule; the levels above 0 each get a map.
    scale : float
        The data's typical magnitude.
    """

    def __init__(self, shape: tuple[int, ...], sigmas: Sequence[float], scale: float = 1.0) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.scale = _validate.real("scale", scale, minimum=0, strict=True)
        levels = [s for s in _validate.schedule(sigmas) if s > 0]
        d = math.prod(self.shape)
        self.register_buffer("levels", torch.tensor(levels, dtype=torch.float64))
        self.weight = nn.Parameter(torch.zeros(len(levels), d, d))
        self.bias = nn.Parameter(torch.zeros(len(levels), 1, d))

    @property
    def input_scale(self) -> Tensor:
        """``1 / sqrt(scale² + σ²)`` for each level, shape (K,)."""
        return (self.scale**2 + self.levels**2).rsqrt().float()

    def forward(self, y: Tensor) -> Tensor:
        """Denoise at all levels at once: y (K, n, *shape), level k in row k."""
        flat = y.flatten(2) * self.input_scale[:, None, None]
        return (self.scale * torch.baddbmm(self.bias, flat, self.weight.mT)).reshape(y.shape)

    def level(self, sigma: float) -> int:
        """Return the index of a trained level."""
        gap = (self.levels / sigma).log().abs() if sigma > 0 else self.levels + math.inf
        k = int(gap.argmin())
        if gap[k] > 1e-6:
            raise ValueError(
                f"sigma must be one of the {len(self.levels)} levels this network was built for, "
                f"got {sigma!r}"
            )
        return k

    @torch.no_grad()
    def denoise(self, y: Tensor, sigma: float) -> Tensor:
        """Denoise a batch (n, *shape) at one of the trained levels; like y, of any dtype."""
        k = self.level(sigma)
        x = _validate.noisy(y, torch.Size(self.shape), self.weight.device)
        flat = (x.flatten(1) * self.input_scale[k]).to(self.weight.dtype)
        x_hat = self.scale * torch.addmm(self.bias[k], flat, self.weight[k].T)
        return x_hat.reshape(y.shape).to(y.dtype if y.is_floating_point() else x_hat.dtype)

    @torch.no_grad()
    def maps(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Return A (d, d), b (d,) of y ↦ A y + b at a trained level, for `affine_law`."""
        k = self.level(sigma)
        A = self.scale * self.input_scale[k] * self.weight[k]
        return A.double(), self.scale * self.bias[k, 0].double()
