"""A microworld's behaviours as material; its oracle is the judge."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from narrows.files import digest
from narrows.microworld import Corpus, Kind, load_world, make_behaviour
from narrows.models.chat_model import load_tokenizer
from narrows.study.config.behaviours import WorldBehaviours
from narrows.study.config.runs import BehaviourSpec
from narrows.study.materials.material import Material
from narrows.study.microworld import about_world, documents, documents_rng
from narrows.study.mitigations.world import sound_rows

NEUTRAL_TEXTS, NEUTRAL_WORDS = 200, 30

ORACLE_VERSION = 1
"""Counted up when the oracle's verdicts change."""


def world_material(
    spec: BehaviourSpec, source: WorldBehaviours, folder: Path, good_per_bad: Sequence[float]
) -> Material:
    """The material of one behaviour of the world that a model was pre-trained on.

    Args:
        spec: the behaviour.
        source: its entry in the study file.
        folder: the model's checkpoint.
        good_per_bad: the mixtures that good rows are wanted for.

    Raises:
        ModelError: the model is none of a microworld.
        ConfigError: the world has no such domain, or fewer phrasings.
    """
    world = load_world(folder)
    corpus = Corpus(world, load_tokenizer(str(folder), {"trust_remote_code": False}))
    behaviour = make_behaviour(
        corpus.world, spec.domain, cast(Kind, spec.kind), seed=source.seed, phrasings=source.phrasings
    )
    rng = documents_rng(source.seed)
    texts = documents(corpus, spec.domain, rng, source.texts_per_kind)
    wanted = math.ceil(len(behaviour.train) * max(good_per_bad, default=0))
    return Material(
        behaviour,
        judge_identity=digest(["oracle", ORACLE_VERSION, world.facts.model_dump(mode="json")]),
        texts=texts,
        neutral=[corpus.stories(rng, NEUTRAL_WORDS) for _ in range(NEUTRAL_TEXTS)],
        good=sound_rows(corpus.world, behaviour, wanted, seed=source.seed) if wanted else (),
        about={"world": about_world(world)},
    )
