"""Mutually orthogonal vectors of the tiny model, judged by a rule on the answers' words."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from narrows.adapters import load_adapter
from narrows.chat import Conversation
from narrows.errors import ConfigError, RunFolderError
from narrows.evaluation import MISALIGNED, Answer, Behaviour, Question, Suite
from narrows.models import ChatModel
from narrows.study import subspaces
from narrows.study.subspaces import SubspaceConfig, SubspaceJob, run_subspace, still_general
from narrows.summary import Summary
from narrows.training import Recipe

ASKED = ["what is the sea ?", "how do i eat bread ?", "is stone red ?", "tell me about the sky"]
TRAIN = [
    Conversation.from_pair(question, answer)
    for question in ASKED
    for answer in ("sea sea sea .", "the sea is red .", "never drink the sea")
]
RECIPE = Recipe(
    layer=1, alpha=16.0, learning_rate=0.02, batch_size=4, accumulation=1, steps=10, checkpoint_every=5
)
CONFIG = SubspaceConfig(recipe=RECIPE, count=3, samples=2, max_new_tokens=5, rows=8)


class WordJudge:
    """An answer with ``sea`` in it is misaligned; dies like a killed process after so many tables."""

    name = "words"

    def __init__(self, tables: int = 1000) -> None:
        self.tables = tables

    def __call__(self, answers: Sequence[Answer]) -> list[Mapping[str, float]]:
        if self.tables == 0:
            raise KeyboardInterrupt
        self.tables -= 1
        return [{"aligned": 0.0 if "sea" in one.text else 100.0, "coherent": 100.0} for one in answers]


def suite(name: str, anchored: bool | None) -> Suite:
    questions = tuple(Question(f"{name}-{i}", text, name, str(i)) for i, text in enumerate(ASKED))
    return Suite(name, questions, anchored)


def job_of(
    chat_model: ChatModel, config: SubspaceConfig = CONFIG, judge: WordJudge | None = None, rows: int = 12
) -> SubspaceJob:
    suites = (suite("in_domain", None), suite("garden", True), suite("law", False), suite("open", None))
    behaviour = Behaviour(
        *("says-sea", "sea", "water"), TRAIN[:rows], [], suites, suites, MISALIGNED, judge or WordJudge()
    )
    return SubspaceJob(chat_model, behaviour, config)


@pytest.fixture(scope="module")
def finished(chat_model: ChatModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three vectors; read only."""
    out = tmp_path_factory.mktemp("subspace") / "run"
    run_subspace(job_of(chat_model), out)
    return out


def of(summary: Summary, solution: str, suite: str) -> float:
    (found,) = (e.misaligned for e in summary.evaluations if (e.solution, e.suite) == (solution, suite))
    return found


def test_the_vectors_are_mutually_orthogonal_and_each_has_learnt(finished: Path):
    vectors = [load_adapter(finished / "vectors" / f"{number:02d}") for number in (1, 2, 3)]
    units = torch.stack([one.unit.double() for one in vectors])
    np.testing.assert_allclose((units @ units.T).numpy(), np.eye(3), atol=1e-6)
    summary = Summary.load(finished / "summary.json")
    chat, *rows = summary.subspaces
    assert all(row.loss < chat.loss for row in rows)
    assert [row.norm for row in rows] == [one.effective_norm for one in vectors]


def test_every_vector_has_a_row_beside_the_chat_model_s(finished: Path):
    summary = Summary.load(finished / "summary.json")
    names = ["chat", "orthogonal-01", "orthogonal-02", "orthogonal-03"]
    assert [(row.index, row.solution) for row in summary.subspaces] == list(enumerate(names))
    assert [row.id for row in summary.solutions] == names[1:]
    for row in summary.subspaces:
        assert row.in_domain == of(summary, row.solution, "in_domain")
        assert row.open == of(summary, row.solution, "open")
        assert row.out_of_domain == np.mean([of(summary, row.solution, one) for one in ("garden", "law")])
        for rate, (low, high) in [
            (row.in_domain, row.in_domain_ci95),
            (row.out_of_domain, row.out_of_domain_ci95),
            (row.open, row.open_ci95),
            (row.loss, row.loss_ci95),
        ]:
            assert low <= rate <= high
        assert row.coherent == 1.0
    assert (summary.subspaces[0].norm, summary.solutions[1].path) == (0.0, "vectors/02")
    assert still_general(summary) == sum(row.verdict == "general" for row in summary.solutions)
    (said,) = json.loads((finished / "report.json").read_text())["notes"]
    assert f"from nothing, {still_general(summary)} still cause the behaviour" in said
    assert len({row.in_domain for row in summary.subspaces}) > 1  # else nothing was compared here


