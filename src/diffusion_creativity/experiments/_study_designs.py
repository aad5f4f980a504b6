"""The UNets of the study: one switch altered at a time, sizes matched, and controls of size."""

from collections.abc import Iterator

from ..networks.describe import layers
from ..networks.describe import parameters as count
from ..networks.unet import UNetConfig
from ..networks.variants import matched, variants

MOST = 1.5  # times the baseline's arithmetic that a variant may cost
SMALL = ("depth 0", "depth 1")  # variants which that makes smaller: each has a control
CONTROL = "control "  # begins the name of the baseline at the size of a small variant


def names(baseline: UNetConfig) -> tuple[str, ...]:
    """Return the names of the networks of a study: "baseline" first, controls last."""
    return (*variants(baseline), *(CONTROL + name for name in SMALL))


def design(name: str, baseline: UNetConfig) -> UNetConfig:
    """Return one of them.

    A variant alters one switch of the baseline, and its widths so far that it has the same number
    of parameters. Where that would cost more than `MOST` times the arithmetic, it gets as many as
    it may cost; its control is the baseline with widths that give it as few.
    """
    if name not in names(baseline):
        raise ValueError(f"name must be one of {', '.join(names(baseline))}, got {name!r}")
    altered = _affordable(variants(baseline)[name.removeprefix(CONTROL)], baseline)
    return matched(baseline, count(altered)) if name.startswith(CONTROL) else altered


def flops(config: UNetConfig) -> int:
    """Multiplications and additions of one image's forward pass."""
    return sum(layer.flops for layer in layers(config))


def _affordable(config: UNetConfig, baseline: UNetConfig) -> UNetConfig:
    target, most = count(baseline), MOST * flops(baseline)
    sizes: Iterator[UNetConfig] = (matched(config, int(target * 0.9**k)) for k in range(60))
    return next(one for one in sizes if flops(one) <= most)
