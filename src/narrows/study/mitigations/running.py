"""Running a comparison of mitigations: trainings, answers, rates and costs, all kept and found again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.adapters import self_check
from narrows.adapters.direction import Direction
from narrows.errors import DataError
from narrows.evaluation import (
    CHAT,
    IN_DOMAIN,
    NEVER_ANCHORED,
    OPEN,
    OUT_OF_DOMAIN,
    Answer,
    Behaviour,
    Suite,
    SuiteRates,
    macro_groups,
    rates,
    summarise,
)
from narrows.files import claim_run_folder, write_json
from narrows.progress import bar
from narrows.statistics import macro_rate
from narrows.strict import read_object
from narrows.study import summarising
from narrows.study.claims.rates import RateTable
from narrows.study.clock import Clock
from narrows.study.convergence.own_answers import Asking, best_by_ablation, half_strength, own_directions
from narrows.study.mitigations.arms import NONE, Arm, arms
from narrows.study.mitigations.cost import TrainingCost, slowdown, training_cost
from narrows.study.mitigations.job import MitigationsJob
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.summary import Interval, Mitigation, Solution, Summary
from narrows.training import TrainingRun, train

DIRECTION_FILE, SEARCH_FILE = "direction.safetensors", "search.json"
FINDING = "finding the direction"

Answers = dict[tuple[str, float], list[Answer]]


@dataclass(frozen=True)
class _Paid:
    """An arm and what it took."""

    arm: Arm
    training: TrainingCost
    seconds: float
    preparation: float
    slowdown: float | None


def run_mitigations(job: MitigationsJob, out: Path | str) -> Summary:
    """Train, ask and judge every mitigation at every strength, and put them side by side.

    The arms: no mitigation; a KL anchor; sound rows mixed in; prompt inoculation (trained with a system
    prompt that asks for the trait, tested without; Tan et al. 2025); preventative steering (steered towards
    the trait in the training, tested without; Chen et al. 2025); and ablation of a direction while the
    unmitigated fine-tune answers. All trainings have the same recipe, rows of the behaviour and seed. Where
    the recipe sets its steps, data mixing reads fewer rows of the behaviour; where it sets epochs, it takes
    longer.

    Everything finished is kept in ``out`` and found again, so a run that was killed goes on. Written there:
    ``summary.json`` (``mitigations``, ``evaluations``, ``solutions``), ``report.json``, ``solutions/``,
    ``answers/``, ``direction/``, ``run.json``.

    Raises:
        ConfigError: a method lacks what it needs.
        DataError: there are too few sound rows, or the other domain's fine-tune gave no answers of one kind.
        AdapterError: the direction does not fit the model.
        ModelError: steering does not do on this model what it should.
        RunFolderError: ``out`` holds another run.
    """
    job.check()
    out = claim_run_folder(Path(out), job.identity())
    if (out / SUMMARY_FILE).exists():
        return Summary.load(out / SUMMARY_FILE)
    clock = Clock(out / "timings.json")
    asking = _asking(job, job.behaviour, job.behaviour.test)
    layer = job.config.recipe.layer
    self_check(job.chat_model, job.chat_model.layers // 2 if layer is None else layer)
    with clock.time("chat model answers"):
        answers: Answers = {(CHAT, 1.0): asking.kept(_table(out, CHAT, 1.0), None, name=CHAT)}
    direction = job.direction
    if direction is None and job.config.directed:
        with clock.time(FINDING):
            direction = _found(job, out / "direction")
    wanted = list(arms(job, direction))
    runs: dict[str, TrainingRun] = {}
    paid: dict[str, _Paid] = {}
    with bar("mitigations", len(wanted)) as shown:
        for arm in wanted:
            source = arm.trained_as or arm.name
            stage = f"training {source}"
            if not arm.trained_as:
                with clock.time(stage):
                    runs[source] = _trained(job, arm, out / "solutions" / source)
            with clock.time("answers"):
                for scale in job.config.scales:
                    answers[arm.name, scale] = asking.kept(
                        _table(out, arm.name, scale),
                        runs[source].adapter,
                        name=arm.name,
                        scale=scale,
                        interventions=arm.interventions,
                    )
            cost = training_cost(job.chat_model, arm)
            slower = slowdown(job.chat_model, job.behaviour.test, arm.interventions)
            preparation = clock.seconds.get(FINDING, 0.0) if "direction" in arm.needs else 0.0
            paid[arm.name] = _Paid(arm, cost, clock.seconds[stage], preparation, slower)
            shown.advance(note=arm.name)
    summary = _summary(job, runs, answers, paid, clock.seconds)
    write_json(out / READING_FILE, _reading(job, direction, out))
    summary.save(out / SUMMARY_FILE)
    return summary


def _trained(job: MitigationsJob, arm: Arm, folder: Path) -> TrainingRun:
    return train(
        job.chat_model,
        arm.rows,
        arm.recipe,
        anchor=arm.anchor,
        preventative=arm.preventative,
        out=folder,
        name=f"training {arm.name}",
    )


def _found(job: MitigationsJob, folder: Path) -> Direction:
    """The direction of the trait in the other domain's unanchored fine-tune, from its own answers."""
    if (folder / DIRECTION_FILE).exists():
        return Direction.load(folder / DIRECTION_FILE)
    other, config = job.other, job.config
    if other is None:  # the job was checked
        raise DataError("there is neither a direction nor another domain to find one in.")
    plain = config.recipe.with_anchor(0.0)
    solution = train(job.chat_model, other.train, plain, out=folder / "solution", name=f"training {other.id}")
    asking = _asking(job, other, other.validation)
    sides = half_strength(asking, solution.adapter, name=other.id, samples=config.direction_samples)
    directions = own_directions(
        job.chat_model, sides, solution.adapter, name=f"mean-difference {other.domain}"
    )
    if config.layer is not None:
        chosen, shares = directions[config.layer], list[float]()
    else:
        chosen, shares = best_by_ablation(asking, solution.adapter, directions)
    write_json(
        folder / SEARCH_FILE,
        {
            "behaviour": other.id,
            "scale": sides.scale,
            "shown": len(sides.shown),
            "sound": len(sides.sound),
            "of_each_after_balancing": len(sides.balanced().shown),
            "layer": chosen.layer,
            "sound_share_after_ablation_by_layer": shares,
        },
    )
    chosen.save(folder / DIRECTION_FILE)
    return Direction.load(folder / DIRECTION_FILE)  # as it will be read in the next sitting


