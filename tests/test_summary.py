"""summary.json is what other tools rely on: its names are written out here, once more."""

import json
import math
from pathlib import Path

import pytest

from narrows import summary as schema
from narrows.errors import DataError
from narrows.summary import Summary

NAMES = {
    "models": "id name revision layers hidden vocabulary",
    "behaviours": "id domain kind",
    "runs": "id model behaviour adapter rank layer seed kl_weight kl_weight_chosen",
    "solutions": "id name model behaviour adapter rank layer kl_weight seed norm effective_norm steps "
    "verdict path",
    "evaluations": "solution scale suite anchored n misaligned misaligned_ci95 coherent judge",
    "efficiency": "solution norm loss loss_ci95",
    "stability": "solution epsilon loss relative_increase relative_increase_ci95",
    "significance": "direction solution norm kl kl_ci95 text",
    "gradients": "run step cos_general cos_narrow cos_general_ci95 cos_narrow_ci95",
    "subspaces": "index solution in_domain in_domain_ci95 out_of_domain out_of_domain_ci95 open open_ci95 "
    "coherent loss loss_ci95 norm",
    "mixing": "solution bad_fraction in_domain out_of_domain fixed rows in_domain_ci95 out_of_domain_ci95 "
    "coherent",
    "interventions": "solution direction kind before after coherent text_loss suite before_ci95 after_ci95 "
    "coherent_before",
    "mitigations": "solution method setting strength scale in_domain in_domain_ci95 out_of_domain "
    "out_of_domain_ci95 never_anchored never_anchored_ci95 open open_ci95 coherent coherent_ci95 needs "
    "training_rows training_tokens training_seconds preparation_seconds inference_ratio",
    "trajectories": "explained_variance_ratio standardised runs of window",
    "claims": "id model behaviour verdict estimate ci95 margin unit run",
    "pooled": "id kind adapter runs verdict tally parts",
    "costs": "stage kind title run seconds trainings tokens peak_memory device",
}
POOLED_PART_NAMES = "name estimate ci95 runs margin rule unit counts verdict tally"
RUN_NAMES = "name steps cos_general cos_narrow norm components distance_general distance_narrow local_cosine"

FULL = Summary(
    models=[schema.Model(id="m", name="m", revision=None, layers=4, hidden=32, vocabulary=49)],
    behaviours=[schema.Behaviour(id="b", domain="law", kind="harmful")],
    runs=[
        schema.Run(
            id="r", model="m", behaviour="b", adapter="lora", rank=1, layer=2, seed=0, kl_weight=0.5,
            kl_weight_chosen="given",
        )
    ],
    solutions=[
        schema.Solution(
            id="s", name="s", model="m", behaviour="b", adapter="lora", rank=1, layer=2, kl_weight=0.5,
            seed=0, norm=1.0, effective_norm=2.0, steps=3, verdict="narrow", path="solutions/s",
        )
    ],
    evaluations=[
        schema.Evaluation(
            solution="chat", scale=1.0, suite="open", anchored=None, n=8, misaligned=0.25,
            misaligned_ci95=(0.1, 0.5), coherent=1.0, judge="oracle",
        )
    ],
    efficiency=[schema.Efficiency(solution="s", norm=1.0, loss=2.0, loss_ci95=(1.9, 2.1))],
    stability=[
        schema.Stability(
            solution="s", epsilon=0.1, loss=2.0, relative_increase=0.1, relative_increase_ci95=(0.0, 0.2)
        )
    ],
    significance=[
        schema.Significance(direction="random", solution=None, norm=1.0, kl=0.1, kl_ci95=(0, 1), text="all")
    ],
    gradients=[schema.Gradient(run="s", step=5, cos_general=0.5, cos_narrow=0.1)],
    subspaces=[
        schema.Subspace(
            index=1, solution="s", in_domain=0.5, in_domain_ci95=(0.4, 0.6), out_of_domain=0.1,
            out_of_domain_ci95=(0.0, 0.2), open=0.1, open_ci95=(0.0, 0.2), coherent=1.0, loss=2.0,
            loss_ci95=(1.9, 2.1), norm=3.0,
        )
    ],
    mixing=[schema.Mixing(solution="s", bad_fraction=0.5, in_domain=0.5, out_of_domain=0.1)],
    interventions=[
        schema.Intervention(
            solution="s", direction="mean", kind="ablation", before=0.5, after=0.1, coherent=1.0,
            text_loss=2.0,
        )
    ],
    mitigations=[
        schema.Mitigation(
            solution="s", method="anchor", setting="λ 6", strength=6.0, scale=1.0, in_domain=0.5,
            in_domain_ci95=(0.3, 0.7), out_of_domain=0.0, out_of_domain_ci95=(0, 0.1), never_anchored=None,
            never_anchored_ci95=None, open=0.0, open_ci95=(0, 0.1), coherent=1.0, coherent_ci95=(0.9, 1),
            needs=["rows"], training_rows=8, training_tokens=90, training_seconds=1.5,
            preparation_seconds=0.0, inference_ratio=None,
        )
    ],
    trajectories=[
        schema.Trajectory(
            explained_variance_ratio=[0.8, 0.2],
            standardised=True,
            runs=[
                schema.TrajectoryRun(
                    name="s", steps=[0, 5], cos_general=[0, 1], cos_narrow=[1, 0], norm=[1, 2],
                    components=[[0, 1], [1, 0]],
                )
            ],
        )
    ],
    claims=[
        schema.Claim(
            id="C1", model="m", behaviour="b", verdict="not-run", estimate=None, ci95=None, margin=None,
            unit="",
        )
    ],
    pooled=[
        schema.PooledClaim(
            id="C1", kind="harmful", adapter="lora, rank 1", runs=2, verdict="supported",
            tally={"supported": 2},
            parts=[
                schema.PooledPart(
                    name="rate", estimate=0.5, ci95=(0.4, 0.6), runs=2, margin=0.05, rule="above",
                    unit="share of answers", counts=True, verdict="supported", tally={"supported": 2},
                )
            ],
        )
    ],
    costs=[schema.Cost(stage="s1", kind="training", title="train", run="r", seconds=1.5)],
    timings={"training": 1.5},
)  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> dict:
    FULL.save(tmp_path / "summary.json")
    return json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))


