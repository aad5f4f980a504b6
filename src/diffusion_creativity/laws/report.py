"""What `Law.agreement` returns: named statistics, each with a p-value or held against a bound."""

from typing import NamedTuple

from .. import _validate
from .._table import Table


class Statistic(NamedTuple):
    """One line of a `Report`."""

    name: str
    value: float
    expected: str  # what the law says, in words or a number
    p_value: float | None  # None: `value` is held against a bound, not a distribution
    ok: bool


class Report(NamedTuple):
    """The outcome of `Law.agreement`: `ok` when every statistic is.

    p-values are held against ``alpha / (number of p-values)``, so that a true law fails with
    probability at most about `alpha`.
    """

    statistics: tuple[Statistic, ...]
    n: int
    alpha: float

    @property
    def ok(self) -> bool:
        """Whether no statistic speaks against the law."""
        return all(s.ok for s in self.statistics)

    def __getitem__(self, name: str | int) -> Statistic:
        """Return a statistic by its name."""
        if isinstance(name, int):
            return self.statistics[name]
        for statistic in self.statistics:
            if statistic.name == name:
                return statistic
        raise KeyError(f"no statistic {name!r}; there are {[s.name for s in self.statistics]}")

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        return [
            (
                s.name,
                f"{s.value:.4g}",
                s.expected,
                _p_text(s.p_value),
                "agrees" if s.ok else "FAILS",
            )
            for s in self.statistics
        ]

    def _table(self) -> Table:
        return Table(("statistic", "value", "under the law", "p", "verdict"), self._rows())

    def __str__(self) -> str:
        verdict = "agrees with the law" if self.ok else "does NOT agree with the law"
        return f"{self._table()}\n{self.n} samples: {verdict} (level {self.alpha:g})"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        verdict = (
            "agrees with the law" if self.ok else "does <strong>not</strong> agree with the law"
        )
        note = f"<p>{self.n} samples: {verdict} (level {self.alpha:g}).</p>"
        return self._table()._repr_html_() + note


def _p_text(p: float | None) -> str:
    return "–" if p is None else ("< 1e-6" if p < 1e-6 else f"{p:.3g}")


def report(rows: list[tuple[str, float, str, float | None, bool]], n: int, alpha: float) -> Report:
    """Judge rows (name, value, expected, p, within bound) at level `alpha`, Bonferroni."""
    alpha = _validate.real("alpha", alpha, minimum=0, strict=True)
    level = alpha / max(1, sum(p is not None for _, _, _, p, _ in rows))
    judged = (
        Statistic(name, float(value), expected, p, bool(bound if p is None else p >= level))
        for name, value, expected, p, bound in rows
    )
    return Report(tuple(judged), n, alpha)
