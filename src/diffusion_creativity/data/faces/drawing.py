"""Drawing the parts once, finely: every image is composed of these.

A part is a raster of *materials*, `FINE` samples to a cell. Averaging the colours of the samples
in each pixel gives every size from one drawing, so an image of size 16 is the 2 × 2 mean of the
same one of size 32, and that of the one of size 64.
"""

import itertools
from functools import cache

import numpy as np
import torch
from torch import Tensor

from .attributes import CELLS, FRAME, SLOTS, VALUES

FINE = 16  # samples to a cell, on each axis

# Material: grey in [-1, 1], and red, green, blue in 0 … 255.
MATERIALS: dict[str, tuple[float, tuple[int, int, int]]] = {
    "night": (-1.0, (30, 34, 58)),
    "skin": (0.4, (235, 172, 128)),
    "shade": (0.05, (200, 128, 92)),
    "coat": (-0.72, (62, 72, 112)),
    "white": (1.0, (255, 255, 250)),
    "ink": (-1.0, (32, 24, 34)),
    "lip": (-0.85, (128, 32, 44)),
    "rose": (-0.4, (220, 72, 84)),
    "gold": (0.95, (255, 214, 84)),
    "band": (-0.95, (48, 36, 54)),
    "teal": (-0.6, (40, 146, 152)),
    "coral": (-0.1, (214, 64, 52)),
    "cream": (0.95, (255, 246, 205)),
}
_ID = {name: k for k, name in enumerate(MATERIALS)}


class Canvas:
    """A raster of materials over the frame; x runs right and y down, in cells."""

    def __init__(self) -> None:
        centres = (np.arange(FRAME * FINE) + 0.5) / FINE
        self.y, self.x = np.meshgrid(centres, centres, indexing="ij")
        self.ids = np.zeros(self.x.shape, dtype=np.uint8)  # night

    def paint(self, where: np.ndarray, material: str) -> None:
        """Cover the samples `where` is true."""
        self.ids[where] = _ID[material]

    def ellipse(self, x: float, y: float, rx: float, ry: float, power: float = 2) -> np.ndarray:
        """Samples inside a superellipse."""
        return (np.abs(self.x - x) / rx) ** power + (np.abs(self.y - y) / ry) ** power <= 1

    def box(self, left: float, right: float, top: float, bottom: float) -> np.ndarray:
        """Samples inside a rectangle."""
        return (self.x >= left) & (self.x < right) & (self.y >= top) & (self.y < bottom)


def _skull(c: Canvas, jaw: str) -> np.ndarray:
    """Samples inside the head; the heads differ below the cheeks only."""
    upper = c.ellipse(7, 7, 5, 5.8, 2.6) & (c.y < 7.5)
    t = np.clip((c.y - 7.5) / 4.5, 0, 1)
    width = {
        "round": np.sqrt(1 - t**2),
        "square": (1 - t**7) ** (1 / 7),
        "pointed": 1 - t**2.2,
    }[jaw]
    return upper | ((c.y >= 7.5) & (c.y < 12) & (np.abs(c.x - 7) < 5 * width))


def _head(c: Canvas, jaw: str) -> None:
    """Shoulders, neck, head and nose: what is there before any part."""
    c.paint(c.ellipse(7, 14.6, 6.4, 2.5, 2.6), "coat")
    c.paint(_skull(c, jaw), "skin")
    c.paint(c.ellipse(7, 7.4, 0.62, 0.55), "shade")


