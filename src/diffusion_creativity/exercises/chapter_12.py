"""Self-checks of chapter 12: measuring creativity and realism."""

import torch

from .. import metrics
from ..data import load
from ._verdict import mismatch, misshapen, normal, verdict

__all__ = [
    "check_authentic",
    "check_base_rate",
    "check_extrapolate",
    "check_fool_frechet",
    "check_fool_third_rule",
]


def _train() -> torch.Tensor:
    """Digits without near twins, which the third rule would miss by themselves."""
    return load("digits").x[:400]


def check_fool_frechet(solution) -> bool:
    """Check ``solution(train, n)``: n images, none like a digit, at Fréchet distance 0."""
    train, n = _train(), 500

    def shape() -> str | None:
        return misshapen(solution(train, n), (n, 1, 8, 8))

    def close() -> str | None:
        found, total = _frechet(solution(train, n), train), _frechet(torch.zeros(n, 1, 8, 8), train)
        if found > 1e-4 * total:
            return (
                f"the distance is {found:.3g}, an empty image has {total:.3g}: come below a ten "
                "thousandth of that. Draws of a Gaussian miss its moments a little, and covariance "
                "counts: take what you drew, and correct its mean and covariance exactly"
            )
        return None

    def unreal() -> str | None:
        images = solution(train, n).double()
        if metrics.copied_fraction(images, train.double(), tolerance=0.15) > 0.02:
            return "some of your images are digits: fool it with images that are not"
        spread = (train - train.mean(0)).double()
        excess = (images - images.mean(0)).flatten(1) @ torch.linalg.svd(spread.flatten(1))[2].T
        kurtosis = (excess**4).mean(0) / (excess**2).mean(0) ** 2
        if not bool((kurtosis[:5] < 3.8).all() and (kurtosis[:5] > 1.5).all()):
            return "keep it simple: a cloud without outliers will do"
        return None

    return verdict("fool the Fréchet distance", (shape, close, unreal))


def _frechet(a: torch.Tensor, b: torch.Tensor) -> float:
    return metrics.frechet_distance(a.flatten(1).double(), b.flatten(1).double())


def check_fool_third_rule(solution) -> bool:
    """Check ``solution(train)``: training images, changed so little that the rule is fooled."""
    train = _train()

    def shape() -> str | None:
        return misshapen(solution(train), tuple(train.shape))

    def copies() -> str | None:
        found = torch.as_tensor(solution(train))
        apart, which = metrics.nearest(found, train, ["translations", "flips", "quarter_turns"])
        if (apart > 1e-3).any() or (which != torch.arange(len(train))).double().mean() > 0.05:
            return (
                "image number i must show training image number i, moved, mirrored or turned: "
                "a change of the kind that an eye forgives"
            )
        return None

    def fooled() -> str | None:
        caught = metrics.copied_fraction(torch.as_tensor(solution(train)), train, ratio=1 / 3)
        if caught > 0.02:
            return f"the rule still calls {caught:.0%} of your images copies: change them more"
        return None

    return verdict("fool the third rule", (shape, copies, fooled))


def check_authentic(solution) -> bool:
    """Check ``solution(samples, train)``, the authentic samples, booleans (n,)."""
    train, samples = normal(40, 3, seed=0), normal(30, 3, seed=1)
    mixed = torch.cat([train[:10], samples])
    gaps = torch.cdist(mixed, train)
    own = torch.cdist(train, train).fill_diagonal_(torch.inf).min(1).values
    right = gaps.min(1).values > own[gaps.argmin(1)]

    def shape() -> str | None:
        if problem := misshapen(solution(mixed, train), (40,)):
            return problem
        if solution(mixed, train).dtype != torch.bool:
            return f"return a tensor of booleans, got {solution(mixed, train).dtype}"
        return None

    def copies() -> str | None:
        if solution(mixed, train)[:10].any():
            return "the first ten samples are training points, and you call some of them authentic"
        return None

    def exact() -> str | None:
        wrong = int((solution(mixed, train) != right).sum())
        if wrong:
            return (
                f"{wrong} of 40 samples are judged wrongly: compare the distance to the nearest "
                "training point with that point's distance to its nearest neighbour, not itself"
            )
        return None

    return verdict("authentic", (shape, copies, exact))


def check_extrapolate(solution) -> bool:
    """Check ``solution(sizes, distances)``, the value at infinitely many samples."""
    sizes = torch.tensor([100.0, 200.0, 400.0, 800.0], dtype=torch.float64)

    def exact() -> str | None:
        for limit, slope in ((0.0, 3.0), (2.5, 40.0), (7.0, -1.0)):
            found = float(solution(sizes, limit + slope / sizes))
            if abs(found - limit) > 1e-6:
                return (
                    f"for the distances {limit:g} + {slope:g}/n the limit is {limit:g}, yours is "
                    f"{found:.4g}: fit a line in 1/n, not in n, and read it where 1/n is 0"
                )
        return None

    def noisy() -> str | None:
        distances = 1 + 50 / sizes + torch.tensor([0.01, -0.02, 0.015, -0.005], dtype=torch.float64)
        line = torch.stack([torch.ones(4, dtype=torch.float64), 1 / sizes], 1)
        right = torch.linalg.lstsq(line, distances[:, None]).solution[0]
        found = torch.as_tensor(solution(sizes, distances), dtype=torch.float64).reshape(1)
        if mismatch(found, right):
            return "with noise, use all four values: the line of least squares"
        return None

    return verdict("extrapolate", (exact, noisy))


def check_base_rate(solution) -> bool:
    """Check ``solution(copies, n, N, M)``, the p-value of so many copies by chance."""
    from scipy import stats

    cases = ((30, 100, 250, 1000), (25, 100, 250, 1000), (4, 400, 5, 2000), (0, 50, 10, 100))

    def is_probability() -> str | None:
        for case in cases:
            if solution(*case) is None:
                return "the function returns nothing yet: write it, with a return"
            if not 0 <= float(solution(*case)) <= 1:
                return f"for {case} you return {float(solution(*case)):.3g}, no probability"
        return None

    def exact() -> str | None:
        for case in cases:
            copies, n, size, valid = case
            right, found = stats.binom.sf(copies - 1, n, size / valid), float(solution(*case))
            if abs(found - stats.binom.sf(copies, n, size / valid)) < 1e-9 < abs(found - right):
                return "you count more than `copies`: the p-value is that of at least as many"
            if abs(found - right) > 1e-6:
                return (
                    f"for {case} the p-value is off: n samples, each a copy with probability "
                    "N/M; how probable are at least `copies` of them?"
                )
        return None

    return verdict("base rate", (is_probability, exact))
