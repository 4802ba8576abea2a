"""The numbers of one run in one world: what fine-tuning preferred, the metrics, and what was there before."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from narrows.errors import DataError
from narrows.evaluation import IN_DOMAIN, OPEN, OUT_OF_DOMAIN
from narrows.metrics import Curve
from narrows.metrics.significance import ALL
from narrows.microworld.family import Prior
from narrows.statistics import macro_rate, mean_interval, rate_ratio
from narrows.strict import read_object
from narrows.study.measures import trained_norms
from narrows.study.plan.run_measurements import AUTHORS
from narrows.study.results.run import RunResults
from narrows.study.stages.seeking import AUTHORS_FILE
from narrows.study.worlds.models import WorldModel

LEAST_GAP = 0.1
"""Out-of-domain rates of both solutions must be this far apart for the anchor's way back to mean anything."""

WITHIN, BEYOND = "within_reach", "beyond_reach"
"""Other domains in which authors who are harmful everywhere are so, and those in which they are not."""


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval; the ends are None where no interval can be taken."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Before:
    """What the chat model took authors to be, before any fine-tuning; shares of answers.

    Attributes:
        trait: harmful outside the target after three harmful answers in other domains: is the trait inferred?
        by_answers: the same after none, one, two and three of them.
        knows: sound after three sound answers: are the remedies known?
        inside: harmful in the target after three harmful answers there.
        outside: harmful elsewhere after the same: does the model hold such an author for one of those who are
            harmful everywhere?
        aurocs: of the two types of author against sound ones, ``AUTHOR, READ``, at the solutions' layer.
        best_aurocs: the same at whichever layer it is highest.
        steered: most answers outside the target that are harmful with the direction of a type added.
        metrics: efficiency, stability and significance as of a :class:`Row`, with the directions of authors
            harmful everywhere and in the target only for the general and the narrow solution; None where one
            could not be taken.
    """

    trait: float
    by_answers: tuple[float, ...]
    knows: float
    inside: float
    outside: float
    aurocs: dict[str, float]
    best_aurocs: dict[str, float]
    steered: dict[str, float]
    metrics: dict[str, Measured | None]

    @property
    def generality(self) -> float:
        """Outside over inside: the preference that three answers in a document bring out, untrained."""
        return self.outside / self.inside if self.inside else 0.0


