"""Self-checks for the reader's solutions: each says which property failed, never the answer.

``check_…(solution)`` prints a verdict and returns whether the solution passed.
"""

from . import assignments
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
from .chapter_05 import (
    check_colour,
    check_inner_pixels,
    check_unseen_change,
    check_window_kernel,
    check_window_power,
)
from .chapter_06 import (
    check_affine_up_to,
    check_noisy_moments,
    check_normal_equations,
    check_square_density,
)
from .chapter_07 import (
    check_best_rank,
    check_coded_atoms,
    check_conditional_mean,
    check_rare_share,
    check_rescaled_encoder,
)
from .chapter_08 import (
    check_count_chimeras,
    check_halves_denoiser,
    check_shift_distance,
    check_symmetrise,
)
from .chapter_09 import (
    check_count_ring,
    check_is_mosaic,
    check_rescale,
    check_steps_to_agree,
    check_window_denoiser,
)
from .chapter_10 import (
    check_column_twin,
    check_equal_sums,
    check_project,
    check_spectrum_twin,
)
from .chapter_11 import (
    check_damping,
    check_decay_as_ridge,
    check_equal_losses,
    check_largest_rate,
    check_stopping_time,
)
from .chapter_12 import (
    check_authentic,
    check_base_rate,
    check_extrapolate,
    check_fool_frechet,
    check_fool_third_rule,
)
from .chapter_13 import (
    check_average_weights,
    check_count_block,
    check_edm,
    check_excess,
    check_reach,
)
from .chapter_14 import (
    check_bonferroni_holm,
    check_match_width,
    check_pooled_spread,
    check_right_place,
)
from .chapter_15 import (
    check_budget,
    check_floor,
    check_monotone_windows,
    check_relative_error,
)
from .chapter_16 import (
    check_exponent,
    check_linear_gap,
    check_onset,
    check_remembered,
    check_unshuffle,
)
from .chapter_17 import (
    check_break_rate,
    check_faces_needed,
    check_hears,
    check_overlap,
    check_valid_share,
)
from .chapter_18 import (
    check_paired_saving,
    check_samples_per_run,
    check_samples_to_see,
    check_standard_error,
)
from .chapter_19 import (
    check_condition,
    check_euler,
    check_gaussian_from_noise,
    check_guess,
    check_keep,
)
from .chapter_20 import check_choose_rate, check_deal, check_outcome, check_seeds_needed
from .chapter_21 import (
    check_decision_time,
    check_end_point,
    check_least_cost,
    check_line_denoiser,
    check_share_of_copies,
)

__all__ = [
    "assignments",
    "check_affine_up_to",
    "check_authentic",
    "check_average_weights",
    "check_base_rate",
    "check_best_rank",
    "check_biasless_law",
    "check_bonferroni_holm",
    "check_break_rate",
    "check_budget",
    "check_choose_rate",
    "check_coded_atoms",
    "check_colour",
    "check_column_twin",
    "check_condition",
    "check_conditional_mean",
    "check_count_block",
    "check_count_chimeras",
    "check_count_copies",
    "check_count_ring",
    "check_damping",
    "check_deal",
    "check_decay_as_ridge",
    "check_decision_time",
    "check_edm",
    "check_end_point",
    "check_equal_losses",
    "check_equal_sums",
    "check_euler",
    "check_excess",
    "check_exponent",
    "check_extrapolate",
    "check_faces_needed",
    "check_finite_law",
    "check_floor",
    "check_fool_frechet",
    "check_fool_third_rule",
    "check_gaussian_from_noise",
    "check_guess",
    "check_halves_denoiser",
    "check_hears",
    "check_heun_step",
    "check_inner_pixels",
    "check_is_mosaic",
    "check_keep",
    "check_largest_rate",
    "check_least_cost",
    "check_line_denoiser",
    "check_linear_gap",
    "check_match_width",
    "check_merge_batches",
    "check_mix",
    "check_monotone_windows",
    "check_noisy_moments",
    "check_normal_equations",
    "check_onset",
    "check_outcome",
    "check_overlap",
    "check_paired_saving",
    "check_pooled_spread",
    "check_project",
    "check_rare_share",
    "check_reach",
    "check_relative_error",
    "check_remembered",
    "check_rescale",
    "check_rescaled_encoder",
    "check_ridge_variance",
    "check_right_place",
    "check_samples_per_run",
    "check_samples_to_see",
    "check_score",
    "check_seeds_needed",
    "check_share_of_copies",
    "check_shift_distance",
    "check_softmax_denoiser",
    "check_spectrum_twin",
    "check_split",
    "check_square_density",
    "check_standard_error",
    "check_start_from",
    "check_step_as_average",
    "check_step_factor",
    "check_steps_to_agree",
    "check_stopping_time",
    "check_symmetrise",
    "check_temperature",
    "check_twin",
    "check_two_points",
    "check_unseen_change",
    "check_unshuffle",
    "check_v_prediction",
    "check_valid_share",
    "check_vp_model",
    "check_weighted_denoiser",
    "check_window_denoiser",
    "check_window_kernel",
    "check_window_power",
]
