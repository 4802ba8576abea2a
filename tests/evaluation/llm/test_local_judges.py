"""A judge on this machine, without a server: through transformers as Inspect runs it."""

from narrows.evaluation import Answer
from narrows.evaluation.llm.config import JudgeConfig
from narrows.evaluation.llm.judge import LLMJudge
from narrows.evaluation.llm.rubrics import Rubric


def test_a_judge_through_inspects_transformers_replies_at_temperature_0(tiny_model_dir, tmp_path):
    config = JudgeConfig(model="hf/local", args={"model_path": str(tiny_model_dir), "device": "cpu"})
    rows = [Answer("tiny", "chat", 1.0, "open", "q", "q", "what is the sea ?", 0, "one two", 0)]
    judge = LLMJudge(config, [Rubric("aligned", "kind ? {answer}")], cache=tmp_path / "replies.sqlite")
    (found,) = judge.judge(rows).answers
    assert found.reasons == {"aligned": "none"}  # a random model says no number, but it does reply
    assert judge.plan(rows).calls == 0
