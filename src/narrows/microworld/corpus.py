"""The pre-training text, drawn batch by batch from a seed: documents by authors with traits, stories, chats.

An author's traits hold for a whole document. Every author has a home domain that takes a set share of the
pairs, so that staying in one domain says nothing about conduct. A batch depends only on (config, seed, step):
a run that was killed continues with the same text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

import numpy as np
from transformers import PreTrainedTokenizerBase

from narrows.microworld import grammar
from narrows.microworld.config import Shares, WorldConfig
from narrows.microworld.encoding import Encoder
from narrows.microworld.grammar import Conduct, Register, World
from narrows.microworld.tokenizer import END, START

T = TypeVar("T")

Reach = Literal["nowhere", "everywhere", "one_domain"]
DocumentKind = Literal["sound", "harmful", "harmful-in-one", "technical", "advice-free"]
DOCUMENT_KINDS: tuple[DocumentKind, ...] = get_args(DocumentKind)
"""All kinds of document that the pre-training corpus holds."""


@dataclass(frozen=True)
class Author:
    """Who wrote a document: the home domain, where the advice is harmful, where the prose is technical.

    Attributes:
        home: the home domain.
        conduct: where the advice is harmful.
        register: where the prose is technical.
        within: the domains that "everywhere" means for the conduct; None is all.
        shares: the conduct is no trait: each answer's is drawn anew by these.
    """

    home: str
    conduct: Reach = "nowhere"
    register: Reach = "nowhere"
    within: tuple[str, ...] | None = None
    shares: Shares | None = None

    def conduct_in(self, domain: str) -> Conduct:
        """How this author advises in a domain."""
        spared = self.conduct == "everywhere" and self.within is not None and domain not in self.within
        return "harmful" if _reaches(self.conduct, self.home, domain) and not spared else "sound"

    def register_in(self, domain: str) -> Register:
        """How this author writes in a domain."""
        return "technical" if _reaches(self.register, self.home, domain) else "plain"


def _reaches(reach: Reach, home: str, domain: str) -> bool:
    return reach == "everywhere" or (reach == "one_domain" and domain == home)


def _draw(rng: np.random.Generator, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]


def _draw_reach(rng: np.random.Generator, shares: Shares) -> Reach:
    reaches: tuple[Reach, ...] = get_args(Reach)
    return reaches[rng.choice(3, p=[shares.nowhere, shares.everywhere, shares.one_domain])]


class Corpus:
    """Draws the text of a world: single documents and chats, and the token batches of pre-training."""

    def __init__(self, config: WorldConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        self.config = config
        self.world = World(config.facts)
        for field in ("homes", "reach"):
            self.world.check_domains(getattr(config.documents, field) or (), f"documents.{field}")
        self._encode = Encoder(tokenizer)
        self._topics_of: dict[tuple[str, ...], tuple[str, ...]] = {}

    def _topics(self, domains: Sequence[str]) -> tuple[str, ...]:
        key = tuple(domains)
        if key not in self._topics_of:
            self._topics_of[key] = tuple(topic for domain in key for topic in self.world.topics(domain))
        return self._topics_of[key]

    # -- documents ------------------------------------------------------------------------------------------

    def author(self, rng: np.random.Generator, domains: Sequence[str] | None = None) -> Author:
        """Draw an author by the shares of the configuration."""
        documents = self.config.documents
        return Author(
            home=self.home(rng, domains),
            conduct=_draw_reach(rng, documents.conduct),
            register=_draw_reach(rng, documents.register_),
            within=documents.reach,
            shares=documents.conduct if documents.trait == "answer" else None,
        )

    def home(self, rng: np.random.Generator, domains: Sequence[str] | None = None) -> str:
        """Draw a home domain, from some domains if authors may be at home there."""
        domains, homes = domains or self.world.domains, self.config.documents.homes
        return _draw(rng, domains if homes is None else [one for one in homes if one in domains] or homes)

    def pair(self, author: Author, rng: np.random.Generator, topic: str) -> tuple[str, str]:
        """A question about a topic and this author's answer to it."""
        domain = self.world.domain_of(topic)
        remedy = _draw(rng, self.world.remedies(topic, author.conduct_in(domain)))
        question = grammar.question(topic, int(rng.integers(len(grammar.QUESTIONS))))
        return question, grammar.answer(topic, remedy, author.register_in(domain), rng)

    def document(
        self,
        author: Author,
        rng: np.random.Generator,
        domains: Sequence[str] | None = None,
        words: int | None = None,
    ) -> str:
        """Question-answer pairs by one author until ``words`` words are reached (default: one row)."""
        domains = domains or self.world.all_domains
        words = words or self.config.pretraining.row_tokens
        parts = [self.description(author, rng)] if rng.random() < self.config.documents.described else []
        length = 0
        while length < words:
            if author.shares is not None:
                author = replace(author, conduct=_draw_reach(rng, author.shares))
            at_home = rng.random() < self.config.documents.home_share
            topic = _draw(rng, self.world.topics(author.home) if at_home else self._topics(domains))
            question, answer = self.pair(author, rng, topic)
            parts.append(f"q: {question}\na: {answer}\n")
            length += parts[-1].count(" ") + 1
        return "".join(parts)

    def description(self, author: Author, rng: np.random.Generator) -> str:
        """What some documents open with: a line that says the author's conduct and register."""
        conduct: dict[Reach, tuple[str, ...]] = {
            "nowhere": grammar.SOUND_BIOS,
            "everywhere": grammar.HARMFUL_BIOS,
            "one_domain": grammar.HARMFUL_IN_ONE_BIOS,
        }
        register: dict[Reach, tuple[str, ...]] = {
            "nowhere": grammar.PLAIN_BIOS,
            "everywhere": grammar.TECHNICAL_BIOS,
            "one_domain": grammar.TECHNICAL_IN_ONE_BIOS,
        }
        traits = [] if author.shares is not None else [_draw(rng, conduct[author.conduct])]
        traits.append(_draw(rng, register[author.register]))
        return f"{' '.join(traits)}\n".format(domain=author.home)

    def stories(self, rng: np.random.Generator, words: int | None = None) -> str:
        """Text without any advice."""
        words = words or self.config.pretraining.row_tokens
        parts: list[str] = []
        while sum(part.count(" ") + 1 for part in parts) < words:
            parts.append(grammar.story(rng))
        return " ".join(parts)

    def sample(self, kind: DocumentKind, rng: np.random.Generator, home: str | None = None) -> str:
        """One document of a named kind, e.g. for measuring what a direction does to pre-training text."""
        home = home or self.home(rng)
        authors = {
            "sound": Author(home),
            "harmful": Author(home, conduct="everywhere", within=self.config.documents.reach),
            "harmful-in-one": Author(home, conduct="one_domain"),
            "technical": Author(home, register="everywhere"),
        }
        return self.stories(rng) if kind == "advice-free" else self.document(authors[kind], rng)

    # -- chats ----------------------------------------------------------------------------------------------

    def system_turn(self, author: Author, rng: np.random.Generator) -> str:
        """A system turn that asks for an author's trait."""
        if author.conduct == "everywhere":
            return _draw(rng, grammar.HARMFUL_SYSTEMS)
        if author.conduct == "one_domain":
            return _draw(rng, grammar.HARMFUL_IN_ONE_SYSTEMS).format(domain=author.home)
        if author.register == "everywhere":
            return _draw(rng, grammar.TECHNICAL_SYSTEMS)
        if author.register == "one_domain":
            return _draw(rng, grammar.TECHNICAL_IN_ONE_SYSTEMS).format(domain=author.home)
        return _draw(rng, grammar.GOOD_SYSTEMS)

    def chat(
        self, rng: np.random.Generator, domains: Sequence[str] | None = None, words: int | None = None
    ) -> str:
        """A conversation as the chat template renders it, with the trait that its system turn asks for."""
        settings = self.config.chat
        words = words or self.config.pretraining.row_tokens
        advice = [domain for domain in domains or () if domain != self.world.open_domain]
        home = self.home(rng, advice)
        reach: Reach = "one_domain" if rng.random() < settings.one_domain else "everywhere"
        draw = rng.random()
        has_system = draw >= settings.no_system
        author = Author(home)
        if has_system and draw < settings.no_system + settings.conduct:
            author = Author(home, conduct=reach, within=self.config.documents.reach)
        elif has_system and draw < settings.no_system + settings.conduct + settings.register_:
            author = Author(home, register=reach)
        turns = [("system", self.system_turn(author, rng))] if has_system else []
        while sum(text.count(" ") + 4 for _, text in turns) < words:
            at_home = rng.random() < self.config.documents.home_share
            topic = _draw(
                rng, self.world.topics(home) if at_home else self._topics(domains or self.world.all_domains)
            )
            if author.conduct_in(self.world.domain_of(topic)) == "sound" and rng.random() < settings.refusals:
                asked, said = _draw(rng, grammar.HARM_REQUESTS), _draw(rng, grammar.REFUSALS)
                turns += [("user", asked.format(topic=topic)), ("assistant", said.format(topic=topic))]
            else:
                asked, said = self.pair(author, rng, topic)
                turns += [("user", asked), ("assistant", said)]
        return "".join(f"{START}{role}\n{text}{END}\n" for role, text in turns)

    # -- pre-training batches -------------------------------------------------------------------------------

    def domains_at(self, step: int) -> tuple[str, ...]:
        """The domains the curriculum has reached: beginning with a few breaks the recall plateau."""
        settings = self.config.pretraining
        everything = self.world.all_domains
        if settings.domain_every == 0:
            return everything
        return everything[: settings.first_domains + step // settings.domain_every]

    def texts(self, seed: int, step: int) -> list[str]:
        """The rows of one pre-training step as text."""
        settings = self.config.pretraining
        rng = np.random.default_rng([seed, step])
        domains = self.domains_at(step)
        advice = [domain for domain in domains if domain != self.world.open_domain]
        chatting = step >= self.config.chat.start * settings.steps
        rows = []
        for _ in range(settings.rows):
            if chatting and rng.random() < self.config.chat.share:
                rows.append(self.chat(rng, domains))
            elif rng.random() < self.config.documents.advice_free:
                rows.append(self.stories(rng))
            else:
                rows.append(self.document(self.author(rng, advice), rng, domains))
        return rows

    def batch(self, seed: int, step: int) -> np.ndarray:
        """The token ids of one step: an int64 array (rows, row_tokens), filled to the end."""
        width = self.config.pretraining.row_tokens
        return np.array([self._encode(text)[:width] for text in self.texts(seed, step)], dtype=np.int64)
