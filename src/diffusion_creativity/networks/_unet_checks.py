"""What a `UNetConfig` must satisfy; every refusal gives the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _validate

if TYPE_CHECKING:
    from .unet import UNetConfig

CHOICES = {
    "combine": ("sum", "concatenate"),
    "padding": ("zeros", "circular", "reflect"),
    "down": ("stride", "average", "max", "unshuffle"),
    "up": ("nearest", "bilinear", "transposed"),
    "norm": ("group", "pixel", "batch", "none"),
    "activation": ("silu", "relu", "identity", "square"),
    "conditioning": ("film", "concatenate", "none"),
}


def check(c: UNetConfig) -> None:
    """Raise ValueError, with the reason, for a network that cannot be built."""
    _check_values(c)
    _check_resolutions(c)
    _check_padding(c)
    _check_sides(
        "skips", "'all', 'none' or a tuple of sides above the lowest", c.skip_sides, c.sides[:-1]
    )
    _check_sides("attention", "a tuple of sides of the network", c.attention, c.sides)
    _check_blocks(c)


def _check_values(c: UNetConfig) -> None:
    for name in ("channels", "side", "groups", "heads", "embedding", "kernel"):
        _validate.integer(name, getattr(c, name), minimum=1)
    _validate.integer("depth", c.depth)
    for name, choices in CHOICES.items():
        if getattr(c, name) not in choices:
            raise ValueError(
                f"{name} must be one of {', '.join(choices)}, got {getattr(c, name)!r}"
            )
    if not isinstance(c.bias, bool):
        raise ValueError(f"bias must be True or False, got {c.bias!r}")
    if c.kernel % 2 == 0:
        raise ValueError(f"kernel must be odd, to have a centre, got {c.kernel}")


def _check_resolutions(c: UNetConfig) -> None:
    if c.side % 2**c.depth:
        raise ValueError(f"side must be divisible by 2**depth = {2**c.depth}, got {c.side}")
    for name, values, least in (("widths", c.widths, 1), ("blocks", c.blocks_at, 0)):
        if not isinstance(values, tuple) or len(values) != c.depth + 1:
            raise ValueError(f"{name} must hold depth + 1 = {c.depth + 1} numbers, got {values!r}")
        for value in values:
            _validate.integer(name, value, minimum=least)
    if c.bottleneck is None:
        return
    _validate.integer("bottleneck", c.bottleneck, minimum=1)
    if c.bottleneck > c.widths[-1]:
        raise ValueError(
            f"bottleneck must be at most the lowest width, {c.widths[-1]}, or it narrows nothing, "
            f"got {c.bottleneck}"
        )


def _check_padding(c: UNetConfig) -> None:
    beyond = max(c.kernel // 2, int(c.up == "bilinear" and c.depth > 0))
    # A reflection does not repeat the border pixel; a circle goes round at most once.
    least = {"zeros": 1, "circular": beyond, "reflect": beyond + 1}[c.padding]
    if c.sides[-1] < least:
        raise ValueError(
            f"padding {c.padding!r} by {beyond} needs a side of at least {least} at the lowest "
            f"resolution, got {c.sides[-1]}"
        )


def _check_sides(name: str, takes: str, chosen: object, sides: tuple[int, ...]) -> None:
    wrong = [s for s in chosen if s not in sides] if isinstance(chosen, tuple) else [chosen]
    if wrong:
        there = ", ".join(map(str, sides)) or "there is none"
        raise ValueError(f"{name} must be {takes} ({there}), got {wrong[0]!r}")


def _check_blocks(c: UNetConfig) -> None:
    needed = dict.fromkeys(c.attention, "attention")
    if c.combine == "concatenate":
        needed |= dict.fromkeys(c.skip_sides, "a concatenated skip")
    for side, blocks in zip(c.sides, c.blocks_at, strict=True):
        if side in needed and blocks == 0:
            raise ValueError(f"blocks must be >= 1 at side {side}, for {needed[side]}, got 0")
    if c.conditioning == "film" and not any(c.blocks_at):
        raise ValueError(
            f"blocks must be >= 1 somewhere, for conditioning 'film', got {c.blocks!r}"
        )
