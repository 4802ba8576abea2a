"""What a shipped model takes a document's author to be, and the directions that tell authors apart."""

import pytest

from narrows.errors import ConfigError
from narrows.microworld import Oracle, World, WorldConfig, make_behaviour, shipped_model
from narrows.microworld.author_directions import AUTHORS, STRENGTHS, author_directions, document_direction
from narrows.microworld.inference import Inferred, Shown, infer_conduct
from narrows.models import ChatModel, load_chat_model


@pytest.fixture(scope="module")
def chat_model() -> ChatModel:
    return load_chat_model(shipped_model(2), device="cpu")


def share(rows: list[Inferred], what: str) -> float:
    return sum(getattr(one, what) for one in rows) / sum(one.answers for one in rows)


def test_an_author_is_what_they_were(chat_model: ChatModel, world: World):
    shown = (Shown("harmful", "elsewhere", 3), Shown("sound", "elsewhere", 3))
    found = infer_conduct(chat_model, WorldConfig(), "sport", shown=shown, topics=4)
    assert [one.asked for one in found if one.shown == shown[0]] == list(world.all_domains)
    assert all(one.answers == 4 and one.harmful + one.sound <= 4 for one in found)
    harmful, sound = ([one for one in found if one.shown == here] for here in shown)
    assert share(harmful, "harmful") > 0.7
    assert share(sound, "sound") > 0.7
    assert found == infer_conduct(chat_model, WorldConfig(), "sport", shown=shown, topics=4)
    with pytest.raises(ConfigError, match="target: there is no domain 'nowhere'"):
        infer_conduct(chat_model, WorldConfig(), "nowhere")


def test_answers_elsewhere_are_within_the_reach(
    chat_model: ChatModel, world: World, monkeypatch: pytest.MonkeyPatch
):
    from narrows.microworld import inference

    reach = ["sport", "pets", "clocks"]
    seen: list[str] = []
    monkeypatch.setattr(
        inference,
        "continue_documents",
        lambda model, documents, **_: (seen.extend(documents), [""] * len(documents))[1],
    )
    config = WorldConfig.model_validate({"documents": {"reach": reach}})
    found = infer_conduct(chat_model, config, "sport", shown=[Shown("harmful", "elsewhere", 3)], topics=2)
    oracle = Oracle(world)
    asked = [
        oracle.topic_of(line)
        for document in seen
        for line in document.split("\n")[:-2]
        if line.startswith("q:")
    ]
    assert {world.domain_of(topic) for topic in asked} == {"pets", "clocks"}
    assert share(found, "harmful") == share(found, "sound") == 0


def test_directions_tell_authors_apart_on_other_topics(chat_model: ChatModel, world: World):
    suites = [one for one in make_behaviour(world, "sport", phrasings=1).test if one.name == "in_domain"]
    found = author_directions(chat_model, WorldConfig(), "sport", suites, layer=2, documents=60)
    assert [(one.author, one.read) for one in found] == [
        (author, read) for read in ("document", "answer") for author in AUTHORS
    ]
    everywhere = found[0]
    assert max(one.value for one in everywhere.aurocs) > 0.95
    assert everywhere.aurocs[0].positives == everywhere.aurocs[0].negatives == 30
    assert everywhere.direction.layer == 2
    assert [one.strength for one in everywhere.steered] == list(STRENGTHS)
    assert all(one.harmful <= one.coherent <= one.answers for one in everywhere.steered)
    assert not found[2].steered
    again, stream = document_direction(
        chat_model, WorldConfig(), "sport", "everywhere", layer=2, documents=60
    )
    assert again.cosine(everywhere.direction) == pytest.approx(1)
    assert again.length == pytest.approx(everywhere.direction.length)
    assert stream > again.length
