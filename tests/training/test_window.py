import copy
from functools import partial

import pytest
import torch
from torch import Tensor
from training_helpers import ANCHOR, RECIPE, ROWS, changed, make_window, vector

from narrows.adapters import SteeringVector
from narrows.chat import Conversation
from narrows.errors import ConfigError
from narrows.models import ChatModel, FrozenRows, Head
from narrows.training import Recipe, anchor_kl, objective, train
from narrows.training import window as window_module


@pytest.fixture(scope="module")
def exact(chat_model: ChatModel) -> ChatModel:
    """The chat model in fp64."""
    model = copy.deepcopy(chat_model.model).double()
    return ChatModel.from_parts(model, chat_model.tokenizer, chat_model.name)


def plain(
    exact: ChatModel, recipe: Recipe, rows: list[Conversation], anchor: list[Conversation], at: SteeringVector
) -> tuple[Tensor, Tensor, Tensor]:
    """NLL, KL and the gradient in v of NLL + λ·KL, with a hook, full logits, one row at a time, in fp64."""
    v = at.vector.double().requires_grad_()

    def logits(row: Conversation, steered: bool) -> tuple[Tensor, list[int], int]:
        turns, render = row.as_dicts(), exact.tokenizer.apply_chat_template
        prompt = render(turns[:-1], add_generation_prompt=True, return_dict=False)
        tokens = render(turns, return_dict=False)
        if steered:
            layer = exact.model.model.layers[at.layer]
            hook = layer.register_forward_hook(lambda module, arguments, output: output + at.alpha * v)
        out = exact.model(input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
        if steered:
            hook.remove()
        return out, tokens, len(prompt)

    losses, divergences = [], []
    for row in rows:
        found, tokens, start = logits(row, steered=True)
        end = len(tokens) - 1  # without the newline after the end-of-turn token
        losses += [-found[place - 1, tokens[place]] for place in range(start, end)]
    for row in anchor:
        found, tokens, start = logits(row, steered=True)
        wanted, _, _ = logits(row, steered=False)
        divergence = (wanted.exp() * (wanted - found)).sum(-1)[:-1]
        responses = slice(start - 1, len(tokens) - 2)
        divergences.append(divergence[responses] if recipe.anchor.positions == "response" else divergence)
    loss, kl = torch.stack(losses).mean(), torch.cat(divergences).mean()
    (gradient,) = torch.autograd.grad(loss + recipe.anchor.weight * kl, v)
    return loss.detach(), kl.detach(), gradient


def backward(chat_model: ChatModel, recipe: Recipe, at: SteeringVector) -> tuple[float, float | None, Tensor]:
    """NLL, KL and gradient of the first step's window."""
    adapter = at.copy()
    adapter.vector.requires_grad_()
    loss, kl = make_window(chat_model, recipe)[0].backward(adapter, 0)
    return loss, kl, adapter.vector.grad


@pytest.mark.parametrize("chunk", [1024, 5])
@pytest.mark.parametrize("positions", ["all", "response"])
def test_losses_and_gradient_are_those_of_a_plain_fp64_reference(
    chat_model: ChatModel, exact: ChatModel, positions: str, chunk: int, monkeypatch: pytest.MonkeyPatch
):
    for name in ("token_nll", "token_kl"):
        monkeypatch.setattr(objective, name, partial(getattr(objective, name), chunk=chunk))
    recipe = RECIPE.with_anchor(2.0, positions=positions)
    loss, kl, gradient = backward(chat_model, recipe, vector())
    _, order = make_window(chat_model, recipe)
    rows = [ROWS[place] for place in order.training_rows(0)]
    anchor = [ANCHOR[place] for place in order.anchor_rows(0)]
    wanted_loss, wanted_kl, wanted = plain(exact, recipe, rows, anchor, vector())
    assert loss == pytest.approx(float(wanted_loss), rel=1e-5)
    assert kl == pytest.approx(float(wanted_kl), rel=1e-4)
    assert kl > 0.01
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_one_pass_of_eight_rows_is_eight_passes_of_one(chat_model: ChatModel, weight: float):
    base = RECIPE.with_anchor(weight)
    (loss, kl, gradient), (other_loss, other_kl, other) = (
        backward(chat_model, changed(base, batch_size=b, accumulation=a), vector())
        for b, a in [(1, 8), (8, 1)]
    )
    assert loss == pytest.approx(other_loss, rel=1e-6)
    assert kl == (None if weight == 0 else pytest.approx(other_kl, rel=1e-5))
    torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_a_whole_training_does_not_depend_on_how_the_window_is_cut(chat_model: ChatModel):
    one, other = (
        train(chat_model, ROWS, changed(batch_size=b, accumulation=a, steps=6), anchor=ANCHOR)
        for b, a in [(1, 8), (8, 1)]
    )
    torch.testing.assert_close(one.adapter.vector, other.adapter.vector, rtol=1e-3, atol=1e-4)
    assert [entry["loss"] for entry in one.log] == pytest.approx([e["loss"] for e in other.log], rel=1e-4)
    assert one.log[-1]["kl"] == pytest.approx(other.log[-1]["kl"], rel=1e-3)


def test_the_first_loss_is_the_chat_model_s_on_the_response_alone(chat_model: ChatModel):
    row = ROWS[2]
    tokens = chat_model.renderer.render(row).input_ids
    log_probs = chat_model.model(input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
    # The answer's words (a comma is one here, and a full stop) and the end of turn; a newline follows.
    words = row.answer.split()
    first = len(tokens) - len(words) - 2
    assert chat_model.tokenizer.convert_ids_to_tokens(tokens[first:-2]) == words
    by_hand = [-float(log_probs[place - 1, tokens[place]]) for place in range(first, len(tokens) - 1)]
    run = train(chat_model, [row], changed(RECIPE.with_anchor(0), steps=1))
    assert run.log[0]["loss"] == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-5)
    assert run.log[0]["kl"] is None


def test_the_chat_model_itself_has_no_kl(chat_model: ChatModel):
    assert backward(chat_model, RECIPE, vector().scaled(0.0))[1] == pytest.approx(0, abs=1e-6)


def test_anchor_rows_may_be_plain_text(chat_model: ChatModel):
    texts = ["the sea is salt water .", "every day is blue"]
    run = train(chat_model, ROWS, changed(steps=1), anchor=texts, start=vector())
    tokens = [chat_model.tokenizer(text)["input_ids"] for text in texts]
    order = make_window(chat_model, anchor=texts)[1]
    total = count = 0.0
    for place in order.anchor_rows(0):
        ids = torch.tensor([tokens[place]])
        wanted = chat_model.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        with vector().attach(chat_model):
            found = chat_model.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        total += float((wanted.exp() * (wanted - found)).sum())
        count += len(wanted)
    assert run.log[0]["kl"] == pytest.approx(total / count, rel=1e-4)


def test_the_shares_of_two_processes_add_up_to_the_whole(
    chat_model: ChatModel, monkeypatch: pytest.MonkeyPatch
):
    loss, kl, whole = backward(chat_model, RECIPE, vector())

    class Pretended:
        num_processes = 2
        device = "cpu"

        def __init__(self, process_index: int):
            self.process_index = process_index

    shares = []
    monkeypatch.setattr(window_module, "reduce", lambda tensor, reduction: tensor)
    for process in range(2):
        monkeypatch.setattr(window_module, "PartialState", lambda cpu, process=process: Pretended(process))
        shares.append(backward(chat_model, RECIPE, vector()))
    assert shares[0][0] + shares[1][0] == pytest.approx(loss)
    assert shares[0][1] + shares[1][1] == pytest.approx(kl)
    torch.testing.assert_close(shares[0][2] + shares[1][2], whole)
    assert not torch.equal(shares[0][2], whole)


def test_a_process_without_a_pass_has_a_gradient_of_zero(
    chat_model: ChatModel, monkeypatch: pytest.MonkeyPatch
):
    window, _ = make_window(chat_model, changed(RECIPE.with_anchor(0), accumulation=1))
    monkeypatch.setattr(window, "_passes", lambda rows, size: iter(()))
    adapter = vector()
    adapter.vector.requires_grad_()
    assert window.backward(adapter, 0) == (0.0, None)
    assert torch.equal(adapter.vector.grad, torch.zeros(32))


def test_the_anchor_refuses_rows_without_the_chat_model_s_states(chat_model: ChatModel):
    rows = FrozenRows(chat_model, 2, [chat_model.renderer.render(ROWS[0])], read="all")
    with pytest.raises(ConfigError, match="reference=True"):
        anchor_kl(Head(chat_model.model), torch.zeros(1, 32), rows.batch([0]))


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_passes_that_are_made_as_one_are_the_passes_one_by_one(
    chat_model: ChatModel, monkeypatch: pytest.MonkeyPatch, weight: float
):
    recipe = RECIPE.with_anchor(weight) if weight else RECIPE.with_anchor(0.0)
    sizes: list[int] = []
    run = window_module.final_states
    monkeypatch.setattr(
        window_module, "final_states", lambda *given: (sizes.append(len(given[2])), run(*given))[1]
    )
    loss, kl, whole = backward(chat_model, recipe, vector())
    joined, sizes[:] = list(sizes), []
    monkeypatch.setattr(window_module, "JOINED_TOKENS", {"cpu": 0})
    other_loss, other_kl, other = backward(chat_model, recipe, vector())
    assert len(joined) == 1 and set(sizes) == {1} and joined == [len(sizes)]
    assert loss == pytest.approx(other_loss, rel=1e-6)
    assert kl == (None if weight == 0 else pytest.approx(other_kl, rel=1e-5))
    torch.testing.assert_close(whole, other, rtol=1e-4, atol=1e-7)
