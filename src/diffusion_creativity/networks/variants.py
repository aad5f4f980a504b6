"""Named one-switch variants of a `UNet`, and widths that give them the same size."""

from dataclasses import replace
from typing import Any

from .. import _validate
from .describe import parameters as count
from .unet import UNetConfig


def variants(baseline: UNetConfig) -> dict[str, UNetConfig]:
    """Alter one switch of `baseline` at a time; "baseline" comes first.

    Sides are those of the baseline. What equals it or cannot be built on it is left out; a change
    of depth takes the first widths, or repeats the last. Sizes differ: see `matched`.
    """
    found = {"baseline": baseline}
    for name, changes in _changes(baseline):
        try:
            altered = replace(baseline, **changes)
        except ValueError:
            continue
        if altered not in found.values():
            found[name] = altered
    return found


def _changes(b: UNetConfig) -> list[tuple[str, dict[str, Any]]]:
    switches: dict[str, list] = {
        "bottleneck": [1, 4, 16],
        "kernel": [1, 3, 5],
        "padding": ["zeros", "circular", "reflect"],
        "down": ["stride", "average", "max", "unshuffle"],
        "up": ["nearest", "bilinear", "transposed"],
        "norm": ["group", "pixel", "batch", "none"],
        "activation": ["silu", "relu", "identity", "square"],
        "conditioning": ["film", "concatenate", "none"],
        "combine": ["sum", "concatenate"],
    }
    return [
        ("skips all", {"skips": "all"}),
        ("skips none", {"skips": "none"}),
        *((f"skips only {s}", {"skips": (s,)}) for s in b.sides[:-1]),
        *((f"{name} {v}", {name: v}) for name, values in switches.items() for v in values),
        *((f"depth {d}", _depth(b, d)) for d in range(4)),
        ("attention none", {"attention": ()}),
        *((f"attention {s}", {"attention": (s,)}) for s in b.sides[1:]),
        ("bias-free", {"bias": False}),
    ]


def _depth(b: UNetConfig, depth: int) -> dict[str, Any]:
    """Changes that give the baseline another depth, with what it has at the sides that stay."""
    sides = tuple(b.side // 2**i for i in range(depth + 1))
    extended = (b.widths + b.widths[-1:] * depth)[: depth + 1]
    blocks = (b.blocks_at + b.blocks_at[-1:] * depth)[: depth + 1]
    kept = b.skips if isinstance(b.skips, str) else tuple(s for s in b.skips if s in sides[:-1])
    narrow = b.bottleneck if b.bottleneck is None else min(b.bottleneck, extended[-1])
    return {
        "depth": depth,
        "widths": extended,
        "blocks": b.blocks if isinstance(b.blocks, int) else blocks,
        "skips": kept,
        "bottleneck": narrow,
        "attention": tuple(s for s in b.attention if s in sides),
    }


def matched(config: UNetConfig, parameters: int, *, tolerance: float = 0.1) -> UNetConfig:
    """Rescale all widths by one factor until the network has about `parameters` parameters.

    A network within `tolerance` stays as it is. Widths are multiples of 4, or whole numbers where
    that is too coarse; never below the bottleneck. Where no factor comes within `tolerance`, the
    nearest is returned: `describe` says how large it is.
    """
    target = _validate.integer("parameters", parameters, minimum=1)
    tolerance = _validate.real("tolerance", tolerance, minimum=0)
    best = config
    for unit in (4, 1):
        if abs(count(best) - target) > tolerance * target:
            nearest = _nearest(config, target, unit)
            best = min(best, nearest, key=lambda c: abs(count(c) - target))
    return best


def _nearest(config: UNetConfig, target: int, unit: int) -> UNetConfig:
    """Bisect the factor; the two sides of the jump that holds the target are the candidates."""
    low, high = 0.0, 1.0
    while count(_scaled(config, high, unit)) < target:
        low, high = high, 2 * high
    while high - low > 0.2 / max(config.widths):
        middle = (low + high) / 2
        if count(_scaled(config, middle, unit)) < target:
            low = middle
        else:
            high = middle
    pair = _scaled(config, low, unit), _scaled(config, high, unit)
    return min(pair, key=lambda c: abs(count(c) - target))


def _scaled(config: UNetConfig, factor: float, unit: int) -> UNetConfig:
    widths = [max(unit, unit * round(factor * w / unit)) for w in config.widths]
    widths[-1] = max(widths[-1], config.bottleneck or 1)
    return replace(config, widths=tuple(widths))


VARIANTS = variants(UNetConfig())
