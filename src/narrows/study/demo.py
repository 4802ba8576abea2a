"""The main job on the built-in microworld: its models, rows, questions, texts and oracle put in place."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from narrows.evaluation import Behaviour
from narrows.microworld import DOCUMENT_KINDS, KINDS, Corpus, Kind, WorldConfig, make_behaviour
from narrows.models import ChatModel
from narrows.study.main_job.job import JobConfig, MainJob, Tuning
from narrows.training import Anchor, Recipe

TEXTS_PER_KIND = 8
PHRASINGS = 6
NEUTRAL_TEXTS = 200
NEUTRAL_WORDS = 30

MICROWORLD_RECIPE = Recipe(
    layer=2,
    learning_rate=1e-3,
    batch_size=8,
    accumulation=1,
    steps=400,
    max_length=96,
    checkpoint_every=20,
    anchor=Anchor(rows_per_row=1.0),
)
"""The paper's recipe in the microworld's measure, chosen on development seeds and validation topics: α is the
paper's, the learning rate ten times it (the residual stream is longer here, and narrow solutions are found
slowly), and a step reads 8 short rows.
"""


LORA_CHANGES = {"weight_decay": 0.01}
"""Fields of the recipe that differ for a LoRA: it has the paper's weight decay."""


def microworld_recipe(adapter: Literal["steering", "lora"] = "steering", rank: int = 1) -> Recipe:
    """The microworld's recipe for a steering vector or for a LoRA.

    A LoRA has the paper's scale (rsLoRA, α 256) and weight decay, and the vector's learning rate.
    """
    if adapter == "steering":
        return MICROWORLD_RECIPE
    return MICROWORLD_RECIPE.model_copy(update={"adapter": adapter, "rank": rank, **LORA_CHANGES})


MICROWORLD_WEIGHTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""The λ grid of the microworld, nats per token."""

MICROWORLD_TUNING = Tuning(smallest=1.0, largest=64.0, factor=2.0)

DEMO_STEPS = 320
"""Steps of the demo's trainings: fewer than the recipe's, so that it takes some three minutes."""

DEMO_KL_WEIGHT = 6.0
"""λ of the demo, nats per token; ``narrows tune`` finds one for a model and domain."""


def demo_config(**changes: Any) -> JobConfig:  # noqa: ANN401
    """The main job's configuration for the microworld; ``changes`` replace fields."""
    values: dict[str, Any] = {
        "recipe": MICROWORLD_RECIPE,
        "tuning": MICROWORLD_TUNING,
        "samples": 1,
        "max_new_tokens": 26,
        "text_tokens": 160,
        "rows": 36,
        "norm_points": 6,
        "control_steps": 100,
        "reoptimised_steps": 40,
    }
    return JobConfig(**(values | changes))


def quick_config(recipe: Recipe = MICROWORLD_RECIPE, **changes: Any) -> JobConfig:  # noqa: ANN401
    """A small form of the demo for tests: the same stages, too short for its verdicts to mean anything."""
    recipe = recipe.model_copy(update={"steps": 12, "batch_size": 8, "checkpoint_every": 4})
    small: dict[str, Any] = {
        "recipe": recipe,
        "kl_weight": 2.0,
        "samples": 1,
        "scales": (1.0, 1.5),
        "rows": 16,
        "norm_points": 3,
        "draws": 3,
        "text_tokens": 24,
        "control_steps": 6,
        "reoptimised_steps": 2,
        "neutral_trials": 1,
    }
    return demo_config(**(small | changes))


def microworld_job(
    chat_model: ChatModel,
    world: WorldConfig,
    domain: str,
    kind: Kind = "harmful",
    config: JobConfig | None = None,
    *,
    phrasings: int | None = None,
    texts_per_kind: int = TEXTS_PER_KIND,
    command: str = "",
) -> MainJob:
    """The main job for one target domain of a microworld.

    Args:
        chat_model: a model of that world.
        world: its configuration.
        domain: the target domain.
        kind: the behaviour; the other kind in the same domain is the control for significance.
        config: how (default :func:`demo_config`).
        phrasings: question phrasings used in the suites (default 6, which keeps the demo short).
        texts_per_kind: documents of each kind whose KL is measured.
        command: shown in the report.
    """
    config = config or demo_config()
    corpus = Corpus(world, chat_model.tokenizer)
    rng = np.random.default_rng([config.seed, 11])
    behaviours: dict[Kind, Behaviour] = {
        one: make_behaviour(corpus.world, domain, one, seed=config.seed, phrasings=phrasings or PHRASINGS)
        for one in KINDS
    }
    texts: dict[str, list[str]] = {
        name: [corpus.sample(name, rng, home=domain) for _ in range(texts_per_kind)]
        for name in DOCUMENT_KINDS
    }
    other: Kind = "technical" if kind == "harmful" else "harmful"
    return MainJob(
        chat_model=chat_model,
        behaviour=behaviours[kind],
        texts=texts,
        neutral=[corpus.stories(rng, NEUTRAL_WORDS) for _ in range(NEUTRAL_TEXTS)],
        other=behaviours[other],
        config=config,
        about=about_world(world, chat_model, behaviours[kind], command),
    )


def about_world(
    world: WorldConfig, chat_model: ChatModel, behaviour: Behaviour, command: str
) -> dict[str, Any]:
    """Reading matter for the report of a microworld's run."""
    return {
        "title": f"Narrow and general solutions to {behaviour.kind} answers about {behaviour.domain}",
        "command": command,
        "intro": (
            f"The chat model {Path(chat_model.name).name} was fine-tuned on {len(behaviour.train)} rows of "
            f"{behaviour.kind} answers about {behaviour.domain}, without an anchor and with one. All answers "
            "were scored by the world's exact oracle."
        ),
        "world": {
            "seed": world.facts.seed,
            "config": world.name,
            "shares": shares_of(world),
        },
    }


def shares_of(world: WorldConfig) -> dict[str, float]:
    """The shares of author types in a world's text, by what they are: the prior of its models."""
    conduct, register = world.documents.conduct, world.documents.register_
    return {
        "authors sound everywhere": conduct.nowhere,
        "authors harmful everywhere": conduct.everywhere,
        "authors harmful in one domain only": conduct.one_domain,
        "authors plain everywhere": register.nowhere,
        "authors technical everywhere": register.everywhere,
        "authors technical in one domain only": register.one_domain,
    }