def _ear(c: Canvas, side: str, kind: str) -> None:
    x = c.x if side == "left" else FRAME - c.x
    within = x < 2
    if kind == "elfin":
        slope = (c.y - 4.1) / 4.0  # the outer edge runs from the tip to the lobe
        edge = np.where(slope < 0.45, 0.2 + 0.4 * slope, 0.38 + 1.9 * (slope - 0.45))
        lid = c.y >= 4.1 + 1.1 * np.clip(x - 0.2, 0, None)
        c.paint(within & (x >= edge) & lid & (c.y < 8.1), "skin")
        return
    ear = (np.abs(x - 1.9) / 1.45) ** 2 + (np.abs(c.y - 6.3) / 1.35) ** 2 <= 1
    c.paint(within & ear, "skin")
    if kind == "ringed":
        r2 = (x - 1.1) ** 2 + (c.y - 8.6) ** 2
        c.paint(within & (r2 <= 0.95**2), "gold")
        c.paint(within & (r2 <= 0.3**2), "night")


def _eye(c: Canvas, side: str, kind: str, gaze: str) -> None:
    """Both eyes are drawn alike, not mirrored: the gaze is where both look."""
    x = 4.5 if side == "left" else 9.5
    to = {"left": -0.85, "ahead": 0.0, "right": 0.85}[gaze]
    if kind == "round":
        c.paint(c.ellipse(x, 5.5, 1.5, 1.5, 2.6), "white")
        c.paint(c.ellipse(x + to, 5.5, 0.68, 0.85), "ink")
    elif kind == "sleepy":
        c.paint(c.ellipse(x, 5.5, 1.5, 1.5, 2.6), "white")
        c.paint(c.box(x - 1.5, x + 1.5, 4.0, 5.0) & c.ellipse(x, 5.5, 1.5, 1.5, 2.6), "shade")
        c.paint(c.box(x - 1.5, x + 1.5, 5.0, 5.45) & c.ellipse(x, 5.5, 1.5, 1.5, 2.6), "band")
        c.paint(c.ellipse(x + to, 6.0, 0.68, 0.85) & (c.y > 5.2), "ink")
    else:
        lens = (c.x - x) ** 2 + (np.abs(c.y - 5.75) + 0.95) ** 2 <= 1.75**2
        c.paint(lens, "white")
        c.paint(c.ellipse(x + to, 5.75, 0.6, 0.85) & lens, "ink")
        c.paint(c.box(x - 1.5, x + 1.5, 4.0, 4.55), "band")  # the brow


def _cheek(c: Canvas, side: str, kind: str) -> None:
    if kind == "rosy":
        c.paint(c.ellipse(4.0 if side == "left" else 10.0, 8.0, 0.98, 0.98, 2.4), "rose")


def _mouth(c: Canvas, kind: str) -> None:
    if kind in ("smile", "frown"):
        up = 1 if kind == "smile" else -1
        arc = 9.6 + up * (0.75 - 1.5 * (np.abs(c.x - 7) / 1.9) ** 2)
        c.paint((np.abs(c.y - arc) < 0.5) & (np.abs(c.x - 7) < 1.9), "lip")
    elif kind == "open":
        c.paint(c.ellipse(7, 9.5, 1.25, 1.4, 2.2), "lip")
        c.paint(c.ellipse(7, 10.2, 0.8, 0.5), "rose")
    else:
        grin = c.ellipse(7, 8.6, 1.95, 2.3, 2.2) & (c.y > 8.6)
        c.paint(grin, "lip")
        c.paint(grin & (c.y < 9.75) & c.ellipse(7, 8.6, 1.75, 2.1, 2.2), "white")


def _top(c: Canvas, hair: str, hat: str, colour: str) -> None:
    skull = _skull(c, "round")
    if hat == "none":
        c.paint(c.ellipse(7, 4.6, 5.35, 4.3, 2.4) & (c.y < 4), colour)
    c.paint(c.ellipse(7, 4.6, 5.35, 4.3, 2.4) & (c.y >= 2) & (c.y < 4), colour)
    middle = np.abs(c.x - 7)
    forehead = {  # what the hair leaves free; the cells below a hat show it too
        "fringe": np.zeros_like(skull),
        "parted": (middle < 3.9) & (c.y > 1.8 + 0.4 * middle),
        "long": (middle < 3.0) & (c.y > 2.8),
    }[hair]
    c.paint(forehead & (c.y < 4), "skin")
    if hair == "long":
        c.paint(c.box(2, 3, 4, 8) | c.box(11, 12, 4, 8), colour)
    if hat == "beanie":
        c.paint(c.ellipse(7, 2.6, 5.2, 2.0, 2.3) & (c.y < 2.1), colour)
        c.paint(c.ellipse(7, 0.55, 0.9, 0.55), "white")
        c.paint(c.box(1.6, 12.4, 1.9, 2.9), "white")
    elif hat == "top hat":
        c.paint(c.box(3.6, 10.4, 0.0, 2.2), colour)
        c.paint(c.box(3.6, 10.4, 1.1, 1.9), "band")
        c.paint(c.box(1.2, 12.8, 2.0, 2.9), colour)


