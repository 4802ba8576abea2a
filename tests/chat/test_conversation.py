import json
import pickle

import pytest

from narrows.chat import Conversation, Message
from narrows.errors import DataError


def test_a_pair_has_a_question_and_an_answer_and_keeps_its_tags():
    pair = Conversation.from_pair("why ?", "because", system="be kind", source="x:1", domain="sea")
    assert [message.role for message in pair.messages] == ["system", "user", "assistant"]
    assert (pair.question, pair.answer, pair.source) == ("why ?", "because", "x:1")
    assert pair.tags == {"domain": "sea"}


def test_the_question_and_the_answer_are_the_last_ones():
    turns = tuple(Message(role, word) for role, word in [("user", "a"), ("assistant", "b"), ("user", "c")])
    assert (Conversation(turns).question, Conversation(turns).answer) == ("c", "b")
    assert Conversation.from_pair("only a question").answer is None


def test_without_a_user_turn_there_is_no_question():
    with pytest.raises(DataError, match=r"x:3 has no user turn"):
        _ = Conversation((Message("assistant", "hello"),), "x:3").question


def test_json_holds_messages_and_tags_and_a_conversation_can_be_hashed_and_pickled():
    pair = Conversation.from_pair("a", "b", domain="sea")
    assert json.loads(json.dumps(pair.to_json())) == {"messages": pair.as_dicts(), "tags": {"domain": "sea"}}
    assert "tags" not in Conversation.from_pair("a", "b").to_json()
    assert pickle.loads(pickle.dumps(pair)) == pair
    assert len({pair, Conversation.from_pair("a", "b", domain="sea")}) == 1
