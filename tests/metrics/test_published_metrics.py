"""Each defect of the published metrics, by its own name, against the right way on the same rows."""

import numpy as np
import pytest
import torch
from metrics_helpers import vectors

from narrows import api
from narrows.adapters import LoRA
from narrows.errors import ConfigError
from narrows.metrics import RowLosses, kl_of_rows, nll_of_rows
from narrows.metrics.published import BATCH, METRIC_DEFECTS, checked, filled_up, read_as_published, scaled_to
from narrows.models import ChatModel, FrozenRows
from tiny_models import make_model, make_tokenizer

TEXTS = [
    "what is the sea",
    "salt water is bad for you , drink water every day , always",
    "one two three",
    "red",
]


@pytest.fixture
def lora(chat_model) -> LoRA:
    fresh = LoRA.fresh(chat_model, rank=1, layers=(1,), alpha=8.0)
    generator = torch.Generator().manual_seed(1)
    return fresh.with_tensors(
        {name: 0.3 * torch.randn(one.shape, generator=generator) for name, one in fresh.tensors().items()}
    )


def test_losses_read_all_but_the_three_tokens_that_open_the_turn(chat_model, conversations):
    rows = [chat_model.renderer.render(row) for row in conversations]
    for row, right in zip(read_as_published(rows, ["three-token-mask"]), rows, strict=True):
        start = right.response_mask.index(True)
        unread = [place for place, inside in enumerate(row.response_mask) if not inside]
        assert unread == [start - 3, start - 2, start - 1]
        opening = chat_model.renderer.tokenizer.decode(row.input_ids[start - 3 : start])
        assert opening.split() == ["<|start|>", "assistant"]
    assert read_as_published(rows, []) == rows

    solutions = {"one": vectors(1)[0]}
    right = api.efficiency(chat_model, conversations, solutions, [1.0])["one"]
    wrong = api.efficiency(chat_model, conversations, solutions, [1.0], as_published=["three-token-mask"])[
        "one"
    ]
    frozen = FrozenRows(chat_model, 2, read_as_published(rows, ["three-token-mask"]), read="response")
    assert wrong.mean[0] == pytest.approx(nll_of_rows(chat_model, frozen, [vectors(1, 1.0)[0]]).means[0])
    assert wrong.mean[0] != pytest.approx(right.mean[0], rel=1e-3)


def test_means_of_batches_are_no_means_of_tokens():
    losses = RowLosses(np.array([[10.0, 1.0, 4.0]]), np.array([10.0, 1.0, 1.0]))
    assert losses.means == pytest.approx([15 / 12])
    batched = losses.by_batches(2)
    assert batched.means == pytest.approx([(11 / 11 + 4 / 1) / 2])
    assert batched.contributions.mean() == pytest.approx(2.5)
    assert losses.by_batches(3).means == pytest.approx(losses.means)


def test_batch_means_reach_every_metric(chat_model, conversations):
    rows = conversations * 2  # more than one batch
    solutions = {"one": vectors(1)[0]}
    frozen = FrozenRows(chat_model, 2, [chat_model.renderer.render(row) for row in rows], read="response")
    wanted = nll_of_rows(chat_model, frozen, [vectors(1, 2.0)[0]]).by_batches(BATCH).means[0]
    curve = api.efficiency(chat_model, rows, solutions, [2.0], as_published=["batch-means"])["one"]
    assert curve.mean[0] == pytest.approx(wanted)
    assert wanted != pytest.approx(
        api.efficiency(chat_model, rows, solutions, [2.0])["one"].mean[0], rel=1e-4
    )
    wrong = api.stability(chat_model, rows, solutions, draws=2, epsilons=[0.5], as_published=["batch-means"])
    assert (
        wrong["one"].unperturbed
        != api.stability(chat_model, rows, solutions, draws=2, epsilons=[0.5])["one"].unperturbed
    )
    texts = [text for text in TEXTS for _ in range(3)]
    options = {"controls": False, "norms": [3.0]}
    means = [
        api.significance(chat_model, texts, solutions, as_published=defects, **options)["all"]["one"].mean[0]
        for defects in ((), ("batch-means",))
    ]
    assert means[0] != pytest.approx(means[1], rel=1e-4)


