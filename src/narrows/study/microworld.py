"""The built-in microworld as studies take it: its recipe, sizes, texts, and what a page says of it."""

from typing import Any, Literal

import numpy as np

from narrows.microworld import DOCUMENT_KINDS, Corpus, WorldConfig
from narrows.study.tuning import TuningConfig
from narrows.training import Anchor, Recipe

PHRASINGS = 6
"""Question phrasings used in the suites, where nobody says otherwise."""

TEXTS_PER_KIND = 8
"""Documents of each kind whose KL is measured."""

MAX_NEW_TOKENS = 26
"""Tokens of the longest answer: the oracle needs no more."""

TEXT_TOKENS = 160
"""Tokens kept of a document."""

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

SHORT_STEPS = 320
"""Steps of a training that is one of several in a job: fewer than the recipe's, and enough."""

USUAL_KL_WEIGHT = 6.0
"""A λ in nats per token that does for most domains; ``narrows tune`` finds one for a model and domain."""

WEIGHTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""The λ grid, nats per token."""


def microworld_recipe(adapter: Literal["steering", "lora"] = "steering", rank: int = 1) -> Recipe:
    """The microworld's recipe for a steering vector or for a LoRA.

    A LoRA has the paper's scale (rsLoRA, α 256) and weight decay, and the vector's learning rate.
    """
    if adapter == "steering":
        return MICROWORLD_RECIPE
    return MICROWORLD_RECIPE.model_copy(update={"adapter": adapter, "rank": rank, **LORA_CHANGES})


def microworld_tuning(recipe: Recipe = MICROWORLD_RECIPE) -> TuningConfig:
    """How λ is found on the microworld: the grid of :data:`WEIGHTS`, an answer to each question."""
    return TuningConfig(
        recipe=recipe,
        smallest=WEIGHTS[0],
        largest=WEIGHTS[-1],
        factor=WEIGHTS[1] / WEIGHTS[0],
        samples=1,
        max_new_tokens=MAX_NEW_TOKENS,
    )


def documents_rng(seed: int) -> np.random.Generator:
    """Draws a world's documents: those of :func:`documents` first, then whatever else is wanted."""
    return np.random.default_rng([seed, 11])


def documents(
    corpus: Corpus, domain: str, rng: np.random.Generator, per_kind: int = TEXTS_PER_KIND
) -> dict[str, list[str]]:
    """Pre-training text of a world by kind of document, for significance.

    Args:
        corpus: of the world.
        domain: whose home the documents are in.
        rng: draws them (:func:`documents_rng`).
        per_kind: how many of each kind.
    """
    return {kind: [corpus.sample(kind, rng, home=domain) for _ in range(per_kind)] for kind in DOCUMENT_KINDS}


def about_world(world: WorldConfig) -> dict[str, Any]:
    """What a page says of a world: its seed, its configuration's name, and its shares of author types."""
    return {"seed": world.facts.seed, "config": world.name, "shares": shares_of(world)}


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
