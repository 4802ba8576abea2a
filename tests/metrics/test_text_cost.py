import numpy as np
import pytest
from metrics_helpers import DEPTH, in_fp64, log_probabilities, reference_kl, vectors

from linear_world import texts
from narrows.adapters import LoRA
from narrows.chat import Rendered
from narrows.errors import ConfigError
from narrows.metrics import kl_of_rows, nll_of_rows, significance
from narrows.metrics.text_cost import text_cost
from narrows.models import ChatModel, FrozenRows

SCALES = (0.5, 1.0, 2.0)


def frozen(chat_model: ChatModel, rows: list[Rendered], depth: int = DEPTH, reference: bool = True):
    return FrozenRows(chat_model, depth, rows, read="all", reference=reference)


def test_kl_and_loss_are_those_of_the_whole_model(chat_model: ChatModel):
    exact = in_fp64(chat_model)
    rows = texts(exact)
    (vector,) = vectors(1)
    cost = text_cost(exact, frozen(exact, rows), vector, SCALES)
    for place, scale in enumerate(SCALES):
        scaled = vector.scaled(scale)
        kl = np.concatenate([reference_kl(exact, row, scaled) for row in rows]).mean()
        nll, chat = (
            np.concatenate(
                [
                    -log_probabilities(exact, row, one)[range(len(row) - 1), row.input_ids[1:]].numpy()
                    for row in rows
                ]
            ).mean()
            for one in (scaled, None)
        )
        assert cost.kl.mean[place] == pytest.approx(kl, rel=1e-9)
        assert cost.loss.mean[place] == pytest.approx(nll, rel=1e-9)
        assert cost.rise.mean[place] == pytest.approx(nll - chat, rel=1e-6)
        assert cost.chat.mean[0] == pytest.approx(chat, rel=1e-9)


def test_its_kl_is_significance_at_the_norms_of_the_scales_with_its_band(chat_model: ChatModel):
    rows = frozen(chat_model, texts(chat_model))
    (vector,) = vectors(1)
    norms = vector.effective_norm * np.array(SCALES)
    wanted = significance(chat_model, rows, {"one": vector}, norms)["all"]["one"]
    found = text_cost(chat_model, rows, vector, SCALES).kl
    for name in ("mean", "low", "high"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-4, atol=1e-7)


def test_both_losses_of_one_pass_are_those_of_two_passes(chat_model: ChatModel):
    lora = LoRA.fresh(chat_model, rank=2, layers=[1], seed=1)
    lora.factors = {name: (a, b + 0.05) for name, (a, b) in lora.factors.items()}
    rows = frozen(chat_model, texts(chat_model), lora.depth)
    cost = text_cost(chat_model, rows, lora, SCALES)
    variants = [lora.scaled(scale) for scale in SCALES]
    np.testing.assert_allclose(
        cost.kl.mean, kl_of_rows(chat_model, rows, variants).means, rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(cost.loss.mean, nll_of_rows(chat_model, rows, variants).means, rtol=1e-6)
    assert cost.kl.mean[-1] > 1e-3


def test_at_scale_0_nothing_changes(chat_model: ChatModel):
    cost = text_cost(chat_model, frozen(chat_model, texts(chat_model)), vectors(1)[0], [0.0])
    assert cost.rise.samples.tolist() == [[0.0]] * 12
    assert cost.kl.mean[0] == pytest.approx(0, abs=1e-9)
    assert cost.loss.mean[0] == cost.chat.mean[0] > 0


def test_texts_without_the_chat_models_states_are_refused(chat_model: ChatModel):
    with pytest.raises(ConfigError, match="reference=True"):
        text_cost(chat_model, frozen(chat_model, texts(chat_model), reference=False), vectors(1)[0], [1.0])