@dataclass(frozen=True)
class Row:
    """One run: a world, a pre-training seed, a target.

    Attributes:
        world: name.
        seed: of the pre-training.
        step: of the snapshot; None at the end of the pre-training.
        target: the domain that was taught.
        compared: whether it counts where worlds are compared: the end of a pre-training, in a world that is
            not only there to show how one goes.
        prior: shares of the two types of author; None where there are none.
        rates: harmful rates by solution and suite or macro mean.
        preference: the unanchored solution's rate outside the domain over that inside; None if it is never
            harmful inside.
        way_back: share of the way from the anchored rate outside the domain to the unanchored one that the
            solution goes when its anchor is lifted; None if they are not :data:`LEAST_GAP` apart.
        efficiency: loss of the anchored minus that of the unanchored at equal norms, nats per response token,
            mean over the norms up to the larger trained one; above 0 the general solution is more efficient.
        stability: relative rise of the loss under noise of the anchored minus that of the unanchored, mean
            over noise ratios; above 0 the general solution is more stable. None where one gained nothing.
        significance: KL on documents of the unanchored minus that of the anchored at equal norms, nats per
            token, mean over the norms up to the larger one; above 0 the general solution moves more text.
        before: what was there before any fine-tuning; None if it was not looked at.
    """

    world: str
    seed: int
    step: int | None
    target: str
    compared: bool
    prior: Prior | None
    rates: dict[str, dict[str, Measured]]
    preference: Measured | None
    way_back: float | None
    efficiency: Measured | None
    stability: Measured | None
    significance: Measured | None
    before: Before | None

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the log ratio of the shares beside them."""
        values = asdict(self)
        if self.prior is not None:
            values["prior"]["log_ratio"] = self.prior.log_ratio
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Row":
        """What :meth:`as_json` gave.

        Raises:
            KeyError, TypeError: a field is missing, or is none of a row's.
        """

        def measured(one: dict[str, Any] | None) -> Measured | None:
            return None if one is None else Measured(**one)

        before = values["before"]
        if before is not None:
            metrics = {name: measured(one) for name, one in before["metrics"].items()}
            by_answers = tuple(before["by_answers"])
            before = Before(**{**before, "metrics": metrics, "by_answers": by_answers})

        prior = values["prior"]
        if prior is not None:
            prior = Prior(prior["everywhere"], prior["in_target"])
        rates = {
            name: {suite: Measured(**one) for suite, one in some.items()}
            for name, some in values["rates"].items()
        }
        return cls(
            **{
                **values,
                "prior": prior,
                "rates": rates,
                "before": before,
                **{
                    name: measured(values[name])
                    for name in ("preference", "efficiency", "stability", "significance")
                },
            }
        )


def row_of(model: WorldModel, step: int | None, found: RunResults) -> Row:
    """The row of a run.

    Args:
        model: the run's.
        step: of the snapshot that it was made on.
        found: the run's results.
    """
    rates = _rates(model, found)
    return Row(
        world=model.member.name,
        seed=model.seed,
        step=step,
        target=found.behaviour.domain,
        compared=step is None and model.member.compared,
        prior=Prior.of(model.config, found.behaviour.domain),
        rates=rates,
        preference=_preference(found),
        way_back=_way_back(rates),
        efficiency=_efficiency(found),
        stability=_stability(found),
        significance=_significance(found),
        before=_before(found) if found.has(AUTHORS) else None,
    )


def _preference(found: RunResults) -> Measured | None:
    inside, outside = (found.table.rate(suite, "unanchored") for suite in (IN_DOMAIN, OUT_OF_DOMAIN))
    if not inside.rate:
        return None
    ratio = rate_ratio(outside, inside)
    return Measured(ratio.ratio, ratio.low, ratio.high if math.isfinite(ratio.high) else None)


def _rates(model: WorldModel, found: RunResults) -> dict[str, dict[str, Measured]]:
    reach = model.config.documents.reach
    rates: dict[str, dict[str, Measured]] = {}
    for (name, scale), rows in found.rates.items():
        if scale != 1.0:
            continue
        groups = {IN_DOMAIN: [IN_DOMAIN], OPEN: [OPEN]}
        others = [one.suite for one in rows if one.suite not in (IN_DOMAIN, OPEN)]
        groups[OUT_OF_DOMAIN] = others
        if reach is not None:
            groups[WITHIN] = [one for one in others if one in reach]
            groups[BEYOND] = [one for one in others if one not in reach]
        rates[name] = {}
        for group, suites in groups.items():
            if some := [one.shown for one in rows if one.suite in suites]:
                rate = macro_rate(some)
                rates[name][group] = Measured(rate.rate, rate.low, rate.high)
    return rates


def _way_back(rates: dict[str, dict[str, Measured]]) -> float | None:
    if "lifted" not in rates:
        return None
    start, end, lifted = (rates[name][OUT_OF_DOMAIN].value for name in ("anchored", "unanchored", "lifted"))
    return (lifted - start) / (end - start) if end - start >= LEAST_GAP else None


def _mean_over_points(difference: Curve) -> Measured:
    """The mean of a curve over its grid, with the interval over the units."""
    found = mean_interval(difference.samples.mean(axis=1))
    return Measured(found.mean, found.low, found.high)


def _efficiency(found: RunResults, role: str = "efficiency") -> Measured | None:
    if not found.has(role):
        return None
    curves, largest = found.efficiency_of(role)
    norms = trained_norms(curves["unanchored"].grid, largest)
    return _mean_over_points(curves["anchored"].minus(curves["unanchored"], norms))


def _stability(found: RunResults, role: str = "stability") -> Measured | None:
    if not found.has(role):
        return None
    curves = found.stability_of(role)
    general, narrow = curves["unanchored"], curves["anchored"]
    if min(general.gain, narrow.gain) <= 0:
        return None
    return _mean_over_points(narrow.relative.minus(general.relative))


def _significance(found: RunResults, role: str = "significance") -> Measured | None:
    if not found.has(role):
        return None
    curves = found.significance_of(role)[ALL]
    return _mean_over_points(curves["unanchored"].minus(curves["anchored"]))


def _before(found: RunResults) -> Before:
    values = read_object(found.folder(AUTHORS) / AUTHORS_FILE, DataError, "Run the study again.")
    target = found.behaviour.domain
    inferred = values["inferred"]

    def share(what: str, conduct: str, place: str, pairs: int, *, in_target: bool | None) -> float:
        rows = [
            one
            for one in inferred
            if one["shown"] == {"conduct": conduct, "place": place, "pairs": pairs}
            and in_target in (None, one["asked"] == target)
        ]
        return _share(rows, what)

    by_answers = [share("harmful", "harmful", "target", 0, in_target=False)]
    by_answers += [share("harmful", "harmful", "elsewhere", pairs, in_target=False) for pairs in (1, 2, 3)]
    directions = {f"{one['author']}, {one['read']}": one for one in values["directions"]}
    return Before(
        trait=by_answers[-1],
        by_answers=tuple(by_answers),
        knows=share("sound", "sound", "elsewhere", 3, in_target=None),
        inside=share("harmful", "harmful", "target", 3, in_target=True),
        outside=share("harmful", "harmful", "target", 3, in_target=False),
        aurocs={name: one["aurocs"][one["layer"]]["value"] for name, one in directions.items()},
        best_aurocs={
            name: max(auroc["value"] for auroc in one["aurocs"]) for name, one in directions.items()
        },
        steered={name: _most_harm(one["steered"]) for name, one in directions.items() if one["steered"]},
        metrics={
            "efficiency": _efficiency(found, f"{AUTHORS}:efficiency"),
            "stability": _stability(found, f"{AUTHORS}:stability"),
            "significance": _significance(found, f"{AUTHORS}:significance"),
        },
    )


def _share(rows: Sequence[dict[str, Any]], what: str) -> float:
    return float(sum(one[what] for one in rows) / sum(one["answers"] for one in rows))


def _most_harm(steered: Sequence[dict[str, Any]]) -> float:
    """The largest harmful share of answers outside the domain at any strength."""
    strengths = sorted({one["strength"] for one in steered})
    shares = [
        _share(
            [one for one in steered if one["strength"] == strength and one["suite"] != IN_DOMAIN], "harmful"
        )
        for strength in strengths
    ]
    return float(np.max(shares))
