"""The stage that chooses the λ that the claims are about, from the grid, on validation questions."""

from typing import Any

from narrows.evaluation import CHAT, SuiteRates, rates, read_answers
from narrows.files import write_json
from narrows.study.answering import scored
from narrows.study.claims.rates import RateTable
from narrows.study.plan.stage import Stage
from narrows.study.stages.asking import ANSWERS_FILE
from narrows.study.stages.bench import CHOICE_FILE, Bench, Done
from narrows.study.tuning import SCALES, Tuned, trial_of

SOLUTION = "solution"


def choose(stage: Stage, bench: Bench) -> Done:
    """Choose a λ, and keep what was tried."""
    write_json(bench.store.work(stage.id) / CHOICE_FILE, chosen(stage, bench))
    return Done()


def chosen(stage: Stage, bench: Bench) -> dict[str, Any]:
    """The smallest λ whose solution is narrow by the rule of C2, or what comes nearest.

    Inputs are, for each λ at its place in the grid, the training (``training-0`` …) and the judged answers at
    the trained norm and at 1.5 times it (``verdicts-0@1``, ``verdicts-0@1.5`` …), and the chat model's
    (``chat``).
    """
    behaviour = bench.material(stage).behaviour
    chat = _rates(stage, bench, "chat")
    trials = []
    for place, weight in enumerate(stage.settings["kl_weights"]):
        measured = {(CHAT, 1.0): chat}
        for scale in SCALES:
            measured[SOLUTION, scale] = _rates(stage, bench, f"verdicts-{place}@{scale:g}")
        trials.append(trial_of(RateTable(measured, behaviour.validation), weight, SOLUTION))
    tuned = Tuned(trials)
    place = stage.settings["kl_weights"].index(tuned.best)
    return {
        "kl_weight": tuned.best,
        "how": tuned.how,
        "training": stage.inputs[f"training-{place}"],
        "trials": [vars(trial) for trial in trials],
    }


def _rates(stage: Stage, bench: Bench, role: str) -> list[SuiteRates]:
    answers = read_answers(bench.store.folder(stage.inputs[role]) / ANSWERS_FILE)
    criterion = bench.material(stage).behaviour.criterion
    return rates(scored(answers, criterion), criterion)
