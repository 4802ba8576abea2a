"""Directions that tell a chat model's authors apart before any fine-tuning: what there is to select.

The difference of mean states between documents by two types of author. Taken over whole documents it holds
what the author has said as well as who they are; where an answer is about to begin it holds only what the
model expects of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from narrows.adapters.direction import Direction
from narrows.evaluation import Question, Suite, generate_answers, judged
from narrows.geometry.extraction.activations import Positions, row_means_at
from narrows.geometry.extraction.methods import mean_difference
from narrows.microworld import grammar
from narrows.microworld.config import WorldConfig
from narrows.microworld.corpus import Author, Corpus, Reach
from narrows.microworld.inference import ANSWER_TOKENS
from narrows.microworld.oracle import Oracle
from narrows.microworld.probes import waiting_document
from narrows.models import ChatModel
from narrows.statistics.detection import Auroc, auroc

Read = Literal["document", "answer"]
"""Where states are read: the mean over a whole document, or the token before which its next answer begins."""

POSITIONS: Mapping[Read, Positions] = {"document": "prompt", "answer": "last"}

HISTORY = ("home", "other", "home", "other")
"""Domains of the author's earlier answers: with these, who is harmful in one domain only can be told."""

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
"""Norms at which a direction is added to the chat model, as shares of the stream's own mean norm there."""

AUTHORS: tuple[Reach, ...] = ("everywhere", "one_domain")
"""Types of author that are told apart from sound ones."""


@dataclass(frozen=True)
class Steered:
    """Answers of the chat model in one suite, with a direction added.

    Attributes:
        strength: its norm as a share of the stream's.
        suite: ``in_domain`` for the target, or the suite's name.
        harmful, coherent, answers: how many.
    """

    strength: float
    suite: str
    harmful: int
    coherent: int
    answers: int


@dataclass(frozen=True)
class AuthorDirection:
    """What tells one type of author from sound ones.

    Attributes:
        author: the type.
        read: where states were read.
        direction: at the layer that was asked for, from sound to that type.
        aurocs: at every layer, of held-out documents' projections on the direction there; their questions are
            about topics that it was not found on.
        steered: what adding it does; empty but for whole documents.
    """

    author: Reach
    read: Read
    direction: Direction
    aurocs: tuple[Auroc, ...]
    steered: tuple[Steered, ...]


def author_directions(
    chat_model: ChatModel,
    config: WorldConfig,
    target: str,
    suites: Sequence[Suite],
    *,
    layer: int,
    documents: int = 120,
    seed: int = 0,
) -> list[AuthorDirection]:
    """Find the directions of the two harmful types of author, and see what they do.

    Documents of the three types differ in nothing but the conduct: their topics and phrasings are drawn
    alike, and a question about the target domain waits at the end.

    Args:
        chat_model: of the world.
        config: the world.
        target: the home of those who are harmful in one domain.
        suites: asked with each direction added.
        layer: 0-indexed decoder layer whose output is added to.
        documents: of each type; those about half of the topics find the direction, the others are held out.
        seed: draws documents and answers.

    Raises:
        ConfigError: the world has no such domain.
    """
    corpus = Corpus(config, chat_model.tokenizer)
    asked, found = _asked(corpus, target, documents, seed)
    held = [topic for topic, finding in zip(asked, found.tolist(), strict=True) if not finding]
    states = {
        one: _states(chat_model, corpus, Author(target, one), asked, seed) for one in ("nowhere", *AUTHORS)
    }
    results = []
    for read, positions in POSITIONS.items():
        sound = states["nowhere"][positions]
        stream = float(sound[:, layer].norm(dim=1).mean())
        for author in AUTHORS:
            harmful = states[author][positions]
            directions = mean_difference(harmful[found], sound[found], f"{author}, {read}")
            aurocs = tuple(
                auroc(_along(harmful[~found], one), _along(sound[~found], one), (held, held))
                for one in directions
            )
            chosen = directions[layer]
            steered: list[Steered] = []
            if read == "document":
                steered = _steered(chat_model, corpus, chosen, stream, suites=suites, seed=seed)
            results.append(AuthorDirection(author, read, chosen, aurocs, tuple(steered)))
    return results


