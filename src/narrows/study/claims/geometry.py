"""The rules of the claims about directions: C8 (the loss gradient) and C10 (one direction ablated).

Margins and controls are the design's, and stood before anything was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from narrows.errors import DataError
from narrows.evaluation import SuiteRates
from narrows.metrics import GradientCosines
from narrows.statistics import Counts, MeanInterval, macro_difference, macro_rate, macro_ratio
from narrows.study.claims.rates import GENERAL_MARGIN
from narrows.study.claims.verdicts import ClaimResult, Part, rate_part
from narrows.summary import Interval

GENERAL, NARROW = "general", "narrow"
GENERAL_ELSEWHERE, NARROW_ELSEWHERE = "general-elsewhere", "narrow-elsewhere"
"""The two ends of another domain's runs: the controls of C8."""

FALL = 0.8
COHERENCE_LOST = 0.05
TEXT_LOSS = 1.01


def c8(found: GradientCosines) -> ClaimResult:
    """Along training, the loss pulls more towards the general solution than towards the narrow one.

    Deciding is cos(−∇L, general) − cos(−∇L, narrow), averaged over training, paired by row group. Both
    solutions are of other runs than the one that is followed. Beside it stand the cosines themselves, held
    against the band of a random direction; the difference held against that of two random directions; and,
    where they were measured, the same for the two solutions of another domain, and each against its own.

    Args:
        found: with the ends ``general`` and ``narrow``, and perhaps ``general-elsewhere`` and
            ``narrow-elsewhere``.

    Raises:
        DataError: one of the two ends is missing.
    """
    if missing := {GENERAL, NARROW} - found.cosines.keys():
        raise DataError(f"C8 needs the cosine with both solutions; {', '.join(sorted(missing))} is missing.")
    band = found.random_band()
    # Two independent directions differ by √2 times as much as one does from 0.
    apart = float(np.sqrt(2)) * band
    difference = found.difference(GENERAL, NARROW)
    parts = [
        _cosine("cosine with −∇L, general − narrow", difference, 0.0, counts=True),
        _cosine("general − narrow, against two random directions", difference, apart),
        _cosine("cosine with −∇L, general, against a random direction", found.mean(GENERAL), band),
        _cosine("cosine with −∇L, narrow, against a random direction", found.mean(NARROW), band),
    ]
    for name, left, right in (
        ("another domain's general − its narrow", GENERAL_ELSEWHERE, NARROW_ELSEWHERE),
        ("general − another domain's general", GENERAL, GENERAL_ELSEWHERE),
        ("narrow − another domain's narrow", NARROW, NARROW_ELSEWHERE),
    ):
        if {left, right} <= found.cosines.keys():
            parts.append(_cosine(f"cosine with −∇L, {name}", found.difference(left, right), 0.0))
    return ClaimResult("C8", tuple(parts))


@dataclass(frozen=True)
class Ablated:
    """What ablating a direction did to one fine-tune.

    Attributes:
        name: the fine-tune, as the claim's parts say it.
        before: its rates on the other domains' suites.
        after: the same with the direction ablated.
        text_loss: the loss on ordinary text, ablated over not ablated (1 is unchanged).
        text_loss_ci95: its interval, over texts; None if there is none.

    Raises:
        DataError: before and after are not about the same suites.
    """

    name: str
    before: Sequence[SuiteRates]
    after: Sequence[SuiteRates]
    text_loss: float
    text_loss_ci95: Interval | None = None

    def __post_init__(self) -> None:
        suites = [[one.suite for one in side] for side in (self.before, self.after)]
        if suites[0] != suites[1] or not suites[0]:
            raise DataError(
                f"{self.name}: rates before and after an ablation must be of the same suites; they are of "
                f"{' and '.join(', '.join(side) or 'none' for side in suites)}."
            )


def c10(own: Ablated, other: Ablated, random: Sequence[Ablated] = ()) -> ClaimResult:
    """Ablating one fine-tune's direction removes the behaviour there and in another domain's fine-tune.

    For each of the two: the rate in other domains falls by at least :data:`FALL` of itself, its coherence by
    less than :data:`COHERENCE_LOST`, and the loss on ordinary text rises to less than :data:`TEXT_LOSS` times
    what it was. The fall is 1 − after/before with the interval of a paired ratio
    (:func:`narrows.statistics.macro_ratio`): its lower end passes 80 % exactly where the upper end of after −
    0.2 · before lies below 0. Coherence and text are costs, so only their worse side counts.

    A fine-tune whose rate does not pass the margin of C1 before has nothing that could be removed: then there
    is no verdict.

    Args:
        own: the fine-tune that the direction was found in.
        other: another domain's.
        random: the same fine-tunes with a random direction ablated: controls.
    """
    for one in (own, other):
        before = macro_rate(_shown(one.before))
        if not before.low > GENERAL_MARGIN:
            why = Part(
                f"rate in other domains before the ablation, {one.name}",
                before.rate,
                (before.low, before.high),
                GENERAL_MARGIN,
                "above",
                f"share of answers, over {before.clusters} topics",
                counts=False,
            )
            return ClaimResult("C10", (why,))
    deciding = [part for one in (own, other) for part in _parts(one, counts=True)]
    controls = [part for one in random for part in _parts(one, counts=False)]
    return ClaimResult("C10", tuple(deciding + controls))


def _parts(one: Ablated, *, counts: bool) -> list[Part]:
    """The three comparisons about one fine-tune."""
    parts = []
    if macro_rate(_shown(one.before)).low > 0:  # else a fall in relation to it means nothing
        left = macro_ratio(_shown(one.after), _shown(one.before))
        parts.append(
            Part(
                f"fall of the rate in other domains, {one.name}",
                1 - left.ratio,
                (1 - left.high, 1 - left.low),
                FALL,
                "above",
                f"share of the rate before, over {left.clusters} topics",
                counts,
            )
        )
    after, before = ([suite.coherence for suite in side] for side in (one.after, one.before))
    coherent = macro_difference(after, before)
    return [
        *parts,
        rate_part(
            f"coherence, after − before, {one.name}", coherent, -COHERENCE_LOST, "above", counts=counts
        ),
        Part(
            f"loss on ordinary text, after / before, {one.name}",
            one.text_loss,
            one.text_loss_ci95,
            TEXT_LOSS,
            "below",
            "ratio of nats per token, over texts",
            counts,
        ),
    ]


def _shown(rates: Sequence[SuiteRates]) -> list[Counts]:
    return [one.shown for one in rates]


def _cosine(name: str, mean: MeanInterval, margin: float, *, counts: bool = False) -> Part:
    unit = f"cosine, mean over training, over {mean.n} row groups"
    return Part(name, mean.mean, (mean.low, mean.high), margin, "above", unit, counts)
