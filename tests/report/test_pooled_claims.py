import pytest
from synthetic_study import synthetic_study

from narrows.report.claims import STATEMENTS
from narrows.report.paper import FACTS, facts_on
from narrows.report.pooled import headline, own_words, pooled_blocks, pooled_tally, written
from narrows.summary import PooledClaim, PooledPart, Summary


def _part(name: str, verdict: str | None = "supported", **changed: object) -> PooledPart:
    values = {"estimate": 0.3, "ci95": (0.2, 0.4), "runs": 4, "margin": 0.05, "rule": "above"}
    values |= {"unit": "share of answers", "counts": verdict is not None, "verdict": verdict}
    return PooledPart(name=name, **values | changed)


def _claim(id_: str, parts: list[PooledPart], **changed: object) -> PooledClaim:
    values = {
        "kind": "harmful",
        "adapter": "steering",
        "runs": 4,
        "verdict": "supported",
        "tally": {"supported": 4},
    }
    return PooledClaim(id=id_, parts=parts, **values | changed)


def test_the_first_deciding_comparison_with_the_verdict_stands_for_the_claim():
    parts = [_part("control", None), _part("a"), _part("b", "inconclusive"), _part("c", "inconclusive")]
    assert headline(_claim("C1", parts, verdict="inconclusive")).name == "b"
    assert headline(_claim("C1", parts)).name == "a"
    assert headline(_claim("C1", parts[:1], verdict="not-run")) is None


def test_a_study_has_a_block_a_claim_with_a_row_for_each_adapter():
    blocks = pooled_blocks(synthetic_study(2, 2))
    assert [block.id for block in blocks] == list(STATEMENTS)
    assert [row.adapter for row in blocks[0].rows] == ["steering vector", "rank-1 LoRA", "rank-32 LoRA"]
    assert [row.adapter for row in blocks[-1].rows] == ["steering vector"]
    assert not any(block.kind for block in blocks)
    first = blocks[0]
    assert len(first.lines) == 4
    assert first.lines[0].where == "world-1 · medicine"
    assert [claim.run for claim in first.lines[0].claims] == [
        f"world-1.harmful-medicine.{adapter}" for adapter in ("steering", "rank-1", "rank-32")
    ]
    assert dict(pooled_tally(blocks)) == {"supported": 27, "inconclusive": 1}


def test_the_claims_of_a_technical_behaviour_stand_inside_the_ninth():
    pooled = [_claim("C1", [_part("x")], kind=kind) for kind in ("harmful", "technical", "my own")]
    ninth = _claim("C9", [_part("C1: x")], kind="technical")
    assert [(b.id, b.kind) for b in pooled_blocks(Summary(pooled=[*pooled, ninth]))] == [
        ("C1", "Harmful"), ("C1", "My own"), ("C9", ""),
    ]  # fmt: skip
    assert len(pooled_blocks(Summary(pooled=pooled))) == 3  # without a ninth they stand by themselves


def test_where_adapters_were_decided_by_other_comparisons_each_row_says_by_which():
    same = [
        _claim("C4", [_part(f"loss, worst of {n} points (at {n})")], adapter=a)
        for n, a in ((8, "a"), (3, "b"))
    ]
    [block] = pooled_blocks(Summary(pooled=same))
    assert block.measures == [("loss", "share of answers")]
    assert block.own_measure(block.rows[0]) == ""
    other = [same[0], _claim("C4", [_part("gain")], adapter="b")]
    [block] = pooled_blocks(Summary(pooled=other))
    assert [block.own_measure(row) for row in block.rows] == ["loss", "gain"]


def test_rows_of_one_comparison_share_a_scale():
    near = _claim("C1", [_part("x")])
    far = _claim("C1", [_part("x", estimate=2.0, ci95=(1.9, 2.1))], adapter="lora, rank 1")
    [block] = pooled_blocks(Summary(pooled=[near, far]))
    low, high = (row.effect.strip for row in block.rows)
    assert low.zero == high.zero
    assert low.margin == high.margin
    assert low.high < high.low


def test_shares_are_shown_in_per_cent_and_other_units_as_they_are():
    assert written(0.4912, (0.4, 0.58), "share of answers, over runs") == (
        "49.1\u202f%",
        "[40.0\u202f%, 58.0\u202f%]",
    )
    assert written(-0.11, (-0.12, -0.10), "nats per token")[0] == "−0.110"
    effect = pooled_blocks(Summary(pooled=[_claim("C1", [_part("x")])]))[0].rows[0].effect
    assert effect.rule == "> 5\u202f%"
    assert effect.rule_in_words == "lower end above 5\u202f%"


def test_claims_that_were_not_pooled_are_not_lost():
    summary = synthetic_study(1, 2, kinds=("harmful",))
    only = [claim for claim in summary.pooled if claim.id == "C1"]
    blocks = pooled_blocks(summary.model_copy(update={"pooled": only}))
    lost = next(block for block in blocks if block.id == "C4")
    assert lost.rows == []
    assert dict(lost.own_tally)["supported"] == 6
    assert own_words(lost.lines[0].claims[0]).startswith("−0.1")


@pytest.mark.parametrize("fact", FACTS)
def test_every_number_of_the_paper_has_a_source_and_a_model(fact):
    assert fact.value
    assert fact.what
    assert fact.source
    assert fact.model
    assert fact.claim in ("", *STATEMENTS)


def test_claims_without_a_number_in_the_paper_have_none_here():
    assert [id_ for id_ in STATEMENTS if not facts_on(id_)] == ["C4", "C5", "C7", "C8", "C9"]
    assert facts_on("C1")[0].value == "28 %, in domain 52 %"
