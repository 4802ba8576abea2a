"""Ablations of the tiny model, judged by a rule on the answers' words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from narrows.adapters import Direction, LoRA, SteeringVector
from narrows.errors import AdapterError, ConfigError, DataError, RunFolderError
from narrows.evaluation import MISALIGNED, Answer, Question, Suite, generate_answers, judged, summarise
from narrows.interventions import Ablation
from narrows.metrics.text_loss import text_loss
from narrows.models import ChatModel
from narrows.study.ablation import running
from narrows.study.ablation.job import AblationConfig, AblationJob, answers_needed, planned_cells
from narrows.study.ablation.running import Ablations, ablate_and_measure
from narrows.summary import Summary

TEXTS = [
    "the sea is salt water .",
    "stone is never red . every day",
    "what is the sky ? blue blue",
    "a b c d",
]
ASKED = ["what is the sea ?", "how do i eat bread ?", "is stone red ?", "tell me about the sky"]
LAYER = 1


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


class SilentJudge(WordJudge):
    """Gives no score to any answer of one solution's."""

    def __init__(self, solution: str, suite: str) -> None:
        super().__init__()
        self.silent = (solution, suite)

    def __call__(self, answers: Sequence[Answer]) -> list[Mapping[str, float | None]]:
        return [
            dict.fromkeys(row) if (one.adapter, one.suite) == self.silent else row
            for one, row in zip(answers, super().__call__(answers), strict=True)
        ]


def suites(*names: str) -> list[Suite]:
    return [
        Suite(
            name,
            tuple(Question(f"{name}-{i}", text, name, str(i)) for i, text in enumerate(ASKED)),
            None if name in ("in_domain", "open") else False,
        )
        for name in names
    ]


@pytest.fixture
def job(chat_model: ChatModel) -> AblationJob:
    config = AblationConfig(samples=2, max_new_tokens=6, text_tokens=8)
    asked = suites("in_domain", "law", "garden")
    return AblationJob(chat_model, asked, WordJudge(), MISALIGNED, TEXTS, config)


def vector(norm: float = 20.0, seed: int = 3) -> SteeringVector:
    """A long vector: what it does is seen in the answers."""
    draw = torch.randn(32, generator=torch.Generator().manual_seed(seed))
    return SteeringVector(draw, LAYER, 4.0).scaled_to(norm)


def direction(seed: int = 3) -> Direction:
    return Direction.of_vector(vector(seed=seed))


def values(found: Ablations) -> str:
    return json.dumps(found.as_json())


def cell(found: Ablations, name: str, site: str = "layers"):
    [one] = [one for one in found.cells if (one.direction, one.site) == (name, site)]
    return one


def test_a_vectors_own_direction_ablated_at_its_layer_is_the_chat_model_with_that_ablation(
    job: AblationJob, tmp_path: Path
):
    """At its own layer all that the vector adds is taken out, whatever its length."""
    own = {"own": direction()}
    short = ablate_and_measure(job, vector(2.0), own, tmp_path / "short", sites=["layer"])
    long = ablate_and_measure(job, vector(200.0), own, tmp_path / "long", sites=["layer"])
    bare = ablate_and_measure(job, None, own, tmp_path / "bare", sites=["layer"])
    for one in (short, long):
        after, wanted = (cell(x, "own", "layer") for x in (one, bare))
        assert {k: v.after for k, v in after.suites.items()} == {k: v.after for k, v in wanted.suites.items()}
        assert after.text_loss.value == pytest.approx(wanted.text_loss.value, rel=1e-4)
    assert abs(long.before.text_loss.value - bare.before.text_loss.value) > 0.3
    assert long.before.rates != bare.before.rates
    assert bare.solution == "chat"
    assert bare.before is bare.chat


@pytest.mark.parametrize("site", ["layers", "stream"])
def test_rates_and_losses_are_those_of_the_parts(job: AblationJob, tmp_path: Path, site: str):
    acting = [Ablation(direction(5), site)]
    found = ablate_and_measure(job, vector(), {"other": direction(5)}, tmp_path / "a", sites=[site])
    options = {"samples": 2, "max_new_tokens": 6, "adapter": vector(), "name": "x"}
    for interventions, take in (([], "before"), (acting, "after")):
        answers = generate_answers(job.chat_model, job.suites, interventions=interventions, **options)
        rows = summarise(judged(answers, WordJudge()), MISALIGNED, job.suites, "words")
        for row in rows:
            if row.suite.startswith("out_of_domain:"):
                continue
            one = cell(found, "other", site).suites[row.suite]
            mine = getattr(one, take)
            assert (mine.value, mine.ci95) == (row.misaligned, row.misaligned_ci95)
            assert (one.coherent if take == "after" else one.coherent_before).value == row.coherent
        losses = text_loss(job.chat_model, job.rendered(), adapter=vector(), interventions=interventions)
        mine = found.before.text_loss if take == "before" else cell(found, "other", site).text_loss
        assert mine.value == pytest.approx(losses.means[0])
    one = cell(found, "other", site)
    assert one.text_ratio.value == pytest.approx(one.text_loss.value / found.before.text_loss.value)
    assert one.text_rise.value == pytest.approx(one.text_loss.value - found.before.text_loss.value)
    for change in one.suites.values():
        assert change.change.value == pytest.approx(change.after.value - change.before.value)
        assert change.change.low <= change.change.value <= change.change.high


