import numpy as np
import pytest
import torch
from metrics_helpers import ALPHA, DEPTH, LAYER, in_fp64, reference_kl, reference_nll, vectors

from narrows.adapters import SteeringVector
from narrows.chat import Conversation, Rendered
from narrows.errors import AdapterError, ConfigError, DataError
from narrows.metrics import RowLosses, kl_of_rows, losses, nll_of_rows
from narrows.models import ChatModel, FrozenRows

MEASURES = {"nll": (nll_of_rows, "response"), "kl": (kl_of_rows, "all")}


@pytest.fixture
def rows(chat_model: ChatModel, conversations: list[Conversation]) -> list[Rendered]:
    return [chat_model.renderer.render(conversation) for conversation in conversations]


def make(chat_model: ChatModel, rows: list[Rendered], read: str = "response", **options: object):
    return FrozenRows(chat_model, DEPTH, rows, **({"read": read, "reference": read == "all"} | options))


@pytest.mark.parametrize("kind", MEASURES)
@pytest.mark.parametrize(("exact", "tolerance"), [(True, 1e-10), (False, 2e-5)])
def test_losses_of_rows_are_those_of_the_whole_model_with_the_hook_in_fp64(
    chat_model: ChatModel, rows: list[Rendered], kind: str, exact: bool, tolerance: float
):
    measure, read = MEASURES[kind]
    reference = {"nll": reference_nll, "kl": reference_kl}[kind]
    whole = in_fp64(chat_model)
    measured = whole if exact else chat_model
    variants = vectors(3)
    found = measure(measured, make(measured, rows, read), variants)
    wanted = [[reference(whole, row, variant) for row in rows] for variant in variants]
    np.testing.assert_allclose(found.sums, [[one.sum() for one in line] for line in wanted], rtol=tolerance)
    assert found.counts.tolist() == [len(one) for one in wanted[0]]


def test_the_mean_is_over_tokens_and_not_over_rows_or_batches(
    chat_model: ChatModel, rows: list[Rendered], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(losses, "BATCH_ROWS", 2)
    (variant,) = vectors(1)
    found = nll_of_rows(chat_model, make(chat_model, rows), [variant])
    each = [reference_nll(chat_model, row, variant) for row in rows]
    tokens, of_rows = np.concatenate(each).mean(), np.mean([one.mean() for one in each])
    assert found.means == pytest.approx([tokens], rel=1e-5)
    assert abs(tokens - of_rows) > 0.01 * tokens


@pytest.mark.parametrize("kind", MEASURES)
@pytest.mark.parametrize(("batch_rows", "pass_rows"), [(1, 1), (2, 3), (3, 256), (64, 7)])
def test_variants_and_rows_alone_are_those_stacked(
    chat_model: ChatModel, rows: list[Rendered], kind: str, batch_rows: int, pass_rows: int, monkeypatch
):
    measure, read = MEASURES[kind]
    variants = vectors(4)
    together = measure(chat_model, make(chat_model, rows, read), variants)
    monkeypatch.setattr(losses, "BATCH_ROWS", batch_rows)
    monkeypatch.setattr(losses, "PASS_ROWS", pass_rows)
    found = measure(chat_model, make(chat_model, rows, read), variants)
    np.testing.assert_allclose(found.sums, together.sums, rtol=2e-5)
    for place, variant in enumerate(variants):
        alone = measure(chat_model, make(chat_model, rows[1:2], read), [variant])
        np.testing.assert_allclose(alone.sums, together.sums[place : place + 1, 1:2], rtol=2e-5)


@pytest.mark.parametrize("kind", MEASURES)
def test_cached_rows_give_what_rows_computed_at_each_use_give(
    chat_model: ChatModel, rows: list[Rendered], kind: str
):
    measure, read = MEASURES[kind]
    cached = measure(chat_model, make(chat_model, rows, read), vectors(2))
    fresh = measure(chat_model, make(chat_model, rows, read, cache_bytes=0), vectors(2))
    np.testing.assert_allclose(cached.sums, fresh.sums, rtol=2e-5)


def test_each_batch_runs_its_frozen_part_once_for_all_variants(
    chat_model: ChatModel, rows: list[Rendered], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(losses, "BATCH_ROWS", 1)
    monkeypatch.setattr(losses, "PASS_ROWS", 1)
    frozen = make(chat_model, rows, cache_bytes=0)
    asked: list[list[int]] = []
    batch = frozen.batch
    monkeypatch.setattr(frozen, "batch", lambda places: asked.append(places) or batch(places))
    nll_of_rows(chat_model, frozen, vectors(3))
    assert sorted(asked) == [[place] for place in range(len(rows))]


def test_contributions_average_to_the_token_mean_and_spread_like_the_ratio_estimator():
    rng = np.random.default_rng(3)
    counts = rng.integers(2, 30, 150).astype(float)
    # Long rows have higher losses, so that the spread of plain row means would be another.
    each = rng.gamma(2.0, 0.5, (2, 150)) * (1 + counts / 30)
    one = RowLosses(each * counts, counts)
    np.testing.assert_allclose(one.contributions.mean(axis=1), one.means)
    np.testing.assert_allclose(one.means, (each * counts).sum(axis=1) / counts.sum())
    drawn = rng.integers(0, 150, (4000, 150))
    resampled = one.sums[:, drawn].sum(axis=2) / counts[drawn].sum(axis=1)
    error = one.contributions.std(axis=1, ddof=1) / np.sqrt(150)
    np.testing.assert_allclose(error, resampled.std(axis=1), rtol=0.06)
    naive = each.std(axis=1, ddof=1) / np.sqrt(150)
    assert (np.abs(naive / error - 1) > 0.08).all()


def test_losses_of_some_rows_are_those_of_measuring_them_alone(chat_model: ChatModel, rows: list[Rendered]):
    every = nll_of_rows(chat_model, make(chat_model, rows), vectors(2)).of_rows([3, 0])
    alone = nll_of_rows(chat_model, make(chat_model, [rows[3], rows[0]]), vectors(2))
    np.testing.assert_allclose(every.contributions, alone.contributions, rtol=2e-5)
    assert every.counts.tolist() == alone.counts.tolist()


def test_a_vector_of_another_layer_or_width_is_refused(chat_model: ChatModel, rows: list[Rendered]):
    (elsewhere,) = vectors(1, layer=LAYER + 1)
    with pytest.raises(AdapterError, match="layer 2 needs rows cut at depth 3; these were cut at 2"):
        nll_of_rows(chat_model, make(chat_model, rows), [*vectors(1), elsewhere])
    with pytest.raises(AdapterError, match="width 1 and the model's residual stream 32"):
        nll_of_rows(chat_model, make(chat_model, rows), [SteeringVector(torch.ones(1), LAYER, ALPHA)])


def test_rows_from_which_no_number_can_come_are_refused(chat_model: ChatModel, rows: list[Rendered]):
    with pytest.raises(DataError, match="the 0 rows have no token"):
        nll_of_rows(chat_model, make(chat_model, []), vectors(1))
    text = chat_model.renderer.text("the sea is salt water")
    with pytest.raises(DataError, match="the 1 rows have no token whose loss is read"):
        nll_of_rows(chat_model, make(chat_model, [text]), vectors(1))
    with pytest.raises(ConfigError, match="reference=True"):
        kl_of_rows(chat_model, make(chat_model, rows, "all", reference=False), vectors(1))
