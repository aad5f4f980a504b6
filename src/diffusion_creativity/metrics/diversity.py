"""How many different things a sample holds."""

import torch
from torch import Tensor

from .. import _validate
from .intervals import Bootstrap, Interval


def vendi(
    samples: Tensor,
    *,
    interval: float | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> float | Interval:
    r"""Return the Vendi score, an effective number of different directions among samples.

    .. math:: \exp\Bigl(-\sum_i \lambda_i\log\lambda_i\Bigr), \qquad \lambda \text{ the eigenvalues
              of } K/n, \quad K_{ij} = \cos(s_i, s_j)

    From 1, all features parallel, to min(n, d), all orthogonal (Friedman & Dieng 2023). It knows
    no data: white noise has the highest score, and copies have that of what they copy. It sees
    no lengths, and features with a large mean look all alike; centre them first if this is not
    meant. By the smaller of the n × n and the d × d Gram matrix, in float64: n·d·min(n, d)
    operations.

    Parameters
    ----------
    samples
        Features, shape (n, *shape), none of them zero.
    interval
        Confidence of a centred bootstrap interval of `resamples`, one for the expected score of n
        samples: a resample repeats some and lacks others, so its own score is lower.
    """
    bootstrap = None if interval is None else Bootstrap(interval, resamples, seed)
    x = _validate.dataset(samples, "samples").double().flatten(1)
    x = x / x.abs().amax(1, keepdim=True)  # no square under- or overflows; 0/0 is NaN
    zero = x.isnan().any(1)
    if zero.any():
        raise ValueError(f"samples must have a direction, got {int(zero.sum())} zero vectors")
    x = x / x.norm(dim=1, keepdim=True)
    gram = x @ x.T if len(x) < x.shape[1] else None
    value = _score(x, gram, x.new_ones(len(x)))
    if bootstrap is None:
        return value
    blocks = bootstrap.counts([len(x)], x)
    replicates = [_score(x, gram, row) for (block,) in blocks for row in block]
    return bootstrap.centred(value, replicates, minimum=1.0)


def _score(x: Tensor, gram: Tensor | None, counts: Tensor) -> float:
    weights = counts / counts.sum()
    if gram is None:
        matrix = x.T @ (weights[:, None] * x)
    else:
        root = weights.sqrt()
        matrix = root[:, None] * gram * root
    values = torch.linalg.eigvalsh(matrix)
    return float(torch.special.entr(values.clamp(min=0)).sum().exp())
