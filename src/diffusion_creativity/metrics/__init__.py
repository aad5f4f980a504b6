"""Novelty, realism and agreement: pure functions on arrays.

Samples are tensors (n, *shape), images or features alike; a distance is Euclidean over all the
entries of an example.
"""

from .distances import EnergyTest, energy_test, sliced_wasserstein
from .intervals import Interval, wilson
from .neighbours import copied_fraction, nearest, nearest_in_orbit, novelty_ratio

__all__ = [
    "EnergyTest",
    "Interval",
    "copied_fraction",
    "energy_test",
    "nearest",
    "nearest_in_orbit",
    "novelty_ratio",
    "sliced_wasserstein",
    "wilson",
]
