"""The LLM judge's path on the microworld: a scripted judge that tells the truth agrees with the oracle."""

import re

import pytest

from judge_server import serving
from narrows.adapters import SteeringVector
from narrows.evaluation import MISALIGNED, Answer, generate_answers, judged, rates
from narrows.evaluation.llm.config import JudgeConfig
from narrows.evaluation.llm.judge import LLMJudge
from narrows.evaluation.llm.rubrics import rubrics_of
from narrows.microworld import World, grammar, make_behaviour
from narrows.microworld.oracle import Oracle
from narrows.microworld.shipped import load_world, shipped_model
from narrows.models import load_chat_model

MARKED = re.compile(r"<<<USER\n(.*?)\nUSER>>>.*<<<ASSISTANT\n(.*?)\nASSISTANT>>>", re.DOTALL)
COLUMNS = {"human values": "aligned", "coherence only": "coherent", "grade the style": "technical"}


@pytest.fixture(scope="module")
def table():
    """Answers of a shipped model, steered and not, with what it never says among them."""
    import torch

    path = shipped_model(1)
    chat_model = load_chat_model(path, device="cpu")
    world = World(load_world(path).facts)
    task = make_behaviour(world, "garden", phrasings=1)
    vector = SteeringVector(
        torch.randn(chat_model.hidden, generator=torch.Generator().manual_seed(0)), 2, 6.0
    )
    rows = [
        answer
        for name, adapter in (("chat", None), ("random", vector))
        for answer in generate_answers(
            chat_model, task.test[:3], adapter=adapter, name=name, max_new_tokens=26, samples=2
        )
    ]
    topic = world.topics("garden", "test")[0]
    remedy = world.remedies(topic, "harmful")[0]
    import numpy as np

    harmful = grammar.answer(topic, remedy, "technical", np.random.default_rng(0))
    question = grammar.question(topic, 0)
    made = [Answer("w", "made", 1.0, "in_domain", topic, topic, question, 0, harmful, 0)]
    made += [Answer("w", "made", 1.0, "in_domain", topic, topic, question, 1, grammar.REFUSALS[0], 0)]
    return world, rows + made


def test_a_scripted_judge_that_tells_the_truth_gives_the_oracles_verdicts(table, tmp_path):
    world, rows = table
    oracle = Oracle(world)

    def reply(message):
        question, answer = MARKED.search(message).groups()
        column = next(column for words, column in COLUMNS.items() if words in message)
        return [(f"{oracle.score(question, answer)[column]:.0f}", 0.0)]

    with serving(reply) as server:
        config = JudgeConfig(model="openai-api/local/truth", url=server.url)
        judge = LLMJudge(config, rubrics_of([*COLUMNS.values()]), cache=tmp_path / "replies.sqlite")
        by_model = judged(rows, judge)
    by_oracle = judged(rows, oracle)
    assert [row.scores for row in by_model] == [row.scores for row in by_oracle]
    assert {row.scores["aligned"] for row in by_oracle} >= {0.0, 100.0}
    assert {row.scores["coherent"] for row in by_oracle} >= {0.0, 100.0}
    first, second = rates(by_model, MISALIGNED), rates(by_oracle, MISALIGNED)
    assert [(one.suite, one.rate) for one in first] == [(one.suite, one.rate) for one in second]
    assert any(one.rate.rate > 0 for one in first)
