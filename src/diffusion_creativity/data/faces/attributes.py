"""What a face consists of: traits, the rules that tie them, and the slots where parts are drawn.

All lengths are in *cells*: an image is 16 × 16 cells, whatever its size in pixels.
"""

from typing import NamedTuple

CELLS = 16  # an image is 16 × 16 cells
FRAME = 14  # a face with all its parts fits a frame of 14 × 14 cells

# The traits that a drawing has, in mixed-radix order, with the names of their values.
_SIDES = ("left", "right")
_HEADS = ("round", "square", "pointed")
_EYES = ("round", "sleepy", "almond")
_GAZES = ("left", "ahead", "right")
_EARS = ("round", "elfin", "ringed")
_CHEEKS = ("plain", "rosy")
COLOURS = ("teal", "coral", "cream")
VALUES: dict[str, tuple[str, ...]] = {
    **{f"{side} jaw": _HEADS for side in _SIDES},
    "hair": ("fringe", "parted", "long"),
    "hat": ("none", "beanie", "top hat"),
    "top colour": COLOURS,
    "tie colour": COLOURS,
    **{f"{side} eye": _EYES for side in _SIDES},
    **{f"{side} gaze": _GAZES for side in _SIDES},
    "mouth": ("smile", "frown", "open", "grin"),
    **{f"{side} ear": _EARS for side in _SIDES},
    **{f"{side} cheek": _CHEEKS for side in _SIDES},
}
TRAITS = tuple(VALUES)

# Each long-range rule ties two traits; what they share gets the name of the attribute.
RULES: dict[str, tuple[str, str]] = {
    "eyes": ("left eye", "right eye"),
    "gaze": ("left gaze", "right gaze"),
    "colour": ("top colour", "tie colour"),
    "ears": ("left ear", "right ear"),
    "cheeks": ("left cheek", "right cheek"),
    "head": ("left jaw", "right jaw"),
}


class Slot(NamedTuple):
    """A part and where it is drawn: the traits that its look depends on, and its boxes of cells."""

    traits: tuple[str, ...]
    boxes: tuple[tuple[int, int, int, int], ...]  # top, bottom, left, right in the frame
    can_miss: bool = True  # whether a slot with nothing drawn differs from every look of the part


# Slots do not overlap, and no pixel of a slot depends on anything but the traits of its slot.
# The two jaws come last: they own what is left of the frame, on either side.
SLOTS: dict[str, Slot] = {
    "top": Slot(("hair", "hat", "top colour"), ((0, 4, 0, 14), (4, 8, 2, 3), (4, 8, 11, 12))),
    "left eye": Slot(("left eye", "left gaze"), ((4, 7, 3, 6),)),
    "right eye": Slot(("right eye", "right gaze"), ((4, 7, 8, 11),)),
    "mouth": Slot(("mouth",), ((8, 11, 5, 9),)),
    "tie": Slot(("tie colour",), ((12, 14, 3, 11),)),
    "left ear": Slot(("left ear",), ((4, 10, 0, 2),)),
    "right ear": Slot(("right ear",), ((4, 10, 12, 14),)),
    "left cheek": Slot(("left cheek",), ((7, 9, 3, 5),), False),
    "right cheek": Slot(("right cheek",), ((7, 9, 9, 11),), False),
    "left jaw": Slot(("left jaw",), ((0, 14, 0, 7),), False),
    "right jaw": Slot(("right jaw",), ((0, 14, 7, 14),), False),
}

# Cells by which the frame is moved down or right, for so many positions on an axis.
OFFSETS = {1: (1,), 2: (0, 2), 3: (0, 1, 2)}
