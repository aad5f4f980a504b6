"""The convolutional denoiser: one kernel shared by all places, and the texture it dreams.

Derived in :prf:ref:`thm-conv-law`, :prf:ref:`thm-conv-window` and :prf:ref:`prop-conv-padding`.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _kernels, _validate
from ..laws import Gaussian
from ..noise import Knobs
from . import _filters
from .affine import affine_law

REMEMBERED = 1024  # noise levels whose filter is kept


class Convolutional:
    """The best affine denoiser whose matrix is a convolution, with one bias per channel.

    ``D(y, σ)_a(p) = b_a + sum_{b,δ} h_ab(δ) y_b(p + δ)``, with the kernel h of least mean squared
    error, averaged over all places p. `padding` "circular": places beyond the border are those
    on the other side; the full kernel multiplies frequency ω by ``S(ω) (S(ω) + (σ² + γ) I)⁻¹``, S
    the power of x less a constant for each channel, averaged over all shifts. "zeros": zeros
    surround the noisy picture, as in most networks. γ = `ridge`.

    Cost of a call: two fast Fourier transforms; kernels are found once for each σ, from one
    eigendecomposition (circular) or by a solve of Ck² equations (zeros).

    Parameters
    ----------
    mean : Tensor, shape (C, L) or (C, H, W)
    cov : Tensor, shape (d, d)
    kernel_size : int, optional
        Odd k for kernels of k (L) or k×k (H, W) places, at most L, H and W (circular) or twice
        that less one (zeros); along a side of length 1 the kernel has length 1. None: as large
        as there is.
    """

    def __init__(
        self,
        mean: Tensor,
        cov: Tensor,
        *,
        kernel_size: int | None = None,
        padding: str = "circular",
        ridge: float = 0.0,
    ) -> None:
        mean = _validate.floating("mean", mean).double()
        law = Gaussian(mean, cov)
        self._prepare(mean.shape, mean.device, kernel_size, padding, ridge)
        self._from_moments(mean.reshape(self._picture), law.cov)

    @classmethod
    def fit(
        cls,
        x: Tensor,
        *,
        kernel_size: int | None = None,
        padding: str = "circular",
        ridge: float = 0.0,
    ) -> "Convolutional":
        """Fit to data x (N, C, L) or (N, C, H, W): moments normalised by N."""
        x = _validate.dataset(x)
        denoiser = cls.__new__(cls)
        denoiser._prepare(x.shape[1:], x.device, kernel_size, padding, ridge)
        x = x.double().reshape(len(x), *denoiser._picture)
        if padding == "zeros":
            centred = (x - x.mean(0)).flatten(1)
            denoiser._from_moments(x.mean(0), centred.T @ centred / len(x))
        else:
            bias = x.mean((0, 2, 3))
            denoiser._from_power(bias, _filters.power_of(x - bias[:, None, None]))
        return denoiser

    @classmethod
    def from_spectrum(
        cls,
        mean: float | Tensor,
        power: Tensor,
        *,
        kernel_size: int | None = None,
        ridge: float = 0.0,
    ) -> "Convolutional":
        """Build from the power S(ω) of a target in the order of `torch.fft.fftn`, circular.

        `power` is (L,) or (H, W) for one channel; (C, C, L) or (C, C, H, W) Hermitian in its first
        two for several; mean is a number or (C,). White noise of variance v has power v.
        """
        power = Gaussian.check_power(power)
        c, spatial = power.shape[0], power.shape[2:]
        mean = _validate.floating("mean", mean).double().to(power.device)
        if mean.shape not in ((), (c,)):
            raise ValueError(f"mean must be one number or {c}, got shape {tuple(mean.shape)}")
        denoiser = cls.__new__(cls)
        denoiser._prepare((c, *spatial), power.device, kernel_size, "circular", ridge)
        power = power.reshape(c, c, *denoiser._picture[1:]).permute(2, 3, 0, 1)
        denoiser._from_power(mean.expand(c), power)
        return denoiser

    def _prepare(
        self,
        shape: Sequence[int],
        device: torch.device,
        kernel_size: int | None,
        padding: str,
        ridge: float,
    ) -> None:
        """Check and keep what says which convolutions are allowed."""
        self.shape, self.device = torch.Size(shape), device
        self._picture = _kernels.picture(shape)
        self.window = _kernels.sides(kernel_size, self._picture[1:], padding)
        self.padding, self.kernel_size = padding, kernel_size
        self.ridge = _validate.real("ridge", ridge, minimum=0)
        self._kept: dict = {}

    def _from_moments(self, mean: Tensor, cov: Tensor) -> None:
        if self.padding == "zeros":
            second = cov + torch.outer(mean.flatten(), mean.flatten())
            self.level = mean.mean((1, 2))
            self._filter = _filters.PaddedFilter(mean, second, self.window)
            return
        bias = mean.mean((1, 2))
        off = (mean - bias[:, None, None]).flatten()
        self._from_power(bias, _filters.power_of_moments(cov + torch.outer(off, off), mean.shape))

    def _from_power(self, bias: Tensor, power: Tensor) -> None:
        self.level = bias
        self._filter = (
            _filters.FullFilter(power)
            if self.kernel_size is None
            else _filters.WindowFilter(power, self.window)
        )

    def __repr__(self) -> str:
        kernel = "×".join(map(str, self.window))
        return f"Convolutional({kernel} kernel, {self.padding}, shape {tuple(self.shape)})"

    def __call__(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Estimate x from y = x + sigma n; y (n, *shape), sigma a number or one per example."""
        dtype = y.dtype if isinstance(y, Tensor) and y.is_floating_point() else torch.float32
        y = _validate.noisy(y, self.shape, self.device)
        levels, row = self._levels(sigma, len(y)).unique(return_inverse=True)
        picture = y.reshape(-1, *self._picture)
        transfer, offset = self._spectral(levels, y.dtype)
        if len(levels) > 1:
            transfer, offset = transfer[row], offset[row]
        x_hat = self._apply(picture, transfer, offset)
        return x_hat.reshape(y.shape).to(dtype)

    def _levels(self, sigma: float | Tensor, n: int) -> Tensor:
        return _validate.noise_level(sigma, n, self.level)

    @property
    def _torus(self) -> tuple[int, int]:
        """The size on which Fourier transforms are taken: zeros need a margin."""
        h, w = self._picture[1:]
        if self.padding == "circular":
            return h, w
        return h + self.window[0] // 2, w + self.window[1] // 2

    def _spectral(self, levels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Half-plane transfer (U, C, C, …) and offset (U, C, 1, 1); those of one level are kept."""
        key = (levels.item(), dtype) if len(levels) == 1 else None
        if key in self._kept:
            return self._kept[key]
        transfer, offset = self._filters(levels, self._torus)
        half = transfer[:, :, : self._torus[1] // 2 + 1].permute(0, 3, 4, 1, 2)
        half = half.to(torch.complex128 if dtype == torch.float64 else torch.complex64)
        if self.padding == "circular" and self._picture[0] == 1:
            half = half.real  # the autocovariance of one channel is even
        found = half.contiguous(), offset.to(dtype)[:, :, None, None]
        if key:
            if len(self._kept) >= REMEMBERED:
                self._kept.clear()
            self._kept[key] = found
        return found

    def _filters(self, levels: Tensor, torus: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Transfer functions (U, H, W, C, C) and offsets b (U, C), float64."""
        if self.padding == "zeros":
            kernels, offset = self._filter.kernels(levels, self.ridge)
            return _filters.transfer_of(kernels, torus), offset
        transfer = self._filter.transfer(levels**2 + self.ridge)
        return transfer, self.level - transfer[:, 0, 0].real @ self.level

    def _apply(self, picture: Tensor, transfer: Tensor, offset: Tensor) -> Tensor:
        """Filter (n, C, H, W) by half-plane transfer functions (n or 1, C, C, …)."""
        (h, w), torus = picture.shape[2:], self._torus
        Y = torch.fft.rfft2(picture, s=torus)
        X = Y * transfer[:, 0] if len(self.level) == 1 else (transfer * Y[:, None]).sum(2)
        return torch.fft.irfft2(X, s=torus)[..., :h, :w] + offset

    def kernel(self, sigma: float) -> Tensor:
        """The kernel at one noise level, (C, C, *sides), float64, offset 0 in its centre."""
        levels = self._levels(sigma, 1)
        if self.padding == "zeros":
            kernel = self._filter.kernels(levels, self.ridge)[0][0]
        elif self.kernel_size is not None:
            kernel = self._filter.kernels(levels**2 + self.ridge)[0]
        else:
            H = self._filter.transfer(levels**2 + self.ridge)[0].permute(2, 3, 0, 1)
            back = torch.fft.ifft2(H).real.flip(2, 3)  # h(δ) at place -δ
            kernel = back.roll([n // 2 + 1 for n in self.window], dims=(2, 3))
        return kernel.reshape(*kernel.shape[:2], *self.window[3 - len(self.shape) :])

    def maps(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Return A (d, d), b (d,) of the denoiser y ↦ A y + b at one noise level."""
        (h, w), d = self._picture[1:], math.prod(self.shape)
        transfer, offset = self._filters(self._levels(sigma, 1), self._torus)
        torus = transfer.shape[1:3]
        at = torch.fft.ifft2(transfer[0].permute(2, 3, 0, 1)).real  # output less input place
        row, column = (torch.arange(n, device=at.device) for n in (h, w))
        rows = ((row[:, None] - row) % torus[0])[:, None, :, None]
        columns = ((column[:, None] - column) % torus[1])[None, :, None, :]
        A = at[:, :, rows, columns].permute(0, 2, 3, 1, 4, 5).reshape(d, d)
        return A, offset[0].repeat_interleave(h * w)

    def generate(self, noise: Tensor, sigmas: Tensor, *, second_order: bool = False) -> Tensor:
        """Do what `sampling.ddim` (or `heun`) does; circular: one filter for the whole run."""
        noise = _validate.noisy(noise, self.shape, self.device, "noise")
        levels = _validate.schedule(sigmas)
        if self.padding == "zeros":
            if second_order:
                raise ValueError("second_order must be False with zeros: use sampling.heun")
            for sigma, sigma_next in itertools.pairwise(levels):
                noise = torch.lerp(self(noise, sigma), noise, sigma_next / sigma)
            return noise
        gain, _ = self._total(levels, second_order, Knobs())
        offset = self.level - gain[0, 0].real @ self.level
        half = gain[:, : self._torus[1] // 2 + 1].permute(2, 3, 0, 1)[None]
        half = half.to(torch.complex128 if noise.dtype == torch.float64 else torch.complex64)
        offset = offset.to(noise.dtype)[None, :, None, None]
        picture = noise.reshape(-1, *self._picture)
        return self._apply(picture, half, offset).reshape(noise.shape)

    def _total(
        self, levels: list[float], second_order: bool, knobs: Knobs
    ) -> tuple[Tensor, Tensor]:
        """Gain (H, W, C, C) of a whole run, and the power that it generates."""
        h, w = self._torus
        one = torch.eye(len(self.level)).to(self.level).to(torch.complex128).expand(h, w, -1, -1)
        gain, power = one, levels[0] ** 2 * one

        def transfer(sigma: float) -> Tensor:
            return self._filters(self.level.new_tensor([sigma]), self._torus)[0][0]

        for sigma, sigma_next in itertools.pairwise(levels):
            step = knobs.split(sigma, sigma_next, len(levels) - 1)
            H, share = transfer(step.hat), step.down / step.hat
            M = share * one + (1 - share) * H
            if second_order and step.down > 0:
                r = (step.down - step.hat) / 2
                slope = (one - H) / step.hat + (one - transfer(step.down)) @ M / step.down
                M = one + r * slope
            gain = M @ gain
            power = M @ (power + step.added**2 * one) @ M.mH + step.up**2 * one
        return gain, power

    def spectrum(self, sigmas: Tensor | None = None, **sampler: float) -> Tensor:
        """The power that is generated, in the layout of `from_spectrum`; circular only.

        `sigmas` and the sampler's knobs are those of `law`. White noise of variance v has power v.
        """
        power = self._generated(sigmas, sampler)[1].permute(2, 3, 0, 1)
        power = power.reshape(*power.shape[:2], *self.shape[1:])
        return power[0, 0].real if len(power) == 1 else power

    def _generated(self, sigmas: Tensor | None, sampler: dict) -> tuple[Tensor, Tensor]:
        """Mean (C,) and power (H, W, C, C) of what is generated, circular."""
        if self.padding == "zeros":
            raise ValueError(
                "padding must be 'circular' for a spectrum, or for a law without a schedule: "
                "with 'zeros' the samples are not stationary; ask for law(sigmas)"
            )
        if sigmas is not None:
            sampler = dict(sampler)
            second_order = sampler.pop("second_order", False)
            levels = _validate.schedule(sigmas)
            gain, power = self._total(levels, second_order, Knobs(**sampler))
            return self.level - gain[0, 0].real @ self.level, power
        if self.ridge == 0:
            full = self.kernel_size is None
            return self.level, self._filter.power if full else self._filter.limit()
        slowest = self._filters(torch.zeros_like(self.level[:1]), self._torus)[0][0]
        if torch.linalg.eigvals(slowest).real.max() >= 1:
            raise ValueError("with this ridge the flow has no limit: give a schedule")
        return self.level, torch.zeros_like(slowest)  # it contracts all the way to 0

    def law(self, sigmas: Tensor | None = None, **sampler: float) -> Gaussian:
        """The law of what is generated, exact for the schedule.

        Circular: stationary, from a product of gains at each frequency
        (:prf:ref:`cor-conv-steps`); `sigmas` = None is the limit of the ODE from infinite noise.
        Zeros: the matrix recursion of `affine_law`, O(d³) a step; a schedule is needed. Knobs of
        the sampler as in `affine_law`.
        """
        if self.padding == "zeros" and sigmas is not None:
            return affine_law(self.maps, sigmas, tuple(self.shape), **sampler)
        level, power = self._generated(sigmas, sampler)
        mean = level[:, None].expand(-1, math.prod(self.shape[1:]))
        return _filters.stationary(mean, power, tuple(self.shape))
