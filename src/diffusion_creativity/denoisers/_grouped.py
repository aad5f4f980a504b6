"""Posterior means of many small independent targets at once: the factors of a denoiser.

G factors have K atoms of p numbers each, with weights; a query brings p numbers for each factor.
An online softmax over tiles of atoms does all factors together, two batched matrix products a
tile: in float32 where its rounding is not felt, else in float64, and by differences in float64 at
the smallest noise levels, where even that could be felt.
"""

import torch
from torch import Tensor

from .._matmul import float32_matmul
from .._points import LARGEST, slices

FELT = 1e-3  # bound on the error of a logit from which it could be felt
TILE = 1 << 20  # scores of one tile
WIDTH = 64  # atoms of a factor that a tile holds, where there are many queries


class Factors:
    """Atoms (G, K, p) with weights (G, K); weight 0 marks padding."""

    def __init__(self, atoms: Tensor, weights: Tensor) -> None:
        self.atoms, self.weights = atoms, weights.double()
        share = self.weights / self.weights.sum(1, keepdim=True)
        self.mean = share[:, None] @ atoms.double()  # (G, 1, p)
        centred = (atoms.double() - self.mean) * (self.weights > 0)[..., None]
        self.radius = centred.square().sum(2).amax(1).sqrt()  # (G,)
        self.centred = centred.float()

    def _tiles(self, n: int, dtype: torch.dtype, *, scored: bool):
        groups, count, size = self.atoms.shape
        width = max(TILE // (groups * n * (1 if scored else size)), 1)
        for part in slices(count, 1, width):
            if dtype == torch.float32:
                atoms = self.centred[:, part]
            else:
                atoms = self.atoms[:, part].double() - self.mean
            yield atoms, self.weights[:, part].to(dtype)

    def rounding(self, y: Tensor) -> Tensor:
        """Bound (n,) on the error of float32 scores, as `Points.rounding`; y is (G, n, p)."""
        reach = (y.double() - self.mean).norm(dim=2) + self.radius[:, None]  # (G, n)
        largest = (self.radius[:, None] * reach).amax(0)
        if not (largest < LARGEST).all() or not (reach < LARGEST).all():
            raise ValueError(
                "the data, or y and the data, are too far apart for float32 scores: products reach "
                f"{largest.max().item():.1g}, at most {LARGEST:g} is taken; rescale both"
            )
        return 2 * self.atoms.shape[2] ** 0.5 * 2.0**-24 * largest

    def expectation(
        self, y: Tensor, sigma: Tensor, tilt: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """E[x|y], or Cov(x|y) v for `tilt` = (v, E[x|y]); y, v (G, n, p), sigma (n,)."""
        out = torch.empty_like(y)
        groups, count, _ = self.atoms.shape
        rows_at_once = max(TILE // (groups * min(count, WIDTH)), 1)
        for part in slices(y.shape[1], 1, rows_at_once):
            level = sigma[part].double()
            felt = self.rounding(y[:, part]) / level**2
            double = y.dtype == torch.float64 or tilt is not None
            exact = felt * 2.0**-29 > FELT
            plain = torch.zeros_like(exact) if double else felt <= FELT
            routes = (
                (plain, torch.float32, True),
                (~plain & ~exact, torch.float64, True),
                (exact, torch.float64, False),
            )
            for chosen, dtype, scored in routes:
                rows = chosen.nonzero()[:, 0]
                if len(rows):
                    at = rows + part.start
                    bent = tilt and tuple(t[:, at] for t in tilt)
                    found = self._stream(y[:, at], level[rows], dtype, bent, scored=scored)
                    out[:, at] = found.to(out.dtype)
        return out

    def _stream(self, y, sigma, dtype, tilt, *, scored: bool) -> Tensor:
        query = (y.double() - self.mean).to(dtype)
        largest = 1e30 if dtype == torch.float32 else 1e300
        precision = (sigma**-2.0).clamp(torch.finfo(dtype).tiny, largest).to(dtype)[:, None]
        best = query.new_full((*query.shape[:2], 1), torch.finfo(dtype).min)
        total, summed = torch.zeros_like(best), torch.zeros_like(query)
        if tilt is not None:
            v, centre = tilt[0].to(dtype), (tilt[1].double() - self.mean).to(dtype)
        with float32_matmul(y.device):
            for atoms, weights in self._tiles(y.shape[1], dtype, scored=scored):
                if scored:
                    bias = -0.5 * atoms.square().sum(2)[:, None]
                    scores = torch.baddbmm(bias, query, atoms.mT)  # (G, n, t)
                else:
                    gaps = query[:, :, None] - atoms[:, None]
                    scores = -0.5 * gaps.square().sum(3)
                scores = scores.masked_fill_((weights == 0)[:, None], -torch.inf)
                top = torch.maximum(best, scores.amax(2, keepdim=True))
                mass = (scores - top).mul_(precision).exp_().mul_(weights[:, None])
                shrink = (best - top).mul_(precision).exp_()
                best = top
                total = total * shrink + mass.sum(2, keepdim=True)
                if tilt is None:
                    summed = summed * shrink + mass @ atoms
                else:  # Σ w (x − m) (x − m)·v: m is the posterior mean, so nothing cancels
                    mass = mass * (v @ atoms.mT - (v * centre).sum(2, keepdim=True))
                    summed = summed * shrink + mass @ atoms - mass.sum(2, keepdim=True) * centre
        mean = summed.double() / total.double()
        return mean if tilt is not None else mean + self.mean


class PosteriorMean(torch.autograd.Function):
    """E[x|y] for y (G, n, p), whose Jacobian in y is Cov(x|y)/σ² in each factor."""

    @staticmethod
    def forward(ctx, y: Tensor, sigma: Tensor, factors: Factors) -> Tensor:
        x_hat = factors.expectation(y, sigma)
        ctx.save_for_backward(y, sigma, x_hat)
        ctx.factors = factors
        return x_hat

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, direction: Tensor) -> tuple[Tensor, None, None]:
        y, sigma, x_hat = ctx.saved_tensors
        product = ctx.factors.expectation(y.double(), sigma, (direction, x_hat))
        variance = sigma.double()[:, None] ** 2
        slope = torch.where(variance > 0, product / variance, 0.0)
        return slope.to(direction.dtype), None, None
