"""Self-checks of the project: a denoiser of your own, its law, and a test that can fail."""

import math

import torch

from .._verdict import misshapen, normal, verdict

TEXTS = {
    "question": "what you want to know",
    "architecture": "what your denoiser may see",
    "measure": "which share of the samples you count",
    "control": "what you run beside it, so that a slip would show",
    "refuted_if": "which outcome would make you give up the prediction",
}
RANGES = ("prediction", "rival")


def check_plan(solution, *, seed: int = 0) -> bool:
    """Check ``solution()``, a dictionary that says what you expect before you run anything."""

    def complete() -> str | None:
        found = solution()
        if not isinstance(found, dict):
            return f"return a dictionary, not {type(found).__name__}"
        if missing := [key for key in (*TEXTS, *RANGES, "samples") if key not in found]:
            return f"the plan lacks {', '.join(missing)}"
        return None

    def said() -> str | None:
        for key, what in TEXTS.items():
            if not isinstance(solution()[key], str) or len(solution()[key].split()) < 5:
                return f"{key}: say in a sentence {what}"
        return None

    def shares() -> str | None:
        for key in RANGES:
            low, high = solution()[key]
            if not 0 <= low < high <= 1:
                return (
                    f"{key} must be a range (low, high) of a share, 0 ≤ low < high ≤ 1, "
                    f"got ({low:g}, {high:g})"
                )
        return None

    def apart() -> str | None:
        (low, high), (other_low, other_high) = (solution()[key] for key in RANGES)
        gap = max(low - other_high, other_low - high)
        if gap <= 0:
            return (
                "prediction and rival overlap: an outcome in both would decide nothing. Choose a "
                "measure on which the two explanations differ"
            )
        samples = int(solution()["samples"])
        if samples < 1 or gap < 4 * math.sqrt(0.25 / samples):
            needed = math.ceil(4 / gap**2)
            return (
                f"{samples} samples cannot tell ranges that are {gap:.3g} apart: four standard "
                f"errors of a share are as much as {4 * math.sqrt(0.25 / max(samples, 1)):.2g}. "
                f"Take {needed:,} or more, or another measure"
            )
        return None

    return verdict("the plan", (complete, said, shares, apart))


def check_contract(solution, *, shape: tuple[int, ...] = (1, 16, 16), seed: int = 0) -> bool:
    """Check ``solution(y, sigma)``: what every sampler of the package takes for granted."""
    y = normal(6, *shape, seed=seed).float()
    levels = (80.0, 1.0, 0.002)

    def shaped() -> str | None:
        for sigma in levels:
            if problem := misshapen(solution(y, sigma), tuple(y.shape)):
                return problem
            if not torch.isfinite(solution(y, sigma)).all():
                return f"at σ = {sigma:g} there is nan or inf: how large are your exponents?"
        return None

    def same() -> str | None:
        if not torch.equal(solution(y, 1.0), solution(y, 1.0)):
            return "asked twice, it answers twice differently: a denoiser is a function"
        before = y.clone()
        solution(y, 1.0)
        if not torch.equal(before, y):
            return "it changes y in place: the sampler still needs it"
        return None

    def alone() -> str | None:
        for sigma in levels:
            single = torch.cat([solution(y[k : k + 1], sigma) for k in range(len(y))])
            if (single - solution(y, sigma)).abs().max() > 1e-4:
                return (
                    f"at σ = {sigma:g} the answer for an image depends on which others are in the "
                    "batch: nothing may be averaged over the batch"
                )
        return None

    def leveled() -> str | None:
        sigmas = torch.tensor([0.1, 0.3, 1.0, 2.0, 10.0, 80.0])
        single = torch.cat([solution(y[k : k + 1], s.item()) for k, s in enumerate(sigmas)])
        if (single - solution(y, sigmas)).abs().max() > 1e-4:
            return "σ may also be a tensor with one level for each image of the batch"
        return None

    return verdict("the contract", (shaped, same, alone, leveled))


def check_interval(solution, *, seed: int = 0) -> bool:
    """Check ``solution(k, n) -> (low, high)``, a 95 % interval for a share, by exact coverage."""
    from scipy import stats

    truths = (0.003, 0.01, 0.05, 0.2, 0.5, 0.9, 0.995)

    def pair() -> str | None:
        for k in (0, 3, 40):
            found = solution(k, 40)
            if not isinstance(found, tuple | list) or len(found) != 2:
                return "return two numbers, the ends of the interval"
            low, high = map(float, found)
            if not -1e-9 <= low <= k / 40 + 1e-9 <= high + 2e-9 <= 1 + 4e-9:
                return (
                    f"{k} of 40: the ends ({low:.3g}, {high:.3g}) must lie in [0, 1] and on both "
                    "sides of k/n"
                )
        return None

    def covers() -> str | None:
        for n in (40, 200):
            ends = [tuple(map(float, solution(k, n))) for k in range(n + 1)]
            for p in truths:
                hit = sum(
                    stats.binom.pmf(k, n, p)
                    for k, (low, high) in enumerate(ends)
                    if low <= p <= high
                )
                if hit < 0.86:  # what the score interval falls to at worst
                    return (
                        f"n = {n}, true share {p:g}: the interval contains it with probability "
                        f"{hit:.3f}, not 0.95. What does it say after 0 hits of {n}?"
                    )
        return None

    def narrow() -> str | None:
        for k, n in ((0, 200), (20, 200), (100, 200)):
            widest = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
            low, high = map(float, solution(k, n))
            if high - low > 1.25 * (widest.high - widest.low):
                return (
                    f"{k} of {n}: ({low:.3f}, {high:.3f}) is wider than it need be; one that "
                    f"covers safely has width {widest.high - widest.low:.3f}"
                )
        return None

    return verdict("an interval for a share", (pair, covers, narrow))


def check_certificate(solution, *, seed: int = 0) -> bool:
    """Check ``solution() -> (agrees, draw, control)``: a test, the law, and a law that is wrong.

    ``draw(n, seed)`` and ``control(n, seed)`` give samples, ``agrees(samples)`` a truth value.
    """
    from scipy import stats

    n, runs = 300, 40

    def three() -> str | None:
        found = solution()
        if not isinstance(found, tuple | list) or len(found) != 3 or not all(map(callable, found)):
            return "return three functions: agrees(samples), draw(n, seed), control(n, seed)"
        return None

    def draws() -> str | None:
        _, *samplers = solution()
        for draw, name in zip(samplers, ("draw", "control"), strict=True):
            first, again, other = (torch.as_tensor(draw(n, s)) for s in (seed, seed, seed + 1))
            if len(first) != n:
                return f"{name}({n}, seed) gives {len(first)} samples"
            if not torch.equal(first, again) or torch.equal(first, other):
                return f"{name}: the same seed gives the same samples, another seed others"
        return None

    def size() -> str | None:
        agrees, draw, _ = solution()
        refused = sum(not bool(agrees(draw(n, seed + k))) for k in range(runs))
        if refused > stats.binom.isf(1e-3, runs, 0.05):
            return (
                f"of {runs} data sets drawn from the law itself {refused} are refused: the level "
                "of the test must be at most 5 %"
            )
        return None

    def power() -> str | None:
        agrees, _, control = solution()
        refused = sum(not bool(agrees(control(n, seed + k))) for k in range(runs))
        if refused < 0.8 * runs:
            return (
                f"of {runs} data sets from the wrong law only {refused} are refused. A test that "
                "accepts what is wrong says nothing when it accepts what is right"
            )
        return None

    return verdict("the certificate", (three, draws, size, power))
