"""The stages that train: one adapter, or several that share passes as a bank."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from narrows.adapters import Adapter, load_adapter
from narrows.chat import Conversation
from narrows.errors import TrainingError
from narrows.models import ChatModel
from narrows.strict import one_line
from narrows.study.materials import Rows
from narrows.study.plan.stage import Stage
from narrows.study.stages.bench import TRAINING, Bench, Done
from narrows.training import Member, Recipe, train, train_together
from narrows.training.prepare import starting_point
from narrows.training.ready import LOG_FILE

logger = logging.getLogger(__name__)


def train_stages(stages: Sequence[Stage], bench: Bench) -> Iterator[tuple[Stage, Done, float]]:
    """Train each stage's adapter in its work folder; several share passes.

    A training that was stopped goes on from its checkpoints. What goes wrong with one member of a bank costs
    the others nothing: they are given first. If it is more than a member that diverges (its rows are at
    fault, memory is short), those that are left are trained one after another.

    Yields:
        Each stage that is finished, with the seconds that it took: in a bank an equal share.

    Raises:
        NarrowsError: trainings failed; of several errors the first.
        Whatever else training raises.
    """
    if len(stages) == 1:
        started = time.perf_counter()
        _train_alone(stages[0], bench)
        yield stages[0], _done(stages[0], bench), time.perf_counter() - started
        return
    failure = None
    started = time.perf_counter()
    try:
        _train_bank(stages, bench)
    except Exception as error:  # noqa: BLE001  (raised when what can be saved is)
        failure = error
    seconds = (time.perf_counter() - started) / len(stages)
    trained = [stage for stage in stages if failure is None or _is_trained(stage, bench)]
    for stage in trained:
        yield stage, _done(stage, bench), seconds
    if isinstance(failure, TrainingError):  # all that do not diverge are finished
        raise failure
    if failure is not None:
        left = [stage for stage in stages if stage not in trained]
        logger.warning("the bank failed (%s): %d trainings are done alone.", one_line(failure), len(left))
        yield from _each_alone(left, bench)


def _each_alone(stages: Sequence[Stage], bench: Bench) -> Iterator[tuple[Stage, Done, float]]:
    """What :func:`train_stages` gives, of trainings that their bank failed."""
    first: Exception | None = None
    for stage in stages:
        try:
            yield from train_stages([stage], bench)
        except Exception as error:  # noqa: BLE001  (raised when the others are done)
            logger.warning("%s failed: %s", stage.title, one_line(error))
            first = first or error
    if first is not None:
        raise first


def _done(stage: Stage, bench: Bench) -> Done:
    """One training, with the tokens that it read over all its sittings."""
    trained = load_adapter(bench.store.work(stage.id) / TRAINING)
    return Done(tokens=trained.metadata.get("tokens"), trainings=1)


def _train_alone(stage: Stage, bench: Bench) -> None:
    chat_model = bench.chat_model(stage)
    one = _member(stage, bench, chat_model)
    train(chat_model, one.rows, one.recipe, anchor=one.anchor, start=one.start, out=one.out, name=stage.title)


def _train_bank(stages: Sequence[Stage], bench: Bench) -> None:
    chat_model = bench.chat_model(stages[0])
    members = [_member(stage, bench, chat_model) for stage in stages]
    train_together(chat_model, members, name=f"training {len(members)} in one bank")


def _is_trained(stage: Stage, bench: Bench) -> bool:
    """Whether the work folder holds all of a training: its log comes last."""
    return (bench.store.work(stage.id) / TRAINING / LOG_FILE).exists()


def _member(stage: Stage, bench: Bench, chat_model: ChatModel) -> Member:
    """What is trained, with what was only known by other stages' results put in."""
    source = stage.source
    material = bench.material(stage)
    recipe, start = _recipe(stage, bench), _start(stage, bench, chat_model)
    if share := stage.settings["norm_share"]:
        ends = [bench.adapter(stage, role).effective_norm for role in ("unanchored", "anchored")]
        recipe = recipe.model_copy(update={"max_norm": share * max(ends)})
        start = None if start is None else start.scaled_to(share * max(ends))
    anchor: Sequence[Conversation | str] = ()
    if recipe.anchored:
        anchor = list(material.neutral) if source["anchor"] == "neutral" else material.behaviour.anchor
    return Member(
        name=stage.title,
        rows=material.rows(Rows(**source["rows"])),
        recipe=recipe,
        anchor=anchor,
        start=start,
        out=bench.store.work(stage.id) / TRAINING,
    )


def _recipe(stage: Stage, bench: Bench) -> Recipe:
    """The recipe with its λ: given, or a factor on the one that was chosen."""
    recipe, weight = Recipe.model_validate(stage.settings["recipe"]), stage.settings["kl_weight"]
    if isinstance(weight, dict):
        chosen: dict[str, Any] = bench.choice(stage.inputs["choice"])
        weight = weight["times_chosen"] * chosen["kl_weight"]
    return recipe.with_anchor(float(weight))


def _start(stage: Stage, bench: Bench, chat_model: ChatModel) -> Adapter | None:
    """The adapter that is trained on, if there is one."""
    if stage.settings["start"] is None:
        return None
    if stage.settings["start"] == "first":
        first = Recipe.model_validate(stage.settings["first_of"])
        return starting_point(chat_model, first, None)
    return bench.adapter(stage, "start")