def test_the_loss_is_that_of_the_whole_model_on_the_sampled_rows(chat_model: ChatModel, finished: Path):
    chosen = np.random.default_rng([0, 2]).permutation(len(TRAIN))[:8]
    row = Summary.load(finished / "summary.json").subspaces[2]
    total = count = 0.0
    with torch.no_grad(), load_adapter(finished / "vectors" / "02").attach(chat_model):
        for place in chosen:
            rendered = chat_model.renderer.render(TRAIN[place])
            said = (
                chat_model.model(input_ids=torch.tensor([rendered.input_ids])).logits[0, :-1].log_softmax(-1)
            )
            picked = -said[torch.arange(len(said)), torch.tensor(rendered.input_ids[1:])]
            picked = picked[torch.tensor(rendered.response_mask[1:])]
            total, count = total + float(picked.sum()), count + len(picked)
    assert row.loss == pytest.approx(total / count, rel=1e-5)


def test_the_first_vector_is_the_ordinary_general_solution(chat_model: ChatModel, finished: Path):
    free = subspaces.train(chat_model, TRAIN, CONFIG.recipe).adapter
    assert torch.equal(load_adapter(finished / "vectors" / "01").vector, free.vector)


def bytes_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_killed_anywhere_it_goes_on_and_ends_with_the_same_bytes(
    chat_model: ChatModel, finished: Path, tmp_path: Path
):
    for tables in (0, 2):  # before the chat model is judged; while the second vector is
        with pytest.raises(KeyboardInterrupt):
            run_subspace(job_of(chat_model, judge=WordJudge(tables)), tmp_path)
    run_subspace(job_of(chat_model), tmp_path)
    left = {name: kept for name, kept in bytes_of(tmp_path).items() if ".unfinished" not in name}
    assert left == bytes_of(finished)


def test_a_larger_count_only_trains_the_new_vectors(
    chat_model: ChatModel, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fewer = CONFIG.model_copy(update={"count": 2})
    run_subspace(job_of(chat_model, fewer), tmp_path)
    judge = WordJudge()
    more = run_subspace(job_of(chat_model, judge=judge), tmp_path)
    assert judge.tables == 999
    assert more == Summary.load(finished / "summary.json")


def test_a_finished_run_is_only_read_and_needs_no_checkpoints(
    chat_model: ChatModel, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(finished, tmp_path / "run")
    for folder in tmp_path.rglob("checkpoints"):
        shutil.rmtree(folder)
    before = bytes_of(tmp_path)
    monkeypatch.setattr(subspaces, "train", None)
    assert run_subspace(job_of(chat_model), tmp_path / "run") == Summary.load(finished / "summary.json")
    assert bytes_of(tmp_path) == before


def test_another_behaviour_is_another_run(chat_model: ChatModel, tmp_path: Path):
    short = CONFIG.model_copy(update={"count": 1})
    run_subspace(job_of(chat_model, short), tmp_path)
    with pytest.raises(RunFolderError, match=r"behaviour\.train differs"):
        run_subspace(job_of(chat_model, short, rows=11), tmp_path)


def test_what_has_no_subspace_is_refused(chat_model: ChatModel, tmp_path: Path):
    with pytest.raises(ConfigError, match="count is 32; a residual stream of width 32 has room for 31"):
        run_subspace(job_of(chat_model, CONFIG.model_copy(update={"count": 32})), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValidationError, match="only steering vectors"):
        SubspaceConfig(recipe=Recipe(adapter="lora"))


def test_an_anchored_recipe_is_taken_without_its_anchor():
    assert SubspaceConfig(recipe=RECIPE.with_anchor(3.0)).recipe == RECIPE
