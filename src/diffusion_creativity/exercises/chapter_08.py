"""Self-checks of chapter 8: factorised and equivariant denoisers."""

import torch

from ..denoisers import Bayes, Blockwise
from ._verdict import verdict

__all__ = [
    "check_count_chimeras",
    "check_halves_denoiser",
    "check_shift_distance",
    "check_symmetrise",
]


def _nothing(solution, *arguments) -> str | None:
    if solution(*arguments) is None:
        return "the function returns nothing yet: write it, with a return"
    return None


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _off(found, expected: torch.Tensor, tolerance: float = 1e-6) -> bool:
    found = torch.as_tensor(found, dtype=torch.float64)
    return found.shape != expected.shape or not bool((found - expected).abs().max() < tolerance)


def check_count_chimeras(solution) -> bool:
    """Check ``solution(N, B) -> (number, share of copies)``."""

    def pair() -> str | None:
        found = solution(3, 2)
        if not isinstance(found, tuple | list) or len(found) != 2:
            return "return two numbers: how many images, and the share of training images"
        return None

    def number() -> str | None:
        for n, b in ((3, 2), (5, 1), (2, 6)):
            choices = torch.cartesian_prod(*[torch.arange(n)] * b).reshape(n**b, -1)
            if solution(n, b)[0] != len(choices):
                return (
                    f"N = {n}, B = {b}: the number of images is off. List them for N = 2, B = 2 by "
                    "hand: each block picks its image without asking the others"
                )
        return None

    def share() -> str | None:
        for n, b in ((3, 2), (5, 1), (2, 6)):
            choices = torch.cartesian_prod(*[torch.arange(n)] * b).reshape(n**b, -1)
            copies = (choices == choices[:, :1]).all(1).double().mean().item()
            if abs(float(solution(n, b)[1]) - copies) > 1e-9:
                return (
                    f"N = {n}, B = {b}: the share of training images is off. For how many chimeras "
                    "do all blocks come from one image? Any of the N images will do"
                )
        return None

    return verdict("count", (lambda: _nothing(solution, 3, 2), pair, number, share))


def check_halves_denoiser(solution) -> bool:
    """Check ``solution(x, y, sigma)``, Bayes on each half of the entries."""
    x, y = _draw(9, 6), _draw(5, 6, seed=1)

    def blind() -> str | None:
        other = y.clone()
        other[:, 3:] += 1
        if _off(solution(x, other, 0.5)[:, :3], torch.as_tensor(solution(x, y, 0.5))[:, :3], 1e-9):
            return "the left half of the answer changes when the right half of y does: it must not"
        return None

    def whole() -> str | None:
        found = torch.as_tensor(solution(x, y, 0.5))
        if found.shape != y.shape:
            return f"return both halves in one tensor {tuple(y.shape)}, not {tuple(found.shape)}"
        if not _off(found, Bayes.fit(x)(y, 0.5)):
            return "that is the perfect denoiser of whole points: the halves see each other"
        return None

    def exact() -> str | None:
        for sigma in (0.3, 1.0, 4.0):
            if _off(solution(x, y, sigma), Blockwise.fit(x, block=3)(y, sigma), 1e-5):
                return (
                    f"at σ = {sigma:g} the halves are off: each is an average of the training "
                    "halves with normalised weights exp(-distance²/2σ²), distances of that half"
                )
        return None

    return verdict("halves", (lambda: _nothing(solution, x, y, 0.5), whole, blind, exact))


def check_symmetrise(solution) -> bool:
    """Check ``solution(denoise, y)``, the average over circular shifts of signals (n, L)."""
    y, matrix = _draw(4, 5), _draw(5, 5, seed=1)

    def some(signal: torch.Tensor) -> torch.Tensor:
        return torch.tanh(signal @ matrix) + signal

    def same_shape() -> str | None:
        found = torch.as_tensor(solution(some, y))
        if found.shape != y.shape:
            return f"the answer must have the shape of y {tuple(y.shape)}, got {tuple(found.shape)}"
        return None

    def commutes() -> str | None:
        if _off(solution(some, y.roll(2, -1)), torch.as_tensor(solution(some, y)).roll(2, -1)):
            return (
                "the result is not equivariant: a shifted y must give the shifted answer. Is every "
                "shift in the average, and is each answer moved back?"
            )
        return None

    def keeps() -> str | None:
        if _off(solution(lambda s: s + s.roll(1, -1), y), y + y.roll(1, -1)):
            return "a function that is equivariant already must stay as it is: averaging projects"
        return None

    def projects() -> str | None:
        expected = sum(some(y.roll(k, -1)).roll(-k, -1) for k in range(5)) / 5
        if _off(solution(some, y), expected):
            return "equivariant, but not the average over all shifts with equal weights"
        return None

    checks = (lambda: _nothing(solution, some, y), same_shape, keeps, commutes, projects)
    return verdict("symmetrise", checks)


def check_shift_distance(solution) -> bool:
    """Check ``solution(a, b)``, the distance of signals (L,) modulo circular shifts."""
    a, b = _draw(7), _draw(7, seed=1)

    def copy() -> str | None:
        if abs(float(solution(a, a.roll(3)))) > 1e-5 * a.norm():
            return "a signal and its own shift must be at distance 0"
        return None

    def other() -> str | None:
        least = min((a - b.roll(k)).norm().item() for k in range(7))
        found = float(solution(a, b))
        if abs(found - least**2) < 1e-6:
            return "that is the squared distance: take the root"
        if abs(found - least) > 1e-6:
            return (
                f"for two signals the least distance is {least:.4f}, yours is {found:.4f}. "
                "All shifts? In both directions? The least, not the first?"
            )
        return None

    def flipped() -> str | None:
        if float(solution(a, a.flip(0))) < 1e-6:
            return "a mirror image is no shift: which of the two transforms is conjugated?"
        return None

    checks = (lambda: _nothing(solution, a, b), copy, flipped, other)
    return verdict("distance modulo shifts", checks)