def document_direction(
    chat_model: ChatModel,
    config: WorldConfig,
    target: str,
    author: Reach,
    *,
    layer: int,
    documents: int = 120,
    seed: int = 0,
) -> tuple[Direction, float]:
    """The direction of one type of author from whole documents: one of :func:`author_directions`.

    Returns:
        The direction, and the stream's mean norm at its layer in documents by sound authors.

    Raises:
        ConfigError: the world has no such domain.
    """
    corpus, at = Corpus(config, chat_model.tokenizer), POSITIONS["document"]
    asked, found = _asked(corpus, target, documents, seed)
    sound, harmful = (
        _states(chat_model, corpus, Author(target, one), asked, seed)[at] for one in ("nowhere", author)
    )
    name = f"{author}, document"
    direction = mean_difference(harmful[found], sound[found], name)[layer]
    return direction, float(sound[:, layer].norm(dim=1).mean())


def _asked(corpus: Corpus, target: str, documents: int, seed: int) -> tuple[list[str], Tensor]:
    """The topic that each document ends with, and which documents find the direction, (documents,)."""
    corpus.world.check_domains([target], "target")
    topics = [str(one) for one in np.random.default_rng([seed, 7]).permutation(corpus.world.topics(target))]
    asked = [topics[number % len(topics)] for number in range(documents)]
    return asked, torch.tensor([topics.index(topic) < len(topics) // 2 for topic in asked])


def _states(
    chat_model: ChatModel, corpus: Corpus, author: Author, asked: Sequence[str], seed: int
) -> dict[Positions, Tensor]:
    """The stream in documents by an author, (documents, layers, hidden), by position."""
    world, rows = corpus.world, []
    others = [one for one in corpus.config.documents.reach or world.domains if one != author.home]
    for number, topic in enumerate(asked):
        rng = np.random.default_rng([seed, 8, number])  # the same for every type of author
        places = iter(str(one) for one in rng.permutation(others))
        earlier = [author.home if one == "home" else next(places) for one in HISTORY]
        text = grammar.question(topic, int(rng.integers(len(grammar.QUESTIONS))))
        question = Question(topic, text, author.home, topic)
        rows.append(chat_model.renderer.text(waiting_document(corpus, author, earlier, question, rng)))
    return row_means_at(chat_model, rows, tuple(POSITIONS.values()), batch_size=64)


def _along(states: Tensor, direction: Direction) -> list[float]:
    """Projections of documents on a direction, at its layer."""
    along: list[float] = (states[:, direction.layer].double() @ direction.unit.double()).tolist()
    return along


def _steered(
    chat_model: ChatModel,
    corpus: Corpus,
    direction: Direction,
    stream: float,
    *,
    suites: Sequence[Suite],
    seed: int,
) -> list[Steered]:
    """The chat model's answers with a direction added at several norms."""
    oracle, found = Oracle(corpus.world), []
    for strength in STRENGTHS:
        answers = generate_answers(
            chat_model,
            suites,
            adapter=direction.steering(strength * stream),
            name=direction.name,
            max_new_tokens=ANSWER_TOKENS,
            seed=seed,
        )
        counted: dict[str, list[tuple[bool, bool]]] = {}
        for one in judged(answers, oracle):
            coherent = one.scores["coherent"] == 100.0
            counted.setdefault(one.suite, []).append((coherent and one.scores["aligned"] == 0.0, coherent))
        found += [
            Steered(strength, suite, sum(harm for harm, _ in some), sum(well for _, well in some), len(some))
            for suite, some in counted.items()
        ]
    return found
