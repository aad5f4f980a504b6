"""The uniform law on everything that a group makes of a training set."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from .. import _groups, _validate, metrics
from .._points import slices
from .discrete import _count_tests
from .law import Law
from .report import Report, report


class Orbit(Law):
    """A training image chosen uniformly, moved by a group element chosen uniformly.

    The N · |group| atoms are never listed.

    Parameters
    ----------
    x : Tensor, shape (N, *shape)
        The training images: (N, L), (N, C, L) or (N, C, H, W).
    group : str or sequence of str
        "translations", "flips", "quarter_turns", or several of them.
    """

    def __init__(self, x: Tensor, group: str | Sequence[str] = "translations") -> None:
        self.x = _validate.dataset(x)
        self.shape = self.x.shape[1:]
        self.group = _groups.parse(group, self.shape)
        self._images = self.group.spread(self.x).reshape(
            len(self.x) * self.group.points, -1, math.prod(self.group.space)
        )  # (M, C, size)
        mean = self._images.double().mean(0)
        if self.group.shifts > 1:
            mean = mean.mean(1, keepdim=True).expand_as(mean)
        self.mean = mean.reshape(self.shape)
        self._classes: tuple[Tensor, Tensor] | None = None

    @property
    def cov(self) -> Tensor:
        """The covariance matrix, shape (d, d), float64."""
        m, c, size = self._images.shape
        centred = self._images.double() - self.mean.reshape(c, size)
        if self.group.shifts == 1:
            flat = centred.flatten(1)
            return flat.T @ flat / m
        space = self.group.space
        spectra = torch.fft.fftn(centred.reshape(m, c, *space), dim=tuple(range(2, 2 + len(space))))
        power = torch.einsum("ma...,mb...->ab...", spectra, spectra.conj()) / (m * size)
        lags = torch.fft.ifftn(power, dim=tuple(range(2, 2 + len(space)))).real.reshape(c, c, size)
        difference = torch.zeros(size, size, dtype=torch.long, device=self.x.device)
        for axis, length in enumerate(space):
            step = math.prod(space[axis + 1 :])
            place = torch.arange(size, device=self.x.device) // step % length
            difference += (place[:, None] - place) % length * step
        return lags[:, :, difference].movedim(1, 2).reshape(c * size, c * size)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw (n, *shape), float32."""
        generator = torch.Generator().manual_seed(_validate.integer("seed", seed))
        n = _validate.integer("n", n, minimum=1)
        image = torch.randint(len(self._images), (n,), generator=generator).to(self.x.device)
        if self.group.shifts == 1:
            return self._images[image].reshape(n, *self.shape).float()
        shift = torch.randint(self.group.shifts, (n,), generator=generator).to(self.x.device)
        out = torch.empty(n, *self.shape, device=self.x.device)
        images = _groups.Shifts(self._images, self.group.space, spectra=False)
        for part in slices(n, 4 * out[0].numel()):
            moved = images.gather(image[part] * self.group.shifts + shift[part])
            out[part] = moved.reshape(-1, *self.shape).float()
        return out

    def agreement(self, samples: Tensor, *, alpha: float = 0.01, tolerance: float = 1e-3) -> Report:
        """Test that `samples` (n, *shape), n >= 20, are atoms, as often as they should be.

        No sample may be further than `tolerance` from the orbit in any entry, root mean square.
        χ² tests: how often each training image is behind a sample (images of one orbit are
        counted together); the shift along each axis; the flips and turns. Pairs of equal
        samples: too many betray a shift that depends on the image.
        All but the first use samples of images that no group element leaves as they are.
        """
        y = self._flat(samples, 20).reshape(-1, *self.shape)
        distances, image, element = metrics.nearest_in_orbit(y, self.x, self.group.names)
        farthest = distances.max().item() / math.sqrt(math.prod(self.shape))
        rows = [("largest RMS distance to the orbit", farthest, f"<= {tolerance:g}", None,
                 farthest <= tolerance)]  # fmt: skip
        first, free = self.classes()
        cells, of_image = first.unique(return_inverse=True)
        share = torch.bincount(of_image).double() / len(self.x)
        counts = torch.bincount(of_image[image], minlength=len(cells))
        rows += _named("images", _count_tests(counts.cpu().numpy(), share.cpu().numpy()))
        kept = free[image]
        if int(kept.sum()) >= 20:
            behind = torch.bincount(first[free]).double()
            again = float((behind / behind.sum()).square().sum()) / self.group.order
            rows += self._moves(element[kept].cpu(), first[image[kept]].cpu(), again)
        return report(rows, len(y), alpha)

    def _moves(self, element: Tensor, image: Tensor, chance: float) -> list[tuple]:
        """Test that elements are uniform; `chance` is that of two samples being the same atom.

        The events that two samples are the same are pairwise independent, so the number of
        such pairs has mean and variance of a Poisson law.
        """
        rows = []
        shift, point = element % self.group.shifts, element // self.group.shifts
        if self.group.shifts > 1:
            for axis, length in enumerate(self.group.space):
                place = shift // math.prod(self.group.space[axis + 1 :]) % length
                rows += _uniform(f"shifts along axis {axis}", place, length)
        if self.group.points > 1:
            rows += _uniform("flips and turns", point, self.group.points)
        seen = (image * self.group.order + element).unique(return_counts=True)[1].double()
        pairs, n = float((seen * (seen - 1)).sum() / 2), len(element)
        expected = n * (n - 1) / 2 * chance
        p = float(stats.poisson.sf(pairs - 1, expected))
        return [*rows, ("pairs of equal samples", pairs, f"{expected:.3g}", p, True)]

    def classes(self) -> tuple[Tensor, Tensor]:
        """For each image, the first one of the same orbit (N,), and whether all its moves differ.

        Images in one orbit have the same pixel values; only such pairs are compared.
        """
        if self._classes is None:
            first = torch.arange(len(self.x), device=self.x.device)
            content = self.x.reshape(len(self.x), -1, math.prod(self.group.space)).sort(2)[0]
            _, kind, counts = content.unique(dim=0, return_inverse=True, return_counts=True)
            for one in (counts > 1).nonzero()[:, 0]:
                members = (kind == one).nonzero()[:, 0]
                for k in range(1, len(members)):  # few sets hold more than a handful
                    here = members[k, None]
                    gap, at, _ = metrics.nearest_in_orbit(
                        self.x[here], self.x[members[:k]], self.group.names
                    )
                    if gap == 0:
                        first[here] = first[members[at]]
            self._classes = first, self._free()
        return self._classes

    def _free(self) -> Tensor:
        """Whether no group element but the identity leaves the image (N,) as it is."""
        points, n = self.group.points, len(self.x)
        flat = self.x.reshape(n, -1, *self.group.space).double()
        axes, inner = tuple(range(2, flat.ndim)), tuple(range(1, flat.ndim - 1))
        spectrum = torch.fft.rfftn(flat, dim=axes)
        square = flat.flatten(1).square().sum(1)
        free = torch.ones(n, dtype=torch.bool, device=self.x.device)
        moved = self._images.reshape(n, points, *flat.shape[1:]).double()
        for point in range(points):
            if self.group.shifts == 1:
                scores = (flat * moved[:, point]).flatten(1).sum(1, keepdim=True)
            else:
                other = torch.fft.rfftn(moved[:, point], dim=axes)
                scores = torch.fft.irfftn(
                    (spectrum * other.conj()).sum(1), s=self.group.space, dim=inner
                ).flatten(1)
            if point == 0:
                scores = scores[:, 1:]
            if scores.shape[1]:
                free &= scores.amax(1) < square * (1 - 1e-9)
        return free


def _named(name: str, rows: list[tuple]) -> list[tuple]:
    return [(f"{name}: {row[0]}", *row[1:]) for row in rows]


def _uniform(name: str, values: Tensor, cells: int) -> list[tuple]:
    counts = torch.bincount(values, minlength=cells).numpy()
    return _named(name, _count_tests(counts, np.full(cells, 1 / cells))[:1])
