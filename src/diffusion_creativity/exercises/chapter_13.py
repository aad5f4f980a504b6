"""Self-checks of chapter 13: a UNet from scratch."""

import math

import torch

from ..data import load
from ..denoisers import Bayes
from ._verdict import mismatch, misshapen, normal, verdict

__all__ = [
    "check_average_weights",
    "check_count_block",
    "check_edm",
    "check_excess",
    "check_reach",
]


def check_edm(solution) -> bool:
    """Check ``solution(sigma, s)``: c_skip, c_out and c_in for data of standard deviation s."""
    sigma = torch.logspace(-2, 2, 9, dtype=torch.float64)

    def shape() -> str | None:
        found = solution(sigma, 0.5)
        if not isinstance(found, tuple | list) or len(found) != 3:
            return f"return three tensors, c_skip, c_out and c_in, got {type(found).__name__}"
        return next(filter(None, (misshapen(c, (9,)) for c in found)), None)

    def unit_input() -> str | None:
        for s in (0.3, 1.0, 2.0):
            size = (solution(sigma, s)[2] ** 2 * (s**2 + sigma**2) - 1).abs().max()
            if not size < 1e-6:
                return f"for s = {s:g} the input c_in · y has another variance than 1"
        return None

    def unit_target() -> str | None:
        for s in (0.3, 1.0, 2.0):
            skip, out, _ = solution(sigma, s)
            left = (1 - skip) ** 2 * s**2 + skip**2 * sigma**2  # variance of x - c_skip y
            if not ((out**2 - left) / left).abs().max() < 1e-6:
                return (
                    f"for s = {s:g} the target (x - c_skip · y) / c_out has another variance than "
                    "1: x and the noise in y are independent, their variances add"
                )
        return None

    def least() -> str | None:
        for s in (0.3, 1.0, 2.0):
            least_out = s * sigma / (s**2 + sigma**2).sqrt()
            if (solution(sigma, s)[1].abs() > least_out * (1 + 1e-6)).any():
                return "the target has variance 1, but another c_skip gives a smaller c_out"
            if (solution(sigma, s)[1] < 0).any():
                return "c_out must be positive: by convention, the sign is the network's"
        return None

    return verdict("EDM", (shape, unit_input, unit_target, least))


def check_reach(solution) -> bool:
    """Check ``solution(layers)``, layers a list of (kernel, stride): the side that is seen."""
    cases = {
        ((3, 1),): 3,
        ((3, 1),) * 4: 9,
        ((1, 1), (1, 2), (1, 1)): 1,
        ((3, 2), (3, 1)): 7,
        ((5, 1), (2, 2), (3, 2), (3, 1)): 18,
    }

    def exact() -> str | None:
        for layers, right in cases.items():
            found = solution(list(layers))
            if found is None:
                return "the function returns nothing yet: write it, with a return"
            if found != right:
                return (
                    f"through {list(layers)} an output sees {right} pixels a side, yours is "
                    f"{found}: a kernel widens by kernel - 1 steps, and a step is as many pixels "
                    "as the strides of the layers before it make"
                )
        return None

    def nothing() -> str | None:
        return None if solution([]) == 1 else "without layers an output is its input: 1 pixel"

    return verdict("reach", (exact, nothing))


def check_average_weights(solution) -> bool:
    """Check ``solution(start, weights, decay)``, the average after the last step."""
    start, weights = 100 * torch.ones(3, dtype=torch.float64), normal(40, 3, seed=0)

    def right(decay: float, steps: int) -> torch.Tensor:
        average = start
        for t, w in enumerate(weights[:steps], start=1):
            beta = min(decay, t / (t + 9))
            average = beta * average + (1 - beta) * w
        return average

    def first() -> str | None:
        found = solution(start, weights[:1], 0.999)
        if problem := misshapen(found, (3,)):
            return problem
        if mismatch(found, right(0.999, 1)):
            return "after one step the share of the initial weights is 1 / 10: t begins at 1"
        return None

    def warm() -> str | None:
        found = solution(start, weights, 0.999)
        if problem := mismatch(found, right(0.999, 40)):
            return f"{problem} after 40 steps: by then t / (t + 9) is still below the decay"
        return None

    def steady() -> str | None:
        found = solution(start, weights, 0.5)
        if problem := mismatch(found, right(0.5, 40)):
            return f"{problem} at decay 0.5: from step 9 on, t / (t + 9) is no longer the smaller"
        return None

    return verdict("average weights", (first, warm, steady))


def check_excess(solution) -> bool:
    """Check ``solution(denoise, train, sigma, noise)``, the excess loss on the training set."""
    train = load("digits").x[:60].double()
    noise = normal(*train.shape, seed=1)
    best = Bayes.fit(train)
    cases = {
        "the perfect denoiser": best,
        "D(y) = y": lambda y, sigma: y,
        "D(y) = the mean image": lambda y, sigma: train.mean(0).expand_as(y),
    }

    def right(denoise, sigma: float) -> float:
        y = train + sigma * noise
        return (denoise(y, sigma) - best(y, sigma)).square().mean().item()

    def number() -> str | None:
        found = solution(best, train, 0.5, noise)
        if found is None:
            return "the function returns nothing yet: write it, with a return"
        if torch.as_tensor(found).numel() != 1 or not math.isfinite(float(found)):
            return "return one finite number: the mean over examples and pixels"
        return None

    def exact() -> str | None:
        for name, denoise in cases.items():
            for sigma in (0.3, 1.0):
                found, wanted = float(solution(denoise, train, sigma, noise)), right(denoise, sigma)
                y = train + sigma * noise
                loss = (denoise(y, sigma) - train).square().mean().item()
                if abs(found - wanted) <= 1e-6 * max(1.0, wanted):
                    continue
                if abs(found - loss) < 1e-6:
                    return f"for {name} at σ = {sigma:g} you return the loss: take the floor off"
                if abs(found - loss + (best(y, sigma) - train).square().mean().item()) < 1e-6:
                    return (
                        "the difference of two losses is right on average only: compare the two "
                        "estimates themselves, as the theorem allows"
                    )
                return (
                    f"for {name} at σ = {sigma:g} the excess is {wanted:.4g}, yours is "
                    f"{found:.4g}: the mean, over examples and pixels, of (D - D*)²"
                )
        return None

    return verdict("excess loss", (number, exact))


def check_count_block(solution) -> bool:
    """Check ``solution(inside, outside, kernel, embedding)``, the parameters of one block."""
    cases = ((32, 32, 3, 64), (64, 32, 3, 64), (8, 16, 5, 32), (4, 4, 1, 16))

    def right(inside: int, outside: int, kernel: int, embedding: int) -> dict[str, int]:
        return {
            "the two norms": 2 * inside + 2 * outside,
            "the first convolution": kernel**2 * inside * outside + outside,
            "the second convolution": kernel**2 * outside**2 + outside,
            "the shortcut": 0 if inside == outside else inside * outside + outside,
            "FiLM": 2 * outside * (embedding + 1),
        }

    def exact() -> str | None:
        for case in cases:
            found, parts = solution(*case), right(*case)
            total = sum(parts.values())
            if found is None:
                return "the function returns nothing yet: write it, with a return"
            if found == total:
                continue
            missing = [name for name, count in parts.items() if found == total - count != total]
            hint = f": {missing[0]} is missing" if missing else ", by its five parts"
            return f"a block {case} has {total:,} parameters, yours is {found:,}{hint}"
        return None

    return verdict("count a block", (exact,))
