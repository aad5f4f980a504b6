"""Self-checks of chapter 18."""

import math

from ._verdict import verdict

__all__ = ["check_samples_to_see", "check_standard_error"]


def _no_number(answer: object) -> str | None:
    if answer is None:
        return "the function returns nothing yet: write it, with a return"
    if not math.isfinite(float(answer)):
        return f"return a finite number, not {answer}"
    return None


def check_samples_to_see(solution) -> bool:
    """Check ``solution(share, miss)``: least number of samples that miss an event so rarely."""

    def whole() -> str | None:
        if problem := _no_number(answer := solution(0.3, 0.05)):
            return problem
        return None if answer == int(answer) else f"samples are whole: {answer:g} cannot be drawn"

    def exact() -> str | None:
        if (answer := solution(0.5, 0.25)) != 2:
            return (
                "of two fair coins both show tails in a quarter of the cases, so the answer for a "
                f"share of 0.5 and a miss of 0.25 is 2, yours is {answer:g}"
            )
        return None

    def least() -> str | None:
        for share, miss in ((0.3, 0.05), (0.01, 0.05), (1e-4, 0.001), (0.9, 0.5)):
            n = solution(share, miss)
            if math.log1p(-share) * n > math.log(miss) + 1e-9:
                return f"{n:g} samples miss a share of {share:g} more often than {miss:g}"
            if n > 1 and math.log1p(-share) * (n - 1) <= math.log(miss) - 1e-9:
                return f"for a share of {share:g} and a miss of {miss:g} fewer than {n:g} would do"
        return None

    return verdict("how many samples", (whole, exact, least))


def check_standard_error(solution) -> bool:
    """Check ``solution(share, between, runs, samples)``: standard deviation of the pooled share."""

    def off(answer: float, right: float) -> bool:
        return not math.isclose(float(answer), right, rel_tol=1e-9)

    def equal_runs() -> str | None:
        if problem := _no_number(answer := solution(0.5, 0.0, 4, 25)):
            return problem
        if off(answer, 0.05):
            return (
                "if all runs have the rate 0.5, four runs of 25 samples are 100 fair coins, with a "
                f"standard deviation of 0.05; yours is {answer:g}"
            )
        return None

    def many_samples() -> str | None:
        answer = solution(0.3, 0.1, 4, 10**12)
        if not math.isclose(float(answer), 0.05, rel_tol=1e-5):
            return (
                "with endless samples the rates of four runs are known, and their mean is off by "
                f"0.1 / 2; yours is {answer:g}"
            )
        return None

    def one_sample() -> str | None:
        right = math.sqrt(0.3 * 0.7 / 9)
        if off(answer := solution(0.3, 0.1, 9, 1), right):
            return (
                "one sample from each of nine runs is nine independent samples of rate 0.3: the "
                f"spread of the runs is in it already; yours is {answer:g}, not {right:.4g}"
            )
        return None

    return verdict("how many runs", (equal_runs, many_samples, one_sample))
