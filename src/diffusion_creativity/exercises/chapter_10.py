"""Self-checks of chapter 10."""

import torch

from ._verdict import mismatch, misshapen, normal, verdict

__all__ = [
    "check_column_twin",
    "check_equal_sums",
    "check_project",
    "check_spectrum_twin",
]


def check_project(solution) -> bool:
    """Check ``solution(features, x) -> C``, the best matrix C in x ≈ C φ from samples of both."""
    features = normal(400, 4, seed=1)
    x = features @ normal(4, 3, seed=2) + normal(400, 3, seed=3)
    doubled = torch.cat([features, features[:, :1] - 2 * features[:, 1:2]], 1)

    def best(phi: torch.Tensor) -> torch.Tensor:
        return phi @ torch.linalg.lstsq(phi, x, driver="gelsd").solution

    def independent() -> str | None:
        found = solution(features, x)
        if problem := misshapen(found, (3, 4)):
            return f"{problem}: one row for each entry of x, one column for each feature"
        if problem := mismatch(features @ found.T, best(features), 1e-8):
            return (
                f"{problem} in the predictions. At the best C the errors x - C φ have no "
                "correlation left with any feature: which equation for C is that?"
            )
        return None

    def redundant() -> str | None:
        found = solution(doubled, x)
        if problem := mismatch(doubled @ found.T, best(doubled), 1e-6):
            return (
                f"{problem} when one feature is a combination of two others. The Gram matrix is "
                "then singular, and the best predictions still exist"
            )
        return None

    return verdict("projection", (independent, redundant))


def check_equal_sums(solution) -> bool:
    """Check ``solution(k)``: split 0 … 2^(k+1) - 1 into two halves with equal power sums to k."""

    def shape() -> str | None:
        answer = solution(2)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            return "return two collections of integers, one for each half"
        return None

    def split() -> str | None:
        for k in (1, 2, 3, 4):
            a, b = ([int(v) for v in half] for half in solution(k))
            size = 2 ** (k + 1)
            if sorted(a + b) != list(range(size)):
                return f"for k = {k} the halves must hold each of 0 … {size - 1} exactly once"
        return None

    def sums() -> str | None:
        for k in (1, 2, 3, 4):
            a, b = ([int(v) for v in half] for half in solution(k))
            for power in range(k + 1):
                left, right = sum(v**power for v in a), sum(v**power for v in b)
                if left != right:
                    what = "the halves differ in size" if power == 0 else (
                        f"the sums of powers {power} are {left} and {right}"
                    )  # fmt: skip
                    return f"for k = {k}, {what}. Look at the numbers in binary"
        return None

    return verdict("equal sums", (shape, split, sums))


def check_column_twin(solution) -> bool:
    """Check ``solution(x)``: data (N, d) with the same columns, each in an order of its own."""
    start = normal(500, 1, seed=4)
    x = torch.cat([start, start**2, start + 0.1 * normal(500, 1, seed=5)], 1)

    def marginals() -> str | None:
        twin = solution(x.clone())
        if problem := misshapen(twin, x.shape):
            return problem
        if not torch.equal(twin.to(x).sort(0)[0], x.sort(0)[0]):
            return "a column no longer holds the values that it held: its marginal has changed"
        return None

    def independent() -> str | None:
        twin = solution(x.clone())
        correlation = torch.corrcoef(twin.T)[0, 2].item()
        if abs(correlation) > 0.25:
            return (
                f"the columns are right, but 1 and 3 still have correlation {correlation:.2f}: "
                "rows were moved as wholes, so that every joint law stayed"
            )
        return None

    return verdict("shuffled columns", (marginals, independent))


def check_spectrum_twin(solution) -> bool:
    """Check ``solution(x)``: other real images (N, H, W) with mean grey and power spectrum of x."""
    ramp = torch.linspace(-1, 1, 6, dtype=torch.float64)
    x = (normal(20, 6, 6, seed=6) > 0.3).double() + ramp

    def power(images: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft2(images).abs().square().mean(0)

    def real() -> str | None:
        twin = solution(x.clone())
        if not isinstance(twin, torch.Tensor) or twin.shape[1:] != x.shape[1:]:
            return "return images of shape (M, 6, 6) for the check's images of shape (20, 6, 6)"
        if twin.is_complex():
            return "the images are complex: the phases at frequencies ω and -ω must be opposite"
        return None

    def same() -> str | None:
        twin = solution(x.clone()).double()
        if abs((twin.mean() - x.mean()).item()) > 1e-6:
            return "the mean grey has changed: what may happen to the frequency 0?"
        if problem := mismatch(power(twin), power(x), 1e-6):
            return f"{problem} in the power spectrum, averaged over the images"
        return None

    def other() -> str | None:
        twin = solution(x.clone()).double()
        shifted = torch.stack([x.roll((i, j), (1, 2)) for i in range(6) for j in range(6)])
        shifted = torch.cat([shifted, shifted.flip((2, 3))]).flatten(0, 1).flatten(1)
        if (torch.cdist(twin.flatten(1), shifted).min(1).values < 1e-6).double().mean() > 0.5:
            return "most of your images are shifts or half turns of those of x: look for new ones"
        return None

    return verdict("another set with the same spectrum", (real, same, other))
