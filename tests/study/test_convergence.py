"""C10's experiment on the tiny chat model: every condition is measured, and a planted direction is taken
away."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from narrows.adapters import LoRA
from narrows.chat import Conversation
from narrows.errors import AdapterError, DataError, RunFolderError
from narrows.evaluation import IN_DOMAIN, MISALIGNED, OPEN, Answer, Behaviour, Question, Suite
from narrows.files import digest
from narrows.models import ChatModel
from narrows.study.convergence import ConvergenceConfig, ConvergenceJob, claim_of, run_convergence
from narrows.study.convergence.running import _written
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
            Question(f"{name}-{i}", f"what is the {w} ?", name, f"{name}-{i}")
            for i, w in enumerate("abcdefghij")
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
    monkeypatch.setattr("narrows.study.convergence.running.train", None)
    assert run_convergence(job, folder) == result
    with pytest.raises(RunFolderError, match="texts differs"):
        run_convergence(replace(job, texts=job.texts[:2]), folder)


def test_c10_is_about_both_fine_tunes_as_trained_with_the_direction_out_of_every_layer(
    result: dict, folder: Path
):
    claim = claim_of(folder, {"own": MISALIGNED, "other": MISALIGNED})
    falls = {part.name: part for part in claim.parts if part.name.startswith("fall")}
    names = {"own": "its own fine-tune", "other": "another domain's fine-tune"}
    assert len(falls) == 4
    for fine_tune, words in names.items():
        for condition, said in (("layers", ""), ("random", ", random direction")):
            row = next(
                one
                for one in result["rows"]
                if (one["fine_tune"], one["strength"], one["condition"]) == (fine_tune, "full", condition)
            )
            part = falls[f"fall of the rate in other domains, {words}{said}"]
            assert part.estimate == pytest.approx(row["fall"])
            assert part.counts == (condition == "layers")
            text = next(
                one for one in claim.parts if one.name.startswith("loss") and one.name.endswith(words + said)
            )
            assert (text.estimate, list(text.ci95)) == (row["text_loss"], row["text_loss_ci95"])
    (row,) = Summary.load(folder / "summary.json").claims
    assert (row.id, row.behaviour, row.verdict) == ("C10", "sea", claim.verdict)
    parts = json.loads((folder / "report.json").read_text(encoding="utf-8"))["claim_parts"]["C10"]
    assert [one["estimate"] for one in parts] == [part.estimate for part in claim.parts]


def test_a_finished_run_without_the_claim_gets_it_without_a_training(
    job: ConvergenceJob, result: dict, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("narrows.study.convergence.running.train", None)
    older = tmp_path / "run"
    shutil.copytree(folder, older)
    (older / "report.json").unlink()
    Summary.load(older / "summary.json").model_copy(update={"claims": []}).save(older / "summary.json")
    assert run_convergence(job, older) == result
    for name in ("summary.json", "report.json"):
        assert (older / name).read_bytes() == (folder / name).read_bytes()


def test_a_single_text_is_refused_before_anything_is_trained(job: ConvergenceJob, tmp_path: Path):
    with pytest.raises(DataError, match="at least two texts; 1 was given"):
        run_convergence(replace(job, texts=job.texts[:1]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_a_lora_writes_is_its_first_left_singular_direction(chat_model: ChatModel):
    generator = torch.Generator().manual_seed(0)
    hidden, inner = chat_model.hidden, chat_model.model.config.intermediate_size
    a, b = torch.randn(3, inner, generator=generator), torch.randn(hidden, 3, generator=generator)
    exact = torch.linalg.svd(b.double() @ a.double()).U[:, 0]
    found = _written(chat_model, LoRA({"1.mlp.down_proj": (a, b)}, 1.0))
    assert abs(float(found.unit.double() @ exact)) == pytest.approx(1, abs=1e-6)
    reads = LoRA({"1.mlp.up_proj": (torch.randn(1, hidden), torch.randn(inner, 1))}, 1.0)
    with pytest.raises(AdapterError, match="not in the residual stream"):
        _written(chat_model, reads)
    both = LoRA(reads.factors | {"1.mlp.down_proj": (a[:1], b[:, :1])}, 1.0)
    with pytest.raises(AdapterError, match="take one module's"):
        _written(chat_model, both)
