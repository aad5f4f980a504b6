"""Laws: what a denoiser generates, as distributions that can be sampled and tested against.

A law knows its `mean` and `cov`, draws with `sample`, and judges samples with `agreement`, which
returns a `Report`: named statistics, each with its p-value under the law or a stated bound.
"""

from .discrete import Discrete
from .empirical import Empirical
from .gaussian import Gaussian
from .law import Law
from .orbit import Orbit
from .product import Product
from .pushforward import PushForward1d
from .report import Report, Statistic
from .turned import Turned

__all__ = [
    "Discrete",
    "Empirical",
    "Gaussian",
    "Law",
    "Orbit",
    "Product",
    "PushForward1d",
    "Report",
    "Statistic",
    "Turned",
]
