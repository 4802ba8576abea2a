"""The claims of one run, by the rules of :mod:`narrows.study.claims`, as far as they were measured."""

from collections.abc import Sequence
from pathlib import Path

from narrows.evaluation import OPEN, read_answers
from narrows.evaluation.questions import is_other_domain
from narrows.evaluation.rates import SuiteRates, rates
from narrows.metrics import text_change
from narrows.metrics.losses import RowLosses
from narrows.study import claims
from narrows.study.answering import scored
from narrows.study.claims import Ablated, ClaimResult
from narrows.study.convergence.claim import LAYERS, OTHER, OWN, RANDOM
from narrows.study.measures import trained_norms
from narrows.study.results.mixing import mixtures_of
from narrows.study.results.run import RunResults
from narrows.study.stages.asking import ANSWERS_FILE
from narrows.study.stages.converging import BEFORE, LOSSES_FILE, table_name
from narrows.study.stages.curves import read_samples

REGISTER = "technical"
"""The kind of behaviour that C9 is about."""

WORDS = {OWN: "its own fine-tune", OTHER: "another domain's fine-tune"}
OF_ONE_RUN = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C10")
"""The claims that a run of any behaviour can decide."""

C7_ENDS = ("anchored", "lifted", "continued-anchored", "continued-unanchored")


def run_claims(found: RunResults) -> list[ClaimResult]:
    """C1 to C10 of a run; what was not measured is left out."""
    table = found.table
    results = [claims.c1(table), claims.c2(table)]
    if series := mixtures_of(found):
        results.append(claims.c3(table, series))
    if found.has("efficiency"):
        curves, largest = found.efficiency
        grid = curves["unanchored"].grid
        results.append(claims.c4(curves, trained_norms(grid, largest)))
    if found.has("stability"):
        results.append(claims.c5(found.stability))
    if found.has("significance"):
        curves_of = found.significance
        results.append(claims.c6(curves_of, next(iter(curves_of.values()))["unanchored"].grid))
    if all(name in found.solutions for name in C7_ENDS):
        results.append(claims.c7(table, {name: found.adapter(name) for name in C7_ENDS}))
    if found.has("gradients"):
        results.append(claims.c8(found.gradients))
    if found.run["kind"] == REGISTER:
        results.append(claims.c9([one for one in results if one.id != "C8"]))
    if found.has("convergence"):
        results.append(_c10(found) if found.direction is not None else ClaimResult("C10"))
    return results


def without_verdict(found: RunResults, results: Sequence[ClaimResult]) -> list[str]:
    """Why claims have no verdict, in sentences: what the behaviour's suites do not ask, what was left out."""
    suites = {suite.name: suite.anchored for suite in found.behaviour.test}
    domains = [name for name in suites if is_other_domain(name)]
    notes = []
    if not domains:
        notes.append("No suite asks about another domain: C1, C2, C3, C7 and C10 have no verdict.")
    elif all(suites[name] for name in domains):
        notes.append("The anchor saw every other domain that is asked about: C2 has no verdict.")
    if OPEN not in suites:
        notes.append("No open questions are asked: C1 and C2 have no verdict.")
    unscored = {
        (name, suite)
        for (name, scale), table in found.answers.items()
        for suite in {one.suite for one in table} - {one.suite for one in found.rates[name, scale]}
    }
    notes += [f"The judge scored no answer of {name} on {suite}." for name, suite in sorted(unscored)]
    decided = {one.id for one in results}
    if left_out := [id_ for id_ in OF_ONE_RUN if id_ not in decided]:
        notes.append(f"Not measured: {', '.join(left_out)}.")
    return notes


def ablated(found: RunResults, fine_tune: str, condition: str) -> Ablated | None:
    """What ablating the direction, or a random one, did to a fine-tune.

    None if there is no other domain on which answers before and after were scored.
    """
    folder = found.folder("convergence")
    before = found.folder(f"convergence:{fine_tune}") / ANSWERS_FILE
    losses, _ = read_samples(folder / LOSSES_FILE)
    usual, after = (
        RowLosses(one[:1], one[1])
        for one in (losses[f"{fine_tune}/{BEFORE}"], losses[f"{fine_tune}/{condition}"])
    )
    ratio = text_change(usual, after).ratio

    def outside(path: Path) -> dict[str, SuiteRates]:
        answers = [one for one in read_answers(path) if is_other_domain(one.suite)]
        criterion = found.behaviour.criterion
        return {one.suite: one for one in rates(scored(answers, criterion), criterion)}

    usually, ablating = outside(before), outside(folder / table_name(fine_tune, condition))
    both = [suite for suite in usually if suite in ablating]
    if not both:
        return None
    return Ablated(
        WORDS[fine_tune] + (", random direction" if condition == RANDOM else ""),
        [usually[suite] for suite in both],
        [ablating[suite] for suite in both],
        float(ratio.mean[0]),
        (float(ratio.low[0]), float(ratio.high[0])),
    )


def _c10(found: RunResults) -> ClaimResult:
    own, other, *random = (
        ablated(found, fine_tune, condition) for condition in (LAYERS, RANDOM) for fine_tune in (OWN, OTHER)
    )
    if own is None or other is None:
        return ClaimResult("C10")
    return claims.c10(own, other, [one for one in random if one is not None])
