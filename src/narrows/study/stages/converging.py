"""The stage for C10: a direction found in one fine-tune's own answers, ablated there and in another's."""

from collections.abc import Sequence

import numpy as np

from narrows.adapters import Adapter
from narrows.chat import Rendered
from narrows.errors import DataError
from narrows.files import write_json
from narrows.geometry.extraction import random_directions
from narrows.interventions import Ablation
from narrows.interventions.base import Intervention
from narrows.metrics import text_loss
from narrows.models import ChatModel
from narrows.study.answering import Draws
from narrows.study.convergence.claim import LAYERS, OTHER, OWN, RANDOM
from narrows.study.convergence.own_answers import Asking, best_by_ablation, half_strength, own_directions
from narrows.study.plan.stage import Stage
from narrows.study.stages.bench import Bench, Done
from narrows.study.stages.curves import Floats, write_samples

FOUND_FILE = "direction.json"
LOSSES_FILE = "losses.safetensors"
DIRECTION_FILE = "direction.safetensors"
BEFORE = "before"


def table_name(fine_tune: str, condition: str) -> str:
    """The file of one fine-tune's answers under one condition."""
    return f"{fine_tune}-{condition}.jsonl"


def converge(stage: Stage, bench: Bench) -> Done:
    """Find the direction in the own fine-tune, ablate it and a random one in both, ask, and read texts.

    A fine-tune that gives too few answers of either kind has no direction: the result then says so, and C10
    has no verdict.
    """
    chat_model, settings, work = bench.chat_model(stage), stage.settings, bench.store.work(stage.id)
    sampling = Draws.of(settings)
    materials = {OWN: bench.material(stage), OTHER: bench.material(stage, stage.source["other"])}
    adapters = {name: bench.adapter(stage, name) for name in (OWN, OTHER)}
    askings = {
        name: Asking(chat_model, one.behaviour.test, one.behaviour.judge, one.behaviour.criterion, sampling)
        for name, one in materials.items()
    }
    own = materials[OWN].behaviour
    trying = Asking(chat_model, own.validation, own.judge, own.criterion, sampling)
    try:
        sides = half_strength(trying, adapters[OWN], name=own.id, samples=settings["direction_samples"])
    except DataError as error:  # the fine-tune does not show the behaviour: there is nothing to be removed
        write_json(work / FOUND_FILE, {"missing": str(error)})
        return Done()
    directions = own_directions(chat_model, sides, adapters[OWN], own.id)
    chosen, shares = best_by_ablation(trying, adapters[OWN], directions)
    chosen.save(work / DIRECTION_FILE)
    (chance,) = random_directions(chat_model.hidden, chosen.layer, seed=settings["seed"])
    conditions: dict[str, Sequence[Intervention]] = {
        LAYERS: (Ablation(chosen, "layers"),),
        RANDOM: (Ablation(chance, "layers"),),
    }
    texts = [
        chat_model.renderer.text(text, settings["text_tokens"])
        for some in materials[OWN].texts.values()
        for text in some
    ]
    losses = {}
    for name, adapter in adapters.items():
        losses[f"{name}/{BEFORE}"] = _contributions(chat_model, texts, adapter, ())
        for condition, interventions in conditions.items():
            path = work / table_name(name, condition)
            askings[name].kept(path, adapter, name="solution", interventions=interventions)
            losses[f"{name}/{condition}"] = _contributions(chat_model, texts, adapter, interventions)
    write_samples(work / LOSSES_FILE, losses, {})
    write_json(
        work / FOUND_FILE,
        {
            "layer": chosen.layer,
            "half": sides.scale,
            "shown": len(sides.shown),
            "sound": len(sides.sound),
            "of_each": len(sides.balanced().shown),
            "sound_share_after_ablation_by_layer": shares,
        },
    )
    return Done()


def _contributions(
    chat_model: ChatModel, texts: Sequence[Rendered], adapter: Adapter, interventions: Sequence[Intervention]
) -> Floats:
    """Each text's summed loss and its tokens, (2, texts)."""
    found = text_loss(chat_model, texts, adapter=adapter, interventions=interventions)
    return np.stack([found.sums[0], found.counts])
