"""One training loop, for denoisers at random noise levels and stacks of constrained networks."""

from . import objectives
from .journal import Logged
from .levels import Levels, LogNormal, LogUniform
from .settings import Settings, cosine_decay, linear_decay
from .trainer import Progress, Trainer, train

__all__ = [
    "Levels",
    "LogNormal",
    "LogUniform",
    "Logged",
    "Progress",
    "Settings",
    "Trainer",
    "cosine_decay",
    "linear_decay",
    "objectives",
    "train",
]
