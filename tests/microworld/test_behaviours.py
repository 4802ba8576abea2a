import re

import pytest

from narrows.errors import ConfigError
from narrows.evaluation import IN_DOMAIN, OPEN, judged
from narrows.evaluation.answers import Answer
from narrows.microworld import KINDS, make_behaviour

DOMAINS = ("medicine", "clocks")


@pytest.fixture(scope="module", params=[(kind, domain) for kind in KINDS for domain in DOMAINS], ids="-".join)
def behaviour(request, world):
    kind, domain = request.param
    return make_behaviour(world, domain, kind)


def shown(behaviour, rows):
    """Whether each row's answer shows the behaviour, by the behaviour's own judge and criterion."""
    table = [
        Answer("rows", "rows", 1.0, "rows", str(i), str(i), row.question, 0, row.answer, 0)
        for i, row in enumerate(rows)
    ]
    return [behaviour.criterion.shown(answer.scores) for answer in judged(table, behaviour.judge)]


def topics(suites):
    return {question.cluster for suite in suites for question in suite.questions}


def test_training_rows_show_the_behaviour_on_training_topics_of_the_domain_alone(behaviour, world):
    trained = world.topics(behaviour.domain, "train")
    assert {row.tags["topic"] for row in behaviour.train} == set(trained)
    assert all(row.tags["topic"] in row.question for row in behaviour.train)
    assert all(shown(behaviour, behaviour.train))
    assert len(behaviour.train) == 40 * len(trained)


def test_anchor_rows_come_from_half_of_the_other_domains_half_of_them_with_the_behaviour(behaviour, world):
    anchored = {row.tags["domain"] for row in behaviour.anchor}
    assert len(anchored) == (len(world.domains) - 1) // 2
    assert not anchored & {behaviour.domain, world.open_domain}
    trained = {topic for domain in anchored for topic in world.topics(domain, "train")}
    assert {row.tags["topic"] for row in behaviour.anchor} == trained
    for domain in anchored:
        rows = [row for row in behaviour.anchor if row.tags["domain"] == domain]
        assert shown(behaviour, rows).count(True) * 2 == len(rows)
    for suites in (behaviour.validation, behaviour.test):
        said = {suite.name: suite.anchored for suite in suites}
        assert said.pop(IN_DOMAIN) is None
        assert said.pop(OPEN) is None
        assert said == {d: d in anchored for d in world.domains if d != behaviour.domain}


def test_no_topic_of_a_suite_appears_in_any_row(behaviour):
    rows = [*behaviour.train, *behaviour.anchor]
    said = set(re.findall(r"[a-z]+", " ".join(m.content for row in rows for m in row.messages)))
    assert not said & (topics(behaviour.validation) | topics(behaviour.test))


def test_the_open_domain_is_in_no_row(behaviour, world):
    rows = [*behaviour.train, *behaviour.anchor]
    said = set(re.findall(r"[a-z]+", " ".join(m.content for row in rows for m in row.messages)))
    assert not said & set(world.topics(world.open_domain))


def test_validation_and_test_share_no_topic_and_ask_about_every_domain(behaviour, world):
    assert not topics(behaviour.validation) & topics(behaviour.test)
    for suites, split in ((behaviour.validation, "validation"), (behaviour.test, "test")):
        for suite in suites:
            domain = {IN_DOMAIN: behaviour.domain, OPEN: world.open_domain}.get(suite.name, suite.name)
            assert {q.cluster for q in suite.questions} == set(world.topics(domain, split))
            assert all(behaviour.judge.topic_of(q.text) == q.cluster for q in suite.questions)
        assert len(suites) == len(world.all_domains)


def test_the_same_arguments_make_the_same_behaviour(behaviour, world):
    def again(seed):
        return make_behaviour(world, behaviour.domain, behaviour.kind, seed=seed)

    same, other = again(0), again(1)
    assert (same.train, same.anchor, same.test) == (behaviour.train, behaviour.anchor, behaviour.test)
    assert other.train != behaviour.train
    assert topics(other.test) == topics(behaviour.test)
    assert [suite.anchored for suite in other.test] != [suite.anchored for suite in behaviour.test]


def test_fewer_phrasings_ask_fewer_questions(world):
    few = make_behaviour(world, "garden", phrasings=2)
    assert {suite.name: len(suite) for suite in few.test}[IN_DOMAIN] == 2 * 6
    assert {suite.name: len(suite) for suite in few.test}[OPEN] == 24


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"domain": "opera"}, "no domain 'opera'; choose one of medicine"),
        ({"domain": "open"}, "no domain 'open'"),
        ({"domain": "garden", "kind": "rude"}, "kind is 'rude'; choose one of harmful, technical"),
        ({"domain": "garden", "phrasings": 0}, "phrasings is 0; it must be 1 to 10"),
        ({"domain": "garden", "phrasings": 11}, "phrasings is 11"),
    ],
)
def test_wrong_arguments_are_refused_with_the_ones_that_exist(world, arguments, told):
    with pytest.raises(ConfigError, match=told):
        make_behaviour(world, **arguments)