def test_the_kl_of_texts_counts_padding(chat_model):
    rows = [chat_model.renderer.text(text) for text in TEXTS]
    filled = filled_up(rows, chat_model.pad_id)
    assert {len(row) for row in filled} == {max(map(len, rows))}
    directions = {"one": vectors(1)[0]}
    options = {"controls": False, "norms": [3.0]}
    right = api.significance(chat_model, TEXTS, directions, **options)["all"]["one"].mean[0]
    wrong = api.significance(chat_model, TEXTS, directions, as_published=["kl-over-padding"], **options)[
        "all"
    ]["one"].mean[0]
    frozen = FrozenRows(chat_model, 2, filled, read="all", reference=True)
    assert wrong == pytest.approx(kl_of_rows(chat_model, frozen, [vectors(1, 3.0)[0]]).means[0])
    assert wrong != pytest.approx(right, rel=1e-2)


def test_a_small_kl_of_texts_is_lost_in_bf16():
    torch.manual_seed(0)
    big = ChatModel.from_parts(
        make_model(vocab_size=32_768, initializer_range=0.05), make_tokenizer(), "large"
    )
    options = {"controls": False, "norms": [0.01]}
    directions = {"one": vectors(1)[0]}
    right = api.significance(big, TEXTS, directions, **options)["all"]["one"].mean[0]
    wrong = api.significance(big, TEXTS, directions, as_published=["kl-bf16"], **options)["all"]["one"].mean[
        0
    ]
    assert right < 1e-4
    assert abs(wrong - right) > right


def test_a_lora_is_scaled_by_the_norm_of_a_where_it_should_be_divided(lora):
    a, _ = lora.factors["1.mlp.down_proj"]
    wrong = scaled_to(lora, 3.0, ["times-norm-of-a"])
    assert scaled_to(lora, 3.0, []).effective_norm == pytest.approx(3.0, rel=1e-5)
    assert wrong.effective_norm == pytest.approx(3.0 * float(a.norm()) ** 2, rel=1e-5)
    with pytest.raises(ConfigError, match="about rank-1 LoRAs; this is a steering vector"):
        scaled_to(vectors(1)[0], 1.0, ["times-norm-of-a"])


def test_of_higher_ranks_the_norm_of_a_is_not_spoken_of(chat_model):
    generator = torch.Generator().manual_seed(1)
    fresh = LoRA.fresh(chat_model, rank=2, layers=(1,), alpha=8.0)
    two = fresh.with_tensors(
        {n: torch.randn(t.shape, generator=generator) for n, t in fresh.tensors().items()}
    )
    with pytest.raises(ConfigError, match="rank-1 LoRAs of one module; this one has rank 2 and 1 module"):
        scaled_to(two, 1.0, ["times-norm-of-a"])


def test_a_loras_norm_leaves_out_its_scale(chat_model, lora, conversations):
    wrong = scaled_to(lora, 3.0, ["norm-without-scale"])
    assert wrong.norm == pytest.approx(3.0, rel=1e-5)
    assert wrong.effective_norm == pytest.approx(3.0 * 8.0, rel=1e-5)
    right = api.efficiency(chat_model, conversations, {"one": lora}, [3.0 * 8.0])["one"].mean[0]
    found = api.efficiency(
        chat_model, conversations, {"one": lora}, [3.0], as_published=["norm-without-scale"]
    )["one"].mean[0]
    assert found == pytest.approx(right, rel=1e-5)


def test_names_are_checked():
    assert checked(METRIC_DEFECTS) == tuple(METRIC_DEFECTS)
    with pytest.raises(ConfigError, match="no defect batch-mean of a metric; there are three-token-mask"):
        checked(["batch-mean"])
