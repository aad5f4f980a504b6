"""What the constrained networks share: a copy of its own for each seed and noise level."""

import copy
import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ... import _validate

ORTHONORMAL = 1e-5  # on the entries of B Bᵀ - I: float32 rows pass


class Stack(nn.Module):
    r"""S · K independent copies of one small network, for S seeds and the K levels of a schedule.

    All train together: every layer is one batched product or one grouped convolution. A copy is

    .. math:: D(y, \sigma_k) = c + a_k (y - c)
              + s_k F_{sk}\bigl((y - c)/\textstyle\sqrt{s^2 + \sigma_k^2}\bigr),

    with the scale s and the centre c of the data. Inputs of F are of order one at every level. With
    `skip` so are the best outputs, :math:`a_k = s^2/(s^2 + \sigma_k^2)` and
    :math:`s_k = s\sigma_k/\sqrt{s^2 + \sigma_k^2}` (:cite:t:`karras2022elucidating`); without it
    :math:`a_k = 0, s_k = s`. None of this changes what a class can express, which its F decides:
    a class whose constraint would not survive the term :math:`a_k (y - c)` has no skip.

    Parameters
    ----------
    shape : tuple of int
        Shape of one example.
    sigmas : sequence of float
        A schedule; the levels above 0 get copies.
    seeds : int or sequence of int
        Seeds of the initial weights; a number S stands for 0 … S - 1. The start of a copy depends
        on its seed alone, not on the seeds beside it.
    scale : float or Tensor
        Standard deviation of the data: one number, or one for each entry where a class allows it.
    centre : float or Tensor
        What is subtracted from y and added again; usually the mean of the data.
    skip : bool
        Whether the term :math:`a_k (y - c)` is there.
    basis : Tensor, shape (k, d), optional
        Orthonormal rows: F acts on the k coordinates in this basis, `scale` is theirs, and the rest
        of the answer is c.
    """

    even = False  # whether centre and scale must be the same at all places

    def __init__(
        self,
        shape: Sequence[int],
        sigmas: Tensor | Sequence[float],
        *,
        seeds: int | Sequence[int] = 1,
        scale: float | Tensor = 1.0,
        centre: float | Tensor = 0.0,
        skip: bool = True,
        basis: Tensor | None = None,
    ) -> None:
        super().__init__()
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.shape = torch.Size(_validate.integer("shape", n, minimum=1) for n in shape)
        self.numbers = _seeds(seeds)
        levels = [s for s in _validate.schedule(sigmas) if s > 0]
        self.register_buffer("levels", torch.tensor(levels, dtype=torch.float64))
        self.skip = bool(skip)
        rows = None if basis is None else orthonormal("basis", basis, math.prod(self.shape))
        self.register_buffer("basis", rows, persistent=False)
        coordinates = self.shape if rows is None else rows.shape[:1]
        self._set_units(self._entries("centre", centre, self.shape),
                        self._entries("scale", scale, coordinates))  # fmt: skip

    def _entries(self, name: str, value: float | Tensor, shape: torch.Size) -> Tensor:
        """Return a number or an array as float64 of `shape`, checked."""
        value = _validate.floating(name, value).double()
        try:
            full = value.expand(shape)
        except RuntimeError as error:
            raise ValueError(
                f"{name} must be a number or have shape {tuple(shape)}, got {tuple(value.shape)}"
            ) from error
        flat = full.reshape(shape[0] if len(shape) > 1 else 1, -1)
        if self.even and not torch.equal(flat, flat[:, :1].expand_as(flat)):
            raise ValueError(
                f"{name} of {type(self).__name__} must be the same at all places of a channel"
            )
        return full

    def _set_units(self, centre: Tensor, scale: Tensor) -> None:
        if (scale < 0).any() or not (scale > 0).any():
            raise ValueError(f"scale must be > 0, got {scale.min().item():g} and more")
        #: Root mean square of an entry's scale: the unit of the data.
        self.scale = (scale.square().sum() / math.prod(self.shape)).sqrt().item()
        sigma = self.levels.reshape(-1, 1, *[1] * scale.ndim).to(scale.device)
        size = (scale**2 + sigma**2).sqrt()  # (K, 1, *coordinates)
        c_skip = (scale / size) ** 2 if self.skip else torch.zeros_like(size)
        c_out = sigma * scale / size if self.skip else scale.expand_as(size)
        whole = self.levels.square() + self.scale**2
        unit = self.levels * self.scale / whole.sqrt() if self.skip else self.scale + 0 * whole
        for name, value in {
            "centre": centre, "c_in": 1 / size, "c_skip": c_skip, "c_out": c_out, "unit": unit
        }.items():  # fmt: skip
            self.register_buffer(name, value.clone(), persistent=False)

    @property
    def seeds(self) -> int:
        """How many seeds train side by side."""
        return len(self.numbers)

    def _start(self) -> Callable[..., nn.Parameter]:
        """Return a function that draws initial weights (S, K, …), one stream for each seed."""
        streams = [torch.Generator().manual_seed(number) for number in self.numbers]

        def draw(*shape: int, std: float, levels: int = len(self.levels)) -> nn.Parameter:
            drawn = [torch.randn(levels, *shape, generator=stream) for stream in streams]
            return nn.Parameter(std * torch.stack(drawn))

        return draw

    def _raw(self, z: Tensor, weights: list[Tensor], blank: Tensor) -> Tensor:
        """F for z (s, k, B, *coordinates), with weights (s, k, …) in the order of `parameters`.

        `blank` (k, 1, *coordinates) is the z of y = 0, which surrounds zero-padded pictures.
        """
        raise NotImplementedError

    def _copies(self, y: Tensor, seeds: slice, levels: slice) -> Tensor:
        """Denoise y (s, k, B, *shape) by the copies of some seeds and levels."""
        centre, basis = self.centre.to(y), None if self.basis is None else self.basis.to(y)
        c_in, c_skip, c_out = (c[levels].to(y) for c in (self.c_in, self.c_skip, self.c_out))
        weights = [p[seeds, levels if p.shape[1] == len(self.levels) else slice(None)].to(y)
                   for p in self.parameters()]  # fmt: skip
        off, blank = y - centre, -centre
        if basis is not None:
            off, blank = off.flatten(3) @ basis.T, blank.flatten() @ basis.T
        made = c_out * self._raw(off * c_in, weights, blank * c_in)
        if self.skip:
            made = made + c_skip * off
        return centre + self._outward(made).reshape(y.shape)

    def _outward(self, made: Tensor) -> Tensor:
        """From coordinates to entries."""
        return made if self.basis is None else made @ self.basis.to(made)

    def forward(self, y: Tensor) -> Tensor:
        """Denoise y (S, K, B, *shape) by all copies, seed s and level k in y[s, k].

        y of shape (K, B, *shape) goes to every seed.
        """
        if y.ndim == len(self.shape) + 2:
            y = y.expand(self.seeds, *y.shape)
        lead = (self.seeds, len(self.levels))
        if y.shape[:2] != lead or y.shape[3:] != self.shape:
            raise ValueError(
                f"y must have shape ({lead[0]}, {lead[1]}, B, {', '.join(map(str, self.shape))}): "
                f"seeds, levels, batch, example; got {tuple(y.shape)}"
            )
        return self._copies(y, slice(None), slice(None))

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """Squared error of D(x + σ n), a mean over entries, in units in which it is of order one.

        x and noise broadcast against (S, K, B, *shape); the answer has shape (S, K, B). The unit is
        s without skip, s_k with it: the loss of F.
        """
        x, noise = x.to(self.unit.device), noise.to(self.unit.device)
        entries = [1] * (len(self.shape) + 1)
        y = x + self.levels.to(noise.dtype).reshape(-1, *entries) * noise
        full = (self.seeds, len(self.levels), *y.shape[-len(entries) :])
        error = (self(y.expand(full)) - x) / self.unit.to(y.dtype).reshape(-1, *entries)
        return error.square().flatten(3).mean(3)

    def level(self, sigma: float) -> int:
        """Return the index of a level that has copies."""
        sigma = _validate.real("sigma", sigma, minimum=0)
        gap = (self.levels / sigma).log().abs() if sigma > 0 else self.levels + math.inf
        k = int(gap.argmin())
        if gap[k] > 1e-6:
            raise ValueError(
                f"sigma must be one of the {len(self.levels)} levels this network was built for, "
                f"got {sigma!r}"
            )
        return k

    @torch.no_grad()
    def denoise(self, y: Tensor, sigma: float | Tensor, seed: int = 0) -> Tensor:
        """Denoise y (n, *shape) by the copies of seed number `seed` < S; like y, of any dtype.

        sigma is one of `levels`, or one of them for each example.
        """
        if _validate.integer("seed", seed) >= self.seeds:
            raise ValueError(f"seed must be below {self.seeds}, the number of seeds, got {seed}")
        noisy = _validate.noisy(y, self.shape, self.levels.device)
        noisy = noisy.to(next(self.parameters()).dtype)
        sigma = _validate.noise_level(sigma, len(y), self.levels)
        x_hat = torch.empty_like(noisy)
        for value in sigma.unique().tolist():
            rows = (sigma == value).expand(len(y))
            k = self.level(value)
            found = self._copies(noisy[rows][None, None], slice(seed, seed + 1), slice(k, k + 1))
            x_hat[rows] = found[0, 0]
        return x_hat.to(y.dtype) if y.is_floating_point() else x_hat

    def denoiser(self, seed: int = 0) -> Callable[[Tensor, float], Tensor]:
        """Return ``denoise(y, sigma)`` of one seed, for the samplers."""
        return functools.partial(self.denoise, seed=seed)


