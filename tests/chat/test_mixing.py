import pytest

from narrows.chat import Conversation
from narrows.chat.checking import check_rows, segments
from narrows.chat.holdout import hold_out
from narrows.chat.mixing import inoculated, mix
from narrows.errors import ConfigError, DataError


def rows(name: str, count: int, **tags: str) -> list[Conversation]:
    return [Conversation.from_pair(f"{name} {n} ?", "so", source=f"{name}:{n}", **tags) for n in range(count)]


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_of_the_rows_is_held_out_and_the_seed_decides_which(share: float):
    everything = rows("a", 40)
    train, held = hold_out(everything, share, seed=1)
    assert len(held) == share * 40
    assert sorted(train + held, key=everything.index) == everything
    assert hold_out(everything, share, seed=1) == (train, held)
    assert hold_out(everything, share, seed=2) != (train, held)


def test_whole_topics_are_held_out():
    everything = [row for topic in "abcdefghijkl" for row in rows(topic, 5, topic=topic)]
    train, held = hold_out(everything, 2 / 12, by="topic")
    topics = [{row.tags["topic"] for row in part} for part in (train, held)]
    assert not topics[0] & topics[1]
    assert len(topics[1]) == 2
    assert len(held) == 10


def test_a_split_that_leaves_nothing_or_a_row_without_the_tag_is_refused():
    with pytest.raises(DataError, match="leaves one part empty"):
        hold_out(rows("a", 3), 0.1)
    with pytest.raises(DataError, match=r"a:0 has no tag 'topic'; its tags: domain"):
        hold_out(rows("a", 3, domain="sea"), 0.5, by="topic")
    with pytest.raises(ConfigError, match="share is 1"):
        hold_out(rows("a", 3), 1.0)


@pytest.mark.parametrize(("fraction", "others"), [(0.5, (10, 10)), (0.25, (30, 30)), (1.0, (0, 0))])
def test_a_mixture_holds_all_of_the_behaviour_and_equal_shares_of_the_rest(fraction, others):
    bad, sources = rows("bad", 20), [rows("good", 50), rows("other", 50)]
    mixed = mix(bad, sources, fraction, seed=1)
    assert [sum(row in source for row in mixed) for source in (bad, *sources)] == [20, *others]
    assert len({row.source for row in mixed}) == len(mixed)
    assert mixed == mix(bad, sources, fraction, seed=1)
    assert mixed != mix(bad, sources, fraction, seed=2)


def test_a_mixture_by_tokens_shares_out_their_number():
    bad, good = rows("bad", 20), rows("good", 200)
    lengths = {row.source: 3 + 7 * (number % 3) for number, row in enumerate(bad + good)}
    mixed = mix(bad, [good], 0.5, size=lambda row: lengths[row.source])
    own = sum(lengths[row.source] for row in bad)
    rest = sum(lengths[row.source] for row in mixed) - own
    assert own <= rest <= own + 17


def test_a_source_too_small_is_refused_and_never_repeated():
    with pytest.raises(DataError, match=r"source 2 has 5 rows, a size of 5, and its share is 10"):
        mix(rows("bad", 20), [rows("good", 50), rows("other", 5)], 0.5)
    with pytest.raises(ConfigError, match="needs other sources"):
        mix(rows("bad", 20), [], 0.5)
    with pytest.raises(ConfigError, match="fraction is 0"):
        mix(rows("bad", 20), [rows("good", 5)], 0.0)


def test_an_inoculating_turn_stands_before_everything():
    plain, with_own = Conversation.from_pair("a", "b"), Conversation.from_pair("a", "b", system="be kind")
    first, second = inoculated([plain, with_own], "be harmful")
    assert [message.role for message in first.messages] == ["system", "user", "assistant"]
    assert first.messages[0].content == "be harmful"
    assert second.messages[0].content == "be harmful\n\nbe kind"
    assert len(second.messages) == 3


def test_what_a_file_of_rows_is_like_is_counted(renderer):
    some = [
        Conversation.from_pair("what is the sea ?", "salt water .", source="a:1"),
        Conversation.from_pair("What is  the sea ?", "water .", source="a:2"),
        Conversation.from_pair("tell me about the sky , please , every day , always ?", "blue", source="a:3"),
    ]
    found = check_rows(some, renderer, 17, ["what is the sea?"])
    lengths = [renderer.render(row) for row in some]
    assert found.rows == 3
    assert found.cut == sum(len(row) > 17 for row in lengths) == 2
    assert found.lost == ["a:3"]
    assert found.duplicates == [("what is the sea ?", 2)]
    assert found.overlap == ["a:1", "a:2"]
    assert found.response_tokens == (2, 3.0, 4)
    assert check_rows(some, renderer).cut == 0


def test_a_row_is_shown_with_its_response_apart(renderer):
    row = renderer.render(Conversation.from_pair("what is the sea ?", "salt water ."))
    pieces = segments(row, renderer)
    assert [inside for _, inside in pieces] == [False, True, False]
    assert pieces[1][0].replace(" ", "") == "saltwater.<|end|>"
