"""The metrics of LoRAs, taken many at once, are those of one whole model after the other."""

import numpy as np
import pytest
import torch

from narrows.adapters import LoRA
from narrows.chat import collate
from narrows.geometry import trajectory
from narrows.metrics import efficiency, kl_of_rows, nll_of_rows, random_directions, significance, stability
from narrows.models import FrozenRows


@pytest.fixture
def loras(chat_model):
    def made(seed):
        generator = torch.Generator().manual_seed(seed)
        fresh = LoRA.fresh(chat_model, rank=2, layers=(2,), alpha=8.0)
        return fresh.with_tensors(
            {name: 0.1 * torch.randn(one.shape, generator=generator) for name, one in fresh.tensors().items()}
        )

    return {"unanchored": made(1), "anchored": made(2)}


@pytest.fixture
def rendered(chat_model, conversations):
    return [chat_model.renderer.render(one) for one in conversations]


def whole_log_probabilities(chat_model, row, lora):
    batch = collate([row], chat_model.pad_id)
    with torch.no_grad(), lora.attach(chat_model):
        return chat_model.model(input_ids=batch.input_ids).logits[0, :-1].double().log_softmax(-1)


def test_losses_of_many_at_once_are_those_of_one_after_the_other(chat_model, loras, rendered):
    rows = FrozenRows(chat_model, 2, rendered, read="response")
    found = nll_of_rows(chat_model, rows, list(loras.values()))
    for place, lora in enumerate(loras.values()):
        for number, row in enumerate(rendered):
            chosen = whole_log_probabilities(chat_model, row, lora).gather(
                1, torch.tensor(row.input_ids[1:])[:, None]
            )[:, 0]
            wanted = -float(chosen[torch.tensor(row.response_mask[1:])].sum())
            assert found.sums[place, number] == pytest.approx(wanted, rel=1e-5)


def test_the_kl_is_that_of_the_whole_models(chat_model, loras, rendered):
    rows = FrozenRows(chat_model, 2, rendered, read="all", reference=True)
    found = kl_of_rows(chat_model, rows, [loras["anchored"]])
    nothing = loras["anchored"].scaled(0.0)
    for number, row in enumerate(rendered):
        chat = whole_log_probabilities(chat_model, row, nothing)
        ours = whole_log_probabilities(chat_model, row, loras["anchored"])
        assert found.sums[0, number] == pytest.approx(float((chat.exp() * (chat - ours)).sum()), rel=1e-4)


def test_every_metric_takes_them(chat_model, loras, rendered):
    rows = FrozenRows(chat_model, 2, rendered, read="response")
    own = loras["unanchored"].effective_norm
    curves = efficiency(chat_model, rows, loras, np.array([own, 2 * own]))
    direct = nll_of_rows(chat_model, rows, [loras["unanchored"], loras["unanchored"].scaled(2.0)]).means
    np.testing.assert_allclose(curves["unanchored"].mean, direct, rtol=1e-6)
    curve = stability(chat_model, rows, loras, epsilons=(0.0, 0.5), draws=2)["unanchored"]
    assert curve.loss.mean[0] == pytest.approx(direct[0], rel=1e-6)
    texts = FrozenRows(chat_model, 2, rendered, read="all", reference=True)
    random = random_directions(loras["unanchored"], count=2, covariance=torch.eye(32))
    assert all(one.effective_norm == pytest.approx(own) for one in random)
    found = significance(chat_model, texts, loras | {"random": random}, np.array([0.1 * own, own]))["all"]
    assert set(found) == {"unanchored", "anchored", "random"}
    assert (found["random"].mean > 0).all()
    runs = {name: {0: one.scaled(0.0), 5: one.scaled(0.5), 10: one} for name, one in loras.items()}
    path = trajectory(runs, general=loras["unanchored"], narrow=loras["anchored"]).runs[0]
    assert path.cos_general == pytest.approx([0.0, 1.0, 1.0])
    assert path.norm == pytest.approx([0.0, own / 2, own])
