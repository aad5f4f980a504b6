"""Polynomials with free coefficients."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ... import _hermite, _validate
from .stack import Stack


class Polynomial(Stack):
    r"""A polynomial of degree p with free coefficients; the best one is `denoisers.Polynomial`.

    The bases are those of that class. Features are normalised Hermite polynomials of
    :math:`z = (y - c)/\sqrt{s^2 + \sigma^2}`, orthonormal where y is Gaussian:
    :math:`F(z) = \sum_j a_j \mathrm{He}_j(z)/\sqrt{j!}`. Other arguments are those of `Stack`.

    Parameters
    ----------
    degree : int
        1 to 9.
    basis : Tensor, shape (k, d), optional
        The axes, with `scale` a number or k: for bases "pca" and "joint" of the closed form its
        principal axes, ``denoiser.vectors.T``. None: pixels.
    joint : bool
        All monomials of total degree up to p, for at most 10 axes; otherwise each axis has a
        polynomial of its own value.
    """

    def __init__(
        self,
        shape: Sequence[int],
        sigmas: Tensor | Sequence[float],
        *,
        degree: int,
        joint: bool = False,
        **stack,
    ) -> None:
        super().__init__(shape, sigmas, **stack)
        self.degree, self.joint = _validate.integer("degree", degree, minimum=1), bool(joint)
        if degree > 9:
            raise ValueError(f"degree must be an integer from 1 to 9, got {degree}")
        k, draw = self.c_in[0].numel(), self._start()
        if self.joint:
            if k > 10:
                raise ValueError(f"basis must have at most 10 rows where joint, got {k} axes")
            powers = _hermite.exponents(self.degree, k)
            self.register_buffer("_powers", powers, persistent=False)
            self.weight = draw(len(powers), k, std=1 / math.sqrt(len(powers)))
        else:
            powers = torch.arange(self.degree + 1)[:, None]
            self.weight = draw(self.degree + 1, k, std=1 / math.sqrt(self.degree + 1))
        self.register_buffer("_norms", _hermite.norms(powers), persistent=False)

    def _raw(self, z: Tensor, weights: list[Tensor], blank: Tensor) -> Tensor:
        (weight,), norms = weights, self._norms.to(z)
        flat = z.flatten(3)
        if self.joint:
            table = _hermite.hermite(flat.flatten(0, 2), self.degree)
            features = _hermite.products(table, self._powers) / norms
            return features.unflatten(0, z.shape[:3]) @ weight
        features = _hermite.hermite(flat, self.degree)  # (p + 1, s, k, B, coordinates)
        scaled = (weight / norms[:, None]).movedim(2, 0)[:, :, :, None]
        return (features * scaled).sum(0).reshape(z.shape)
