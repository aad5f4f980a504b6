"""All measures of one set of samples at once: for tables, and for the plane of the book."""

from collections.abc import Callable, Sequence

from torch import Tensor

from .copying import authenticity, c_t, copied_fraction, novelty_ratio
from .distances import sliced_wasserstein
from .diversity import vendi
from .frechet import frechet_distance
from .intervals import Interval
from .kernel import kernel_distance
from .likelihood import feature_likelihood_divergence
from .manifold import density_coverage, precision_recall

# What `evaluate` returns, in order: the name of a measure, and what it measures.
MEASURES: dict[str, str] = {
    "copied": "copying",
    "copied up to moves": "copying",
    "copied, third rule": "copying",
    "authenticity": "copying",
    "C_T": "copying",
    "novelty ratio": "copying",
    "Fréchet distance": "realism",
    "kernel distance": "realism",
    "sliced Wasserstein": "realism",
    "precision": "realism",
    "density": "realism",
    "recall": "variety",
    "coverage": "variety",
    "Vendi score": "variety",
    "likelihood divergence": "all at once",
}


def evaluate(
    samples: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    features: Callable[[Tensor], Tensor] | None = None,
    modulo: str | Sequence[str] = ("translations", "flips"),
    k: int = 5,
    interval: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return every measure of `MEASURES` with its interval.

    Measures of copying compare pixels with the training set, `held_out` calibrates them; those of
    realism and variety compare features with `held_out`. Which interval each has is in the
    docstring of its own function.

    Parameters
    ----------
    samples, train, held_out
        Images, shapes (n, C, H, W), (N, C, H, W) and (M, C, H, W). `held_out` are real images
        that the generator has not seen. Fréchet, kernel and sliced distances grow or shrink with
        n and M: compare at equal sizes.
    features
        A map of `dc.metrics.features`; pixels unless given.
    modulo
        The moves that "copied up to moves" forgives.
    k
        Neighbours in the balls of precision, recall, density and coverage.
    """
    see = features or (lambda images: images)
    seen, real, known = see(samples), see(held_out), see(train)
    drawn = {"interval": interval, "resamples": resamples, "seed": seed}
    balls = precision_recall(seen, real, k=k, interval=interval)
    crowds = density_coverage(seen, real, k=k, **drawn)
    values = (
        copied_fraction(samples, train, interval=interval),
        copied_fraction(samples, train, interval=interval, modulo=modulo),
        copied_fraction(samples, train, ratio=1 / 3, interval=interval),
        authenticity(samples, train, interval=interval),
        c_t(samples, train, held_out, **drawn),
        novelty_ratio(samples, train, held_out, **drawn),
        frechet_distance(seen, real, **drawn),
        kernel_distance(seen, real, **drawn),
        sliced_wasserstein(seen, real, **drawn),
        balls.precision,
        crowds.density,
        balls.recall,
        crowds.coverage,
        vendi(seen, **drawn),
        feature_likelihood_divergence(seen, known, real, **drawn).divergence,
    )
    return dict(zip(MEASURES, values, strict=True))
