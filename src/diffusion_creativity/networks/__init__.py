"""Torch modules: networks with exactly one constraint each, and a UNet with named switches."""

from . import constrained
from .describe import describe
from .preconditioning import Preconditioned
from .sight import ReceptiveField, effective_receptive_field, equivariance_error
from .unet import UNet, UNetConfig
from .variants import VARIANTS, matched, variants

__all__ = [
    "VARIANTS",
    "Preconditioned",
    "ReceptiveField",
    "UNet",
    "UNetConfig",
    "constrained",
    "describe",
    "effective_receptive_field",
    "equivariance_error",
    "matched",
    "variants",
]
