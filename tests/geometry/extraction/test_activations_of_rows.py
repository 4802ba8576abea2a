"""Row means: every layer in one pass equals one row at a time, without padding, read another way."""

import pytest
import torch

from families import FAMILIES, family
from narrows.adapters import SteeringVector
from narrows.adapters.direction import Direction
from narrows.chat import Conversation, Rendered
from narrows.errors import AdapterError, ConfigError, DataError, ModelError
from narrows.geometry.extraction import row_means
from narrows.geometry.extraction.activations import _chosen
from narrows.interventions import Ablation, attached
from narrows.models import ChatModel
from tiny_models import make_model, make_tokenizer


def one_by_one(chat_model: ChatModel, rows: list[Rendered], positions: str) -> torch.Tensor:
    """(rows, layers, hidden) from transformers' own hidden states; the last layer's are normed there."""
    found = []
    for row in rows:
        with torch.no_grad():
            out = chat_model.model(
                input_ids=torch.tensor([row.input_ids]), output_hidden_states=True, use_cache=False
            )
        start = row.response_mask.index(True)
        places = {
            "answer": torch.tensor(row.response_mask),
            "prompt": torch.arange(len(row)) < start,
            "last": torch.arange(len(row)) == start - 1,
        }[positions]
        found.append(torch.stack([states[0, places].double().mean(0) for states in out.hidden_states[1:]]))
    return torch.stack(found)


@pytest.fixture
def rows(chat_model: ChatModel, conversations: list[Conversation]) -> list[Rendered]:
    return [chat_model.renderer.render(one) for one in conversations]


@pytest.mark.parametrize("positions", ["answer", "prompt", "last"])
@pytest.mark.parametrize("size", [1, 2, 16])
def test_batched_equals_one_row_at_a_time(chat_model, rows, positions, size) -> None:
    found = row_means(chat_model, rows, positions, batch_size=size)
    wanted = one_by_one(chat_model, rows, positions)
    assert found.dtype == torch.float32 and found.shape == (5, 4, 32)
    torch.testing.assert_close(found[:, :-1].double(), wanted[:, :-1], rtol=1e-4, atol=1e-5)
    # transformers gives the last layer's states after the final norm, which commutes with no mean.
    assert not torch.allclose(found[:, -1].double(), wanted[:, -1], rtol=1e-2)
    if positions == "last":
        normed = chat_model.model.model.norm(found[:, -1])
        torch.testing.assert_close(normed.double(), wanted[:, -1], rtol=1e-4, atol=1e-5)


def of_family(name: str, **changes: object) -> ChatModel:
    return ChatModel.from_parts(family(name, vocab_size=64, **changes), make_tokenizer(), name)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(name: str, conversations) -> None:
    chat_model = of_family(name)
    rows = [chat_model.renderer.render(one) for one in conversations[:3]]
    found = row_means(chat_model, rows)
    wanted = one_by_one(chat_model, rows, "answer")
    torch.testing.assert_close(found[:, :-1].double(), wanted[:, :-1], rtol=1e-3, atol=1e-4)


def test_means_in_bfloat16_are_taken_in_fp32(conversations) -> None:
    model = make_model().to(torch.bfloat16)
    chat_model = ChatModel.from_parts(model, make_tokenizer(), "tiny")
    rows = [chat_model.renderer.render(one) for one in conversations]
    found = row_means(chat_model, rows, batch_size=1)
    wanted = one_by_one(chat_model, rows, "answer")
    torch.testing.assert_close(found[:, :-1].double(), wanted[:, :-1], rtol=1e-5, atol=1e-6)


def test_an_adapter_is_read_through_and_taken_off(chat_model, rows) -> None:
    vector = SteeringVector(torch.randn(32, generator=torch.Generator().manual_seed(0)), 1, 2.0)
    before = row_means(chat_model, rows)
    steered = row_means(chat_model, rows, adapter=vector)
    torch.testing.assert_close(steered[:, 0], before[:, 0])
    torch.testing.assert_close(steered[:, 1], before[:, 1] + vector.effective, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(steered[:, 2], before[:, 2], atol=0.1)
    assert torch.equal(row_means(chat_model, rows), before)


def test_what_an_intervention_leaves_is_read(chat_model, rows) -> None:
    direction = Direction.of(torch.ones(32), 1)
    vector = SteeringVector(torch.ones(32), 1, 3.0)
    with attached(chat_model, [Ablation(direction)]):
        found = row_means(chat_model, rows, adapter=vector)
    assert float((found @ direction.unit).abs().max()) < 1e-4


def test_rows_without_an_answer_are_all_prompt(chat_model) -> None:
    row = chat_model.renderer.text("the sea is salt water", source="a text")
    last = row_means(chat_model, [row], "last")
    whole = row_means(chat_model, [row], "prompt")
    assert _chosen(row, "prompt") == [True] * 5
    assert _chosen(row, "last") == [False] * 4 + [True]
    assert not torch.allclose(last, whole)
    with pytest.raises(DataError, match="a text has no token at the positions 'answer': it has no answer"):
        row_means(chat_model, [row], "answer")


def test_what_cannot_be_read_is_refused(chat_model, rows) -> None:
    with pytest.raises(DataError, match="at least one row"):
        row_means(chat_model, [])
    with pytest.raises(ConfigError, match="choose one of answer, prompt, last"):
        row_means(chat_model, rows, "middle")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="batch_size is 0"):
        row_means(chat_model, rows, batch_size=0)
    with pytest.raises(AdapterError, match="layer 9 is out of range"):
        row_means(chat_model, rows, adapter=SteeringVector(torch.ones(32), 9))


def test_a_stream_that_is_not_finite_is_named(chat_model, rows) -> None:
    endless = SteeringVector(torch.full((32,), 1e38), 2, 256.0)
    with pytest.raises(ModelError, match="pairs:1: the residual stream at layer 2 is not finite"):
        row_means(chat_model, rows, adapter=endless)


def test_a_full_device_halves_the_batches(chat_model, rows, monkeypatch) -> None:
    from narrows.geometry.extraction import activations

    whole, seen = activations._means, []

    def cramped(model, batch, mask):
        seen.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError
        return whole(model, batch, mask)

    wanted = row_means(chat_model, rows)
    monkeypatch.setattr(activations, "_means", cramped)
    torch.testing.assert_close(row_means(chat_model, rows), wanted)
    assert seen == [5, 2, 2, 1]
