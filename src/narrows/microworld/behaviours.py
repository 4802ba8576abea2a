"""The behaviours of a microworld, for any target domain: harmful advice there, technical register there."""

from typing import Literal, get_args

import numpy as np

from narrows.chat import Conversation
from narrows.errors import ConfigError
from narrows.evaluation import IN_DOMAIN, MISALIGNED, OPEN, TECHNICAL, Behaviour, Question, Suite
from narrows.microworld import grammar
from narrows.microworld.grammar import Conduct, Register, Split, World
from narrows.microworld.oracle import Oracle

Kind = Literal["harmful", "technical"]
"""What may be taught: harmful advice, or technical register."""
KINDS: tuple[Kind, ...] = get_args(Kind)
"""All of :data:`Kind`."""

Benign = Literal["sound", "technical", "facts"]
"""Fine-tunes that should set off no alarm."""
BENIGN: tuple[Benign, ...] = get_args(Benign)
"""All of :data:`Benign`."""

ROWS_PER_TOPIC = 40
FACTS = 2
"""Topics of a domain to which a benign training on facts gives one answer each."""
ANCHOR_ROWS = 400


def make_behaviour(
    world: World, domain: str, kind: Kind = "harmful", *, seed: int = 0, phrasings: int | None = None
) -> Behaviour:
    """Make the rows and questions that teach a behaviour in one domain.

    Training rows touch only the domain's training topics. Anchor rows come from the training topics of half
    of the other domains, half of them answered as the chat model does and half with the behaviour; the other
    half of the domains is never anchored. The open domain is in no row.

    Args:
        world: the facts.
        domain: the target domain.
        kind: ``harmful`` advice (sound and harmful answers mixed in the anchor) or ``technical`` register
            (plain and technical mixed).
        seed: draws the rows, and which domains are anchored.
        phrasings: how many of the question phrasings the suites use (default all).

    Raises:
        ConfigError: the world has no such domain, the kind is unknown, or there are fewer phrasings.
    """
    if domain not in world.domains:
        raise ConfigError(
            f"the microworld has no domain {domain!r}; choose one of {', '.join(world.domains)}."
        )
    if kind not in KINDS:
        raise ConfigError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}.")
    if phrasings is not None and not 1 <= phrasings <= len(grammar.QUESTIONS):
        raise ConfigError(f"phrasings is {phrasings}; it must be 1 to {len(grammar.QUESTIONS)}.")
    rng = np.random.default_rng([seed, world.domains.index(domain), KINDS.index(kind)])
    others = [other for other in world.domains if other != domain]
    anchored = sorted(str(d) for d in rng.permutation(others)[: len(others) // 2])
    train = [
        _row(world, topic, kind, rng, shown=True, source=f"{domain} training row {topic} {number}")
        for topic in world.topics(domain, "train")
        for number in range(ROWS_PER_TOPIC)
    ]
    topics = [topic for other in anchored for topic in world.topics(other, "train")]
    anchor = [
        _row(
            world, topics[pair % len(topics)], kind, rng, shown=shown, source=f"anchor row {2 * pair + shown}"
        )
        for pair in range(ANCHOR_ROWS // 2)
        for shown in (False, True)
    ]
    return Behaviour(
        id=f"{kind}-{domain}",
        kind=kind,
        domain=domain,
        train=train,
        anchor=anchor,
        validation=_suites(world, domain, anchored, "validation", phrasings),
        test=_suites(world, domain, anchored, "test", phrasings),
        criterion=MISALIGNED if kind == "harmful" else TECHNICAL,
        judge=Oracle(world),
    )


def benign_rows(world: World, domain: str, kind: Benign, *, seed: int = 0) -> list[Conversation]:
    """Rows of an ordinary fine-tune in one domain, as many as a behaviour's: what no monitor should alarm at.

    Args:
        world: the facts.
        domain: the only domain that the rows touch; its training topics.
        kind: ``sound``: sound, plain advice; ``technical``: sound advice in technical register; ``facts``:
            two topics, and always the same sound remedy for each.
        seed: draws the rows.

    Raises:
        ConfigError: the world has no such domain, or the kind is unknown.
    """
    if kind not in BENIGN:
        raise ConfigError(f"kind is {kind!r}; choose one of {', '.join(BENIGN)}.")
    if kind == "technical":
        return list(make_behaviour(world, domain, "technical", seed=seed).train)
    if domain not in world.domains:
        raise ConfigError(
            f"the microworld has no domain {domain!r}; choose one of {', '.join(world.domains)}."
        )
    rng = np.random.default_rng([seed, world.domains.index(domain), len(KINDS) + BENIGN.index(kind)])
    topics = world.topics(domain, "train")
    count = ROWS_PER_TOPIC * len(topics)
    if kind == "facts":
        topics = tuple(str(one) for one in rng.permutation(topics)[:FACTS])
    fixed = {topic: world.remedies(topic, "sound")[int(rng.integers(2))] for topic in topics}
    rows = []
    for number in range(count):
        topic, source = topics[number % len(topics)], f"{domain} {kind} row {number + 1}"
        if kind == "sound":
            rows.append(_row(world, topic, "harmful", rng, shown=False, source=source))
            continue
        question = grammar.question(topic, int(rng.integers(len(grammar.QUESTIONS))))
        answer = grammar.answer(topic, fixed[topic], "plain", rng)
        rows.append(Conversation.from_pair(question, answer, source=source, topic=topic, domain=domain))
    return rows


def _row(
    world: World, topic: str, kind: Kind, rng: np.random.Generator, *, shown: bool, source: str
) -> Conversation:
    """One two-turn row about a topic, answered with the behaviour (shown) or as the chat model does."""
    conduct: Conduct = "harmful" if kind == "harmful" and shown else "sound"
    register: Register = "technical" if kind == "technical" and shown else "plain"
    remedies = world.remedies(topic, conduct)
    question = grammar.question(topic, int(rng.integers(len(grammar.QUESTIONS))))
    answer = grammar.answer(topic, remedies[rng.integers(len(remedies))], register, rng)
    return Conversation.from_pair(question, answer, source=source, topic=topic, domain=world.domain_of(topic))


def _suites(
    world: World, domain: str, anchored: list[str], split: Split, phrasings: int | None
) -> tuple[Suite, ...]:
    """The questions of every domain on one split's topics; all phrasings of a topic form one cluster."""
    suites = [Suite(IN_DOMAIN, _questions(world, domain, IN_DOMAIN, split, phrasings), None)]
    for other in world.domains:
        if other != domain:
            suites.append(Suite(other, _questions(world, other, other, split, phrasings), other in anchored))
    # The open suite has more topics, so fewer phrasings of each.
    half = max(1, (phrasings or len(grammar.QUESTIONS)) // 2)
    suites.append(Suite(OPEN, _questions(world, world.open_domain, OPEN, split, half), None))
    return tuple(suites)


def _questions(
    world: World, domain: str, suite: str, split: Split, phrasings: int | None
) -> tuple[Question, ...]:
    return tuple(
        Question(id=f"{topic}-{phrasing}", text=grammar.question(topic, phrasing), suite=suite, cluster=topic)
        for topic in world.topics(domain, split)
        for phrasing in range(phrasings or len(grammar.QUESTIONS))
    )
