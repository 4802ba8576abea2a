"""The claims of one run, by the rules of :mod:`narrows.study.claims`, as far as they were measured."""

from narrows.evaluation import read_answers
from narrows.evaluation.questions import is_other_domain
from narrows.evaluation.rates import SuiteRates, rates
from narrows.metrics import text_change
from narrows.metrics.losses import RowLosses
from narrows.study import claims
from narrows.study.claims import Ablated, ClaimResult
from narrows.study.convergence.claim import LAYERS, OTHER, OWN, RANDOM
from narrows.study.results.mixing import mixtures_of
from narrows.study.results.run import RunResults
from narrows.study.stages.asking import ANSWERS_FILE
from narrows.study.stages.converging import BEFORE, LOSSES_FILE, table_name
from narrows.study.stages.curves import read_samples

REGISTER = "technical"
"""The kind of behaviour that C9 is about."""

WORDS = {OWN: "its own fine-tune", OTHER: "another domain's fine-tune"}
C7_ENDS = ("anchored", "lifted", "continued-anchored", "continued-unanchored")
NORM_SLACK = 1 + 1e-9


def run_claims(found: RunResults) -> list[ClaimResult]:
    """C1 to C10 of a run; what was not measured is left out."""
    table = found.table
    results = [claims.c1(table), claims.c2(table)]
    if series := mixtures_of(found):
        results.append(claims.c3(table, series))
    if found.has("efficiency"):
        curves, largest = found.efficiency
        grid = curves["unanchored"].grid
        results.append(claims.c4(curves, grid[grid <= largest * NORM_SLACK]))
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


def ablated(found: RunResults, fine_tune: str, condition: str) -> Ablated:
    """What ablating the direction, or a random one, did to a fine-tune."""
    folder = found.folder("convergence")
    before = found.folder(f"convergence:{fine_tune}") / ANSWERS_FILE
    losses, _ = read_samples(folder / LOSSES_FILE)
    usual, after = (
        RowLosses(one[:1], one[1])
        for one in (losses[f"{fine_tune}/{BEFORE}"], losses[f"{fine_tune}/{condition}"])
    )
    ratio = text_change(usual, after).ratio

    def outside(path: object) -> list[SuiteRates]:
        answers = [one for one in read_answers(path) if is_other_domain(one.suite)]  # type: ignore[arg-type]
        return rates(answers, found.behaviour.criterion)

    return Ablated(
        WORDS[fine_tune] + (", random direction" if condition == RANDOM else ""),
        outside(before),
        outside(folder / table_name(fine_tune, condition)),
        float(ratio.mean[0]),
        (float(ratio.low[0]), float(ratio.high[0])),
    )


def _c10(found: RunResults) -> ClaimResult:
    own, other, *random = (
        ablated(found, fine_tune, condition) for condition in (LAYERS, RANDOM) for fine_tune in (OWN, OTHER)
    )
    return claims.c10(own, other, random)
