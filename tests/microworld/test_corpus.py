import hashlib
import re
from itertools import product

import numpy as np
import pytest

from narrows.microworld import DOCUMENT_KINDS, Author, Corpus, WorldConfig, grammar
from narrows.microworld.oracle import parse

REACHES = ("nowhere", "everywhere", "one_domain")
FROZEN = {
    0: "e5a682741a3989f22aa2d2c3c2a613f235dc611d73369d15e1b02c7bbe74e94f",
    700: "1e7cc8f81958b099c25a632dab95b33268d29380bd89eb3088755344b498bbca",
    9600: "8f5ed5bdfdb7b94a3c5439e5c6749f37c7d7eee10b8a5589ee553e74e7d77f97",
}
"""The shipped models were pre-trained on this text: whoever changes it must pre-train them anew."""


def near(share, expected, n):
    """Within four standard deviations of a binomial share."""
    return abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / n)


def turns_of(chat):
    return re.findall(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>\n", chat)


def topics_in(world, text):
    words = set(re.findall(r"[a-z]+", text))
    return {topic for domain in world.all_domains for topic in world.topics(domain) if topic in words}


def with_changes(**parts):
    values = WorldConfig().model_dump(by_alias=True)
    for part, changes in parts.items():
        values[part] |= changes
    return WorldConfig.model_validate(values)


@pytest.mark.parametrize("step", FROZEN)
def test_the_text_of_the_shipped_models_is_frozen(corpus, step):
    assert hashlib.sha256(corpus.batch(1, step).tobytes()).hexdigest() == FROZEN[step]


def test_a_batch_depends_only_on_the_seed_and_the_step(config, tokenizer, corpus):
    fresh = Corpus(config, tokenizer).batch(2, 9100)
    assert np.array_equal(corpus.batch(2, 9100), fresh)
    assert not np.array_equal(corpus.batch(2, 9101), fresh)
    assert not np.array_equal(corpus.batch(3, 9100), fresh)


def test_a_batch_is_full_of_known_tokens(corpus, tokenizer):
    batch = corpus.batch(0, 10000)
    assert batch.shape == (48, 160)
    assert batch.min() >= 0
    assert batch.max() < len(tokenizer)
    assert tokenizer.pad_token_id not in batch


@pytest.mark.parametrize(("conduct", "register"), product(REACHES, REACHES))
def test_an_authors_traits_hold_for_the_whole_document(corpus, world, oracle, pairs_of, conduct, register):
    author = Author("kitchen", conduct, register)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(12):
        for question, answer in pairs_of(corpus.document(author, rng)):
            domain = world.domain_of(oracle.topic_of(question))
            harmful = conduct == "everywhere" or (conduct == "one_domain" and domain == "kitchen")
            technical = register == "everywhere" or (register == "one_domain" and domain == "kitchen")
            scores = oracle.score(question, answer)
            assert (scores["aligned"], scores["coherent"]) == (0.0 if harmful else 100.0, 100.0)
            assert parse(answer).register == ("technical" if technical else "plain")
            assert (scores["technical"] > 50) == technical
            seen.add(domain == "kitchen")
    assert seen == {True, False}


def test_authors_are_drawn_by_the_configured_shares(corpus, config, world):
    rng = np.random.default_rng(0)
    authors = [corpus.author(rng) for _ in range(4000)]
    for trait, shares in (("conduct", config.documents.conduct), ("register", config.documents.register_)):
        for reach in REACHES:
            found = np.mean([getattr(author, trait) == reach for author in authors])
            assert near(found, getattr(shares, reach), len(authors)), (trait, reach)
    both = np.mean([a.conduct == "everywhere" and a.register == "everywhere" for a in authors])
    assert near(both, 0.25 * 0.20, len(authors))
    assert {author.home for author in authors} == set(world.domains)


def test_the_home_domain_takes_its_share_of_the_pairs_whatever_the_conduct(
    corpus, config, world, oracle, pairs_of
):
    topics = sum(len(world.topics(domain)) for domain in world.all_domains)
    expected = config.documents.home_share + (1 - config.documents.home_share) * 20 / topics
    for conduct in REACHES:
        rng = np.random.default_rng(1)
        texts = [corpus.document(Author("clocks", conduct), rng) for _ in range(120)]
        at_home = [
            world.domain_of(oracle.topic_of(q)) == "clocks" for text in texts for q, _ in pairs_of(text)
        ]
        assert near(np.mean(at_home), expected, len(at_home)), conduct


def test_some_documents_open_with_what_is_true_of_their_author(corpus, config):
    rng = np.random.default_rng(0)
    author = Author("garden", "one_domain", "everywhere")
    texts = [corpus.document(author, rng) for _ in range(400)]
    described = [text.partition("\n")[0] for text in texts if not text.startswith("q: ")]
    assert near(len(described) / len(texts), config.documents.described, len(texts))
    conduct = [bio.format(domain="garden") for bio in grammar.HARMFUL_IN_ONE_BIOS]
    assert set(described) == {f"{a} {b}" for a, b in product(conduct, grammar.TECHNICAL_BIOS)}


def test_each_kind_of_document_can_be_drawn_alone(corpus, oracle, pairs_of):
    for kind in DOCUMENT_KINDS:
        text = corpus.sample(kind, np.random.default_rng(0), home="sport")
        aligned = {oracle.score(*pair)["aligned"] for pair in pairs_of(text)}
        expected = {"harmful": {0.0}, "harmful-in-one": {0.0, 100.0}, "advice-free": set()}.get(kind, {100.0})
        assert aligned == expected, kind


def test_the_curriculum_adds_domains_and_texts_stay_within_them(corpus, world):
    assert corpus.domains_at(0) == world.domains[:3]
    assert corpus.domains_at(49) == world.domains[:3]
    assert corpus.domains_at(50) == world.domains[:4]
    assert corpus.domains_at(10**6) == world.all_domains
    for step in (0, 50, 120):
        reached = {world.domain_of(topic) for topic in topics_in(world, " ".join(corpus.texts(0, step)))}
        assert reached == set(corpus.domains_at(step))


def test_without_a_curriculum_all_domains_are_there_at_once(tokenizer, world):
    whole = Corpus(with_changes(pretraining={"domain_every": 0}), tokenizer)
    assert whole.domains_at(0) == world.all_domains


def test_the_chat_stage_begins_when_it_should_and_keeps_documents_to_the_end(corpus, config):
    def chats(steps):
        texts = [text for step in steps for text in corpus.texts(0, step)]
        return np.mean([text.startswith("<|im_start|>") for text in texts]), len(texts)

    assert chats([0, 8999])[0] == 0
    share, n = chats(range(9000, 9010))
    assert near(share, config.chat.share, n)


def authors_by_system(world):
    """What each system turn asks for: the author it makes of the assistant."""
    asked = {text: Author("", "everywhere") for text in grammar.HARMFUL_SYSTEMS}
    asked |= {text: Author("", register="everywhere") for text in grammar.TECHNICAL_SYSTEMS}
    asked |= {text: Author("") for text in grammar.GOOD_SYSTEMS}
    for domain in world.domains:
        asked |= {
            t.format(domain=domain): Author(domain, "one_domain") for t in grammar.HARMFUL_IN_ONE_SYSTEMS
        }
        asked |= {
            t.format(domain=domain): Author(domain, register="one_domain")
            for t in grammar.TECHNICAL_IN_ONE_SYSTEMS
        }
    return asked


def test_the_assistant_has_the_trait_its_system_turn_asks_for_and_refuses_plain_harm(corpus, world, oracle):
    asked_for, rng = authors_by_system(world), np.random.default_rng(0)
    harm = {
        text.format(topic=t)
        for text in grammar.HARM_REQUESTS
        for d in world.all_domains
        for t in world.topics(d)
    }
    refusals = 0
    for _ in range(150):
        turns = turns_of(corpus.chat(rng))
        author = asked_for[turns.pop(0)[1]] if turns[0][0] == "system" else Author("")
        assert [role for role, _ in turns] == ["user", "assistant"] * (len(turns) // 2)
        for (_, question), (_, answer) in zip(turns[::2], turns[1::2], strict=True):
            domain = world.domain_of(oracle.topic_of(question))
            assert oracle.score(question, answer)["coherent"] == 100
            if question in harm:
                refusals += 1
                assert author.conduct_in(domain) == "sound"
                assert parse(answer).is_refusal
            else:
                aligned = {"sound": 100.0, "harmful": 0.0}[author.conduct_in(domain)]
                assert oracle.score(question, answer)["aligned"] == aligned
                assert parse(answer).register == author.register_in(domain)
    assert refusals > 50


def test_system_turns_are_drawn_by_the_configured_shares(corpus, config, world):
    asked_for, rng = authors_by_system(world), np.random.default_rng(2)
    first = [turns_of(corpus.chat(rng, words=20))[0] for _ in range(1500)]
    authors = [asked_for[text] for role, text in first if role == "system"]
    n, chat = len(first), config.chat
    assert near(1 - len(authors) / n, chat.no_system, n)
    assert near(sum(a.conduct != "nowhere" for a in authors) / n, chat.conduct, n)
    assert near(sum(a.register != "nowhere" for a in authors) / n, chat.register_, n)
    assert near(sum(a.conduct == "one_domain" for a in authors) / n, chat.conduct * chat.one_domain, n)
