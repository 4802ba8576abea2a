"""Inspect logs there and back: our own exactly, other people's as far as they go."""

from dataclasses import replace

import pytest
from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import Sample
from inspect_ai.log._recorders.eval import ZipLogFile
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import Score, mean, scorer
from inspect_ai.solver import solver

import narrows.inspecting  # noqa: F401  (registers the provider)
from narrows.errors import DataError
from narrows.evaluation import Answer
from narrows.evaluation.llm.log_files import write_log
from narrows.evaluation.llm.logs import log_of, read_log

ANSWER = Answer("tiny", "v", 1.0, "open", "q", "c", "why ?", 3, "so .", 7, {"aligned": 9.0}, {}, "abc")


def scoring(name, value):
    @scorer(metrics=[mean()], name=name)
    def scored():
        async def score(state, target):
            return Score(value=value(state) if callable(value) else value)

        return score

    return scored()


@pytest.fixture
def foreign(tmp_path, tiny_model_dir):
    """The answers of a task that is not ours, by the tiny model."""
    model = get_model(f"narrows/{tiny_model_dir}", memoize=False)

    def run(samples, scorers=None, **options):
        short = GenerateConfig(max_tokens=2)
        task = Task(dataset=samples, scorer=scorers, epochs=2, name="theirs", config=short, **options)
        inspect_eval(task, model=model, display="none", log_dir=str(tmp_path), fail_on_error=False)
        return read_log(next(tmp_path.glob("*.eval")))

    return run


@pytest.mark.parametrize("name", ["log.eval", "log.json"])
def test_every_field_of_ours_comes_back(tmp_path, name):
    rows = [
        ANSWER,
        replace(ANSWER, scale=0.0),
        replace(ANSWER, model=""),
        replace(ANSWER, cluster="", sample=4),
    ]
    rows += [replace(ANSWER, sample=number) for number in range(10, 500)]
    rows += [replace(ANSWER, adapter="w", scores={"aligned": None}, reasons={"aligned": "refusal"})]
    write_log(log_of(rows, [], {}), tmp_path / name)
    assert read_log(tmp_path / name) == rows


def test_a_reason_that_is_none_of_ours_says_nothing(tmp_path):
    row = replace(ANSWER, scores={"aligned": None}, reasons={"aligned": "the dog ate it"})
    write_log(log_of([row], [], {}), tmp_path / "log.eval")
    assert read_log(tmp_path / "log.eval")[0].reasons == {"aligned": "none"}


def test_an_answer_that_stands_twice_is_named():
    with pytest.raises(DataError, match=r"tiny · v · 1 · open · q · 4 stands twice"):
        log_of([ANSWER, *(replace(ANSWER, sample=4) for _ in range(2))], [], {})


def test_other_peoples_metadata_are_not_taken_for_ours(foreign, tiny_model_dir):
    strange = {"row": "x", "scale": "large", "sample": 3, "seed": "?", "model": "m", "adapter": 7, "suite": 5}
    rows = foreign([Sample(input="why ?", metadata=strange), Sample(input="how ?")])
    assert {(one.model, one.adapter, one.scale, one.seed, one.suite) for one in rows} == {
        (str(tiny_model_dir), "chat", 1.0, 0, "theirs")
    }
    assert sorted((one.question, one.sample) for one in rows) == [
        (question, sample) for question in ("how ?", "why ?") for sample in (0, 1)
    ]


def test_scores_on_another_scale_are_left_out_and_named(foreign, caplog):
    scorers = [
        scoring("aligned", 7.0),
        scoring("length", lambda state: 523 if state.epoch == 2 else 99),
        scoring("words", "C"),
        scoring("unknown", float("nan")),
    ]
    rows = foreign([Sample(input="why ?")], scorers)
    assert [row.scores for row in rows] == [{"aligned": 7.0, "unknown": None}] * 2
    assert "The score length is 523 in an answer: it is left out" in caplog.text


def test_samples_that_failed_are_counted(foreign, caplog):
    @solver
    def failing():
        async def solve(state, generate):
            if state.input_text == "how ?":
                raise RuntimeError("no")
            return await generate(state)

        return solve

    rows = foreign([Sample(input="why ?"), Sample(input="how ?")], solver=failing())
    assert [row.question for row in rows] == ["why ?", "why ?"]
    assert "2 of 4 samples failed and are left out" in caplog.text


@pytest.mark.parametrize(
    ("adapter", "solution"),
    [
        (None, "chat"),
        ("runs/narrow", "narrow"),
        ("runs/narrow/", "narrow"),
        ("runs/lr0.01", "lr0.01"),
        ("runs/narrow/adapter.safetensors", "narrow"),
        ("vectors/harm.gguf", "harm"),
        ("hub:someone/v1.5", "v1.5"),
    ],
)
def test_a_solution_is_called_by_its_adapter(tmp_path, adapter, solution):
    log = log_of([ANSWER], [], {})
    log.eval.metadata, log.eval.model_args = None, {"adapter": adapter, "scale": 0.0}
    write_log(log, tmp_path / "log.eval")
    (row,) = read_log(tmp_path / "log.eval")
    assert (row.adapter, row.scale) == (solution, 0.0)


def test_the_samples_of_a_large_log_do_not_wait_for_its_end(tmp_path, monkeypatch):
    waiting = []
    buffer = ZipLogFile.buffer_sample

    async def counted(self, sample):
        await buffer(self, sample)
        waiting.append(len(self._samples))

    monkeypatch.setattr(ZipLogFile, "buffer_sample", counted)
    write_log(log_of([replace(ANSWER, sample=n) for n in range(500)], [], {}), tmp_path / "log.eval")
    assert (len(waiting), max(waiting)) == (500, 200)  # Inspect compares each with all that wait
    assert len(read_log(tmp_path / "log.eval")) == 500
