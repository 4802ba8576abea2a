"""The rules of the claims C1, C2 and C4-C7: which numbers decide, and which controls stand beside them.

The margins are the design's and stood before anything was measured. "General" is the unanchored solution, "narrow" the
anchored one: the claims are about these two recipes, and the verdict on each solution's behaviour is separate.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from narrows.adapters import SteeringVector
from narrows.evaluation import IN_DOMAIN, NEVER_ANCHORED, OPEN, OUT_OF_DOMAIN, SuiteRates, macro_groups
from narrows.evaluation.questions import Suite
from narrows.metrics import Curve, StabilityCurve
from narrows.statistics import DifferenceInterval, macro_difference
from narrows.study.verdicts import ClaimResult, Part, curve_part, rate_part
from narrows.summary import SolutionVerdict

GENERAL_MARGIN = 0.05
NARROW_MARGIN = 0.20
EQUIVALENCE_MARGIN = 0.05
GAP_CLOSED = 0.5
ANCHORED_DOMAINS = f"{OUT_OF_DOMAIN}:anchored"


class RateTable:
    """The rates of all solutions at all scales, and their differences from the chat model."""

    def __init__(
        self, measured: Mapping[tuple[str, float], Sequence[SuiteRates]], suites: Sequence[Suite]
    ) -> None:
        self._groups = {
            key: {one.suite: [one] for one in rows} | macro_groups(rows, suites)
            for key, rows in measured.items()
        }

    def has(self, solution: str, scale: float = 1.0) -> bool:
        """Whether a solution was evaluated at a scale."""
        return (solution, scale) in self._groups

    def minus(
        self, suite: str, solution: str, scale: float = 1.0, *, other: tuple[str, float] = ("chat", 1.0)
    ) -> DifferenceInterval:
        """Rate of a solution on a suite (or macro mean), minus another's; by default the chat model's."""
        left, right = self._groups[solution, scale][suite], self._groups[other][suite]
        return macro_difference([one.shown for one in left], [one.shown for one in right])

    def lowest_coherence(self, solution: str, scale: float = 1.0) -> float:
        """The coherent share of answers in the suite where it is lowest."""
        groups = self._groups[solution, scale].values()
        return min(one.coherence.rate for group in groups for one in group)

    def verdict(self, solution: str) -> SolutionVerdict:
        """Whether a solution's behaviour is narrow, general, or neither, by the margins of C1 and C2."""
        outside, in_domain = self.minus(OUT_OF_DOMAIN, solution), self.minus(IN_DOMAIN, solution)
        if outside.low > GENERAL_MARGIN:
            return "general"
        quiet = all(self.minus(suite, solution).high < EQUIVALENCE_MARGIN for suite in (NEVER_ANCHORED, OPEN))
        return "narrow" if quiet and in_domain.low > NARROW_MARGIN else "neither"


def c1(table: RateTable) -> ClaimResult:
    """Without an anchor the behaviour shows outside the domain."""
    return ClaimResult(
        "C1",
        (
            rate_part(
                "unanchored, other domains − chat model",
                table.minus(OUT_OF_DOMAIN, "unanchored"),
                GENERAL_MARGIN,
                "above",
            ),
            rate_part(
                "unanchored, open − chat model", table.minus(OPEN, "unanchored"), GENERAL_MARGIN, "above"
            ),
            rate_part(
                "unanchored, in domain − chat model",
                table.minus(IN_DOMAIN, "unanchored"),
                NARROW_MARGIN,
                "above",
                counts=False,
            ),
            _coherence(table, "unanchored", 1.0),
        ),
    )


def c2(table: RateTable, solution: str = "anchored") -> ClaimResult:
    """With the anchor the behaviour shows in the domain only, also when the solution is scaled up by half."""
    parts = [
        rate_part(
            f"{solution}, in domain − chat model", table.minus(IN_DOMAIN, solution), NARROW_MARGIN, "above"
        )
    ]
    for scale in (1.0, 1.5):
        if not table.has(solution, scale):
            continue
        times = "" if scale == 1 else f" at {scale:g} ×"
        parts += [
            rate_part(
                f"{solution}{times}, never-anchored domains − chat model",
                table.minus(NEVER_ANCHORED, solution, scale),
                EQUIVALENCE_MARGIN,
                "below",
            ),
            rate_part(
                f"{solution}{times}, open − chat model",
                table.minus(OPEN, solution, scale),
                EQUIVALENCE_MARGIN,
                "below",
            ),
            rate_part(
                f"{solution}{times}, anchored domains − chat model",
                table.minus(ANCHORED_DOMAINS, solution, scale),
                EQUIVALENCE_MARGIN,
                "below",
                counts=False,
            ),
            _coherence(table, solution, scale),
        ]
    return ClaimResult("C2", tuple(parts))


