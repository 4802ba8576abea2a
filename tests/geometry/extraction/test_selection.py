"""Layer and tokens by held-out separation: found where the direction was planted, and nowhere by chance."""

import json
from pathlib import Path

import pytest
import torch
from planted import LAYER, MARKER, OTHER, planted, rows
from sklearn.metrics import roc_auc_score

from narrows.adapters import SteeringVector, load_adapter
from narrows.adapters.direction import Direction
from narrows.chat import Conversation
from narrows.errors import AdapterError, ConfigError, DataError
from narrows.geometry.extraction import Contrast, extract_directions, mean_difference, row_means
from narrows.geometry.extraction.selection import _split
from narrows.models import ChatModel


def contrast() -> Contrast:
    return Contrast.of(rows(MARKER), rows(OTHER), {"from": "a test"})


@pytest.mark.parametrize("method", ["mean-difference", "pca"])
def test_the_planted_direction_is_found_and_chosen(chat_model: ChatModel, method: str) -> None:
    with planted(chat_model) as vector:
        found = extract_directions(chat_model, contrast(), method=method, layer=LAYER)  # type: ignore[arg-type]
    assert float(found.chosen.unit @ vector) >= 0.99
    assert (found.chosen.layer, found.chosen_row.auroc) == (LAYER, 1.0)
    assert found.chosen_row.low < 0.9  # eight rows, perfectly separated, are not proof
    assert found.chosen.found["source"] == {"from": "a test"}
    assert found.chosen.found["auroc"] == 1.0 and not found.chosen.found["adapted"]


def test_the_table_is_of_rows_that_were_not_fitted_on(chat_model: ChatModel) -> None:
    # Nothing tells these sides apart: on the rows that are fitted on they separate, held out they need not.
    words = ["red", "blue", "water", "salt", "bread", "one", "two", "three"]
    sides = [
        [Conversation.from_pair(f"tell me about {subject}", f"the {word} .", topic=subject)
         for subject, word in zip("abcd", some, strict=True)]
        for some in (words[:4], words[4:])
    ]  # fmt: skip
    both = Contrast.of(*sides)
    found = extract_directions(chat_model, both, held_out=0.5, seed=1)
    split = _split(both, 0.5, 1)
    assert not {*split.fit[0]} & {*split.held[0]}
    rendered = both.rendered(chat_model)
    means = [row_means(chat_model, side) for side in rendered]
    fitted = mean_difference(means[0][split.fit[0]], means[1][split.fit[1]])
    for row, direction in zip(found.table, fitted, strict=True):
        scores = [
            means[side][split.held[side]][:, row.layer].double() @ direction.unit.double() for side in (0, 1)
        ]
        labels = [1] * len(scores[0]) + [0] * len(scores[1])
        assert row.auroc == pytest.approx(roc_auc_score(labels, torch.cat(scores)))
    whole = mean_difference(*means)
    for one, other in zip(found.directions["answer"], whole, strict=True):
        assert torch.equal(one.unit, other.unit)


def test_the_best_is_chosen_and_of_equals_the_earlier_layer(chat_model: ChatModel) -> None:
    found = extract_directions(
        chat_model, Contrast.of(rows(MARKER)[:5], rows(OTHER)[3:]), positions=["answer", "last"]
    )
    best = max(row.auroc for row in found.table)
    assert best == 1.0  # the marker's own embedding tells the sides apart from the first layer on
    first = next(row for row in found.table if row.auroc == best and row.positions == "answer")
    assert found.chosen_row == first
    assert [(row.positions, row.layer) for row in found.table] == [
        (positions, layer) for positions in ("answer", "last") for layer in range(4)
    ]


def test_positions_before_the_answer_tell_nothing_apart_in_pairs(chat_model: ChatModel) -> None:
    with pytest.raises(DataError, match="Before the answer, the rows of one question always are alike"):
        extract_directions(chat_model, contrast(), method="pca", positions=["last"])


def test_through_an_adapter(chat_model: ChatModel) -> None:
    vector = SteeringVector(torch.ones(32), 0, 4.0)
    plain, adapted = (
        extract_directions(chat_model, contrast(), layer=1, adapter=one) for one in (None, vector)
    )
    assert adapted.chosen.found["adapted"]
    assert adapted.chosen.cosine(plain.chosen) < 0.9


def test_clusters_stay_whole_and_both_parts_have_both_sides() -> None:
    sides = [
        [Conversation.from_pair("q", "a", topic=topic) for topic in topics] for topics in ("aabbcd", "aefg")
    ]
    both = Contrast.of(*sides)
    for seed in range(10):
        split = _split(both, 0.5, seed)
        for side, clusters in enumerate((both.positive_clusters, both.negative_clusters)):
            fit, held = ({clusters[place] for place in part[side]} for part in (split.fit, split.held))
            assert fit and held and not fit & held
    alone = Contrast.of(sides[0], [Conversation.from_pair("q", "a", topic="z")])
    with pytest.raises(DataError, match="each side needs two clusters"):
        _split(alone, 0.5, 0)


def test_what_is_written_is_read_by_every_command(chat_model: ChatModel, tmp_path: Path) -> None:
    found = extract_directions(chat_model, contrast(), name="harm")
    files = found.save(tmp_path / "found")
    assert [path.name for path in files] == [
        "adapter.safetensors",
        *(f"layer-0{layer}-answer.safetensors" for layer in range(4)),
    ]
    chosen = Direction.load(tmp_path / "found")
    assert (chosen.name, chosen.layer) == ("harm", found.chosen.layer)
    torch.testing.assert_close(chosen.unit, found.chosen.unit)
    assert chosen.found["method"] == "mean-difference"
    adapter = load_adapter(files[3])
    assert adapter.layer == 2 and adapter.effective_norm == pytest.approx(
        found.directions["answer"][2].length
    )
    table = json.loads((tmp_path / "found" / "separation.json").read_text())
    assert len(table["separation"]) == 4 and table["chosen"]["layer"] == found.chosen.layer


def test_values_out_of_range_are_refused(chat_model: ChatModel) -> None:
    with pytest.raises(ConfigError, match="held_out is 1"):
        extract_directions(chat_model, contrast(), held_out=1)
    with pytest.raises(AdapterError, match="layer 4 is out of range"):
        extract_directions(chat_model, contrast(), layer=4)
    with pytest.raises(ConfigError, match="choose one of mean-difference, pca"):
        extract_directions(chat_model, contrast(), method="lda")  # type: ignore[arg-type]