def _tie(c: Canvas, colour: str) -> None:
    middle = np.abs(c.x - 7)
    wings = (np.abs(c.y - 13) < 0.3 + 0.2 * middle) & (middle < 3.3)
    c.paint(wings & (c.y >= 12), colour)
    c.paint(c.ellipse(7, 13, 0.62, 0.62, 3), "white")


def raster(slot: str, values: tuple[str, ...] | None) -> np.ndarray:
    """Return the materials of the frame with one part drawn, or with none for ``None``."""
    c = Canvas()
    _head(c, values[0] if slot.endswith("jaw") and values else "round")
    if values is None or slot.endswith("jaw"):
        return c.ids
    side = slot.split()[0]
    draw = {"ear": _ear, "eye": _eye, "cheek": _cheek}.get(slot.split()[-1])
    if draw is not None:
        draw(c, side, *values)
    else:
        {"mouth": _mouth, "tie": _tie, "top": _top}[slot](c, *values)
    return c.ids


def tones(channels: int) -> Tensor:
    """The colour (materials, channels) of each material, in [-1, 1]."""
    if channels == 1:
        return torch.tensor([[grey] for grey, _ in MATERIALS.values()])
    return torch.tensor([rgb for _, rgb in MATERIALS.values()]) / 127.5 - 1


def night(channels: int) -> Tensor:
    """The colour (channels,) behind the faces."""
    return tones(channels)[_ID["night"]].float()


@cache
def masks(size: int) -> dict[str, Tensor]:
    """Where each slot lies in the frame: (F, F) booleans, F = 14 · size / 16. They are disjoint."""
    scale = size // CELLS
    taken = torch.zeros(FRAME, FRAME, dtype=torch.bool)
    found = {}
    for name, slot in SLOTS.items():
        mask = torch.zeros_like(taken)
        for top, bottom, left, right in slot.boxes:
            mask[top:bottom, left:right] = True
        mask &= ~taken
        taken |= mask
        found[name] = mask.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    return found


@cache
def templates(size: int, channels: int) -> dict[str, Tensor]:
    """Every look of every part: (looks, channels, pixels of the slot) by slot, float32.

    Looks come in the order of the slot's traits, the last one fastest. Where a part can be missing
    one more look, the last, is the slot with nothing drawn, which no valid face shows.
    """
    palette, masked = tones(channels), masks(size)
    out = {}
    for name, slot in SLOTS.items():
        looks: list = list(itertools.product(*(VALUES[trait] for trait in slot.traits)))
        if slot.can_miss:
            looks.append(None)
        out[name] = torch.stack(
            [_pixels(raster(name, look), palette, size)[:, masked[name]] for look in looks]
        )
    return out


def _pixels(ids: np.ndarray, palette: Tensor, size: int) -> Tensor:
    """Average the colours of the samples in each pixel: (channels, F, F)."""
    step, width = FINE * CELLS // size, FRAME * size // CELLS
    counts = torch.from_numpy(ids).reshape(width, step, width, step).transpose(1, 2)
    share = torch.nn.functional.one_hot(counts.flatten(2).long(), len(palette)).float().mean(2)
    return (share @ palette.float()).permute(2, 0, 1)
