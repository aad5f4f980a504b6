"""How a self-check runs a reader's solution and tells what it found."""

from collections.abc import Callable, Iterable


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
