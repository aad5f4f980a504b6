"""The three ways to choose a shared kernel: full, k×k on a torus, zero-padded.

Pictures have C channels on H×W places (a signal has H = 1). Powers and transfer functions have
shape (H, W, C, C), a matrix for each frequency; kernels have shape (C, C, kh, kw) and act as
torch's `conv2d` does: output a at place p is the sum of ``kernel[a, b, δ] y_b(p + δ)``.
"""

import torch
from torch import Tensor

from ..laws import Gaussian


def power_of(x: Tensor) -> Tensor:
    """Translation-averaged power of centred pictures (N, C, H, W): ``mean X X* / HW``."""
    X = torch.fft.fft2(x.double()).permute(2, 3, 1, 0)  # (H, W, C, N)
    return X @ X.mH / (x.shape[0] * x.shape[2] * x.shape[3])


def power_of_moments(second: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """The same from second moments (d, d) about a constant picture."""
    c, h, w = shape
    both = torch.fft.fft2(second.reshape(c, h, w, c, h * w), dim=(1, 2))
    both = torch.fft.ifft2(both.reshape(c, h * w, c, h, w), dim=(3, 4))
    diagonal = both.reshape(c, h * w, c, h * w).diagonal(dim1=1, dim2=3)  # (c, c, hw)
    power = diagonal.permute(2, 0, 1).reshape(h, w, c, c)
    return (power + power.mH) / 2


def transfer_of(kernels: Tensor, size: tuple[int, int]) -> Tensor:
    """Transfer functions (…, H, W, C, C) of kernels (…, C, C, kh, kw) on a torus of `size`."""
    *batch, kh, kw = kernels.shape
    rows, columns = (-(torch.arange(k) - k // 2) % n for k, n in zip((kh, kw), size, strict=True))
    placed = kernels.new_zeros(*batch, *size)
    placed[..., rows[:, None].to(kernels.device), columns.to(kernels.device)] = kernels
    return torch.fft.fft2(placed).movedim((-2, -1), (-4, -3))


def shrinkage(values: Tensor, noise: Tensor) -> Tensor:
    """λ / (λ + noise), zero where λ is: shapes (…) and (U,) give (U, …)."""
    noise = noise.reshape(-1, *[1] * values.ndim)
    return torch.where(values > 0, values / (values + noise), 0.0)


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors; those below rounding are set to zero."""
    values, vectors = torch.linalg.eigh(matrix)
    top = values.abs().max()
    return torch.where(values > 1e-13 * top, values, 0.0), vectors


class FullFilter:
    """``S (S + s I)⁻¹`` at each frequency: the best circular convolution of all."""

    def __init__(self, power: Tensor) -> None:
        self.power, self.size = power, power.shape[:2]
        self.values, self.vectors = _eigh(power)  # (H, W, C), (H, W, C, C)

    def transfer(self, noise: Tensor) -> Tensor:
        """Transfer functions (U, H, W, C, C) at total noise σ² + ridge, shape (U,)."""
        scaled = self.vectors * shrinkage(self.values, noise)[..., None, :]
        return scaled @ self.vectors.mH


class WindowFilter:
    """The best circular convolution with a k×k kernel: ``(T + s I)⁻¹ T e``.

    T (Ck², Ck²) is the autocovariance on the window, e its centre columns, one for each channel.
    """

    def __init__(self, power: Tensor, window: tuple[int, int]) -> None:
        self.size, self.window, c = power.shape[:2], window, power.shape[-1]
        lags = torch.fft.ifft2(power.permute(2, 3, 0, 1)).real  # E x_a(p + δ) x_b(p)
        row, column = torch.meshgrid(*map(torch.arange, window), indexing="ij")
        row, column = row.flatten(), column.flatten()
        away = ((row[:, None] - row) % self.size[0], (column[:, None] - column) % self.size[1])
        T = lags[:, :, away[0].to(lags.device), away[1].to(lags.device)]  # (c, c, k², k²)
        T = T.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)  # b and place, c and place
        self.values, self.vectors = _eigh((T + T.T) / 2)
        k2 = len(row)
        self.centre = self.vectors[torch.arange(c, device=T.device) * k2 + k2 // 2]  # Vᵀe, (c, Ck²)

    def kernels(self, noise: Tensor) -> Tensor:
        """Kernels (U, C, C, kh, kw) at total noise (U,)."""
        return self._column(shrinkage(self.values, noise))

    def _column(self, function: Tensor) -> Tensor:
        """Centre columns of V f(Λ) Vᵀ, f(Λ) of shape (U, Ck²), as kernels."""
        c = len(self.centre)
        columns = (self.centre * function[:, None]) @ self.vectors.T  # (U, c, Ck²)
        return columns.reshape(len(function), c, c, *self.window)

    def transfer(self, noise: Tensor) -> Tensor:
        """Transfer functions (U, H, W, C, C) at total noise (U,)."""
        return transfer_of(self.kernels(noise), self.size)

    def limit(self) -> Tensor:
        """Power (H, W, C, C) that the exact flow generates from infinite noise.

        One channel: ``exp`` of the Fourier series of the centre column of ``log T``
        (:prf:ref:`thm-conv-window`). Several: the matrices of different levels need not
        commute, and the flow is integrated numerically.
        """
        if self.values.min() <= 0:
            raise ValueError(
                "the window's autocovariance is singular, so the flow of a k×k kernel need not "
                "have a limit: give a schedule, or fit more varied data"
            )
        if len(self.centre) == 1:
            log = transfer_of(self._column(self.values.log()[None]), self.size)[0]
            return log.real.exp().to(log.dtype)
        return self._integrated()

    def _integrated(self, steps: int = 600) -> Tensor:
        """The same by a fourth-order Magnus integrator: U' = -H U for y = σ U n."""
        low, high = self.values.min().sqrt().log() - 14, self.values.max().sqrt().log() + 14
        width = (low - high) / steps
        half = transfer_of(self._column(self.values[None] / (2 * (2 * high).exp())), self.size)[0]
        U = torch.linalg.matrix_exp(-half)  # from infinity to `high`, H ≈ T e / σ²
        starts = high + width * torch.arange(steps, device=U.device)
        spread = 3**0.5 / 6
        for start in starts:
            nodes = start + width * torch.tensor([0.5 - spread, 0.5 + spread]).to(starts)
            A, B = -self.transfer((2 * nodes).exp())
            omega = width / 2 * (A + B) + 3**0.5 / 12 * width**2 * (B @ A - A @ B)
            U = torch.linalg.matrix_exp(omega) @ U
        U = U * low.exp()
        return U @ U.mH


class PaddedFilter:
    """The best kernel and bias for pictures that zeros surround."""

    def __init__(self, mean: Tensor, second: Tensor, window: tuple[int, int]) -> None:
        """Take mean (C, H, W) and second moments about zero, (d, d)."""
        (c, h, w), (kh, kw), self.window = mean.shape, window, window
        self.places = h * w
        top, side = kh // 2, kw // 2
        padded = second.new_zeros(c, h + 2 * top, w + 2 * side, c, h + 2 * top, w + 2 * side)
        inner = slice(top, top + h), slice(side, side + w)
        padded[:, inner[0], inner[1], :, inner[0], inner[1]] = second.reshape(c, h, w, c, h, w)
        s = padded.stride()
        moved = s[1] + s[4], s[2] + s[5]  # both windows move together
        shape = (h, w, c, kh, kw, c, kh, kw)
        gram = padded.as_strided(shape, (*moved, *s)).sum((0, 1)) / (h * w)
        # The centre of the first window: E x_a(p) x_b(p + δ).
        cross = gram[:, top, side].reshape(c, -1)
        frame = torch.nn.functional.pad(mean, (side, side, top, top))
        within = torch.nn.functional.pad(torch.ones_like(mean), (side, side, top, top))
        average = [
            part.unfold(1, h, 1).unfold(2, w, 1).mean((-2, -1)).flatten()
            for part in (frame, within)
        ]
        self.features, self.inside = average  # E y_b(p + δ), share of places where p + δ is inside
        self.mean = mean.mean((1, 2))
        self.gram = gram.reshape(c * kh * kw, -1) - torch.outer(self.features, self.features)
        self.cross = cross - torch.outer(self.mean, self.features)

    def kernels(self, sigma: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
        """Kernels (U, C, C, kh, kw) and biases (U, C) at levels (U,)."""
        solved = torch.stack([self._solve(s**2 * self.inside + ridge) for s in sigma])
        c = len(self.mean)
        return solved.reshape(-1, c, c, *self.window), self.mean - solved @ self.features

    def _solve(self, noise: Tensor) -> Tensor:
        gram = self.gram + noise.diag()
        if noise.min() < 1e-10 * self.gram.diagonal().max():
            return self.cross @ torch.linalg.pinv(gram, hermitian=True)
        return torch.linalg.solve(gram, self.cross.T).T


def stationary(mean: Tensor, power: Tensor, shape: tuple[int, ...]) -> Gaussian:
    """The law N(mean, power) in the layout of `Gaussian.stationary`."""
    spatial = shape[1:]
    power = power.permute(2, 3, 0, 1).reshape(*power.shape[2:], *spatial)
    return Gaussian.stationary(mean.reshape(shape), power)
