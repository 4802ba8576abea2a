"""The margins of the claims about rates, and the rates of all solutions held against one another.

The margins are the design's and stood before anything was measured.
"""

from collections.abc import Mapping, Sequence

from narrows.errors import DataError
from narrows.evaluation import (
    ANCHORED,
    CHAT,
    IN_DOMAIN,
    NEVER_ANCHORED,
    OPEN,
    OUT_OF_DOMAIN,
    Suite,
    SuiteRates,
    macro_groups,
)
from narrows.evaluation.questions import is_other_domain
from narrows.statistics import (
    DifferenceInterval,
    PathDifference,
    PathPoint,
    RateInterval,
    lowest_on_path,
    macro_difference,
    macro_rate,
)
from narrows.summary import SolutionVerdict

GENERAL_MARGIN = 0.05
NARROW_MARGIN = 0.20
EQUIVALENCE_MARGIN = 0.05

SCALED_UP = 1.5
"""A narrow solution must stay narrow at this multiple of its own norm (C2)."""

SUITE_WORDS = {
    IN_DOMAIN: "in domain",
    OPEN: "open",
    OUT_OF_DOMAIN: "other domains",
    ANCHORED: "anchored domains",
    NEVER_ANCHORED: "never-anchored domains",
}
"""Suites and macro means, as the claims' parts say them."""


class RateTable:
    """The rates of all solutions at all scales, and their differences from the chat model.

    There are macro means of a solution only if it has rates on all other domains that anyone has: a mean over
    fewer of them could not be compared.

    Args:
        measured: by solution and scale, one row a suite.
        suites: say which domains the anchor saw.
    """

    def __init__(
        self, measured: Mapping[tuple[str, float], Sequence[SuiteRates]], suites: Sequence[Suite]
    ) -> None:
        domains = {one.suite for rows in measured.values() for one in rows if is_other_domain(one.suite)}
        self._groups = {
            key: {one.suite: [one] for one in rows}
            | (macro_groups(rows, suites) if domains <= {one.suite for one in rows} else {})
            for key, rows in measured.items()
        }

    def has(self, solution: str, scale: float = 1.0, *, suite: str | None = None) -> bool:
        """Whether a solution was evaluated at a scale; of one ``suite``, if it is given."""
        found = self._groups.get((solution, scale))
        return found is not None and (suite is None or suite in found)

    def compares(self, suite: str, solution: str, scale: float = 1.0) -> bool:
        """Whether a solution and the chat model both have rates on a suite (or macro mean)."""
        return self.has(solution, scale, suite=suite) and self.has(CHAT, suite=suite)

    def outside(self, solution: str, scale: float = 1.0) -> list[str]:
        """Where it shows that a solution is narrow: domains that the anchor never saw, and open questions.

        Where there are neither, the other domains must do; the list is empty where there are none.
        """
        never = [suite for suite in (NEVER_ANCHORED, OPEN) if self.compares(suite, solution, scale)]
        return never or [suite for suite in (OUT_OF_DOMAIN,) if self.compares(suite, solution, scale)]

    def rate(self, suite: str, solution: str, scale: float = 1.0) -> RateInterval:
        """Rate of a solution on a suite (or macro mean).

        Raises:
            DataError: it was not evaluated there.
        """
        return macro_rate([one.shown for one in self._group(suite, (solution, scale))])

    def minus(
        self, suite: str, solution: str, scale: float = 1.0, *, other: tuple[str, float] = (CHAT, 1.0)
    ) -> DifferenceInterval:
        """Rate of a solution on a suite (or macro mean), minus another's; by default the chat model's.

        Raises:
            DataError: one of the two was not evaluated there.
        """
        left, right = self._group(suite, (solution, scale)), self._group(suite, other)
        return macro_difference([one.shown for one in left], [one.shown for one in right])

    def lowest_on_path(self, suite: str, solutions: Sequence[str], other: str) -> PathDifference:
        """The lowest rate on a suite of a path through solutions, at another's in-domain rate, minus its own.

        Args:
            suite: what is compared (or a macro mean).
            solutions: of the path, in order.
            other: the one whose in-domain rate is held.

        Raises:
            DataError: one of them was not evaluated there, or the path has fewer than two solutions.
        """

        def point(name: str) -> PathPoint:
            (within,) = self._group(IN_DOMAIN, (name, 1.0))
            return PathPoint(within.shown, [one.shown for one in self._group(suite, (name, 1.0))])

        return lowest_on_path([point(name) for name in solutions], point(other))

    def lowest_coherence(self, solution: str, scale: float = 1.0) -> float:
        """The coherent share of answers in the suite where it is lowest; 0 if no answer was scored."""
        groups = self._groups[solution, scale].values()
        return min((one.coherence.rate for group in groups for one in group), default=0.0)

    def verdict(self, solution: str) -> SolutionVerdict:
        """Whether a solution's behaviour is narrow, general, or neither, by the margins of C1 and C2.

        What was also evaluated at :data:`SCALED_UP` is only narrow if it stays so there. Without other
        domains the open questions tell whether it is general; without either it is neither.
        """
        elsewhere = next((one for one in (OUT_OF_DOMAIN, OPEN) if self.compares(one, solution)), None)
        if elsewhere is None or not self.compares(IN_DOMAIN, solution):
            return "neither"
        if self.minus(elsewhere, solution).low > GENERAL_MARGIN:
            return "general"
        quiet = all(
            self.minus(suite, solution, scale).high < EQUIVALENCE_MARGIN
            for scale in (1.0, SCALED_UP)
            if self.has(solution, scale)
            for suite in self.outside(solution, scale)
        )
        return "narrow" if quiet and self.minus(IN_DOMAIN, solution).low > NARROW_MARGIN else "neither"

    def _group(self, suite: str, key: tuple[str, float]) -> list[SuiteRates]:
        try:
            return self._groups[key][suite]
        except KeyError as error:
            known = ", ".join(f"{name} at {scale:g} ×" for name, scale in self._groups)
            raise DataError(
                f"{key[0]} at {key[1]:g} × has no rate on {suite}; there are rates of {known}, on "
                f"{', '.join(self._groups.get(key, {})) or 'other suites'}."
            ) from error
