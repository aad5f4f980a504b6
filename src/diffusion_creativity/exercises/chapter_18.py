"""Self-checks of chapter 18."""

import math

from torch import Tensor

from ._verdict import normal, verdict

__all__ = [
    "check_paired_saving",
    "check_samples_per_run",
    "check_samples_to_see",
    "check_standard_error",
]


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


def check_samples_per_run(solution) -> bool:
    """Check ``solution(share, between, cost)``: samples of each run that spend a budget best."""

    def known() -> str | None:
        if problem := _no_number(answer := solution(0.5, 0.3, 9.0)):
            return problem
        if not math.isclose(float(answer), 4.0, rel_tol=1e-6):
            return (
                "a rate of 0.5 with 0.3 between runs leaves 0.16 within them; if training costs as "
                f"much as nine samples, each run should give 4, yours gives {answer:g}"
            )
        return None

    def least() -> str | None:
        for share, between, cost in ((0.2, 0.05, 1000.0), (0.5, 0.01, 50.0), (0.9, 0.2, 3.0)):
            n = float(solution(share, between, cost))
            if n <= 0:
                return f"each run must give some samples, not {n:g}"

            def price(n: float, p=share, t=between, c=cost) -> float:
                return (c + n) * (t**2 + (p * (1 - p) - t**2) / n)  # variance times budget

            if better := [m for m in (0.9 * n, 1.1 * n) if price(m) < price(n)]:
                return (
                    f"with a share of {share:g}, {between:g} between runs and training that costs "
                    f"{cost:g} samples, {better[0]:.4g} samples of each run would leave a smaller "
                    f"variance for the same money than your {n:.4g}"
                )
        return None

    return verdict("how many of each", (known, least))


def check_paired_saving(solution) -> bool:
    """Check ``solution(a, b)``: inputs that pairs need, as a share of those for separate inputs."""

    def made(covariance: float, tilt: float) -> tuple[Tensor, Tensor]:
        common, a, b = normal(3, 400, seed=18)
        return 1 + common + a, 7 + covariance * common + tilt * b

    def a_number() -> str | None:
        return _no_number(solution(*made(1.0, 1.0)))

    def the_same() -> str | None:
        a, _ = made(1.0, 1.0)
        if abs(answer := float(solution(a, a + 5))) > 1e-9:
            return (
                "two machines whose errors differ by 5 on every input are told apart by one pair: "
                f"the share is 0, yours is {answer:g}"
            )
        return None

    def formula() -> str | None:
        for covariance, tilt in ((1.0, 1.0), (3.0, 0.5), (-1.0, 1.0)):
            a, b = made(covariance, tilt)
            right = float((a - b).var() / (a.var() + b.var()))
            if not math.isclose(answer := float(solution(a, b)), right, rel_tol=1e-6):
                return (
                    f"for errors with variances {float(a.var()):.3f} and {float(b.var()):.3f}, and "
                    f"{float((a - b).var()):.3f} of their difference, yours is {answer:.4f}: which "
                    "variance has the mean difference in pairs, and which without?"
                )
        return None

    return verdict("what pairs save", (a_number, the_same, formula))
