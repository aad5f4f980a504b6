"""Named runs that are too long for a page: resumable, with provenance, written to ``results/NAME``.

``python -m diffusion_creativity list | run NAME | collect NAME | show NAME``; a chapter reads a
result by `load`.
An experiment is a function registered by `experiment`; add its module to the imports below.
"""

from . import (
    alignment,
    capacity,
    classifier,
    constrained,
    deviations,
    generalisation,
    theory_vs_network,
    unet_baseline,
    unet_study,
)
from .registry import Config, Experiment, Outcome, Unit, experiment, registered
from .report import listing, origin, table, text
from .results import Result, largest, load
from .runner import collect, run

__all__ = [
    "Config",
    "Experiment",
    "Outcome",
    "Result",
    "Unit",
    "alignment",
    "capacity",
    "classifier",
    "collect",
    "constrained",
    "deviations",
    "experiment",
    "generalisation",
    "largest",
    "listing",
    "load",
    "origin",
    "registered",
    "run",
    "table",
    "text",
    "theory_vs_network",
    "unet_baseline",
    "unet_study",
]
