"""The project with a worked example: a denoiser that sees the two halves of a face.

It is one of many projects that would do, and shorter than a student's should be.
"""

import math

import torch

from diffusion_creativity.data import faces
from diffusion_creativity.denoisers import Blockwise
from diffusion_creativity.metrics.intervals import wilson

FAMILY = faces.Faces()
TRAIN = FAMILY.render(FAMILY.split(40, seed=0).train)
HALVES = Blockwise.fit(TRAIN, block=(16, 8))


def plan():
    return {
        "question": "Does a denoiser that sees the left and the right half apart make valid faces?",
        "architecture": "Two blocks of 16×8 pixels, each with a function of its own.",
        "measure": "The share of samples that are copies of a training face, by the oracle.",
        "control": "The perfect denoiser from the same noise, which has to copy every time.",
        "refuted_if": "More than a tenth of the samples are copies of training faces.",
        "prediction": (0.0, 0.1),  # 1/40 of all pairs of halves, and a little more for equal halves
        "rival": (0.5, 1.0),  # the halves agree in spite of all
        "samples": 300,
    }


def denoise(y, sigma):
    return HALVES(y, sigma)


def interval(k, n):
    return wilson(k, n)[1:]


def certificate():
    def pairs(n, seed, agree):
        """Halves of training faces: chosen apart, or (the wrong law) from one face."""
        generator = torch.Generator().manual_seed(seed)
        left, right = torch.randint(len(TRAIN), (2, n), generator=generator)
        right = torch.where(torch.rand(n, generator=generator) < agree, left, right)
        return torch.cat([TRAIN[left][..., :8], TRAIN[right][..., 8:]], -1)

    # Some faces share a half: how many pairs of halves are training faces, exactly.
    def numbers(part):
        return torch.unique(part.flatten(1), dim=0, return_inverse=True)[1]

    left, right = numbers(TRAIN[..., :8]), numbers(TRAIN[..., 8:])
    counts = torch.zeros(left.max() + 1, right.max() + 1)
    counts.index_put_((left, right), torch.ones(len(TRAIN)))
    share = ((counts > 0) * left.bincount()[:, None] * right.bincount()[None]).sum().item() / len(
        TRAIN
    ) ** 2

    def agrees(samples):
        gaps = torch.cdist(samples.flatten(1), TRAIN.flatten(1)).min(1).values
        copies = int((gaps < 1e-2).sum())
        n = len(samples)
        return abs(copies - n * share) < 2.6 * math.sqrt(n * share * (1 - share))

    return agrees, lambda n, seed: pairs(n, seed, 0.0), lambda n, seed: pairs(n, seed, 0.3)


WRITTEN = {
    "argument": r"""**What a full answer holds (20 points).**

A statement with its assumptions (6), a proof or, where
there is none, an argument that says where it stops being one (8), what the statement does *not*
say (6).""",
    "experiment": r"""**What a full answer holds (20 points).**

Same noise, sampler and steps for all that is compared
(4); intervals and enough samples (4); a control that would have shown a slip (4); samples shown
unpicked (4); runs from a clean kernel (4).""",
    "honesty": r"""**What a full answer holds (10 points).**

The plan as it was before the runs (3), every miss
named (4), what would make the claim false (3).""",
}
