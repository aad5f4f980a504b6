"""Images on a torus and all their circular shifts, scored by FFT."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ._matmul import float32_matmul
from ._points import LARGEST, Shortlist, slices

PAIRS = 1 << 20  # numbers of one tile of scores: near the cache, few enough tiles


class Tile(NamedTuple):
    """Pairs of a query and a couple of images, by ascending couples, then queries."""

    rows: Tensor  # (k,), queries
    couples: Tensor  # (k,)
    spectrum: Tensor  # (t, C, *space), of the distinct couples
    place: Tensor  # (k,), where each pair's spectrum is
    whole: bool  # every query with every couple: no copies of spectra are needed

    def take(self, some: Tensor) -> "Tile":
        """Some of the pairs."""
        return Tile(self.rows[some], self.couples[some], self.spectrum, self.place[some], False)

    def product(self, query: Tensor) -> Tensor:
        """Spectra of queries (n, C, *space) times those of their couples: (k, *space)."""
        if self.whole:
            query, spectrum = query[None], self.spectrum[:, None]
        else:
            query, spectrum = query[self.rows], self.spectrum[self.place]
        channel = spectrum.ndim - self.spectrum.ndim + 1
        parts = zip(query.unbind(channel), spectrum.unbind(channel), strict=True)
        product = math.prod(next(parts))
        for one, other in parts:
            product.addcmul_(one, other)
        return product.flatten(0, 1) if self.whole else product

    def add(self, out: Tensor, weights: Tensor) -> None:
        """Add spectra of weights (k, *space), times those of the couples, to out (n, C, *space)."""
        spectrum = self.spectrum.conj().resolve_conj()
        for c in range(out.shape[1]):
            if self.whole:
                shaped = weights.unflatten(0, (len(spectrum), len(out)))
                out[:, c] += (shaped * spectrum[:, None, c]).sum(0)
            else:
                out[:, c].index_add_(0, self.rows, weights * spectrum[self.place, c])


class Shifts:
    """M images (M, C, *space) and all their circular shifts, scored by FFT, never built.

    A query y meets the shift of image i by τ through y·(shifted x_i) − |x_i|²/2, everything less
    the mean of each channel: a cross-correlation. Images go in couples, as real and imaginary part
    of one: an FFT then scores both. Pairs of image and shift are numbered ``i · |space| + τ``.
    Memory: about 12·M·C·|space| bytes.
    """

    def __init__(self, x: Tensor, space: tuple[int, ...], *, spectra: bool = True) -> None:
        self.x = x.reshape(len(x), -1, *space)
        self.space, self.size = space, math.prod(space)
        self.axes = tuple(range(-len(space), 0))
        if not spectra:  # enough to `gather`
            return
        self.mean = self.x.flatten(2).double().mean((0, 2)).reshape(-1, *[1] * len(space))
        parts = list(slices(len(x), self.x[0].numel()))
        bias = torch.cat([-0.5 * self.centre(x[p]).flatten(1).square().sum(1) for p in parts])
        self.radius = float((-2 * bias.min()).sqrt())
        self.bias = _couple(bias, -torch.inf)  # (M/2, 2) float64
        self.magnitude = torch.cat([self._magnitude(x[p]) for p in parts])
        couples = torch.arange(len(self.bias), device=x.device).split(
            PAIRS // self.x[0].numel() + 1
        )
        self.spectrum = torch.cat([self._transform(p).to(torch.complex64) for p in couples])

    def __len__(self) -> int:
        return len(self.x) * self.size

    def centre(self, y: Tensor) -> Tensor:
        """Images (n, C, *space) in double precision, less the mean."""
        return y.reshape(len(y), -1, *self.space).double() - self.mean

    def _magnitude(self, y: Tensor) -> Tensor:
        """Moduli (n, C·|space|) of the Fourier coefficients, of norm |y|: no shift changes them."""
        return torch.fft.fftn(self.centre(y), dim=self.axes, norm="ortho").abs().flatten(1).float()

    def _transform(self, couples: Tensor) -> Tensor:
        """Conjugate spectra (t, C, *space) of a − ib, for couples (a, b)."""
        first = self.centre(self.x[2 * couples])
        second = self.centre(self.x[(2 * couples + 1).clamp(max=len(self.x) - 1)])
        return torch.fft.fftn(torch.complex(first, -second), dim=self.axes).conj().resolve_conj()

    def query(self, centred: Tensor, dtype: torch.dtype) -> Tensor:
        """Spectra (n, C, *space) of centred queries, complex of the precision of dtype."""
        return torch.fft.fftn(centred, dim=self.axes).to(_complex(dtype))

    def rounding(self, y: Tensor) -> Tensor:
        """Bound (n,) on the error of float32 scores: 4 log₂|space| half units of |y||x|.

        The errors of an FFT grow like the logarithm of its length, root mean square; those
        seen are below a tenth of the bound.
        """
        largest = self.radius * (self.centre(y).flatten(1).norm(dim=1) + self.radius)
        if not (largest < LARGEST).all():
            raise ValueError(
                "the data, or y and the data, are too far apart for float32 scores: products reach "
                f"{largest.max().item():.1g}, at most {LARGEST:g} is taken; rescale both"
            )
        return 4 * (math.log2(self.size) + 2) * 2.0**-24 * largest

    def candidates(self, y: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
        """Mask (n, M/2) of couples that may come within `reach` (n,) of the query's best score.

        No shift of x scores more than Σ_f |Y_f||X_f| − |x|²/2, the score if all phases agreed: one
        matrix product bounds all images. Also returns a score (n,) that some shift has.
        """
        with float32_matmul(y.device):
            bound = _couple(self._magnitude(y) @ self.magnitude.T, 0) + self.bias.float()
        bound = bound.amax(2)
        chosen = torch.zeros_like(bound, dtype=torch.bool)
        chosen.scatter_(1, bound.argmax(1, keepdim=True), True)
        best = torch.empty(len(y), dtype=torch.float64, device=y.device)
        query = self.query(self.centre(y), torch.float32)
        for tile in self.tiles(chosen, torch.float32):
            scores = self.correlate(query, tile, self.bias[tile.couples])
            best[tile.rows] = scores.flatten(1).amax(1).double()
        return bound >= (best - reach - 2 * self.rounding(y))[:, None], best

    def tiles(self, wanted: Tensor, dtype: torch.dtype) -> Iterator[Tile]:
        """Yield the pairs of a mask (n, M/2) of queries and couples, in tiles for the cache."""
        couple, row = wanted.T.nonzero(as_tuple=True)
        n, single = len(wanted), dtype == torch.float32
        width = n * max(PAIRS // (2 * n * self.x[0].numel()), 1)
        for rows, couples in zip(row.split(width), couple.split(width), strict=True):
            distinct, place = couples.unique_consecutive(return_inverse=True)
            spectrum = self.spectrum[distinct] if single else self._transform(distinct)
            yield Tile(rows, couples, spectrum, place, len(rows) == n * len(distinct))

    def correlate(self, query: Tensor, tile: Tile, bias: Tensor) -> Tensor:
        """Scores (k, *space, 2) of the pairs of a tile; bias (k, 2) is added."""
        product = tile.product(query)
        alone = ~bias[:, 1].isfinite()
        bias = torch.view_as_complex(bias.nan_to_num(0.0, neginf=0.0))
        product.flatten(1)[:, 0] += (self.size * bias).to(product.dtype)
        scores = torch.view_as_real(torch.fft.ifftn(product, dim=self.axes))
        if alone.any():
            scores[alone, ..., 1] = -torch.inf
        return scores

    def near(
        self, y: Tensor, reach: Tensor, limit: int, dtype: torch.dtype = torch.float32
    ) -> Shortlist:
        """List all pairs whose score is within `reach` (n,) of the query's best, and few more."""
        slack = self.rounding(y) * (1 if dtype == torch.float32 else 2.0**-29)
        shortlist = Shortlist(reach + 2 * slack, limit, dtype=dtype)
        query, width = self.query(self.centre(y), dtype), 2 * self.size
        wanted, _ = self.candidates(y, reach + 2 * slack)
        for tile in self.tiles(wanted, dtype):
            scores = self.correlate(query, tile, self.bias[tile.couples])
            shortlist.add_some(tile.rows, scores.flatten(1), tile.couples * width)
        couple, place = shortlist.prune().columns // width, shortlist.columns % width
        shortlist.columns = (2 * couple + place % 2) * self.size + place // 2
        return shortlist

    def gather(self, columns: Tensor) -> Tensor:
        """The shifted images of pairs, (pairs, d), in float64."""
        image, shift = columns // self.size, columns % self.size
        source = torch.zeros_like(columns)[:, None]
        for axis, length in enumerate(self.space):
            step = math.prod(self.space[axis + 1 :])
            place = torch.arange(self.size, device=columns.device) // step % length
            source = source + (place - (shift // step % length)[:, None]) % length * step
        flat = self.x.flatten(2)[image]  # (pairs, C, size)
        return flat.gather(2, source[:, None].expand_as(flat)).flatten(1).double()

    def squared_distances(self, y: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """|y − shifted x|² of pairs, from differences in float64: nothing cancels."""
        out = torch.empty(len(rows), dtype=torch.float64, device=y.device)
        for part in slices(len(rows), 4 * y.shape[1]):
            out[part] = (y[rows[part]].double() - self.gather(columns[part])).square().sum(1)
        return out


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype == torch.float64 else torch.complex64


def _couple(numbers: Tensor, alone: float) -> Tensor:
    """Couples (…, M/2, 2) of numbers (…, M); where M is odd, `alone` stands by the last."""
    if numbers.shape[-1] % 2:
        numbers = torch.nn.functional.pad(numbers, (0, 1), value=alone)
    return numbers.unflatten(-1, (-1, 2))