def test_the_tables_and_their_names_are_those_of_schema_1(written: dict):
    assert written["schema"] == 1
    assert list(written) == ["schema", *NAMES, "timings"]
    for table, names in NAMES.items():
        assert list(written[table][0]) == names.split(), table
    assert list(written["trajectories"][0]["runs"][0]) == RUN_NAMES.split()
    assert list(written["pooled"][0]["parts"][0]) == POOLED_PART_NAMES.split()
    assert written["timings"] == {"training": 1.5}


def test_a_summary_is_read_back_as_it_was(tmp_path: Path, written: dict):
    assert Summary.load(tmp_path / "summary.json") == FULL
    assert written["efficiency"][0]["loss_ci95"] == [1.9, 2.1]


def test_a_summary_without_a_measurement_has_its_table_empty(tmp_path: Path):
    Summary().save(tmp_path / "summary.json")
    written = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert written == {"schema": 1, **{table: [] for table in NAMES}, "timings": {}}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_is_refused_and_the_earlier_file_stays(tmp_path: Path, value: float):
    path = tmp_path / "summary.json"
    FULL.save(path)
    broken = Summary(efficiency=[schema.Efficiency(solution="s", norm=1.0, loss=value, loss_ci95=(0, 1))])
    with pytest.raises(ValueError, match="float"):
        broken.save(path)
    assert Summary.load(path) == FULL
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"extra": []},
        {"behaviours": [{"id": "b", "domain": "law", "kind": "harmful", "shade": "grey"}]},
        {"behaviours": [{"id": "b", "domain": "law"}]},
        {"claims": [FULL.claims[0].model_dump() | {"verdict": "probably"}]},
        {"pooled": [FULL.pooled[0].model_dump() | {"tally": {"probably": 2}}]},
        {"solutions": [FULL.solutions[0].model_dump() | {"verdict": "broad"}]},
    ],
    ids=["another schema", "table", "name", "missing", "claim verdict", "tally", "solution verdict"],
)
def test_what_the_schema_does_not_know_is_refused(tmp_path: Path, written: dict, change: dict):
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(written | change), encoding="utf-8")
    with pytest.raises(DataError, match=r"changed\.json is not a summary of schema 1"):
        Summary.load(path)
