"""What every chapter's self-checks must do, given right and wrong solutions."""

from collections.abc import Callable, Sequence

import pytest

Case = tuple[Callable, Callable]  # a self-check, a solution


def nothing(*arguments):
    """A stub that the reader has not filled in."""


def broken(*arguments):
    """A solution that raises."""
    raise RuntimeError("oops")


def exercise_checks(
    right: Sequence[Case], wrong: Sequence[Case]
) -> tuple[Callable, Callable, Callable]:
    """Return three tests: right solutions pass, wrong ones learn why, unfinished ones too."""

    @pytest.mark.parametrize(("check", "solution"), right)
    def accepts(check, solution, capsys):
        assert check(solution) is True
        said = capsys.readouterr().out
        assert said.startswith("✓")
        assert "passed" in said

    @pytest.mark.parametrize(("check", "solution"), wrong)
    def rejects_and_says_why(check, solution, capsys):
        assert check(solution) is False
        said = capsys.readouterr().out
        assert said.startswith("✗ Exercise")
        assert len(said) > 40
        assert "raised" not in said

    @pytest.mark.parametrize("check", dict.fromkeys(check for check, _ in right))
    @pytest.mark.parametrize("solution", [nothing, broken])
    def unfinished_code_is_told_kindly(check, solution, capsys):
        assert check(solution) is False
        said = capsys.readouterr().out
        assert said.startswith("✗ Exercise")
        assert ("RuntimeError: oops" in said) == (solution is broken)

    return accepts, rejects_and_says_why, unfinished_code_is_told_kindly
