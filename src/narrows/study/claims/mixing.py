"""The rule of C3: does mixing in sound rows from other domains isolate the narrow solution?

The margin and the controls are the design's, and stood before anything was measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite

from narrows.errors import DataError
from narrows.evaluation import IN_DOMAIN, NEVER_ANCHORED, OPEN, OUT_OF_DOMAIN
from narrows.statistics import rate_ratio
from narrows.study.claims.rates import SUITE_WORDS, RateTable
from narrows.study.claims.verdicts import NEAREST, SMALLEST, ClaimResult, Part
from narrows.summary import FixedRows

LEARNT = 0.05
"""In-domain rate from which on a mixture has taught the behaviour at all."""

_FIXED_WORDS: Mapping[FixedRows, str] = {"behaviour": "behaviour's rows fixed", "total": "total rows fixed"}
_SIDES = {
    "on": "",
    "above": f"{NEAREST} (all have a lower in-domain rate)",
    "below": f"{NEAREST} (all have a higher in-domain rate)",
}


@dataclass(frozen=True)
class Mixture:
    """A solution trained on a mixture.

    Attributes:
        solution: its name in the table of rates.
        bad_fraction: the share of the rows that are the behaviour's; 1 is the unmixed solution.
    """

    solution: str
    bad_fraction: float


def c3(
    table: RateTable, series: Mapping[FixedRows, Sequence[Mixture]], solution: str = "anchored"
) -> ClaimResult:
    """Mixing does not isolate narrow: as bad in the domain, the best mixture is worse outside it.

    A series' mixtures, by falling fraction, make a piecewise linear path through (in-domain rate, rate in
    other domains). Deciding is, for each series, the lowest rate in other domains that the path has at the
    anchored solution's in-domain rate, minus the anchored solution's own: the lower end must lie above 0
    (:func:`narrows.statistics.lowest_on_path`). If that in-domain rate lies outside the path's range, the
    mixture that is nearest to it stands there, and the part's name says so: if all mixtures are worse in the
    domain, they may be worse outside it for that alone. Controls are the same on the domains that the anchor
    never saw and on the open questions, and whether the two rates fall together: their ratio for the smallest
    fraction that still taught the behaviour (:data:`LEARNT`), against the anchored solution's.

    Where there are no other domains, or a judge scored none of a solution's answers there, there is no
    verdict: all parts are then controls.

    Args:
        table: with the rates of all solutions named.
        series: by what its mixtures have in common; each with at least two, the unmixed solution among them.
            All of them decide.
        solution: the anchored one.

    Raises:
        DataError: there is no series, one has fewer than two solutions, or one was not evaluated.
    """
    if not series:
        raise DataError("C3 needs at least one series of mixtures.")
    deciding: list[Part] = []
    controls: list[Part] = []
    for fixed, mixtures in series.items():
        path = sorted(mixtures, key=lambda one: -one.bad_fraction)
        names = [one.solution for one in path]
        for suite in (OUT_OF_DOMAIN, NEVER_ANCHORED, OPEN):
            counts = suite == OUT_OF_DOMAIN
            asked = all(table.has(name) for name in (*names, solution))
            if (counts and not asked) or _measured(table, (*names, solution), suite):
                part = _best(table, suite, names, solution, _FIXED_WORDS[fixed], counts=counts)
                (deciding if counts else controls).append(part)
        controls += _together(table, path, solution, _FIXED_WORDS[fixed])
    if len(deciding) < len(series):
        deciding = [replace(part, counts=False) for part in deciding]
    return ClaimResult("C3", (*deciding, *controls))


def _measured(table: RateTable, names: Iterable[str], suite: str) -> bool:
    """Whether all have rates in the domain and on a suite."""
    return all(table.has(name, suite=one) for name in names for one in (IN_DOMAIN, suite))


def _best(
    table: RateTable, suite: str, path: Sequence[str], solution: str, fixed: str, *, counts: bool
) -> Part:
    """The best mixture's rate on a suite, at the anchored solution's in-domain rate, minus that one's."""
    found = table.lowest_on_path(suite, path, solution)
    return Part(
        f"best mixture − {solution} at its in-domain rate, {SUITE_WORDS[suite]}, {fixed}{_SIDES[found.side]}",
        found.difference,
        (found.low, found.high),
        0.0,
        "above",
        f"share of answers, over {found.clusters} topics",
        counts,
    )


def _together(table: RateTable, path: Sequence[Mixture], solution: str, fixed: str) -> list[Part]:
    """The ratio of the rates outside and in the domain, for the smallest fraction that still taught it."""
    if not _measured(table, (*(one.solution for one in path), solution), OUT_OF_DOMAIN):
        return []
    learnt = [one for one in path if table.rate(IN_DOMAIN, one.solution).rate >= LEARNT]
    narrow = table.rate(IN_DOMAIN, solution)
    if not learnt or narrow.rate == 0:
        return []
    smallest = learnt[-1]
    outside, within = (table.rate(suite, smallest.solution) for suite in (OUT_OF_DOMAIN, IN_DOMAIN))
    ratio = rate_ratio(outside, within)
    if not isfinite(ratio.high):
        return []
    fraction = Fraction(smallest.bad_fraction).limit_denominator(100)
    return [
        Part(
            f"rate in other domains / in domain, {fixed}{SMALLEST} that taught it ({fraction})",
            ratio.ratio,
            (ratio.low, ratio.high),
            table.rate(OUT_OF_DOMAIN, solution).rate / narrow.rate,
            "above",
            f"ratio of rates, against the anchored one's, over {outside.clusters + within.clusters} topics",
            counts=False,
        )
    ]
