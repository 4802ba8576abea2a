"""When is a claim supported? An estimate's 95 % interval against a margin written down before measuring."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from narrows.metrics import Curve
from narrows.statistics import DifferenceInterval
from narrows.summary import Claim, ClaimVerdict

Rule = Literal["above", "below"]

WORST, NEAREST, SMALLEST = ", worst of", ", nearest mixture", ", smallest fraction"
"""What a part's name goes on with where it says at which place of a grid or series the estimate was taken."""

_CONTROL = " (control)"


def stem(name: str) -> str:
    """A part's name without the place it happened at, which differs between runs."""
    for place in (WORST, NEAREST, SMALLEST):
        name = name.partition(place)[0]
    return name


def worst_verdict(verdicts: Collection[ClaimVerdict]) -> ClaimVerdict:
    """The verdict on a whole from those on its parts.

    Supported if all are, not supported if any is not, else inconclusive; without parts it was not run.
    """
    worst: ClaimVerdict
    for worst in ("not-supported", "inconclusive", "supported"):
        if worst in verdicts:
            return worst
    return "not-run"


@dataclass(frozen=True)
class Part:
    """One comparison behind a claim, or a control shown beside it.

    Attributes:
        name: what is compared.
        estimate: the number.
        ci95: its 95 % interval; None where one run gives none, and the estimate itself is held against the
            margin.
        margin: what the interval is held against.
        rule: ``above``: the lower end must lie above the margin; ``below``: the upper end below it.
        unit: of the estimate, and over what the interval was taken.
        counts: False for controls, which do not decide.
    """

    name: str
    estimate: float
    ci95: tuple[float, float] | None
    margin: float
    rule: Rule
    unit: str
    counts: bool = True

    @property
    def verdict(self) -> ClaimVerdict:
        """Supported, not supported (the interval lies wholly on the wrong side), or inconclusive.

        An end that lies on the margin is on the wrong side.
        """
        low, high = self.ci95 or (self.estimate, self.estimate)
        if self.rule == "above":
            right, wrong = low > self.margin, high <= self.margin
        else:
            right, wrong = high < self.margin, low >= self.margin
        if right:
            return "supported"
        return "not-supported" if wrong else "inconclusive"

    def as_reading(self) -> dict[str, Any]:
        """The part as ``report.json`` has it; a control has no verdict."""
        bound = {"above": "lower bound >", "below": "upper bound <"}[self.rule]
        return {
            "name": self.name if self.counts else f"{self.name}{_CONTROL}",
            "estimate": self.estimate,
            "ci95": self.ci95,
            "margin": self.margin,
            "rule": f"{bound if self.ci95 else bound[-1]} {self.margin:g}",
            "side": self.rule,
            "counts": self.counts,
            "verdict": self.verdict if self.counts else None,
            "unit": self.unit,
        }

    @classmethod
    def of_reading(cls, values: Mapping[str, Any]) -> "Part":
        """The part that :meth:`as_reading` wrote, also before it said ``side`` and ``counts``.

        Raises:
            KeyError, TypeError, ValueError: it was not written so.
        """
        name, ends = str(values["name"]), values["ci95"]
        side: Rule = values.get("side") or ("above" if ">" in values["rule"] else "below")
        if side not in get_args(Rule):
            raise ValueError(f"side is {side!r}, neither above nor below")
        if ends is not None:
            low, high = ends
            ends = float(low), float(high)
        return cls(
            name=name.removesuffix(_CONTROL),
            estimate=float(values["estimate"]),
            ci95=ends,
            margin=float(values["margin"]),
            rule=side,
            unit=str(values["unit"]),
            counts=bool(values.get("counts", not name.endswith(_CONTROL))),
        )


@dataclass(frozen=True)
class ClaimResult:
    """A claim with all its parts; it stands if every part that counts does.

    Attributes:
        id: ``C1`` … ``C10``.
        parts: those that decide, and controls.
    """

    id: str
    parts: Sequence[Part] = field(default_factory=tuple)

    @property
    def deciding(self) -> list[Part]:
        """The parts that decide."""
        return [part for part in self.parts if part.counts]

    @property
    def verdict(self) -> ClaimVerdict:
        """That of the deciding parts together; see :func:`worst_verdict`."""
        return worst_verdict([part.verdict for part in self.deciding])

    @property
    def headline(self) -> Part | None:
        """The part that stands for the claim in the table: the first that gave it its verdict."""
        return next((part for part in self.deciding if part.verdict == self.verdict), None)

    def as_claim(self, model: str, behaviour: str) -> Claim:
        """The row of ``summary.json``: the verdict, with the headline's numbers."""
        part = self.headline
        return Claim(
            id=self.id,
            model=model,
            behaviour=behaviour,
            verdict=self.verdict,
            estimate=part.estimate if part else None,
            ci95=part.ci95 if part else None,
            margin=part.margin if part else None,
            unit=part.unit if part else "",
        )


def rate_part(
    name: str, difference: DifferenceInterval, margin: float, rule: Rule, *, counts: bool = True
) -> Part:
    """A difference of rates against a margin; both as fractions."""
    return Part(
        name,
        difference.difference,
        (difference.low, difference.high),
        margin,
        rule,
        f"share of answers, over {difference.clusters} topics",
        counts,
    )


def curve_part(name: str, curve: Curve, rule: Rule, unit: str, *, counts: bool = True) -> Part:
    """A whole curve against 0 at every point of its grid, for claims that say "at every".

    The curve's band is simultaneous, so one point's band may speak for all: that of the point which breaks
    the rule most clearly (its band lies wholly on the wrong side), or, if none does, of the one which comes
    nearest to breaking it.
    """
    low, high = (curve.low, curve.high) if rule == "above" else (-curve.high, -curve.low)
    worst = int((high if high.min() <= 0 else low).argmin())
    return Part(
        f"{name}{WORST} {len(curve.grid)} points (at {curve.grid[worst]:.3g})",
        float(curve.mean[worst]),
        (float(curve.low[worst]), float(curve.high[worst])),
        0.0,
        rule,
        unit,
        counts,
    )
