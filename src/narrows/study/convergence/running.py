"""One direction against several fine-tunes (claim C10): found in one, ablated there and in another domain's.

Two fine-tunes of one chat model, each taught the same trait in another domain. From the first one's own
answers the mean difference is taken at every layer, one layer is chosen on validation questions, and its
direction is ablated in both. Beside it: the direction at its own layer only, each layer's own direction at
that layer, and a random direction. Each fine-tune is looked at as trained, and at the scale where half of its
answers show the trait: one that is far beyond what the trait needs may keep it though a good part is taken
away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.adapters import Adapter, Direction, LoRA, SteeringVector
from narrows.errors import AdapterError, DataError
from narrows.evaluation import IN_DOMAIN, OPEN, OUT_OF_DOMAIN, Answer, Behaviour, macro_groups, rates
from narrows.files import claim_run_folder, write_json
from narrows.geometry.extraction import random_directions, singular_directions
from narrows.interventions import Ablation
from narrows.interventions.base import Intervention
from narrows.metrics import text_change, text_loss
from narrows.models import ChatModel
from narrows.statistics import macro_rate
from narrows.strict import read_object
from narrows.study import summarising
from narrows.study.claims.verdicts import ClaimResult
from narrows.study.convergence.claim import (
    BEFORE,
    FULL,
    HALF,
    LAYERS,
    OTHER,
    OWN,
    RANDOM,
    RESULT_FILE,
    claim_of,
    table_of,
)
from narrows.study.convergence.job import ConvergenceJob
from narrows.study.convergence.own_answers import Asking, best_by_ablation, half_strength, own_directions
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.summary import Interval, Summary
from narrows.summary import Intervention as InterventionRow
from narrows.training import train

NARROW = "narrow"


@dataclass(frozen=True)
class FineTune:
    """A fine-tune with what it is asked.

    Attributes:
        name: ``own`` or ``other``.
        behaviour: what it was taught.
        adapter: the solution.
        half: the scale at which half of its answers show the trait.
        directions: the mean difference of its own answers at each layer.
        counts: answers of each kind behind them, and what was left after balancing.
    """

    name: str
    behaviour: Behaviour
    adapter: Adapter
    half: float
    directions: Sequence[Direction]
    counts: Mapping[str, int]


def run_convergence(job: ConvergenceJob, out: Path | str) -> dict[str, Any]:
    """Find one fine-tune's direction and ablate it there and in another domain's fine-tune.

    Trainings, answers and directions are kept in ``out`` and found again. ``convergence.json`` holds the
    result, ``summary.json`` its ``interventions`` and the claim C10, ``report.json`` the claim's parts. In
    ``rows``, each is one fine-tune (``own``, ``other``) at one strength (``full``: as trained; ``half``)
    under one condition: ``before``; ``layers``: the direction at every layer; ``layer``: at its own;
    ``each``: each layer's own direction there; ``random``: a random one at every layer. ``fall`` is 1 −
    after/before of the rate in other domains.

    Raises:
        DataError: a fine-tune gave too few answers of one kind, or there are fewer than two texts.
        RunFolderError: ``out`` holds another run.
    """
    if len(job.texts) < 2:
        raise DataError(f"a change of the loss needs at least two texts; {len(job.texts)} was given.")
    out = claim_run_folder(Path(out), job.identity())
    if not (out / RESULT_FILE).exists():
        write_json(out / RESULT_FILE, _measure(job, out))
    result = read_object(out / RESULT_FILE, DataError, "Delete it, and it is made again.")
    if not (out / SUMMARY_FILE).exists() or not Summary.load(out / SUMMARY_FILE).claims:
        _conclude(job, result["rows"], out)
    return result


def _measure(job: ConvergenceJob, out: Path) -> dict[str, Any]:
    """Train, find the directions, ablate them: what ``convergence.json`` holds."""
    own, other = (_fine_tune(job, name, out) for name in (OWN, OTHER))
    asking = _asking(job, own.behaviour, validation=True)
    if job.config.layer is None:
        chosen, shares = best_by_ablation(asking, own.adapter, own.directions)
    else:
        chosen, shares = own.directions[job.config.layer], list[float]()
    (chance,) = random_directions(job.chat_model.hidden, chosen.layer, seed=job.config.seed)
    conditions: dict[str, tuple[Intervention, ...]] = {
        BEFORE: (),
        LAYERS: (Ablation(chosen, "layers"),),
        "layer": (Ablation(chosen, "layer"),),
        "each": tuple(Ablation(one, "layer") for one in own.directions),
        RANDOM: (Ablation(chance, "layers"),),
    }
    return {
        "model": job.chat_model.name,
        OWN: job.own.id,
        OTHER: job.other.id,
        "layer": chosen.layer,
        "sound_share_after_ablation_by_layer": shares,
        "fine_tunes": {
            one.name: {"norm": one.adapter.effective_norm, "half": one.half, **one.counts}
            for one in (own, other)
        },
        "rows": [row for one in (own, other) for row in _ablated(job, one, conditions, out)],
        "cosines": _cosines(job, own, other, chosen.layer, out),
    }


def _asking(job: ConvergenceJob, behaviour: Behaviour, *, validation: bool) -> Asking:
    suites = behaviour.validation if validation else behaviour.test
    return Asking(job.chat_model, suites, behaviour.judge, behaviour.criterion, job.config)


def _fine_tune(job: ConvergenceJob, name: str, out: Path) -> FineTune:
    """Train one fine-tune, and find the directions in its own answers; both are kept."""
    behaviour = job.own if name == OWN else job.other
    plain = job.config.recipe.with_anchor(0.0)
    run = train(job.chat_model, behaviour.train, plain, out=out / name, name=f"training {behaviour.id}")
    folder = out / f"{name}-directions"
    files = [folder / f"layer-{layer}.safetensors" for layer in range(job.chat_model.layers)]
    done = folder / "found.json"
    if not done.exists():
        asking = _asking(job, behaviour, validation=True)
        sides = half_strength(asking, run.adapter, name=behaviour.id, samples=job.config.direction_samples)
        for direction, file in zip(
            own_directions(job.chat_model, sides, run.adapter, behaviour.id), files, strict=True
        ):
            direction.save(file)
        balanced = len(sides.balanced().shown)
        counts = {"shown": len(sides.shown), "sound": len(sides.sound), "of_each": balanced}
        write_json(done, {"half": sides.scale, "counts": counts})
    found = read_object(done, DataError, f"Delete {folder}, and it is made again.")
    directions = [Direction.load(file) for file in files]
    return FineTune(name, behaviour, run.adapter, found["half"], directions, found["counts"])


def _ablated(
    job: ConvergenceJob, one: FineTune, conditions: Mapping[str, Sequence[Intervention]], out: Path
) -> list[dict[str, Any]]:
    """Rates, coherence and text loss of one fine-tune under every condition, at both strengths."""
    asking = _asking(job, one.behaviour, validation=False)
    texts = [job.chat_model.renderer.text(text, job.config.text_tokens) for text in job.texts]
    rows = []
    for strength, scale in {FULL: 1.0, HALF: one.half}.items():
        adapter = one.adapter.scaled(scale)
        before: dict[str, Any] = {}
        usual = text_loss(job.chat_model, texts, adapter=adapter)
        for condition, interventions in conditions.items():
            path = table_of(out, one.name, strength, condition)
            answers = asking.kept(path, adapter, name=one.name, interventions=interventions)
            found = _measured(answers, one.behaviour)
            before = before or found
            after = text_loss(job.chat_model, texts, adapter=adapter, interventions=interventions)
            ratio = text_change(usual, after).ratio
            rows.append(
                {
                    "fine_tune": one.name,
                    "domain": one.behaviour.domain,
                    "strength": strength,
                    "scale": scale,
                    "condition": condition,
                    **found,
                    "fall": _fall(before[OUT_OF_DOMAIN], found[OUT_OF_DOMAIN]),
                    "coherence_lost": before["coherent"] - found["coherent"],
                    "text_loss": float(ratio.mean[0]),
                    "text_loss_ci95": [float(ratio.low[0]), float(ratio.high[0])],
                }
            )
    return rows


def _measured(answers: Sequence[Answer], behaviour: Behaviour) -> dict[str, Any]:
    measured = rates(answers, behaviour.criterion)
    groups = {one.suite: [one] for one in measured} | macro_groups(measured, behaviour.test)
    found: dict[str, Any] = {}
    for suite in (IN_DOMAIN, OUT_OF_DOMAIN, OPEN):
        rate = macro_rate([one.shown for one in groups[suite]])
        found |= {suite: rate.rate, f"{suite}_ci95": [rate.low, rate.high]}
    coherent = macro_rate([one.coherence for one in groups[OUT_OF_DOMAIN]])
    return found | {"coherent": coherent.rate, "coherent_ci95": [coherent.low, coherent.high]}


def _fall(before: float, after: float) -> float | None:
    """The share of a rate that is gone; None if there was nothing."""
    return 1 - after / before if before > 0 else None


def _cosines(
    job: ConvergenceJob, own: FineTune, other: FineTune, layer: int, out: Path
) -> dict[str, float | list[float]]:
    """What points where: both fine-tunes' mean differences, and what the adapters write."""
    pairs = zip(own.directions, other.directions, strict=True)
    written = _written(job.chat_model, own.adapter)
    found: dict[str, float | list[float]] = {
        "own, other: mean differences, by layer": [one.cosine(two) for one, two in pairs],
        "own: mean difference, what the adapter writes, by layer": [
            one.cosine(written) for one in own.directions
        ],
        "own, other: what the adapters write": written.cosine(_written(job.chat_model, other.adapter)),
    }
    if job.config.kl_weight is not None:
        narrow = _written(job.chat_model, _narrow(job, out))
        found["general, narrow: what the adapters write"] = written.cosine(narrow)
        found["own mean difference, what the narrow adapter writes"] = own.directions[layer].cosine(narrow)
    return found


