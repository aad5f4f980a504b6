"""Cartoon faces that are drawn, numbered and judged exactly: realism as a count, not an opinion.

>>> from diffusion_creativity.data import faces
>>> family = faces.Faces(size=16, channels=1)  # 157,464 valid faces
>>> train, held_out = family.split(500, seed=0)  # their numbers
>>> x = family.render(train)  # (500, 1, 16, 16), float32 in [-1, 1]
>>> oracle = family.oracle(train)
>>> verdicts = oracle(samples)  # copy, creative or invalid, which rules are broken, a margin
>>> verdicts.summary()  # shares with intervals, copying beside its base rate

`Faces` describes a family: its size, colour, places and long-range rules. `Oracle` judges images,
`break_rule` draws faces that break a chosen rule, `calibration` says how far to trust the oracle,
`separation` how far faces are apart, and `figure` shows every attribute.
"""

from ..images import ImageSet
from . import calibration
from .attributes import RULES, SLOTS, TRAITS, VALUES
from .breaking import break_rule
from .chimeras import chimeras
from .distances import separation
from .family import Faces, Split
from .gallery import figure, gallery
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
    "break_rule",
    "calibration",
    "chimeras",
    "figure",
    "gallery",
    "image_set",
    "separation",
]


def image_set(split: str = "train") -> ImageSet:
    """Return the default set: 600 training faces of 16 × 16 in grey, or 1,000 held-out valid ones.

    The labels are the numbers of the faces in ``Faces()``.
    """
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    train, held_out = Faces().split(600, held_out=1000, seed=0)
    return Faces().images(train if split == "train" else held_out)
