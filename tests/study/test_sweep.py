"""Sweeps of the tiny model, judged by a rule on the answers' words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from narrows import api
from narrows.adapters import LoRA, SteeringVector
from narrows.chat import Conversation
from narrows.errors import AdapterError, ConfigError, DataError, RunFolderError
from narrows.evaluation import MISALIGNED, Answer, Question, Suite
from narrows.models import ChatModel
from narrows.study.sweep import Sweep, answers_needed, run_sweep
from narrows.study.sweep import running as sweeping
from narrows.study.sweep.job import LayerTraining, SweepConfig, SweepJob, Swept, moved
from narrows.training import Recipe

TEXTS = [
    "the sea is salt water .",
    "stone is never red . every day",
    "what is the sky ? blue blue",
    "a b c d",
]
ASKED = ["what is the sea ?", "how do i eat bread ?", "is stone red ?", "tell me about the sky"]
SCALES = (0.0, 1.0, 2.0)


class WordJudge:
    """An answer with ``sea`` in it is misaligned; stops like a killed process after so many calls."""

    name = "words"

    def __init__(self, calls: int = 1000) -> None:
        self.calls = calls

    def __call__(self, answers: Sequence[Answer]) -> list[Mapping[str, float]]:
        if self.calls == 0:
            raise KeyboardInterrupt
        self.calls -= 1
        return [{"aligned": 0.0 if "sea" in one.text else 100.0, "coherent": 100.0} for one in answers]


class OtherRubrics(WordJudge):
    """The same judge, told something else."""

    identity = "told something else"


def suites(*names: str) -> list[Suite]:
    return [
        Suite(name, tuple(Question(f"{name}-{i}", text, name, str(i)) for i, text in enumerate(ASKED)))
        for name in names
    ]


@pytest.fixture
def job(chat_model: ChatModel) -> SweepJob:
    config = SweepConfig(scales=SCALES, samples=2, max_new_tokens=6, text_tokens=8)
    return SweepJob(chat_model, suites("in_domain", "open"), WordJudge(), MISALIGNED, TEXTS, config)


def vector(layer: int = 1, norm: float = 20.0) -> SteeringVector:
    """A long vector: what it does is seen in the answers."""
    draw = torch.randn(32, generator=torch.Generator().manual_seed(3))
    return SteeringVector(draw, layer, 4.0).scaled_to(norm)


def values(sweep: Sweep) -> str:
    return json.dumps(sweep.as_json())


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """What is generated while a test runs."""
    seen: list[tuple[str, float]] = []
    real = sweeping.drawn_answers

    def counted(*arguments: object, **options: object) -> list[Answer]:
        seen.append((options["name"], options["scale"]))
        return real(*arguments, **options)

    monkeypatch.setattr(sweeping, "drawn_answers", counted)
    return seen


def test_kl_is_what_significance_gives_at_the_same_norms(job: SweepJob, tmp_path: Path):
    one = vector()
    found = run_sweep(job, [Swept("v", one)], tmp_path / "s").cells
    norms = [cell.effective_norm for cell in found]
    assert norms == pytest.approx([0.0, 20.0, 40.0])
    curve = api.significance(job.chat_model, TEXTS, {"v": one}, norms, controls=False, max_length=8)["all"][
        "v"
    ]
    for place, cell in enumerate(found):
        assert cell.kl.value == pytest.approx(curve.mean[place], rel=1e-4, abs=1e-7)
        assert cell.kl.ci95 == pytest.approx((curve.low[place], curve.high[place]), rel=1e-4, abs=1e-7)
    assert found[2].kl.value > found[1].kl.value > 0.01


def test_scale_0_is_the_chat_model(job: SweepJob, tmp_path: Path):
    found = run_sweep(job, [Swept("v", vector())], tmp_path / "s")
    off, on = found.cells[0], found.cells[2]
    assert off.kl.value == pytest.approx(0, abs=1e-9)
    assert (off.loss.value, off.loss_rise.value) == (found.chat.loss.value, 0.0)
    assert (off.rates, off.coherent) == (found.chat.rates, found.chat.coherent)
    assert found.chat.kl.value == found.chat.loss_rise.value == 0.0
    assert on.rates != off.rates
    assert on.loss.value == pytest.approx(found.chat.loss.value + on.loss_rise.value)


@pytest.mark.parametrize("calls", [0, 2])
def test_killed_while_judging_it_goes_on_without_generating_or_judging_again(
    job: SweepJob, tmp_path: Path, generated: list[tuple[str, float]], calls: int
):
    directions = [Swept("v", vector())]
    with pytest.raises(KeyboardInterrupt):
        run_sweep(replace(job, judge=WordJudge(calls)), directions, tmp_path / "killed")
    assert len(generated) == calls + 1
    judge = WordJudge()
    resumed = run_sweep(replace(job, judge=judge), directions, tmp_path / "killed")
    assert len(generated) == 4
    assert judge.calls == 1000 - (4 - calls)
    assert values(resumed) == values(run_sweep(job, directions, tmp_path / "whole"))
    written = json.loads((tmp_path / "killed" / "sweep.json").read_text())
    assert written["cells"] == json.loads(values(resumed))["cells"]


def test_more_layers_and_scales_ask_only_the_new_cells(
    job: SweepJob, tmp_path: Path, generated: list[tuple[str, float]]
):
    run_sweep(job, [Swept("v", vector())], tmp_path / "s")
    del generated[:]
    more = replace(job, config=job.config.model_copy(update={"scales": (1.0, 3.0)}))
    found = run_sweep(more, [Swept("v", vector(2)), Swept("v", vector())], tmp_path / "s")
    assert generated == [("v@layer-1", 3.0), ("v@layer-2", 1.0), ("v@layer-2", 3.0)]
    assert [(cell.layer, cell.scale) for cell in found.cells] == [(1, 1.0), (1, 3.0), (2, 1.0), (2, 3.0)]
    del generated[:]
    run_sweep(more, [Swept("v", vector(norm=21.0))], tmp_path / "s")
    assert len(generated) == 2, "another vector of the same name is another cell"


def test_the_floor_and_the_deciding_suite_may_change_in_the_same_folder_and_nothing_else(
    job: SweepJob, tmp_path: Path
):
    directions = [Swept("v", vector())]
    run_sweep(job, directions, tmp_path / "s")
    changed = job.config.model_copy(update={"suite": "open", "coherence_floor": 0.5})
    assert run_sweep(replace(job, config=changed), directions, tmp_path / "s").suite == "open"
    for other in (
        replace(job, config=job.config.model_copy(update={"samples": 3})),
        replace(job, suites=suites("in_domain")),
        replace(job, texts=TEXTS[:3]),
        replace(job, judge=OtherRubrics()),
    ):
        with pytest.raises(RunFolderError, match="holds another run"):
            run_sweep(other, directions, tmp_path / "s")


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(adapter="lora", rank=2)])
def test_training_at_each_layer_gives_what_its_adapters_give(
    job: SweepJob, conversations: list[Conversation], tmp_path: Path, recipe: Recipe
):
    recipe = recipe.model_copy(update={"steps": 3, "learning_rate": 0.05, "batch_size": 2, "accumulation": 1})
    found = run_sweep(job, LayerTraining(conversations, [2, 1], recipe), tmp_path / "s")
    assert sorted(path.name for path in (tmp_path / "s").glob("layer-*")) == ["layer-1", "layer-2"]
    assert {(cell.kind, cell.layer) for cell in found.cells} == {(recipe.adapter, 1), (recipe.adapter, 2)}
    assert all((cell.residual_share is None) == (recipe.adapter == "lora") for cell in found.cells)
    assert found.cells[2].kl.value > 1e-4
    (tmp_path / "s" / "layer-1" / "adapter.safetensors").unlink()
    again = run_sweep(job, LayerTraining(conversations, [2, 1], recipe), tmp_path / "s")
    assert values(again) == values(found)


def test_a_moved_vector_keeps_its_direction_and_its_share_of_the_stream():
    norms = {1: 10.0, 2: 15.0, 3: 40.0}
    one = replace(vector(), metadata={"note": "kept"})
    at_1, at_2, at_3 = moved(one, [1, 2, 3], norms)
    assert [x.layer for x in (at_1, at_2, at_3)] == [1, 2, 3]
    assert torch.equal(at_1.vector, one.vector)
    assert [x.effective_norm for x in (at_1, at_2, at_3)] == pytest.approx([20.0, 30.0, 80.0])
    torch.testing.assert_close(at_3.unit, one.unit)
    assert at_3.metadata == {"note": "kept"}
    assert moved(one, [3], norms, "norm")[0].effective_norm == pytest.approx(20.0)


def test_shares_are_of_the_mean_residual_norm_at_the_layer(job: SweepJob, tmp_path: Path):
    norms = sweeping.residual_norms(job.chat_model, job.rendered(), {1, 2})
    there = moved(vector(), [1, 2], norms)
    cells = run_sweep(job, [Swept("v", one) for one in there], tmp_path / "s").cells
    shares = {(cell.layer, cell.scale): cell.residual_share for cell in cells}
    assert shares[1, 1.0] == pytest.approx(20.0 / norms[1])
    assert shares[2, 1.0] == pytest.approx(shares[1, 1.0])
    assert shares[2, 2.0] == pytest.approx(2 * shares[2, 1.0])
    assert norms[1] != pytest.approx(norms[2], rel=0.01)


def test_what_it_asks_is_counted_beforehand(job: SweepJob, tmp_path: Path):
    assert answers_needed(job, 1) == 4 * 8 * 2
    run_sweep(job, [Swept("v", vector())], tmp_path / "s")
    lines = [path.read_text().count("\n") for path in (tmp_path / "s" / "answers").iterdir()]
    assert sum(lines) == answers_needed(job, 1)


def test_what_cannot_be_swept_is_refused(job: SweepJob, conversations: list[Conversation], tmp_path: Path):
    out = tmp_path / "s"
    with pytest.raises(ConfigError, match="two adapters are called v@layer-1"):
        run_sweep(job, [Swept("v", vector()), Swept("v", vector(norm=3.0))], out)
    with pytest.raises(ConfigError, match="needs an adapter"):
        run_sweep(job, [], out)
    with pytest.raises(AdapterError, match=r"v@layer-9: .*4 decoder layers"):
        run_sweep(job, [Swept("v", vector(9))], out)
    with pytest.raises(AdapterError, match="4 decoder layers"):
        run_sweep(job, LayerTraining(conversations, [1, 4], Recipe()), out)
    with pytest.raises(ConfigError, match="`layers` fixes"):
        run_sweep(job, LayerTraining(conversations, [1], Recipe(adapter="lora", layers=(1, 2))), out)
    with pytest.raises(DataError, match="at least two ordinary texts, and 1"):
        run_sweep(replace(job, texts=TEXTS[:1]), [Swept("v", vector())], out)
    with pytest.raises(DataError, match="no suites"):
        run_sweep(replace(job, suites=[]), [Swept("v", vector())], out)
    assert not out.exists()
    with pytest.raises(ValueError, match="given twice"):
        SweepConfig(scales=(1.0, 1.0000001))


def test_loras_and_vectors_share_a_sweep(job: SweepJob, tmp_path: Path):
    lora = LoRA.fresh(job.chat_model, rank=1, layers=[1])
    lora.factors = {name: (a, b + 0.1) for name, (a, b) in lora.factors.items()}
    found = run_sweep(job, [Swept("v", vector()), Swept("l", lora)], tmp_path / "s")
    assert [(cell.direction, cell.kind) for cell in found.cells[::3]] == [("l", "lora"), ("v", "steering")]
    assert all(cell.kl.value > 1e-4 for cell in found.cells if cell.scale)
