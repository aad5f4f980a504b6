"""Novelty, realism and agreement: pure functions on arrays.

Samples are tensors (n, *shape), images or features alike; a distance is Euclidean over all the
entries of an example. With `interval=0.95` a metric comes with its confidence interval. What a
metric sees of an image is a feature map of `features`.
"""

from . import features
from .agreement import pearson_r, r_squared
from .control_sets import blurred, controls
from .copying import CopyRate, authenticity, c_t, copied_fraction, novelty_ratio
from .distances import EnergyTest, energy_test, sliced_wasserstein
from .diversity import vendi
from .evaluation import MEASURES, evaluate
from .frechet import frechet_distance
from .intervals import Interval, wilson
from .kernel import kernel_distance
from .likelihood import FeatureLikelihood, feature_likelihood_divergence
from .manifold import DensityCoverage, PrecisionRecall, density_coverage, precision_recall
from .neighbours import nearest, nearest_in_orbit, neighbour_ratio

__all__ = [
    "MEASURES",
    "CopyRate",
    "DensityCoverage",
    "EnergyTest",
    "FeatureLikelihood",
    "Interval",
    "PrecisionRecall",
    "authenticity",
    "blurred",
    "c_t",
    "controls",
    "copied_fraction",
    "density_coverage",
    "energy_test",
    "evaluate",
    "feature_likelihood_divergence",
    "features",
    "frechet_distance",
    "kernel_distance",
    "nearest",
    "nearest_in_orbit",
    "neighbour_ratio",
    "novelty_ratio",
    "pearson_r",
    "precision_recall",
    "r_squared",
    "sliced_wasserstein",
    "vendi",
    "wilson",
]
