"""Self-checks for the reader's solutions: each says which property failed, never the answer.

``check_…(solution)`` prints a verdict and returns whether the solution passed.
"""

from .chapter_01 import (
    check_count_copies,
    check_mix,
    check_start_from,
    check_step_as_average,
)
from .chapter_02 import (
    check_heun_step,
    check_score,
    check_split,
    check_v_prediction,
    check_vp_model,
)
from .chapter_03 import (
    check_merge_batches,
    check_softmax_denoiser,
    check_temperature,
    check_two_points,
    check_weighted_denoiser,
)
from .chapter_04 import (
    check_biasless_law,
    check_finite_law,
    check_ridge_variance,
    check_step_factor,
    check_twin,
)

__all__ = [
    "check_biasless_law",
    "check_count_copies",
    "check_finite_law",
    "check_heun_step",
    "check_merge_batches",
    "check_mix",
    "check_ridge_variance",
    "check_score",
    "check_softmax_denoiser",
    "check_split",
    "check_start_from",
    "check_step_as_average",
    "check_step_factor",
    "check_temperature",
    "check_twin",
    "check_two_points",
    "check_v_prediction",
    "check_vp_model",
    "check_weighted_denoiser",
]
