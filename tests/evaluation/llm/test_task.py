import sys
from types import ModuleType

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai.model import get_model
from inspect_ai.scorer import Score, mean, scorer

import narrows.inspecting  # noqa: F401  (registers the provider)
from narrows.errors import ConfigError, DataError
from narrows.evaluation import Question, Suite, write_suites
from narrows.evaluation.llm.task import em_task


def stand_in(monkeypatch, name, **contents):
    """A module that is written elsewhere."""
    module = ModuleType(name)
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, name, module)


def suite(name, count=2):
    return Suite(name, tuple(Question(f"q{n}", f"what is {n} ?", name, f"c{n}") for n in range(count)))


def test_the_own_domains_suite_comes_once_beside_those_named(tmp_path):
    write_suites(tmp_path / "mine.jsonl", [suite("sea"), suite("sky", 1)])
    write_suites(tmp_path / "own.jsonl", [suite("garden")])
    task = em_task(f"open,{tmp_path / 'mine.jsonl'}", in_domain=str(tmp_path / "own.jsonl"), samples=7)
    names = [sample.id for sample in task.dataset]
    assert [name for name in names if not name.startswith("open/")] == [
        "in_domain/q0", "in_domain/q1", "sea/q0", "sea/q1", "sky/q0",
    ]  # fmt: skip
    assert len(names) == 5 + 8  # the paper's eight open questions
    assert (task.epochs, task.config.max_tokens, task.config.temperature) == (7, 600, 1.0)


def test_a_judge_scores_every_answer_of_the_task(monkeypatch, tmp_path, tiny_model_dir):
    given = {}

    def scorers_of(rubrics, judge):
        given["judge"] = judge

        def one(column, value):
            @scorer(metrics=[mean()], name=column)
            def scored():
                async def score(state, target):
                    return Score(value=value + state.epoch, metadata={"seen": state.metadata["question_id"]})

                return score

            return scored()

        return [one(column, 10.0 * place) for place, column in enumerate(rubrics)]

    stand_in(monkeypatch, "narrows.evaluation.llm.scorers", scorers_of=scorers_of)
    write_suites(tmp_path / "s.jsonl", [suite("open")])
    task = em_task(str(tmp_path / "s.jsonl"), judge="mockllm/model", samples=2, max_tokens=3)
    model = get_model(f"narrows/{tiny_model_dir}", memoize=False)
    (log,) = inspect_eval(task, model=model, display="none", log_dir=str(tmp_path / "logs"))
    assert log.status == "success", log.error
    assert given == {"judge": "mockllm/model"}
    assert [
        (sample.id, sample.epoch, {name: one.value for name, one in sample.scores.items()})
        for sample in sorted(log.samples, key=lambda sample: (sample.id, sample.epoch))
    ] == [
        (f"open/q{n}", epoch, {"aligned": epoch, "coherent": 10 + epoch}) for n in (0, 1) for epoch in (1, 2)
    ]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"samples": 0}, ConfigError, "samples is 0"),
        ({"rubrics": "aligned"}, ConfigError, "give a judge"),
        ({"suite": "missing.jsonl"}, DataError, "missing.jsonl"),
    ],
)
def test_wrong_arguments_are_named(options, error, text):
    with pytest.raises(error, match=text):
        em_task(**options)
