"""Self-checks of the graded assignments and the project, and the points that they give.

A check is like those of the chapters, ``check_…(solution) -> bool``, and takes a `seed` besides:
students see the inputs of seed 0, markers choose others. `mark` adds the points up.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from .copying_and_blurring import (
    check_ancestral_variance,
    check_mixture_denoiser,
    check_posterior_covariance,
    check_reject,
)
from .own_denoiser import (
    check_certificate,
    check_contract,
    check_interval,
    check_plan,
)
from .row_by_row import (
    check_copy_probability,
    check_count_generated,
    check_row_denoiser,
    check_row_gaussian,
    check_row_twin,
)

__all__ = [
    "ASSIGNMENTS",
    "Assignment",
    "check_ancestral_variance",
    "check_certificate",
    "check_contract",
    "check_copy_probability",
    "check_count_generated",
    "check_interval",
    "check_mixture_denoiser",
    "check_plan",
    "check_posterior_covariance",
    "check_reject",
    "check_row_denoiser",
    "check_row_gaussian",
    "check_row_twin",
    "mark",
]


class Assignment(NamedTuple):
    """What an assignment asks for: 100 points in all."""

    checked: dict[str, tuple[Callable[..., bool], int]]  # name of the answer: self-check, points
    written: dict[str, int]  # what a person marks: points


ASSIGNMENTS = {
    "assignment_1": Assignment(
        {
            "mixture_denoiser": (check_mixture_denoiser, 15),
            "posterior_covariance": (check_posterior_covariance, 15),
            "ancestral_variance": (check_ancestral_variance, 20),
            "reject": (check_reject, 20),
        },
        {"proof": 10, "experiment": 20},
    ),
    "assignment_2": Assignment(
        {
            "row_denoiser": (check_row_denoiser, 15),
            "count_generated": (check_count_generated, 10),
            "copy_probability": (check_copy_probability, 15),
            "row_gaussian": (check_row_gaussian, 15),
            "row_twin": (check_row_twin, 15),
        },
        {"prediction": 10, "experiment": 20},
    ),
    "project": Assignment(
        {
            "plan": (check_plan, 10),
            "denoise": (check_contract, 10),
            "interval": (check_interval, 10),
            "certificate": (check_certificate, 20),
        },
        {"argument": 20, "experiment": 20, "honesty": 10},
    ),
}


def mark(assignment: str, answers: Mapping[str, object], *, seed: int = 0) -> dict[str, int]:
    """Run every self-check of an assignment, print a tally, and return the points by question.

    Parameters
    ----------
    assignment : str
        A key of `ASSIGNMENTS`.
    answers : mapping
        What the student wrote, by name; ``globals()`` of the notebook will do. What is missing gets
        no points.
    seed : int
        Other seeds draw other inputs: an answer that was fitted to those of the notebook fails.
    """
    if assignment not in ASSIGNMENTS:
        raise ValueError(f"assignment must be one of {', '.join(ASSIGNMENTS)}, got {assignment!r}")
    checked, written = ASSIGNMENTS[assignment]
    earned = {}
    for name, (check, points) in checked.items():
        if name not in answers:
            print(f"✗ {name}: not found")
        passed = name in answers and check(answers[name], seed=seed)
        earned[name] = points if passed else 0
    total = sum(points for _, points in checked.values())
    print(f"{sum(earned.values())} of {total} points; marked by hand: {sum(written.values())} more")
    return earned
