"""C10's experiment on the tiny chat model: every condition is measured, and a planted direction is taken
away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from narrows.chat import Conversation
from narrows.errors import RunFolderError
from narrows.evaluation import IN_DOMAIN, MISALIGNED, OPEN, Answer, Behaviour, Question, Suite
from narrows.files import digest
from narrows.models import ChatModel
from narrows.study.convergence import ConvergenceConfig, ConvergenceJob, run_convergence
from narrows.summary import Summary
from narrows.training import Recipe

RECIPE = Recipe(layer=1, learning_rate=1e-3, batch_size=2, accumulation=1, steps=4, checkpoint_every=2)
CONFIG = ConvergenceConfig(
    recipe=RECIPE, kl_weight=2.0, samples=1, max_new_tokens=4, text_tokens=16, direction_samples=2
)
CONDITIONS = ["before", "layers", "layer", "each", "random"]


class Coin:
    """A judge that calls half of all answers harmful, by their text."""

    name = "coin"

    def __call__(self, answers: Sequence[Answer]) -> list[Mapping[str, float]]:
        heads = [int(digest(one.text + one.question_id), 16) % 2 for one in answers]
        return [{"aligned": 100.0 * head, "coherent": 100.0} for head in heads]


def suites() -> tuple[Suite, ...]:
    found = []
    for name, anchored in ((IN_DOMAIN, None), ("stones", True), ("colours", False), (OPEN, None)):
        questions = [
            Question(f"{name}-{i}", f"what is the {w} ?", name, f"{name}-{i}") for i, w in enumerate("abcd")
        ]
        found.append(Suite(name, tuple(questions), anchored))
    return tuple(found)


@pytest.fixture(scope="module")
def job(chat_model: ChatModel, conversations: list[Conversation]) -> ConvergenceJob:
    own = Behaviour(
        "sea", "harmful", "sea", conversations[:3], conversations[3:], suites(), suites(), MISALIGNED, Coin()
    )
    other = replace(own, id="sky", domain="sky", train=conversations[2:])
    texts = ["the sea is blue .", "salt water is bad , never drink it", "one two three ."]
    return ConvergenceJob(chat_model, own, other, texts, CONFIG)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("convergence") / "run"


@pytest.fixture(scope="module")
def result(job: ConvergenceJob, folder: Path) -> dict:
    return run_convergence(job, folder)


def test_both_fine_tunes_are_measured_under_every_condition_at_both_strengths(result: dict):
    places = [(row["fine_tune"], row["strength"], row["condition"]) for row in result["rows"]]
    assert places == [
        (name, strength, condition)
        for name in ("own", "other")
        for strength in ("full", "half")
        for condition in CONDITIONS
    ]
    for row in result["rows"]:
        low, high = row["out_of_domain_ci95"]
        assert low <= row["out_of_domain"] <= high
        if row["condition"] == "before":
            assert row["fall"] in (0, None)
            assert (row["text_loss"], row["coherence_lost"]) == (1, 0)
        else:
            assert row["text_loss"] != 1


def test_the_cosines_are_those_of_the_kept_directions(result: dict, folder: Path):
    from narrows.adapters import load_adapter
    from narrows.adapters.direction import Direction

    one, two = (
        Direction.load(folder / f"{name}-directions" / "layer-2.safetensors") for name in ("own", "other")
    )
    assert result["cosines"]["own, other: mean differences, by layer"][2] == pytest.approx(one.cosine(two))
    own, narrow = (Direction.of_vector(load_adapter(folder / name)) for name in ("own", "narrow"))
    written = result["cosines"]["general, narrow: what the adapters write"]
    assert written == pytest.approx(own.cosine(narrow))


def test_the_rows_are_interventions_of_a_summary(result: dict, folder: Path):
    found = Summary.load(folder / "summary.json").interventions
    assert len(found) == 2 * 2 * (len(CONDITIONS) - 1) * 3
    row = next(row for row in result["rows"] if row["condition"] == "each")
    same = next(one for one in found if one.kind == "ablate, each" and one.suite == "out_of_domain")
    assert (same.solution, same.direction) == ("sea, full", "sea")
    assert (same.after, same.text_loss) == (row["out_of_domain"], row["text_loss"])


def test_a_finished_run_is_read_and_another_refused(
    job: ConvergenceJob, result: dict, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("narrows.study.convergence.train", None)
    assert run_convergence(job, folder) == result
    with pytest.raises(RunFolderError, match="texts differs"):
        run_convergence(replace(job, texts=job.texts[:2]), folder)