def _written(chat_model: ChatModel, adapter: Adapter) -> Direction:
    """What an adapter writes into the residual stream.

    A vector's own direction; of a LoRA on one module the first left-singular one, whose sign says nothing.

    Raises:
        AdapterError: it is a LoRA on several modules, or on one that does not write to the stream.
    """
    if isinstance(adapter, SteeringVector):
        return Direction.of_vector(adapter, "trained")
    if not isinstance(adapter, LoRA) or len(adapter.factors) != 1:
        raise AdapterError("an adapter of several modules writes several directions: take one module's.")
    written, *_ = singular_directions(adapter, 1, chat_model.model)
    return written.direction


def _narrow(job: ConvergenceJob, out: Path) -> Adapter:
    recipe = job.config.recipe.with_anchor(job.config.kl_weight or 0.0)
    anchor, folder = job.own.anchor, out / NARROW
    return train(
        job.chat_model, job.own.train, recipe, anchor=anchor, out=folder, name=f"training {NARROW}"
    ).adapter


def _conclude(job: ConvergenceJob, rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write the claim's parts and the summary from what is in the folder."""
    claim = claim_of(out, {OWN: job.own.criterion, OTHER: job.other.criterion})
    reading = {
        **job.about,
        "claim_parts": {claim.id: [part.as_reading() for part in claim.parts]},
        "config": job.config.model_dump(mode="json"),
        "versions": summarising.versions(),
        "notes": [
            f"The direction is the mean difference of the answers of the {job.own.domain} fine-tune. C10 is "
            f"about it and the {job.other.domain} fine-tune as trained, the direction ablated at every layer."
        ],
    }
    write_json(out / READING_FILE, reading)
    _summary(job, rows, claim).save(out / SUMMARY_FILE)


def _summary(job: ConvergenceJob, rows: Sequence[Mapping[str, Any]], claim: ClaimResult) -> Summary:
    """The rows as ``interventions`` of ``summary.json``, and the claim."""
    found = []
    for row in rows:
        if row["condition"] == BEFORE:
            before = row
            continue
        for suite in (OUT_OF_DOMAIN, OPEN, IN_DOMAIN):
            found.append(
                InterventionRow(
                    solution=f"{row['domain']}, {row['strength']}",
                    direction=RANDOM if row["condition"] == RANDOM else job.own.domain,
                    kind=f"ablate, {LAYERS if row['condition'] == RANDOM else row['condition']}",
                    before=before[suite],
                    after=row[suite],
                    coherent=row["coherent"],
                    text_loss=row["text_loss"],
                    suite=suite,
                    before_ci95=_interval(before[f"{suite}_ci95"]),
                    after_ci95=_interval(row[f"{suite}_ci95"]),
                    coherent_before=before["coherent"],
                )
            )
    return Summary(
        models=[summarising.model_row(job.chat_model)],
        behaviours=[summarising.behaviour_row(one) for one in (job.own, job.other)],
        interventions=found,
        claims=[claim.as_claim(job.chat_model.id, job.own.id)],
    )


def _interval(bounds: Sequence[float]) -> Interval:
    return bounds[0], bounds[1]