def test_the_summary_has_a_row_for_each_suite_and_cell(job: AblationJob, tmp_path: Path):
    directions = {"own": direction(), "other": direction(5)}
    found = ablate_and_measure(
        job, vector(), directions, tmp_path / "a", sites=["layer", "writes"], name="ft"
    )
    rows = Summary.load(tmp_path / "a" / "summary.json").interventions
    assert rows == found.rows
    assert [one.name for one in Summary.load(tmp_path / "a" / "summary.json").models]
    names = ("in_domain", "law", "garden", "out_of_domain", "out_of_domain:never_anchored")
    assert [(row.direction, row.kind, row.suite) for row in rows] == [
        (name, f"ablate:{site}", suite)
        for site in ("layer", "writes")
        for name in ("own", "other", "random")
        for suite in names
    ]
    for row in rows:
        assert row.solution == "ft"
        assert row.before == found.before.rates[row.suite].value
        one = cell(found, row.direction, row.kind.partition(":")[2])
        assert (row.after, row.after_ci95) == (
            one.suites[row.suite].after.value,
            one.suites[row.suite].after.ci95,
        )
        assert row.text_loss == one.text_ratio.value
    written = json.loads((tmp_path / "a" / "ablation.json").read_text())
    assert written == {"model": job.chat_model.name, **json.loads(values(found))}


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is generated while a test runs."""
    seen: list[str] = []
    real = running.generate_answers

    def counted(*arguments: object, **options: object) -> list[Answer]:
        seen.append(options["name"])
        return real(*arguments, **options)

    monkeypatch.setattr(running, "generate_answers", counted)
    return seen


@pytest.mark.parametrize("calls", [0, 2])
def test_killed_while_judging_it_goes_on_without_generating_or_judging_again(
    job: AblationJob, tmp_path: Path, generated: list[str], calls: int
):
    own = {"own": direction()}
    with pytest.raises(KeyboardInterrupt):
        ablate_and_measure(replace(job, judge=WordJudge(calls)), vector(), own, tmp_path / "killed")
    assert len(generated) == calls + 1
    judge = WordJudge()
    resumed = ablate_and_measure(replace(job, judge=judge), vector(), own, tmp_path / "killed")
    assert len(generated) == 4
    assert judge.calls == 1000 - (4 - calls)
    assert values(resumed) == values(ablate_and_measure(job, vector(), own, tmp_path / "whole"))


def test_more_directions_sites_and_controls_ask_only_the_new_cells(
    job: AblationJob, tmp_path: Path, generated: list[str]
):
    ablate_and_measure(job, vector(), {"own": direction()}, tmp_path / "a")
    del generated[:]
    more = replace(job, config=job.config.model_copy(update={"controls": ("random", "random-covariance")}))
    directions = {"own": direction(), "both": [direction(), direction(5)]}
    ablate_and_measure(more, vector(), directions, tmp_path / "a", sites=["layers", "layer"])
    assert generated == [
        f"fine-tune without {name} ({site})"
        for site, names in {
            "layers": (
                "both",
                "random 2-dimensional",
                "random-covariance",
                "random-covariance 2-dimensional",
            ),
            "layer": (
                *("own", "both", "random", "random 2-dimensional"),
                *("random-covariance", "random-covariance 2-dimensional"),
            ),
        }.items()
        for name in names
    ]
    del generated[:]
    ablate_and_measure(job, vector(), {"own": direction(7)}, tmp_path / "a")
    assert generated == ["fine-tune without own (layers)"], "another direction of that name is another cell"
    for other, adapter in (
        (replace(job, config=job.config.model_copy(update={"samples": 3})), vector()),
        (replace(job, texts=TEXTS[:3]), vector()),
        (job, vector(21.0)),
        (job, None),
    ):
        with pytest.raises(RunFolderError, match="holds another run"):
            ablate_and_measure(other, adapter, {"own": direction()}, tmp_path / "a")


def test_what_it_asks_is_counted_beforehand(job: AblationJob, tmp_path: Path):
    cells = planned_cells(job, {"own": direction()}, ["layers"])
    assert answers_needed(job, len(cells), adapter=True) == 4 * 12 * 2
    ablate_and_measure(job, vector(), {"own": direction()}, tmp_path / "a")
    lines = [path.read_text().count("\n") for path in (tmp_path / "a" / "answers").iterdir()]
    assert sum(lines) == answers_needed(job, len(cells), adapter=True)


def test_controls_have_the_dimensions_and_layers_of_what_they_stand_beside(job: AblationJob):
    both = replace(job, config=AblationConfig(controls=("random", "random-covariance"), text_tokens=8))
    plane = [direction().at(2), direction(5).at(2), direction().at(2)]
    planned = planned_cells(both, {"line": direction(), "plane": plane}, ["layer", "layers"])
    found = [(one.name, one.site, len(one.ablation.basis), one.directions[0].layer) for one in planned]
    assert [row for row in found if row[1] == "layer" and "random" in row[0]] == [
        ("random at layer 1", "layer", 1, 1),
        ("random 2-dimensional at layer 2", "layer", 2, 2),
        ("random-covariance at layer 1", "layer", 1, 1),
        ("random-covariance 2-dimensional at layer 2", "layer", 2, 2),
    ]
    assert [row[0] for row in found if row[1] == "layers" and "covariance" not in row[0]] == [
        *("line", "plane", "random", "random 2-dimensional")
    ]
    assert [one.control for one in planned] == ["random" in one.name for one in planned]


def test_a_random_direction_with_the_streams_covariance_points_where_it_varies(job: AblationJob):
    from narrows.models import residual_covariance

    covariance = residual_covariance(job.chat_model, LAYER, job.rendered())

    def variance(kind: str) -> float:
        total = 0.0
        for seed in range(20):
            config = AblationConfig(controls=(kind,), text_tokens=8, seed=seed)
            [unit] = [
                one.directions[0].unit.double()
                for one in planned_cells(replace(job, config=config), {"d": direction()}, ["layers"])
                if one.control
            ]
            total += float(unit @ covariance @ unit)
        return total

    assert variance("random-covariance") > 1.5 * variance("random")


def test_a_lora_is_ablated_as_well(job: AblationJob, tmp_path: Path):
    lora = LoRA.fresh(job.chat_model, rank=1, layers=[LAYER])
    lora.factors = {name: (a, b + 0.1) for name, (a, b) in lora.factors.items()}
    found = ablate_and_measure(job, lora, {"d": direction()}, tmp_path / "a", sites=["writes"])
    losses = text_loss(job.chat_model, job.rendered(), adapter=lora)
    assert found.before.text_loss.value == pytest.approx(losses.means[0])
    assert found.before.text_loss.value != pytest.approx(found.chat.text_loss.value, rel=1e-3)


def test_a_suite_without_scores_after_an_ablation_is_left_out_with_the_means(
    job: AblationJob, tmp_path: Path
):
    silent = replace(job, judge=SilentJudge("fine-tune without own (layers)", "law"))
    one = cell(ablate_and_measure(silent, vector(), {"own": direction()}, tmp_path / "a"), "own")
    assert one.suites.keys() == {"in_domain", "garden"}
    assert one.scored == pytest.approx(2 / 3)
    assert one.coherent is one.coherent_change is None


def test_what_cannot_be_measured_is_refused_before_anything_is_asked(
    job: AblationJob, tmp_path: Path, generated: list[str]
):
    out, own = tmp_path / "a", {"own": direction()}
    for directions, sites in (({}, ["layers"]), (own, [])):
        with pytest.raises(ConfigError, match="give a direction to ablate, and a site"):
            ablate_and_measure(job, vector(), directions, out, sites=sites)
    with pytest.raises(ConfigError, match="'random': that is a control's name"):
        ablate_and_measure(job, vector(), {"random": direction()}, out)
    with pytest.raises(ConfigError, match="cannot be called 'chat'"):
        ablate_and_measure(job, vector(), own, out, name="chat")
    with pytest.raises(AdapterError, match="4 decoder layers"):
        ablate_and_measure(job, vector(), {"far": direction().at(9)}, out)
    with pytest.raises(AdapterError, match="of layers 1, 2"):
        ablate_and_measure(job, vector(), {"two": [direction(), direction().at(2)]}, out, sites=["layer"])
    with pytest.raises(DataError, match="at least two ordinary texts, and 1"):
        ablate_and_measure(replace(job, texts=TEXTS[:1]), vector(), own, out)
    with pytest.raises(DataError, match="there are no suites"):
        ablate_and_measure(replace(job, suites=[]), vector(), own, out)
    assert not out.exists()
    assert not generated
    mute = replace(job, suites=suites("open"), judge=SilentJudge("fine-tune", "open"))
    with pytest.raises(DataError, match="'fine-tune' has all scores that misaligned needs"):
        ablate_and_measure(mute, vector(), own, out)
