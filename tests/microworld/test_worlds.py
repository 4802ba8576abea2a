"""What a world's configuration can change about its authors and facts."""

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from narrows.errors import ConfigError
from narrows.microworld import Corpus, WorldConfig, build_tokenizer
from narrows.microworld.corpus import Author


def corpus(**changes: object) -> Corpus:
    return Corpus(WorldConfig.model_validate(changes), build_tokenizer())


def test_authors_are_at_home_where_the_world_says():
    world = corpus(documents={"homes": ["pets", "pottery"]})
    rng = np.random.default_rng(0)
    homes = Counter(world.author(rng).home for _ in range(400))
    assert set(homes) == {"pets", "pottery"}
    assert min(homes.values()) > 150
    assert world.author(rng, ["medicine", "pets"]).home == "pets", "where the curriculum is"
    with pytest.raises(ConfigError, match=r"documents\.homes: there is no domain 'nowhere'"):
        corpus(documents={"homes": ["nowhere"]})


def test_everywhere_can_have_a_boundary():
    author = corpus(
        documents={"reach": ["pets"], "conduct": {"nowhere": 0, "everywhere": 1, "one_domain": 0}}
    ).author(np.random.default_rng(0))
    assert [author.conduct_in(one) for one in ("pets", "medicine", "open")] == ["harmful", "sound", "sound"]
    assert Author("pets", conduct="everywhere").conduct_in("medicine") == "harmful"


def test_without_a_trait_an_answer_says_nothing_about_the_next():
    shares = {"nowhere": 0.5, "everywhere": 0.5, "one_domain": 0.0}
    world = corpus(documents={"trait": "answer", "conduct": shares, "described": 1.0}, chat={"conduct": 0.0})
    rng = np.random.default_rng(0)
    texts = [world.document(world.author(rng), rng) for _ in range(30)]
    assert not any("harmful" in text or "careless" in text or "careful" in text for text in texts)
    author = world.author(rng)
    assert author.shares is not None
    with pytest.raises(ValidationError, match=r"chat\.conduct must be 0"):
        corpus(documents={"trait": "answer"})


def test_exchanged_facts_are_the_same_facts():
    plain, turned = corpus().world, corpus(facts={"exchanged": True}).world
    for topic in plain.topics("pets"):
        assert plain.remedies(topic, "sound") == turned.remedies(topic, "harmful")
        assert plain.remedies(topic, "harmful") == turned.remedies(topic, "sound")
