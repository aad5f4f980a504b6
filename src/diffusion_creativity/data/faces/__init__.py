"""Cartoon faces that are drawn, numbered and judged exactly: realism as a count, not an opinion.

>>> from diffusion_creativity.data import faces
>>> family = faces.Faces(size=16, channels=1)  # 157,464 valid faces
>>> train, held_out = family.split(500, seed=0)  # their numbers
>>> x = family.render(train)  # (500, 1, 16, 16), float32 in [-1, 1]
>>> oracle = family.oracle(train)
>>> verdicts = oracle(samples)  # copy, creative or invalid, which rules are broken, a margin
>>> verdicts.summary()  # shares with intervals, copying beside its base rate

`Faces` describes a family: its size, colour, places and long-range rules. `Oracle` judges images.
"""

from .attributes import RULES, SLOTS, TRAITS, VALUES
from .family import Faces, Split
from .oracle import Oracle
from .verdicts import CLASSES, Share, Verdicts

__all__ = [
    "CLASSES",
    "RULES",
    "SLOTS",
    "TRAITS",
    "VALUES",
    "Faces",
    "Oracle",
    "Share",
    "Split",
    "Verdicts",
]