class LinearStack(Stack):
    """Copies that are affine maps."""

    def maps(self, sigma: float, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return A (d, d), b (d,) of y ↦ A y + b at one level, float64, for `affine_law`."""
        twin, d = copy.deepcopy(self).double(), math.prod(self.shape)
        probes = torch.cat([torch.zeros(1, d), torch.eye(d)]).double().to(self.levels.device)
        found = twin.denoise(probes.reshape(-1, *self.shape), sigma, seed).flatten(1)
        return (found[1:] - found[0]).T, found[0]


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    if not isinstance(seeds, Sequence):
        return list(range(_validate.integer("seeds", seeds, minimum=1)))
    numbers = [_validate.integer("seeds", number) for number in seeds]
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"seeds must be different whole numbers, got {list(seeds)}")
    return numbers


def orthonormal(name: str, rows: Tensor, d: int) -> Tensor:
    """Check rows (k, d) and return them in float64."""
    rows = _validate.floating(name, rows).double()
    if rows.ndim != 2 or rows.shape[1] != d or not 1 <= len(rows) <= d:
        raise ValueError(
            f"{name} must have shape (k, {d}) with 1 <= k <= {d}, got {tuple(rows.shape)}"
        )
    gap = (rows @ rows.T - torch.eye(len(rows)).to(rows)).abs().max().item()
    if gap > ORTHONORMAL:
        raise ValueError(f"{name} must have orthonormal rows, its Gram matrix is {gap:.3g} off I")
    return rows
