"""When is a claim supported? An estimate's 95 % interval against a margin that was written down before measuring."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from narrows.metrics import Curve
from narrows.statistics import DifferenceInterval
from narrows.summary import Claim, ClaimVerdict

Rule = Literal["above", "below"]


@dataclass(frozen=True)
class Part:
    """One comparison behind a claim, or (without a verdict) a control shown beside it.

    Attributes:
        name: what is compared.
        estimate: the number.
        ci95: its 95 % interval; None where one run gives none.
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
        """Supported, not supported (the interval lies wholly on the wrong side), or inconclusive."""
        low, high = self.ci95 or (self.estimate, self.estimate)
        right, wrong = (low > self.margin, high <= self.margin)
        if self.rule == "below":
            right, wrong = (high < self.margin, low >= self.margin)
        if right:
            return "supported"
        return "not-supported" if wrong else "inconclusive"

    def as_reading(self) -> dict[str, Any]:
        """For report.json."""
        sign = ">" if self.rule == "above" else "<"
        bound = "lower" if self.rule == "above" else "upper"
        return {
            "name": self.name if self.counts else f"{self.name} (control)",
            "estimate": self.estimate,
            "ci95": self.ci95,
            "margin": self.margin,
            "rule": f"{bound} bound {sign} {self.margin:g}" if self.ci95 else f"{sign} {self.margin:g}",
            "verdict": self.verdict if self.counts else None,
            "unit": self.unit,
        }


@dataclass(frozen=True)
class ClaimResult:
    """A claim with all its parts; it stands if every part that counts does."""

    id: str
    parts: Sequence[Part] = field(default_factory=tuple)

    @property
    def deciding(self) -> list[Part]:
        """The parts that decide."""
        return [part for part in self.parts if part.counts]

    @property
    def verdict(self) -> ClaimVerdict:
        """Supported if all deciding parts are, not supported if any is not, else inconclusive."""
        verdicts = {part.verdict for part in self.deciding}
        if not verdicts:
            return "not-run"
        if "not-supported" in verdicts:
            return "not-supported"
        return "inconclusive" if "inconclusive" in verdicts else "supported"

    @property
    def headline(self) -> Part | None:
        """The part that stands for the claim in the table: the first that failed, else the first."""
        failed = [part for part in self.deciding if part.verdict == self.verdict]
        return failed[0] if failed else None

    def as_claim(self, model: str, behaviour: str) -> Claim:
        """The row of ``summary.json``."""
        part = self.headline
        return Claim(
            id=self.id,
            model=model,
            behaviour=behaviour,
            verdict=self.verdict,
            estimate=part.estimate if part else None,
            ci95=part.ci95 if part else None,
            margin=part.margin if part else None,
            unit=f"{part.name}; {part.unit}" if part else "",
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
    """A whole curve against 0 at every point of its grid: the point that comes nearest to breaking the rule decides.

    The curve's band is simultaneous, so one point's band may speak for all.
    """
    worst = int(curve.low.argmin() if rule == "above" else curve.high.argmax())
    # A point that lies wholly on the wrong side settles the matter against the claim.
    broken = [
        i for i in range(len(curve.grid)) if (curve.high[i] <= 0 if rule == "above" else curve.low[i] >= 0)
    ]
    at = broken[0] if broken else worst
    return Part(
        f"{name}, worst of {len(curve.grid)} points (at {curve.grid[at]:.3g})",
        float(curve.mean[at]),
        (float(curve.low[at]), float(curve.high[at])),
        0.0,
        rule,
        unit,
        counts,
    )
