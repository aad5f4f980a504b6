"""From a raw network to a denoiser: what it is given, what it predicts, and its loss."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import _validate

SMALLEST = 1e-6  # a network is told sigma through its logarithm, so 0 counts as this


class Scalings(NamedTuple):
    """Coefficients at noise levels sigma; see `Preconditioned`."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor

    @property
    def weight(self) -> Tensor:
        """Weight of the squared error of D, ``1 / c_out²``: that of F then has weight 1."""
        return self.c_out**-2


def _edm(sigma: Tensor, sigma_data: float) -> Scalings:
    total = (sigma**2 + sigma_data**2).sqrt()
    return Scalings((sigma_data / total) ** 2, sigma * sigma_data / total, 1 / total)


def _clean(sigma: Tensor, sigma_data: float) -> Scalings:
    one = torch.ones_like(sigma)
    return Scalings(0 * one, one, (1 + sigma**2).rsqrt())


def _noise(sigma: Tensor, sigma_data: float) -> Scalings:
    return Scalings(torch.ones_like(sigma), -sigma, (1 + sigma**2).rsqrt())


def _velocity(sigma: Tensor, sigma_data: float) -> Scalings:
    return Scalings(1 / (1 + sigma**2), -sigma * (1 + sigma**2).rsqrt(), (1 + sigma**2).rsqrt())


#: What a network may predict, by name: functions of sigma and sigma_data.
PREDICTIONS: dict[str, Callable[[Tensor, float], Scalings]] = {
    "edm": _edm,
    "clean": _clean,
    "noise": _noise,
    "velocity": _velocity,
}


class Preconditioned(nn.Module):
    r"""A denoiser made of a raw network F, with the loss it is trained by.

    .. math:: D(y, \sigma) = c_\text{skip} y + c_\text{out} F(c_\text{in} y, \tfrac14 \ln \sigma)

    With :math:`s` = `sigma_data` and y = x + σ n, the network's `prediction` is

    ==========  ==================  ===========================  ========================  =========
    prediction  c_skip              c_out                        c_in                      ideal F
    ==========  ==================  ===========================  ========================  =========
    edm         s² / (s² + σ²)      σ s / √(s² + σ²)             1 / √(s² + σ²)            of unit
                                                                                           variance
    clean       0                   1                            1 / √(1 + σ²)             E[x | y]
    noise       1                   −σ                           1 / √(1 + σ²)             E[n | y]
    velocity    1 / (1 + σ²)        −σ / √(1 + σ²)               1 / √(1 + σ²)             E[v | y]
    ==========  ==================  ===========================  ========================  =========

    "edm" is that of :cite:t:`karras2022elucidating` (table 1); the others are the usual ones of VP
    diffusion (:cite:t:`ho2020denoising`, :cite:t:`salimans2022progressive`), which are given
    x_t = y / √(1 + σ²), with the velocity v = (n − σ x) / √(1 + σ²). All describe the same
    denoisers: at s = 1, "velocity" is "edm" with the sign of F changed.

    Parameters
    ----------
    network : Module
        ``F(input, noise_label)``: input (B, *shape), noise_label (B,), answer like input.
    sigma_data : float
        Standard deviation of the data.
    prediction : str
        A name in `PREDICTIONS`.
    """

    def __init__(self, network: nn.Module, *, sigma_data: float, prediction: str = "edm") -> None:
        super().__init__()
        if prediction not in PREDICTIONS:
            raise ValueError(
                f"prediction must be one of {', '.join(PREDICTIONS)}, got {prediction!r}"
            )
        self.network = network
        self.sigma_data = _validate.real("sigma_data", sigma_data, minimum=0, strict=True)
        self.prediction = prediction

    def scalings(self, sigma: Tensor) -> Scalings:
        """Return the coefficients at sigma > 0, each of the shape of sigma."""
        return PREDICTIONS[self.prediction](sigma, self.sigma_data)

    def forward(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return D(y, σ) for y (B, *shape) and one sigma, or one for each example (B,)."""
        sigma = torch.as_tensor(sigma, dtype=y.dtype, device=y.device).expand(len(y))
        skip, out, into = (_column(c, y) for c in self.scalings(sigma))
        predicted = self.network(into * y, sigma.clamp(min=SMALLEST).log() / 4)
        return skip * y + out * predicted.to(y.dtype)  # under autocast the answer is in bf16

    def loss(self, x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Return ``‖D(x + σ n, σ) - x‖² / (d c_out²)`` for each example, shape (B,).

        It is the mean squared error of F against what it should predict.
        """
        error = self(x + _column(sigma, x) * noise, sigma) - x
        return self.scalings(sigma).weight * error.square().flatten(1).mean(1)

    @torch.no_grad()
    def denoise(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return D(y, σ) for the samplers: without gradients, and like y, of any dtype."""
        like = next(self.parameters(), y)
        noisy = _validate.noisy(y, y.shape[1:], like.device).to(like.dtype)
        level = _validate.noise_level(sigma, len(y), noisy).expand(len(y))
        training = self.training
        try:
            x_hat = self.eval()(noisy, level)
        finally:
            self.train(training)
        return x_hat.to(y.dtype) if y.is_floating_point() else x_hat


def _column(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) so that they multiply `like` (B, *shape)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