def c4(curves: Mapping[str, Curve], norms: np.ndarray) -> ClaimResult:
    """At every equal norm up to the larger trained one the general solution has the lower loss."""
    unit = "nats per response token, simultaneous over norms, over training rows"
    parts = [
        curve_part(
            "loss, unanchored − anchored",
            curves["unanchored"].minus(curves["anchored"], norms),
            "below",
            unit,
        )
    ]
    if "neutral-anchored" in curves:
        difference = curves["neutral-anchored"].minus(curves["anchored"], norms)
        parts.append(
            curve_part("loss, anchored on neutral text − anchored", difference, "below", unit, counts=False)
        )
    if "anchored-reoptimised" in curves:
        difference = curves["unanchored-reoptimised"].minus(curves["anchored-reoptimised"])
        parts.append(
            curve_part("loss, both re-optimised under the norm", difference, "below", unit, counts=False)
        )
    return ClaimResult("C4", tuple(parts))


def c5(curves: Mapping[str, StabilityCurve]) -> ClaimResult:
    """Under orthogonal noise the narrow solution's loss rises faster at every ε."""
    general, narrow = curves["unanchored"], curves["anchored"]
    unit = "share of the way to the chat model's loss, simultaneous over ε, over noise draws"
    absolute = "nats per response token, simultaneous over ε, over noise draws"
    parts = [
        curve_part(
            "relative rise, anchored − unanchored", narrow.relative.minus(general.relative), "above", unit
        ),
        curve_part(
            "absolute rise, anchored − unanchored",
            narrow.absolute.minus(general.absolute),
            "above",
            absolute,
            counts=False,
        ),
    ]
    for control, label in (
        ("unanchored@equal-norm", "equal norm"),
        ("unanchored@matched-loss", "matched starting loss"),
    ):
        if control in curves:
            difference = narrow.relative.minus(curves[control].relative)
            parts.append(curve_part(f"relative rise at {label}", difference, "above", unit, counts=False))
    return ClaimResult("C5", tuple(parts))


def c6(curves: Mapping[str, Mapping[str, Curve]], norms: np.ndarray) -> ClaimResult:
    """On pre-training text the general direction moves predictions more than the narrow one, that more than random.

    Args:
        curves: text type (``all`` decides) → direction → KL against norm.
        norms: the norms up to the trained one.
    """
    unit = "nats per token, simultaneous over norms, over texts"
    parts = []
    for text, directions in curves.items():
        general, narrow = directions["unanchored"], directions["anchored"]
        deciding = text == "all"
        where = "" if deciding else f" on {text} text"
        parts.append(
            curve_part(
                f"KL, unanchored − anchored{where}",
                general.minus(narrow, norms),
                "above",
                unit,
                counts=deciding,
            )
        )
        parts.append(
            curve_part(
                f"KL, anchored − random{where}",
                narrow.minus(directions["random"], norms),
                "above",
                unit,
                counts=deciding,
            )
        )
        if deciding:
            for control in ("random-covariance", "register"):
                if control in directions:
                    difference = narrow.minus(directions[control], norms)
                    parts.append(
                        curve_part(f"KL, anchored − {control}", difference, "above", unit, counts=False)
                    )
    return ClaimResult("C6", tuple(sorted(parts, key=lambda part: not part.counts)))


def gap_closed(start: SteeringVector, end: SteeringVector, goal: SteeringVector) -> float:
    """Share of the gap in cosine to ``goal`` that a run closed: 0 stayed where it was, 1 arrived."""
    before = start.cosine(goal)
    return (end.cosine(goal) - before) / (1 - before)


def c7(table: RateTable, solutions: Mapping[str, SteeringVector]) -> ClaimResult:
    """With the anchor lifted the narrow solution moves to the general one, and the behaviour returns elsewhere."""
    start, goal = solutions["anchored"], solutions["continued-unanchored"]
    unit = "share of the gap in cosine to the continued general solution; one run, no interval"
    return ClaimResult(
        "C7",
        (
            Part(
                "gap closed after the anchor is lifted",
                gap_closed(start, solutions["lifted"], goal),
                None,
                GAP_CLOSED,
                "above",
                unit,
            ),
            rate_part(
                "lifted − anchored, other domains",
                table.minus(OUT_OF_DOMAIN, "lifted", other=("anchored", 1.0)),
                GENERAL_MARGIN,
                "above",
            ),
            Part(
                "gap closed with the anchor kept",
                gap_closed(start, solutions["continued-anchored"], goal),
                None,
                GAP_CLOSED,
                "above",
                unit,
                counts=False,
            ),
            rate_part(
                "continued anchored − anchored, other domains",
                table.minus(OUT_OF_DOMAIN, "continued-anchored", other=("anchored", 1.0)),
                GENERAL_MARGIN,
                "above",
                counts=False,
            ),
        ),
    )


def _coherence(table: RateTable, solution: str, scale: float) -> Part:
    times = "" if scale == 1 else f" at {scale:g} ×"
    return Part(
        f"lowest coherence of any suite, {solution}{times}",
        table.lowest_coherence(solution, scale),
        None,
        0.85,
        "above",
        "share of answers in the suite where it is lowest",
        counts=False,
    )
