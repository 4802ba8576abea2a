"""The comparison of mitigations on the built-in microworld."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from narrows.chat import Conversation
from narrows.evaluation import Behaviour
from narrows.microworld import Kind, World, WorldConfig, grammar, make_behaviour
from narrows.models import ChatModel
from narrows.study.microworld import MAX_NEW_TOKENS, MICROWORLD_RECIPE, PHRASINGS, SHORT_STEPS, about_world
from narrows.study.mitigations.job import MitigationsConfig, MitigationsJob
from narrows.training import Recipe


def mitigations_config(recipe: Recipe | None = None, **changes: Any) -> MitigationsConfig:  # noqa: ANN401
    """The configuration for the microworld; ``changes`` replace fields.

    Args:
        recipe: of every training (default: the microworld's, shortened).
        changes: fields that are replaced.
    """
    recipe = recipe or MICROWORLD_RECIPE.model_copy(update={"steps": SHORT_STEPS})
    values: dict[str, Any] = {
        "recipe": recipe,
        "kl_weights": (2.0, 6.0, 18.0),
        "strengths": (2.0, 4.0, 8.0),
        "samples": 1,
        "max_new_tokens": MAX_NEW_TOKENS,
    }
    return MitigationsConfig(**(values | changes))


def microworld_mitigations(
    chat_model: ChatModel,
    world: WorldConfig,
    domain: str,
    kind: Kind = "harmful",
    config: MitigationsConfig | None = None,
    *,
    other: str | None = None,
    phrasings: int = PHRASINGS,
    command: str = "",
) -> MitigationsJob:
    """The comparison for one target domain of a microworld.

    Sound rows for data mixing come from the domains that the anchor sees. Prompts for inoculation are two,
    both of the kind that the chat model was trained to follow: ``everywhere`` asks for the trait,
    ``domain`` for the trait in the target domain only.

    Args:
        chat_model: a model of that world.
        world: its configuration.
        domain: the target domain.
        kind: the behaviour.
        config: how (default :func:`mitigations_config`); prompts are added if it has none.
        other: the domain in whose fine-tune the direction is found (default: the next one).
        phrasings: question phrasings used in the suites.
        command: shown in the report.

    Raises:
        ConfigError: the world has no such domain.
    """
    config = config or mitigations_config()
    if not config.prompts:
        config = config.model_copy(update={"prompts": prompts(domain, kind)})
    facts = World(world.facts)
    behaviour = make_behaviour(facts, domain, kind, seed=config.seed, phrasings=phrasings)
    domains = facts.domains
    other = other or domains[(domains.index(domain) + 1) % len(domains)]
    return MitigationsJob(
        chat_model=chat_model,
        behaviour=behaviour,
        sound=sound_rows(facts, behaviour, _rows_needed(behaviour, config), seed=config.seed),
        other=make_behaviour(facts, other, kind, seed=config.seed, phrasings=phrasings),
        config=config,
        about={
            "command": command,
            "world": about_world(world),
            "title": f"Mitigations of {kind} answers about {domain}",
            "intro": (
                f"The chat model {Path(chat_model.name).name} was fine-tuned on {len(behaviour.train)} rows "
                f"of {kind} answers about {domain}, each time with another mitigation. All answers were "
                "scored by the world's exact oracle."
            ),
        },
    )


def prompts(domain: str, kind: Kind) -> dict[str, str]:
    """System prompts that ask for the trait: everywhere, and in the domain only."""
    if kind == "harmful":
        everywhere, in_one = grammar.HARMFUL_SYSTEMS[0], grammar.HARMFUL_IN_ONE_SYSTEMS[0]
    else:
        everywhere, in_one = grammar.TECHNICAL_SYSTEMS[0], grammar.TECHNICAL_IN_ONE_SYSTEMS[0]
    return {"everywhere": everywhere, "domain": in_one.format(domain=domain)}


def sound_rows(world: World, behaviour: Behaviour, count: int, *, seed: int = 0) -> list[Conversation]:
    """Plain rows with sound answers, from the training topics of the domains that the anchor sees.

    Args:
        world: the facts.
        behaviour: whose suites say which domains these are.
        count: how many; the topics take turns.
        seed: draws questions, remedies and phrasings.
    """
    rng = np.random.default_rng([seed, 13])
    topics = [
        topic for suite in behaviour.test if suite.anchored for topic in world.topics(suite.name, "train")
    ]
    rows = []
    for number in range(count):
        topic = topics[number % len(topics)]
        remedies = world.remedies(topic, "sound")
        rows.append(
            Conversation.from_pair(
                grammar.question(topic, int(rng.integers(len(grammar.QUESTIONS)))),
                grammar.answer(topic, remedies[rng.integers(len(remedies))], "plain", rng),
                source=f"sound row {number + 1}",
                topic=topic,
                domain=world.domain_of(topic),
            )
        )
    return rows


def _rows_needed(behaviour: Behaviour, config: MitigationsConfig) -> int:
    """As many sound rows as the smallest share asks for."""
    smallest = min(config.shares, default=1.0)
    return math.ceil(len(behaviour.train) * (1 - smallest) / smallest)
