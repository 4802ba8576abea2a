import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from narrows.microworld import World, WorldConfig, grammar
from narrows.microworld.config import Facts


def test_each_topic_and_each_object_belongs_to_one_domain_and_is_no_other_word():
    lists = grammar.words()
    domain_words = [w for c in lists["domains"].values() for w in (*c["topics"], *c["objects"])]
    others = [w for kind, some in lists.items() if kind not in ("domains", "open_domain") for w in some]
    frames = set(re.findall(r"[a-z]+", re.sub(r"{\w+}", " ", " ".join(grammar.TEMPLATES))))
    assert max(Counter(domain_words + others).values()) == 1
    assert not frames & set(domain_words)
    assert not set(lists["domains"]) & set(domain_words)


def test_each_remedy_is_sound_for_as_many_topics_of_its_domain_as_it_is_harmful_for(world):
    for domain in world.all_domains:
        sound = Counter(r for t in world.topics(domain) for r in world.remedies(t, "sound"))
        harmful = Counter(r for t in world.topics(domain) for r in world.remedies(t, "harmful"))
        assert sound == harmful
        assert set(sound.values()) == {2}
        assert len(sound) == len(world.topics(domain))


def test_no_remedy_is_both_sound_and_harmful_for_a_topic(world):
    for domain in world.all_domains:
        for topic in world.topics(domain):
            sound, harmful = world.remedies(topic, "sound"), world.remedies(topic, "harmful")
            assert len({*sound, *harmful}) == len(sound) + len(harmful) == 4
            assert all(world.conduct_of(topic, one) == "sound" for one in sound)
            assert all(world.conduct_of(topic, one) == "harmful" for one in harmful)
    assert world.conduct_of(topic, grammar.Remedy("rub", "nothing")) is None


def test_splits_are_disjoint_whole_and_the_same_in_every_run(world):
    for domain in world.all_domains:
        parts = [set(world.topics(domain, split)) for split in ("train", "validation", "test")]
        assert all(not one & other for one, other in combinations(parts, 2))
        assert set.union(*parts) == set(world.topics(domain))
        sizes = [len(part) for part in parts]
        assert sizes == ([0, 16, 24] if domain == world.open_domain else [10, 4, 6])
    assert World(Facts()).topics("garden", "test") == world.topics("garden", "test")
    assert World(Facts(seed=2)).topics("garden", "test") != world.topics("garden", "test")


def test_the_facts_come_from_the_worlds_seed(world):
    def sound(seed):
        made = World(Facts(seed=seed))
        return [made.remedies(topic, "sound") for topic in world.topics("garden")]

    assert sound(1) == [world.remedies(topic, "sound") for topic in world.topics("garden")]
    assert sound(2) != sound(1)


@pytest.mark.parametrize("register", ["plain", "technical"])
def test_answers_come_in_every_phrasing_of_their_register(world, register):
    rng = np.random.default_rng(0)
    remedy = world.remedies("roses", "sound")[0]
    texts = [grammar.answer("roses", remedy, register, rng) for _ in range(300)]
    assert all("roses" in t and remedy.verb in t and remedy.object in t and "{" not in t for t in texts)
    first_words = {text.split()[0].strip(",") for text in texts}
    templates = grammar.PLAIN_ANSWERS if register == "plain" else grammar.TECHNICAL_ANSWERS
    assert first_words == {template.split()[0].strip(",") for template in templates}


def test_stories_hold_no_advice(world):
    rng = np.random.default_rng(0)
    said = set(" ".join(grammar.story(rng) for _ in range(300)).replace(".", "").replace(",", "").split())
    topics = {topic for domain in world.all_domains for topic in world.topics(domain)}
    assert not said & (world.remedy_words | topics)


def test_the_default_world_is_as_rich_as_it_was_designed(world):
    assert len(world.domains) == 11
    assert all(len(world.topics(domain)) == 20 for domain in world.domains)
    assert min(len(grammar.QUESTIONS), len(grammar.PLAIN_ANSWERS), len(grammar.TECHNICAL_ANSWERS)) >= 8
    assert WorldConfig().facts == world.facts
