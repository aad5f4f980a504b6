"""Self-checks of chapter 9: local patches."""

import itertools
import math

import torch

from ..denoisers import EquivariantLocalScore, LocalScore
from ._verdict import mismatch, misshapen, normal, verdict

__all__ = [
    "check_count_ring",
    "check_is_mosaic",
    "check_rescale",
    "check_steps_to_agree",
    "check_window_denoiser",
]


def _whole(found: object) -> str | None:
    if found is None:
        return "the function returns nothing yet: write it, with a return"
    if isinstance(found, bool) or not isinstance(found, int | float):
        return f"return a number, not {type(found).__name__}"
    return None


def check_window_denoiser(solution) -> bool:
    """Check ``solution(x, y, sigma, k)``, the best denoiser of windows for signals (n, L)."""
    x, y = normal(7, 9, seed=0), normal(4, 9, seed=1)

    def shape() -> str | None:
        return misshapen(solution(x, y, 0.5, 3), y.shape)

    def sees() -> str | None:
        far = y.clone()
        far[:, 6:] += 1
        before, after = solution(x, y, 0.5, 3), solution(x, far, 0.5, 3)
        if (before - after)[:, :5].abs().max() > 1e-9:
            return "place 4 changes when places 6, 7 and 8 do: its window of 3 must not see them"
        if (before - after)[:, 5].abs().max() < 1e-9:
            return "place 5 does not change when place 6 does, which lies in its window of 3"
        return None

    def exact() -> str | None:
        for k, sigma in itertools.product((1, 3, 5), (0.3, 1.5)):
            right = LocalScore.fit(x[:, None], window=k)(y[:, None], sigma)[:, 0]
            if problem := mismatch(solution(x, y, sigma, k)[:, k // 2 : 9 - k // 2],
                                   right[:, k // 2 : 9 - k // 2], 1e-5):  # fmt: skip
                return (
                    f"k = {k}, σ = {sigma}, inside: {problem}. Each place has a softmax of its own "
                    "over the N training signals, with -distance²/2σ² of its window"
                )
            if problem := mismatch(solution(x, y, sigma, k), right, 1e-5):
                return f"k = {k}, σ = {sigma}: {problem}, at the ends only. Windows end there"
        return None

    return verdict("see a window", (shape, sees, exact))


def check_is_mosaic(solution) -> bool:
    """Check ``solution(x, y, k) -> bool``, whether y (L,) on a ring is a mosaic of x (N, L)."""
    x = normal(4, 12, seed=2)

    def truth(y: torch.Tensor, k: int) -> bool:
        machine = EquivariantLocalScore.fit(x[:, None], window=k, padding="circular")
        return bool(((machine(y[None, None], 0.0)[0, 0] - y).abs() < 1e-6).all())

    def answers() -> str | None:
        found = solution(x, x[0], 3)
        if found is None:
            return "the function returns nothing yet: write it, with a return"
        if not isinstance(found, bool):
            return f"return True or False, not {type(found).__name__}"
        return None

    def copies() -> str | None:
        for name, y in (("a training signal", x[1]), ("a shifted one", x[2].roll(5))):
            if not solution(x, y, 3):
                return f"{name} is a mosaic: each of its windows is in the training set, from there"
        return None

    def noise() -> str | None:
        if solution(x, normal(12, seed=3), 3):
            return "a signal of values that occur in no training signal is no mosaic"
        return None

    def mixtures() -> str | None:
        for k in (1, 3, 5):
            for seed in range(40):
                generator = torch.Generator().manual_seed(seed)
                cut, shift = torch.randint(2, 11, (2,), generator=generator).tolist()
                y = torch.cat([x[seed % 4, :cut], x[(seed + 1) % 4].roll(shift)[cut:]])
                if solution(x, y, k) != (right := truth(y, k)):
                    return (
                        f"windows of {k}, two training signals spliced: you say {not right}. "
                        "Compare all k entries of a window, then its centre; on a ring, anywhere"
                    )
        return None

    return verdict("recognise a mosaic", (answers, copies, noise, mixtures))


def check_count_ring(solution) -> bool:
    """Check ``solution(n)``, the number of ±1 rings in which places side with their majority."""

    def count() -> str | None:
        for n in range(3, 11):
            s = torch.tensor(list(itertools.product((-1, 1), repeat=n)))
            sides = (s + s.roll(1, 1) + s.roll(-1, 1)).sign() == s
            if solution(n) != int(sides.all(1).sum()):
                return (
                    f"n = {n}: the number is off. Each place must side with the majority of itself "
                    "and its two neighbours, and the last place is a neighbour of the first"
                )
        return None

    return verdict("count on a ring", (lambda: _whole(solution(3)), count))


def check_steps_to_agree(solution) -> bool:
    """Check ``solution(a, k)``, the least number of steps that connects parts a pixels apart."""

    def reach() -> str | None:
        for a, k in itertools.product((1, 2, 5, 6, 12), (3, 5, 7)):
            steps = 1
            while a > steps * (k - 1):
                steps += 1
            if solution(a, k) != steps:
                return (
                    f"a = {a}, k = {k}: the number of steps is off. How far does one step carry, "
                    "to each side? And both parts may depend on the same noise in the middle"
                )
        return None

    def never() -> str | None:
        if solution(4, 1) != math.inf:
            return "with a window of one pixel nothing is ever connected: return math.inf"
        return None

    return verdict("steps to agree", (lambda: _whole(solution(2, 3)), reach, never))


def check_rescale(solution) -> bool:
    """Check ``solution(e, t)``, the affine image of e that explains t best."""
    t = normal(1, 5, 6, seed=4)
    pairs = [
        (0.3 * t + 2, "t with less contrast"),
        (0.5 * t + normal(1, 5, 6, seed=5), "t and noise"),
        (normal(1, 5, 6, seed=6) - t, "a negative"),
    ]

    def shape() -> str | None:
        return misshapen(solution(pairs[0][0], t), t.shape)

    def affine() -> str | None:
        for e, name in pairs:
            found = solution(e, t)
            design = torch.stack([e.flatten(), torch.ones(e.numel())], 1).to(e)
            line = torch.linalg.lstsq(design, found.flatten()).solution
            if mismatch(design @ line, found.flatten()):
                return f"{name}: the answer is not a·e + b with two numbers a and b"
        return None

    def best() -> str | None:
        for e, name in pairs:
            design = torch.stack([e.flatten(), torch.ones(e.numel())], 1).to(e)
            right = (design @ torch.linalg.lstsq(design, t.flatten()).solution).reshape(t.shape)
            if problem := mismatch(solution(e, t), right):
                return (
                    f"e is {name}: {problem}. The mean must be that of t, and the contrast as much "
                    "as r says, not all of t's: minimise the sum of (ae + b - t)²"
                )
        return None

    return verdict("repair an estimate", (shape, affine, best))
