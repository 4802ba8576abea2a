import pytest
import torch

from narrows.chat import Conversation, Rendered
from narrows.errors import DataError
from narrows.models import ChatModel, FrozenBatch, FrozenRows, Packed, frozen

DEPTH = 2


@pytest.fixture
def rows(chat_model: ChatModel, conversations: list[Conversation]) -> list[Rendered]:
    return [chat_model.renderer.render(conversation) for conversation in conversations]


def make(chat_model: ChatModel, rows: list[Rendered], read: str = "all", **options: object) -> FrozenRows:
    return FrozenRows(chat_model, DEPTH, rows, **({"read": read, "reference": True} | options))


def assert_same(found: FrozenBatch, wanted: FrozenBatch) -> None:
    """The same rows: states alike up to rounding (but for padding, which nothing reads), the rest equal."""
    if isinstance(wanted.layout, Packed):
        assert found.layout == wanted.layout
        real = torch.ones(wanted.hidden.shape[:2], dtype=torch.bool)
    else:
        assert torch.equal(found.layout, wanted.layout)
        real = wanted.layout.bool()
    torch.testing.assert_close(found.hidden[real], wanted.hidden[real])
    torch.testing.assert_close(found.reference, wanted.reference)
    for name in ("positions", "targets", "row_of"):
        assert torch.equal(getattr(found, name), getattr(wanted, name)), name


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("read", ["all", "response"])
def test_cached_rows_are_the_rows_computed_at_each_use(
    chat_model: ChatModel, rows: list[Rendered], read: str, pack: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(frozen, "BUILD_ROWS", 2)
    cached = make(chat_model, rows, read, pack=pack)
    fresh = make(chat_model, rows, read, pack=pack, cache_bytes=0)
    monkeypatch.setattr(cached, "_run", None)  # the cache is what is read
    for indices in ([0], [3, 1], [4, 2, 0, 0], [0, 1, 2, 3, 4]):
        assert_same(cached.batch(indices), fresh.batch(indices))
        assert_same(cached.batch(indices, padded=True), fresh.batch(indices, padded=True))


@pytest.mark.parametrize("read", ["all", "response"])
def test_packed_rows_are_the_padded_ones(chat_model: ChatModel, rows: list[Rendered], read: str):
    frozen_rows = make(chat_model, rows, read, cache_bytes=0)
    packed, padded = frozen_rows.batch([4, 0, 2]), frozen_rows.batch([4, 0, 2], padded=True)
    assert packed.layout == Packed(tuple(frozen_rows.lengths[place] for place in (4, 0, 2)))
    assert packed.hidden.shape[:2] == (1, int(padded.layout.sum()))
    torch.testing.assert_close(packed.hidden[0], padded.hidden[padded.layout.bool()])
    torch.testing.assert_close(packed.reference, padded.reference)
    assert torch.equal(packed.positions[0], padded.positions[padded.layout.bool()])
    assert torch.equal(packed.targets, padded.targets)
    assert torch.equal(packed.row_of, padded.row_of)


def test_a_row_ends_with_the_last_token_that_something_is_predicted_from(chat_model: ChatModel):
    row = Rendered([5, 6, 7, 8, 9], [False, False, True, True, False])
    assert make(chat_model, [row], "response").lengths == [3]
    assert make(chat_model, [row], "all").lengths == [4]
    assert make(chat_model, [row], "response").batch([0]).targets.tolist() == [7, 8]


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_a_padded_row_is_the_row_alone(chat_model: ChatModel, rows: list[Rendered], cache_bytes: int):
    found = make(chat_model, rows, cache_bytes=cache_bytes).batch(range(5), padded=True)
    for place, row in enumerate(rows):
        alone = make(chat_model, [row], cache_bytes=cache_bytes).batch([0])
        mine = found.row_of == place
        torch.testing.assert_close(found.hidden[place, : len(row) - 1], alone.hidden[0])
        torch.testing.assert_close(found.reference[mine], alone.reference)
        assert torch.equal(found.targets[mine], alone.targets)


def test_the_states_are_those_that_the_model_computes(chat_model: ChatModel, rows: list[Rendered]):
    batch = make(chat_model, rows).batch([1])
    ids = torch.tensor([rows[1].input_ids])
    out = chat_model.model(input_ids=ids, output_hidden_states=True)
    torch.testing.assert_close(batch.hidden, out.hidden_states[DEPTH][:, :-1])  # the last predicts nothing
    torch.testing.assert_close(batch.reference, out.hidden_states[-1][0, :-1])  # after the final norm
    assert batch.targets.tolist() == rows[1].input_ids[1:]


@pytest.mark.parametrize("read", ["all", "response"])
def test_what_is_read_is_counted(chat_model: ChatModel, rows: list[Rendered], read: str):
    frozen_rows = make(chat_model, rows, read)
    for place, row in enumerate(rows):
        batch = frozen_rows.batch([place])
        wanted = [
            token
            for token, in_response in zip(row.input_ids, row.response_mask, strict=True)
            if in_response or read == "all"
        ][read == "all" :]
        assert batch.targets.tolist() == wanted
        assert frozen_rows.tokens([place]) == len(wanted) == len(batch.row_of) == len(batch.reference)
    assert frozen_rows.tokens([1, 1, 3]) == 2 * frozen_rows.tokens([1]) + frozen_rows.tokens([3])


def test_a_response_s_first_token_is_not_read_where_nothing_stands_before_it(chat_model: ChatModel):
    row = Rendered([5, 6, 7], [True, True, True])
    for cache_bytes in (0, 2**30):
        found = make(chat_model, [row], "response", cache_bytes=cache_bytes)
        assert found.tokens([0]) == 2
        assert found.batch([0]).targets.tolist() == [6, 7]


def test_without_a_reference_none_is_kept(chat_model: ChatModel, rows: list[Rendered]):
    for cache_bytes in (0, 2**30):
        batch = make(chat_model, rows, reference=False, cache_bytes=cache_bytes).batch([2, 0])
        assert batch.reference is None
        assert batch.hidden.shape == (1, len(rows[2]) + len(rows[0]) - 2, 32)


def test_the_cache_is_kept_only_if_it_fits(chat_model: ChatModel, rows: list[Rendered]):
    tokens = sum(map(len, rows)) - len(rows)
    for reference, states in ((False, tokens), (True, 2 * tokens)):
        for short, kept in ((0, True), (1, False)):
            size = states * 32 * 4 - short
            frozen_rows = make(chat_model, rows, reference=reference, cache_bytes=size)
            assert (frozen_rows._cache is not None) is kept


def test_cached_states_hold_no_pass_alive(chat_model: ChatModel, rows: list[Rendered]):
    for hidden, final in make(chat_model, rows)._cache:
        for state in (hidden, final):
            assert state.untyped_storage().nbytes() == state.numel() * 4
            assert not state.requires_grad


def test_rows_may_be_none_but_a_batch_of_none_is_refused(chat_model: ChatModel):
    none = make(chat_model, [])
    assert (len(none), none.tokens([])) == (0, 0)
    with pytest.raises(DataError, match="at least one row"):
        none.batch([])
