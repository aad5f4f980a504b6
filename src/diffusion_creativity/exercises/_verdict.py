"""How a self-check runs a reader's solution and tells what it found."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def verdict(exercise: str, checks: Iterable[Callable[[], str | None]]) -> bool:
    """Run `checks` until one finds a problem; print the outcome and return whether all passed.

    A check returns None, or a sentence that says which property failed, for which input, and what
    to look at. An exception in the reader's code is shown as what it is.
    """
    for check in checks:
        try:
            problem = check()
        except Exception as error:  # whatever the reader's code raises is theirs to see
            problem = f"your code raised {type(error).__name__}: {error}"
        if problem:
            print(f"✗ Exercise {exercise}: {problem}")
            return False
    print(f"✓ Exercise {exercise}: passed")
    return True


def normal(*shape: int, seed: int) -> Tensor:
    """Draw standard normal inputs for a check, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def misshapen(answer: object, shape: tuple[int, ...]) -> str | None:
    """Say what is wrong with an answer that is no tensor of this shape."""
    if not isinstance(answer, Tensor):
        return f"return a tensor, not {type(answer).__name__}"
    if tuple(answer.shape) != tuple(shape):
        return f"the answer has shape {tuple(answer.shape)}, expected {tuple(shape)}"
    return None


def mismatch(answer: object, right: Tensor, tolerance: float = 1e-6) -> str | None:
    """Say how an answer differs from the right one, by more than `tolerance` of its size."""
    if problem := misshapen(answer, right.shape):
        return problem
    if not torch.isfinite(answer).all():
        return "the answer contains nan or inf"
    gap = (answer.to(right) - right).abs().max().item()
    if gap > tolerance * max(1.0, right.abs().max().item()):
        return f"the answer is off by up to {gap:.2g}"
    return None
