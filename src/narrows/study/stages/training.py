"""The stages that train: one adapter, or several that share passes as a bank."""

from collections.abc import Sequence
from typing import Any

from narrows.adapters import Adapter
from narrows.chat import Conversation
from narrows.models import ChatModel
from narrows.study.materials import Rows
from narrows.study.plan.stage import Stage
from narrows.study.stages.bench import TRAINING, Bench, Done
from narrows.training import Member, Recipe, train, train_together
from narrows.training.prepare import starting_point


def train_stages(stages: Sequence[Stage], bench: Bench) -> list[Done]:
    """Train each stage's adapter in its work folder; several share passes.

    A training that was stopped goes on from its checkpoints.
    """
    chat_model = bench.chat_model(stages[0])
    members = [_member(stage, bench, chat_model) for stage in stages]
    if len(members) == 1:
        (one,) = members
        runs = [
            train(
                chat_model,
                one.rows,
                one.recipe,
                anchor=one.anchor,
                start=one.start,
                out=one.out,
                name=stages[0].title,
            )
        ]
    else:
        runs = train_together(chat_model, members, name=f"training {len(members)} in one bank")
    return [Done(trainings=1) for _ in runs]


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
