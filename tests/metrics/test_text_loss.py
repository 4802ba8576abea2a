import numpy as np
import pytest
import torch
from metrics_helpers import DEPTH, LAYER, in_fp64, log_probabilities, vectors

from families import FAMILIES, family
from linear_world import texts
from narrows.adapters import Direction, LoRA
from narrows.chat import Rendered
from narrows.errors import DataError
from narrows.interventions import Ablation, Addition, attached
from narrows.metrics import RowLosses, nll_of_rows
from narrows.metrics.text_cost import text_cost
from narrows.metrics.text_loss import text_change, text_loss
from narrows.models import ChatModel, FrozenRows
from tiny_models import make_tokenizer


def directions() -> list[Direction]:
    return [Direction.of_vector(one) for one in vectors(2)]


def whole_loss(chat_model: ChatModel, row: Rendered) -> float:
    """The summed −log P of a text's tokens but the first, from the whole logits."""
    found = log_probabilities(chat_model, row, None)
    return -float(found[range(len(found)), row.input_ids[1:]].sum())


@pytest.mark.parametrize("site", Ablation.sites)
def test_it_is_the_loss_of_the_whole_model_with_all_attached(chat_model: ChatModel, site: str):
    exact = in_fp64(chat_model)
    rows, (vector,) = texts(exact), vectors(1)
    acting = [Ablation(directions(), site), Addition(directions()[1], 2.0)]
    found = text_loss(exact, rows, adapter=vector, interventions=acting)
    with vector.attach(exact), attached(exact, acting):
        wanted = [whole_loss(exact, row) for row in rows]
    np.testing.assert_allclose(found.sums[0], wanted, rtol=1e-9)
    assert found.counts.tolist() == [len(row) - 1 for row in rows]
    assert np.abs(found.sums - text_loss(exact, rows).sums).max() > 0.1


@pytest.mark.parametrize("name", FAMILIES)
def test_in_every_family_it_is_the_loss_of_the_whole_logits(name: str):
    model = family(name, vocab_size=64, eos_token_id=3, bos_token_id=None)
    chat_model = ChatModel.from_parts(model, make_tokenizer(), name)
    rows, acting = texts(chat_model)[:4], [Ablation(directions(), "writes")]
    with attached(chat_model, acting):
        wanted = [whole_loss(chat_model, row) for row in rows]
    np.testing.assert_allclose(text_loss(chat_model, rows, interventions=acting).sums[0], wanted, rtol=1e-4)


def test_without_interventions_it_is_that_of_the_cut_model(chat_model: ChatModel):
    rows, (vector,) = texts(chat_model), vectors(1)
    frozen = FrozenRows(chat_model, DEPTH, rows, read="all")
    found = text_loss(chat_model, rows, adapter=vector)
    np.testing.assert_allclose(found.sums, nll_of_rows(chat_model, frozen, [vector]).sums, rtol=1e-5)
    lora = LoRA.fresh(chat_model, rank=2, layers=[LAYER], seed=1)
    lora.factors = {name: (a, b + 0.05) for name, (a, b) in lora.factors.items()}
    frozen = FrozenRows(chat_model, lora.depth, rows, read="all")
    found = text_loss(chat_model, rows, adapter=lora)
    np.testing.assert_allclose(found.sums, nll_of_rows(chat_model, frozen, [lora]).sums, rtol=1e-5)


def test_its_rise_is_the_cost_of_the_adapter_with_its_interval(chat_model: ChatModel):
    rows, (vector,) = texts(chat_model), vectors(1)
    frozen = FrozenRows(chat_model, DEPTH, rows, read="all", reference=True)
    wanted = text_cost(chat_model, frozen, vector, [1.0])
    found = text_change(text_loss(chat_model, rows), text_loss(chat_model, rows, adapter=vector))
    for mine, theirs in ((found.rise, wanted.rise), (found.after, wanted.loss), (found.before, wanted.chat)):
        for end in ("mean", "low", "high"):
            np.testing.assert_allclose(getattr(mine, end), getattr(theirs, end), rtol=1e-3, atol=1e-5)


def test_the_ratio_is_that_of_the_means_and_knows_that_texts_are_paired(chat_model: ChatModel):
    rows = texts(chat_model)
    before = text_loss(chat_model, rows)
    after = text_loss(chat_model, rows, interventions=[Addition(directions()[0], 2.0)])
    found = text_change(before, after)
    assert found.ratio.mean[0] == pytest.approx(after.means[0] / before.means[0])
    assert found.ratio.low[0] < found.ratio.mean[0] < found.ratio.high[0]
    # A text-by-text factor: every ratio is the same, however much the texts differ.
    scaled = RowLosses(before.sums * 1.01, before.counts)
    exact = text_change(before, scaled).ratio
    assert (exact.low[0], exact.high[0]) == pytest.approx((1.01, 1.01))
    assert text_change(before, before).ratio.mean[0] == 1.0


def test_the_ratios_interval_holds_the_truth_as_often_as_it_says():
    rng, hits, truth = np.random.default_rng(0), 0, 1.05
    for _ in range(40):
        counts = rng.integers(5, 60, 30).astype(float)
        base = counts * rng.lognormal(1.0, 0.4, 30)
        after = base * rng.normal(truth, 0.1, 30)
        found = text_change(*(RowLosses(sums[None], counts) for sums in (base, after))).ratio
        hits += bool(found.low[0] <= truth <= found.high[0])
    assert 35 <= hits <= 40


def test_nothing_stays_attached_and_padding_does_not_count(chat_model: ChatModel):
    rows = texts(chat_model)
    before = text_loss(chat_model, rows)
    alone = [text_loss(chat_model, [row], interventions=[Ablation(directions())]) for row in rows]
    np.testing.assert_allclose(
        text_loss(chat_model, rows, interventions=[Ablation(directions())]).sums[0],
        [one.sums[0, 0] for one in alone],
        rtol=1e-5,
    )
    assert text_loss(chat_model, rows).sums.tolist() == before.sums.tolist()


def test_texts_that_have_no_loss_are_refused(chat_model: ChatModel):
    rows = texts(chat_model)
    one = Rendered(rows[0].input_ids[:1], [False])
    for wrong in ([], [*rows, one]):
        with pytest.raises(DataError, match="at least two tokens"):
            text_loss(chat_model, wrong)
    losses = text_loss(chat_model, rows)
    with pytest.raises(DataError, match="different texts"):
        text_change(losses, losses.of_rows(range(3)))
    with pytest.raises(DataError, match="at least two"):
        text_change(losses.of_rows([0]), losses.of_rows([0]))
    assert torch.is_grad_enabled()
