"""The trainings of a plan: each recipe with its rows, its λ, and where it starts."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from narrows.study.config.runs import RunSpec
from narrows.study.materials import Material, Rows
from narrows.study.plan.stage import Stage
from narrows.training import Anchor, Recipe

CHOSEN = {"times_chosen": 1.0}
"""In the place of a λ: the one that is chosen on validation questions."""


@dataclass(frozen=True)
class Training:
    """A training as a run wants it.

    Attributes:
        name: of the solution.
        weight: λ, or a factor on the chosen one (:data:`CHOSEN`); 0 is unanchored.
        rows: which rows it reads.
        anchor: whose rows the anchor reads.
        start: the stage of the adapter that is trained on; None begins with nothing.
        first_of: for a LoRA that begins with another run's first A: that run's recipe.
        ends: stages of both solutions, for a training under a norm.
        norm_share: that norm, as a share of the larger of the ends' norms; 0 leaves it free.
        changes: fields of the recipe that differ.
    """

    name: str
    weight: float | dict[str, float] = 0.0
    rows: Rows = field(default_factory=Rows)
    anchor: Literal["behaviour", "neutral"] = "behaviour"
    start: str | None = None
    first_of: Recipe | None = None
    ends: dict[str, str] = field(default_factory=dict)
    norm_share: float = 0.0
    changes: dict[str, Any] = field(default_factory=dict)


def determining(recipe: Recipe) -> Recipe:
    """An unanchored recipe without what its training does not read: how many anchor rows, and when.

    The anchor's positions stay, for trainings that differ in them do not share passes.
    """
    return recipe.model_copy(update={"anchor": Anchor(positions=recipe.anchor.positions)})


def training_stage(
    run: RunSpec, material: Material, model: str, wanted: Training, choice: str | None
) -> Stage:
    """The stage of a training.

    Args:
        run: whose it is.
        material: of the behaviour that is taught.
        model: the model's fingerprint.
        wanted: the training.
        choice: the stage in which λ is chosen, if it is.
    """
    anchored = wanted.weight != 0.0
    recipe = (run.anchored_recipe if anchored else run.recipe).model_copy(update=wanted.changes)
    inputs = dict(wanted.ends)
    if wanted.start is not None:
        inputs["start"] = wanted.start
    if isinstance(wanted.weight, dict) and choice is not None:
        inputs["choice"] = choice
    digests = {"behaviour": material.anchor, "neutral": material.neutral_anchor}
    first = None if wanted.first_of is None else determining(wanted.first_of).model_dump(mode="json")
    mixed = [asdict(wanted.rows), material.every_good] if wanted.rows.good_per_bad else [None]
    return Stage(
        kind="training",
        title=f"{wanted.name} · {run.id}",
        run=run.id,
        model=run.model.name,
        behaviour=material.behaviour.id,
        settings={
            "model": model,
            "recipe": (recipe if anchored else determining(recipe)).model_dump(mode="json"),
            "kl_weight": wanted.weight,
            "rows": [material.train, *mixed],
            "anchor": digests[wanted.anchor] if anchored else None,
            "start": "first" if first else None if wanted.start is None else "given",
            "first_of": first,
            "norm_share": wanted.norm_share,
        },
        inputs=inputs,
        source={"rows": asdict(wanted.rows), "anchor": wanted.anchor},
    )