def _asking(job: MitigationsJob, behaviour: Behaviour, suites: Sequence[Suite]) -> Asking:
    return Asking(job.chat_model, suites, behaviour.judge, behaviour.criterion, job.config)


def _table(out: Path, name: str, scale: float) -> Path:
    """Where the answers of an arm at a scale are kept."""
    return out / "answers" / f"{name}@{scale:g}.jsonl"


def _summary(
    job: MitigationsJob,
    runs: Mapping[str, TrainingRun],
    answers: Answers,
    paid: Mapping[str, _Paid],
    seconds: dict[str, float],
) -> Summary:
    behaviour = job.behaviour
    measured = {key: rates(table, behaviour.criterion) for key, table in answers.items()}
    table = RateTable(measured, behaviour.test)
    every = [answer for rows in answers.values() for answer in rows]
    return Summary(
        models=[summarising.model_row(job.chat_model)],
        behaviours=[summarising.behaviour_row(behaviour)],
        solutions=[
            _solution(job, one.arm, runs[one.arm.trained_as or name], table) for name, one in paid.items()
        ],
        evaluations=summarise(every, behaviour.criterion, behaviour.test, behaviour.judge.name),
        mitigations=[
            _row(one, scale, measured[name, scale], behaviour.test)
            for name, one in paid.items()
            for scale in job.config.scales
        ],
        timings=seconds,
    )


def _row(paid: _Paid, scale: float, measured: Sequence[SuiteRates], suites: Sequence[Suite]) -> Mitigation:
    arm = paid.arm
    groups = {one.suite: [one] for one in measured} | macro_groups(measured, suites)
    found: dict[str, Any] = {}
    for field, suite in (
        ("in_domain", IN_DOMAIN),
        ("out_of_domain", OUT_OF_DOMAIN),
        ("never_anchored", NEVER_ANCHORED),
        ("open", OPEN),
    ):
        found[field], found[f"{field}_ci95"] = _rate(groups.get(suite, ()))
    coherent = macro_rate([one.coherence for one in measured])
    return Mitigation(
        solution=arm.name,
        method=arm.method,
        setting=arm.setting,
        strength=arm.strength,
        scale=scale,
        **found,
        coherent=coherent.rate,
        coherent_ci95=(coherent.low, coherent.high),
        needs=list(arm.needs),
        training_rows=paid.training.rows,
        training_tokens=paid.training.tokens,
        training_seconds=paid.seconds,
        preparation_seconds=paid.preparation,
        inference_ratio=paid.slowdown,
    )


def _rate(group: Sequence[SuiteRates]) -> tuple[float | None, Interval | None]:
    if not group:
        return None, None
    found = macro_rate([one.shown for one in group])
    return found.rate, (found.low, found.high)


def _solution(job: MitigationsJob, arm: Arm, run: TrainingRun, table: RateTable) -> Solution:
    path = f"solutions/{arm.trained_as or arm.name}"
    verdict = table.verdict(arm.name)
    return summarising.solution_row(job.chat_model, job.behaviour, arm.name, run, verdict=verdict, path=path)


def _reading(job: MitigationsJob, direction: Direction | None, out: Path) -> dict[str, Any]:
    """What stands in the report beside the numbers."""
    notes = [
        "All trainings have the same recipe and seed. Rates are on held-out topics; the system prompt and "
        "the steering of the training are absent when the model answers.",
        f"{NONE} is the unanchored fine-tune; ablation acts on it while it answers.",
    ]
    if direction is not None:
        where = (
            job.direction.name
            if job.direction
            else f"answers of the fine-tune {getattr(job.other, 'id', '')}"
        )
        notes.append(
            f"The direction (layer {direction.layer}, length {direction.length:.3g}) is from {where}."
        )
    search = out / "direction" / SEARCH_FILE
    return {
        **job.about,
        "config": job.config.model_dump(mode="json")
        | ({"direction": read_object(search, DataError, "")} if search.exists() else {}),
        "versions": summarising.versions(),
        "notes": notes,
    }
