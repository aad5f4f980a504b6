"""Closed-form denoisers and the laws of what they generate.

One convention holds everywhere: ``y = x + sigma * noise`` and ``denoise(y, sigma) -> x_hat``.
Submodules are imported on first use, so that ``import diffusion_creativity`` stays fast.
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = (
    "data",
    "denoisers",
    "exercises",
    "experiments",
    "laws",
    "metrics",
    "networks",
    "noise",
    "runtime",
    "sampling",
    "style",
    "training",
    "widgets",
)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES])
